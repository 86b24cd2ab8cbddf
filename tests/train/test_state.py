"""The optimisers: which parameter gets what kind of step, and that a checkpoint brings all of it back."""

import pytest
import runs
import torch
from torch import nn

from seg.classes import load_ontology
from seg.config import OptimizerConfig, RunConfig
from seg.model.checkpoint import CheckpointMeta
from train.state import State, set_rate

META = CheckpointMeta(
    run="tiny",
    ontology=load_ontology("drive"),
    config=RunConfig.model_validate(runs.config()),
    steps=1,
    size=(60, 92),
    data=(),
    data_hash="",
    config_hash="",
    versions={},
)


def network(seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 1))
    return net.to(memory_format=torch.channels_last)


def state_of(kind="muon", seed=0, **options):
    return State(network(seed), OptimizerConfig(kind=kind, **options))


def step(state, seed):
    """One step on made-up gradients; how far it moved each parameter."""
    generator = torch.Generator().manual_seed(seed)
    before = {name: value.detach().clone() for name, value in state.network.named_parameters()}
    for parameter in state.network.parameters():
        parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=generator))
    state.optimizer.step()
    return {name: value.detach() - before[name] for name, value in state.network.named_parameters()}


def test_matrices_go_to_muon_and_the_rest_to_adamw():
    state = state_of()
    step(state, 1)
    for name, parameter in state.network.named_parameters():
        kept = state.optimizer.state[parameter].keys()
        assert ("momentum_buffer" in kept, "exp_avg" in kept) == (
            (True, False) if parameter.ndim > 1 else (False, True)
        ), name


def test_muons_steps_are_of_equal_size_in_every_direction():
    """And AdamW's are not; either moves a weight by about the rate."""
    spread = {}
    for kind in ("muon", "adamw"):
        moved = step(state_of(kind, lr=0.01, weight_decay=0.0), 1)["0.weight"].flatten(1)
        sizes = torch.linalg.svdvals(moved)
        spread[kind] = float(sizes.max() / sizes.min())
        assert 0.1 < float(moved.square().mean().sqrt()) / 0.01 < 1.5
    assert spread["muon"] < 2 < spread["adamw"]


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_the_schedules_rate_reaches_every_parameter(kind):
    still, half, full = (
        state_of(kind, weight_decay=0.1),
        state_of(kind, weight_decay=0.1),
        state_of(kind, weight_decay=0.1),
    )
    for state, rate in ((still, 0.0), (half, 0.01), (full, 0.02)):
        set_rate(state.optimizer, rate)
    nothing, once, twice = (step(state, 1) for state in (still, half, full))
    for name in nothing:
        assert not nothing[name].any(), name
        torch.testing.assert_close(twice[name], 2 * once[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_biases_and_scales_do_not_decay(kind):
    moved = [step(state_of(kind, lr=0.01, weight_decay=decay), 1) for decay in (0.0, 0.5)]
    decayed = {name for name in moved[0] if not torch.equal(moved[0][name], moved[1][name])}
    assert decayed == {"0.weight", "3.weight"}


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_what_is_loaded_goes_on_bit_for_bit(kind, tmp_path):
    state, other = state_of(kind), state_of(kind, seed=1)
    step(state, 1)
    state.save(tmp_path / "last", META)
    other.load(tmp_path / "last")
    for number in (2, 3):
        mine, theirs = step(state, number), step(other, number)
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    for (name, parameter), twin in zip(state.network.named_parameters(), other.network.parameters(), strict=True):
        kept, loaded = state.optimizer.state[parameter], other.optimizer.state[twin]
        assert kept.keys() == loaded.keys(), name
        for key, value in kept.items():
            assert type(loaded[key]) is type(value), key
            if isinstance(value, torch.Tensor):
                assert (loaded[key].dtype, loaded[key].stride()) == (value.dtype, value.stride()), key
