"""Two processes train as one with twice the batch; and what accumulation does and does not change."""

import copy
import os
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import runs
import torch
from PIL import Image
from timm.layers import BatchNormAct2d
from torch import nn

from seg.config import RunConfig
from seg.model import reconstruction
from seg.model.checkpoint import load_network, load_tensors
from train import distributed
from train.batches import collate
from train.distributed import World, synchronize_statistics
from train.loop import train_step
from train.plan import Draw
from train.run import RunDirectory
from train.setup import prepare

BOTH = {"loss": {"dice": 1.0}, "model__reconstruction": True, "epochs": 1, "val_size": [64, 96]}
BOTH["optimizer"] = {"lr": 0.002, "clip": 1e6}  # neither clipping nor AdamW would show a gradient of another scale


def loss_curve(run):
    return np.array([[step, loss] for step, kind, loss, _, _ in runs.losses(run) if kind == "train"])


def test_two_processes_are_one_with_twice_the_batch(tmp_path):
    one = runs.write_config(tmp_path / "one.yaml", **BOTH, batch_size=2)
    two = runs.write_config(tmp_path / "two.yaml", **BOTH, batch_size=1)
    assert runs.seg(tmp_path, "train", one, "-o", tmp_path / "one").code == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run(
        [*torchrun, "-m", "seg.cli", "train", str(two), "-o", str(tmp_path / "two")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=runs.ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert len(loss_curve(tmp_path / "one")) == 3
    # equal but for the order of sums, which the optimiser carries on
    one_curve, two_curve = loss_curve(tmp_path / "one"), loss_curve(tmp_path / "two")
    np.testing.assert_allclose(two_curve[0], one_curve[0], rtol=1e-5)
    np.testing.assert_allclose(two_curve, one_curve, rtol=1e-3)
    a, b = (torch.cat([value.float().flatten() for value in weights_of(tmp_path / name)]) for name in ("one", "two"))
    assert (a - b).norm() < 0.01 * a.norm()
    a, b = (torch.cat(moments(tmp_path / name, "exp_avg/")) for name in ("one", "two"))
    assert (a - b).norm() < 0.1 * a.norm()
    # the validation's frames are shared out, and each is counted once
    reports = [load_network(tmp_path / name)[1].report for name in ("one", "two")]
    assert reports[0].pixels == reports[1].pixels
    assert ended.stderr.count("epoch 1/1") == 1  # one of them speaks


def test_two_processes_are_one_with_muon_and_auxiliary_classifiers_too(tmp_path):
    recipe = BOTH | {
        "optimizer": {"kind": "muon", "lr": 0.002, "clip": 1e6},
        "model__auxiliary": True,
        "loss": {"dice": 1.0, "region_step": 2},
    }
    one = runs.write_config(tmp_path / "one.yaml", **recipe, batch_size=2)
    two = runs.write_config(tmp_path / "two.yaml", **recipe, batch_size=1)
    assert runs.seg(tmp_path, "train", one, "-o", tmp_path / "one").code == 0
    assert [ended.code for ended in pair(tmp_path, "train", two, "-o", tmp_path / "two")] == [0, 0]
    one_curve, two_curve = loss_curve(tmp_path / "one"), loss_curve(tmp_path / "two")
    np.testing.assert_allclose(two_curve[0], one_curve[0], rtol=1e-5)
    np.testing.assert_allclose(two_curve, one_curve, rtol=1e-3)
    for kept in ("momentum_buffer/", "exp_avg/"):
        a, b = (torch.cat(moments(tmp_path / name, kept)) for name in ("one", "two"))
        assert (a - b).norm() < 0.1 * a.norm()


def weights_of(run):
    return load_network(run, "last")[0].state_dict().values()


def moments(run, kept):
    tensors = load_tensors(run / "checkpoints" / "last" / "optimizer.safetensors")
    return [value.flatten() for name, value in tensors.items() if name.startswith(kept)]


def pair(folder, *arguments, hook=None, given=((), ())):
    """`seg ARGUMENTS` as two processes that find each other as torchrun's do; what each left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = [folder / f"rank{rank}" for rank in (0, 1)]
    started = []
    for rank, own in enumerate(folders):
        own.mkdir(exist_ok=True)
        started.append(runs.start(own, *arguments, hook=as_rank, given=(rank, port, hook, given[rank])))
    return [runs.finish(process, own) for process, own in zip(started, folders, strict=True)]


def as_rank(rank, port, hook, given):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if hook is not None and given:
        hook(*given)


def test_one_is_stopped_both_stop_and_resume(tmp_path):
    config = runs.write_config(tmp_path / "tiny.yaml", batch_size=1, epochs=1, loss={"dice": 1.0})
    assert [ended.code for ended in pair(tmp_path, "train", config, "-o", tmp_path / "whole")] == [0, 0]
    stop = ("train.loop", "train_step", 2, signal.SIGTERM)
    stopped = pair(tmp_path, "train", config, "-o", tmp_path / "run", hook=runs.before_call, given=((), stop))
    assert [ended.code for ended in stopped] == [143, 143], stopped
    assert load_network(tmp_path / "run")[1].steps == 2
    assert [ended.code for ended in pair(tmp_path, "train", config, "-o", tmp_path / "run", "--resume")] == [0, 0]
    for name in ("weights", "trained", "optimizer"):
        mine, whole = (
            load_tensors(tmp_path / run / f"checkpoints/last/{name}.safetensors") for run in ("run", "whole")
        )
        assert all(torch.equal(mine[key], whole[key]) for key in whole), name
    assert runs.losses(tmp_path / "run") == runs.losses(tmp_path / "whole")


def first_step(tmp_path, accumulate, **changes):
    """The loss of one step on four frames, and the gradients that it gave AdamW."""
    torch.set_num_threads(1)
    config = RunConfig.model_validate(runs.config(batch_size=4, accumulate=accumulate, **changes))
    parts = prepare(config, RunDirectory(tmp_path), World(), torch.device("cpu"))
    samples = [parts.train.sample(index) for index in range(4)]
    batch = collate([(s.frame_HWC[:48, :64], s.label_HW[:48, :64], Draw(n, 0).index) for n, s in enumerate(samples)])
    loss = train_step(parts, parts.task, batch)
    moments = {name: parts.state.optimizer.state[p]["exp_avg"] for name, p in parts.state.network.named_parameters()}
    return loss, moments, parts.state.network


def test_a_mistake_in_the_data_is_one_line_of_one_process(tmp_path):
    data = runs.folder_data(tmp_path / "data")
    Image.fromarray(np.full((64, 96), 99, dtype=np.uint8)).save(tmp_path / "data/train/labels/0.png")
    config = runs.write_config(tmp_path / "tiny.yaml", data=data, batch_size=1)
    first, second = pair(tmp_path, "train", config, "-o", tmp_path / "run")
    assert (first.code, second.code) == (2, 2)
    assert "train/labels/0.png: raw labels that" in first.stderr
    assert second.stderr == "seg: the main process could not go on; it says why\n"


def test_accumulated_parts_are_the_whole_batch(tmp_path, monkeypatch):
    """Exactly (but for the order of sums) in a network without batch normalisation."""
    plain = SimpleNamespace(**{**vars(nn), "BatchNorm2d": lambda channels: nn.GroupNorm(1, channels)})
    monkeypatch.setattr(reconstruction, "nn", plain)
    model = {
        "encoder": "tu-convnext_atto",
        "reconstruction": True,
        "encoder_options": {"depth": 5},
        "decoder": "fpn",
        "decoder_options": {"channels": 32, "pyramid": 32, "dropout": 0.0},
        "code_channels": 8,
    }
    (loss, whole, network), (other, parts, _) = (first_step(tmp_path, number, model=model) for number in (1, 4))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert other == pytest.approx(loss, rel=1e-5)
    for name, moment in whole.items():
        torch.testing.assert_close(parts[name], moment, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, BatchNormAct2d])
def test_alone_the_synchronised_norm_is_the_norm(monkeypatch, kind):
    """Its sums, and what it keeps, are those of batch normalisation."""
    monkeypatch.setattr(distributed.dist_functional, "all_reduce", lambda sums: sums)
    torch.manual_seed(0)
    norm = nn.Sequential(kind(6)).train()
    with torch.no_grad():
        norm[0].weight.uniform_(0.5, 2)
        norm[0].bias.uniform_(-1, 1)
    ours = synchronize_statistics(copy.deepcopy(norm), torch.device("cpu"))
    assert type(ours[0]) is not kind
    for mode in (True, True, False):
        x = 3 * torch.randn(2, 6, 3, 4) + 2
        inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
        outputs = [net.train(mode)(one) for net, one in zip((norm, ours), inputs, strict=True)]
        torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)
        for output in outputs:
            output.square().sum().backward()
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-3, atol=1e-4)
    assert ours.state_dict().keys() == norm.state_dict().keys()  # a run of several processes loads anywhere
    for name, value in norm.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-5, atol=1e-6)


def test_batch_normalisation_sees_the_parts(tmp_path):
    """Its statistics are over what goes through at once: a step in parts is near the whole one, and not the same."""
    (loss, _, network), (other, _, in_parts) = (first_step(tmp_path, number) for number in (1, 2))
    assert other != pytest.approx(loss, rel=1e-5)
    assert other == pytest.approx(loss, rel=0.2)
    assert int(network.encoder.bn1.num_batches_tracked) == 1
    assert int(in_parts.encoder.bn1.num_batches_tracked) == 2
