"""Checkpoints: whole whenever one looks, refused where they are not, and never a pickle."""

import json
import os
import pathlib
import shutil
import signal
import time

import pytest
import runs
import torch

from seg.classes import load_ontology
from seg.config import RunConfig
from seg.errors import SegError
from seg.model import build_network, checkpoint
from seg.model.checkpoint import (
    CheckpointMeta,
    find_checkpoint,
    load_meta,
    load_network,
    load_tensors,
    save_checkpoint,
    start_from,
)

CONFIG = RunConfig.model_validate(runs.config())


def meta_of(steps, ontology="drive", config=CONFIG):
    return CheckpointMeta(
        run="tiny",
        ontology=load_ontology(ontology),
        config=config,
        steps=steps,
        size=(60, 92),
        data=(),
        data_hash="",
        config_hash="",
        versions={},
    )


def network(auxiliary=False):
    return build_network(5, CONFIG.model.model_copy(update={"auxiliary": auxiliary}))


def save(folder, steps):
    """A checkpoint whose every number is `steps`, so that a mixture of two would show."""
    weights = {"a": torch.full((3,), float(steps)), "b": torch.full((2, 2), float(steps))}
    save_checkpoint(folder, meta_of(steps), {"weights": weights, "trained": weights}, {"step": steps})


def steps_in(path):
    """What the checkpoint at `path` holds, after checking that all its files are of one save."""
    folder = find_checkpoint(path)
    numbers = {load_meta(folder).steps, json.loads((folder / "state.json").read_text())["step"]}
    for stem in ("weights", "trained"):
        numbers |= {
            value
            for tensor in load_tensors(folder / f"{stem}.safetensors").values()
            for value in tensor.flatten().tolist()
        }
    (steps,) = numbers
    return int(steps)


class Killed(BaseException):
    """Stands for SIGKILL: nothing that tidies up may run after it."""


CALLS = [
    *((checkpoint, "save_file"), (os, "fsync"), (shutil, "rmtree")),
    *((pathlib.Path, name) for name in ("mkdir", "rename", "write_text", "open")),
]


def killing(monkeypatch, number, after):
    """Raise at call `number` of any call that touches the disk, before or after its work; all later ones do nothing."""
    calls, dead = [], []

    def wrap(owner, name):
        real = getattr(owner, name)

        def call(*arguments, **options):
            if dead:
                raise Killed
            calls.append(name)
            if len(calls) != number:
                return real(*arguments, **options)
            if after:
                real(*arguments, **options)
            dead.append(True)
            raise Killed

        monkeypatch.setattr(owner, name, call)

    for owner, name in CALLS:
        wrap(owner, name)
    return calls


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("before", ["one checkpoint", "only the one that stepped aside"])
def test_a_kill_at_any_call_leaves_a_whole_checkpoint(tmp_path, before, after):
    folder = tmp_path / "run" / "checkpoints" / "last"
    number, ended = 0, False
    while not ended:
        number += 1
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        save(folder, 1)
        if before != "one checkpoint":
            folder.rename(folder.with_name(".last.old"))
        with pytest.MonkeyPatch.context() as patch:
            calls = killing(patch, number, after)
            try:
                save(folder, 2)
                ended = True
            except Killed:
                pass
        assert steps_in(tmp_path / "run") in ((2,) if ended else (1, 2)), (number, calls)
        assert steps_in(folder) in (1, 2)  # and by the folder's own name
        save(folder, 3)  # whatever was left is no obstacle
        assert steps_in(tmp_path / "run") == 3
        assert [entry.name for entry in folder.parent.iterdir()] == ["last"]
    assert number > 12


def save_for_ever(folder):
    for steps in range(1_000_000):
        save(folder, steps)


def test_a_real_kill(tmp_path):
    for number in range(6):
        process = runs.CONTEXT.Process(target=save_for_ever, args=(tmp_path / "last",))
        process.start()
        while not (tmp_path / "last").exists() and process.is_alive():
            time.sleep(0.001)
        time.sleep(0.011 * number)  # a save takes a few milliseconds: each kill falls elsewhere
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert steps_in(tmp_path / "last") >= 0


def test_a_failed_write_leaves_the_old_one(tmp_path, monkeypatch):
    save(tmp_path / "last", 1)

    def full(tensors, path):
        path.write_bytes(b"part")
        raise checkpoint.SafetensorError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match=r"last: cannot be written .*No space left"):
        save(tmp_path / "last", 2)
    assert steps_in(tmp_path / "last") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["last"]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_cut_weights(tmp_path, share):
    save(tmp_path / "last", 1)
    weights = tmp_path / "last" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[: int(share * weights.stat().st_size)])
    with pytest.raises(SegError, match=r"weights\.safetensors: not a readable safetensors file"):
        load_network(tmp_path / "last")


def test_a_damaged_meta(tmp_path):
    save(tmp_path / "last", 1)
    (tmp_path / "last" / "meta.json").write_text('{"run": ')
    with pytest.raises(SegError, match=r"meta\.json: cannot be read"):
        load_network(tmp_path / "last")
    (tmp_path / "last" / "meta.json").write_text('{"runn": "tiny"}')
    with pytest.raises(SegError, match="unknown key 'runn'; did you mean 'run'"):
        load_network(tmp_path / "last")


