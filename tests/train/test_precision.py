"""What a run computes in, on machines with bfloat16 and without."""

import pytest
import runs
import timm.optim.muon
import torch
from test_state import network, step
from timm.optim.muon import Muon, zeropower_via_newtonschulz

from seg.config import OptimizerConfig, RunConfig
from train.precision import autocast, has_bfloat16
from train.state import State

CPU = torch.device("cpu")


@pytest.fixture(params=[True, False], ids=["with", "without"])
def machine(request, monkeypatch):
    """A machine with bfloat16 and one without; whether it has it."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: request.param, raising=False)
    return request.param


def without_bfloat16():
    torch.backends.mkldnn.is_available = lambda: False


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_bfloat16_where_it_is_asked_for_and_there(machine, precision):
    config = RunConfig.model_validate(runs.config(precision=precision))
    with autocast(config, CPU):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if precision == "bf16" and machine else torch.float32)


def test_a_gpu_that_imitates_it_has_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not has_bfloat16(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert has_bfloat16(torch.device("cuda"))


def test_muon_orthogonalises_in_what_the_machine_has(machine, monkeypatch):
    seen = []

    def watched(gradient, *arguments, dtype=torch.bfloat16, **options):
        seen.append(dtype)
        return zeropower_via_newtonschulz(gradient, *arguments, dtype=dtype, **options)

    monkeypatch.setattr("train.state.zeropower_via_newtonschulz", watched)
    monkeypatch.setattr(timm.optim.muon, "zeropower_via_newtonschulz", watched)
    state = State(network(0), OptimizerConfig(kind="muon", lr=0.01))
    step(state, 1)
    assert set(seen) == {torch.bfloat16 if machine else torch.float32}
    assert timm.optim.muon.zeropower_via_newtonschulz is watched  # as it was


def test_both_muons_take_the_same_step(monkeypatch):
    moved = []
    for has in (True, False):
        monkeypatch.setattr("train.state.has_bfloat16", lambda device, has=has: has)
        state = State(network(0), OptimizerConfig(kind="muon", lr=0.01))
        assert (type(state.optimizer) is Muon) == has
        moved.append(step(state, 1))
    for name, step_bf16 in moved[0].items():
        # Newton and Schulz's iteration of bfloat16 strays by some of its 8 bits
        assert (step_bf16 - moved[1][name]).norm() <= 0.03 * step_bf16.norm(), name


def test_a_run_says_that_it_computes_in_float32(tmp_path):
    config = runs.write_config(tmp_path / "tiny.yaml", precision="bf16", epochs=1)
    ended = runs.seg(tmp_path, "train", config, "-o", tmp_path / "run", hook=without_bfloat16)
    assert ended.code == 0
    assert "cpu has no bfloat16: computing in float32" in ended.stderr.splitlines()
    plain = runs.write_config(tmp_path / "plain.yaml", precision="float32", epochs=1)
    ended = runs.seg(tmp_path, "train", plain, "-o", tmp_path / "plain", hook=without_bfloat16)
    assert "bfloat16" not in ended.stderr
    # and it computed the same
    assert runs.losses(tmp_path / "run") == runs.losses(tmp_path / "plain")