def test_weights_of_another_network(tmp_path):
    save(tmp_path / "last", 1)
    with pytest.raises(SegError, match="the weights do not fit the network: Missing key"):
        load_network(tmp_path / "last")


def test_no_checkpoint(tmp_path):
    with pytest.raises(SegError, match="nowhere: no such run or checkpoint"):
        find_checkpoint(tmp_path / "nowhere")
    with pytest.raises(SegError, match="holds no checkpoint"):
        find_checkpoint(tmp_path)
    (tmp_path / "model.onnx").touch()
    with pytest.raises(SegError, match=r"model\.onnx: is a file; give a run directory"):
        find_checkpoint(tmp_path / "model.onnx")


def test_best_and_last(tmp_path):
    save(tmp_path / "checkpoints" / "last", 2)
    assert find_checkpoint(tmp_path).name == "last"
    save(tmp_path / "checkpoints" / "best", 1)
    assert find_checkpoint(tmp_path).name == "best"
    assert find_checkpoint(tmp_path, "last").name == "last"
    assert find_checkpoint(tmp_path / "checkpoints" / "last").name == "last"


def test_what_is_loaded_is_what_was_saved(tmp_path):
    net = network().eval()
    save_checkpoint(tmp_path / "best", meta_of(7), {"weights": dict(net.state_dict())})
    # with a hub to fetch from or not: a trained network needs no other weights
    meta = json.loads((tmp_path / "best" / "meta.json").read_text())
    meta["config"]["model"]["encoder_weights"] = "imagenet"
    (tmp_path / "best" / "meta.json").write_text(json.dumps(meta))
    loaded, meta = load_network(tmp_path / "best")
    assert (meta.steps, meta.size, loaded.training) == (7, (60, 92), False)
    frame = torch.randint(0, 256, (1, 3, 60, 92), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(net(frame).logits_BCHW, loaded(frame).logits_BCHW)
    assert {entry.name for entry in (tmp_path / "best").iterdir()} == {"meta.json", "weights.safetensors"}


def test_init_takes_over_the_whole_network(tmp_path):
    save_checkpoint(tmp_path / "best", meta_of(1), {"weights": dict(network().state_dict())})
    net = network()
    start_from(net, load_ontology("drive"), tmp_path / "best")
    torch.testing.assert_close(
        dict(net.state_dict()), load_tensors(tmp_path / "best" / "weights.safetensors"), rtol=0, atol=0
    )


def test_init_from_a_run_for_other_classes_takes_all_but_the_classifiers(tmp_path):
    trained = network(auxiliary=True)
    save_checkpoint(tmp_path / "best", meta_of(1), {"weights": dict(trained.state_dict())})
    other = load_ontology("camvid11")
    model = CONFIG.model.model_copy(update={"auxiliary": True})
    started = build_network(len(other), model)
    fresh = {name: value.clone() for name, value in started.state_dict().items()}
    start_from(started, other, tmp_path / "best")
    for name, value in started.state_dict().items():
        expected = fresh if name.startswith(("head.", "auxiliary.")) else trained.state_dict()
        assert torch.equal(value, expected[name]), name


def test_a_network_with_auxiliary_classifiers_is_loaded(tmp_path):
    net = network(auxiliary=True)
    meta = meta_of(1, config=CONFIG.model_copy(update={"model": CONFIG.model.model_copy(update={"auxiliary": True})}))
    save_checkpoint(tmp_path / "best", meta, {"weights": dict(net.state_dict())})
    loaded, _ = load_network(tmp_path / "best")
    torch.testing.assert_close(loaded.state_dict(), net.state_dict(), rtol=0, atol=0)
    assert loaded(torch.zeros(1, 3, 32, 32)).auxiliary == ()


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("after", [True, False])
def test_init_leaves_auxiliary_classifiers_behind_or_fresh(tmp_path, before, after):
    trained, started = network(auxiliary=before), network(auxiliary=after)
    fresh = {name: value.clone() for name, value in started.state_dict().items()}
    save_checkpoint(tmp_path / "best", meta_of(1), {"weights": dict(trained.state_dict())})
    start_from(started, load_ontology("drive"), tmp_path / "best")
    assert started.state_dict().keys() == fresh.keys()
    for name, value in started.state_dict().items():
        assert torch.equal(value, trained.state_dict().get(name, fresh[name])), name
    assert not torch.equal(started.head.weight, fresh["head.weight"])


def test_init_forgives_nothing_else(tmp_path):
    weights = dict(network(auxiliary=True).state_dict())
    del weights["head.bias"]
    save_checkpoint(tmp_path / "best", meta_of(1), {"weights": weights})
    with pytest.raises(SegError, match=r'the weights do not fit the network: Missing key.*"head\.bias"'):
        start_from(network(), load_ontology("drive"), tmp_path / "best")


def test_nothing_in_a_run_is_a_pickle(tmp_path_factory):
    run = runs.trained(tmp_path_factory)
    suffixes = {path.suffix for path in run.rglob("*") if path.is_file() and "tensorboard" not in path.parts}
    assert suffixes == {".safetensors", ".json", ".jsonl", ".yaml", ".html", ".png"}
    for path in run.rglob("*.safetensors"):
        assert not path.read_bytes().startswith((b"\x80", b"PK"))
