"""From a config to a run's parts: devices, class weights, starting weights."""

import ctypes
import json
import os

import numpy as np
import pytest
import runs
import torch
from PIL import Image

from seg.cli.training import share_cores
from seg.config import RunConfig
from seg.errors import SegError
from seg.model.checkpoint import load_network
from train.batches import training_batches
from train.distributed import World
from train.loop import train_step
from train.plan import PlannedBatches
from train.run import RunDirectory
from train.setup import choose_device, prepare, sample_names

CPU = torch.device("cpu")


def parts_of(tmp_path, **changes):
    return prepare(RunConfig.model_validate(runs.config(**changes)), RunDirectory(tmp_path), World(), CPU)


def test_a_gpu_that_was_asked_for_and_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("cuda", "cuda:1"):
        with pytest.raises(SegError, match=f"device {name!r} was asked for and torch finds no CUDA GPU"):
            choose_device(name)
    assert choose_device("auto") == choose_device("cpu") == CPU
    with pytest.raises(SegError, match="expected auto, cpu or cuda, got 'gpu'"):
        choose_device("gpu")


def test_a_gpu_number_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    for name in ("cuda:2", "cuda:x"):
        with pytest.raises(SegError, match=f"device {name!r} is not there; did you mean 'cuda"):
            choose_device(name)


def test_class_weights_are_measured_once(tmp_path):
    parts = parts_of(tmp_path)
    pixels = json.loads((tmp_path / "label_pixels.json").read_text())
    # four of the six frames, evenly spread
    counted = sum(np.bincount(parts.train.sample(index).label_HW.ravel(), minlength=256) for index in (0, 1, 3, 4))
    assert list(pixels.values()) == counted[: len(pixels)].tolist()
    assert (
        parts.task.loss.weight_S[list(pixels).index("pole")]
        > parts.task.loss.weight_S[list(pixels).index("background")]
    )
    assert parts.task.loss.weight_S[255] == 0
    (tmp_path / "label_pixels.json").write_text(json.dumps(dict.fromkeys(pixels, 1)))
    again = parts_of(tmp_path).task.loss.weight_S
    assert again[1] == again[2] == again[4]  # road, lane and pole, as the file now says


def test_data_without_a_labelled_pixel(tmp_path):
    data = runs.folder_data(tmp_path / "data")
    for path in (tmp_path / "data" / "train" / "labels").iterdir():
        Image.fromarray(np.full((64, 96), 11, dtype=np.uint8)).save(path)  # the own bonnet: ignored
    with pytest.raises(SegError, match="none of the training frames that were counted has a labelled pixel"):
        parts_of(tmp_path, data=data)


def test_validation_frames_without_a_labelled_pixel(tmp_path):
    data = runs.folder_data(tmp_path / "data")
    for path in (tmp_path / "data" / "val" / "labels").iterdir():
        Image.fromarray(np.full((64, 96), 11, dtype=np.uint8)).save(path)
    with pytest.raises(SegError, match=r"no pixel of the validation frames has a label.*`seg data check`"):
        parts_of(tmp_path, data=data)


def test_a_start_from_another_network_says_what_differs(tmp_path, tmp_path_factory):
    run = runs.trained(tmp_path_factory)
    with pytest.raises(
        SegError, match=r"^init: .* and [0-9]+ more \(model\.decoder: linknet there, fpn here; "
    ) as caught:
        parts_of(tmp_path, init=str(run), model__decoder="fpn", model__decoder_options={})
    assert len(str(caught.value)) < 500


def test_a_run_that_did_not_reconstruct_is_a_start_for_one_that_does(tmp_path, tmp_path_factory):
    run = runs.trained(tmp_path_factory)
    started = parts_of(tmp_path, init=str(run), model__reconstruction=True).task.network.state_dict()
    for name, value in load_network(run)[0].state_dict().items():
        assert torch.equal(started[name], value), name


def test_the_parts_of_a_run(tmp_path):
    parts = parts_of(tmp_path)
    assert (parts.total_steps, parts.plan.steps_per_epoch) == (6, 3)
    assert parts.meta.size == (60, 92)
    assert sample_names(parts.train, [0, 5]) == "synthetic/0/000000, synthetic/0/000005"
    assert parts_of(tmp_path, val_size=None).meta.size == (64, 96)  # the first validation frame's own


def test_a_tiny_set_still_makes_a_step(tmp_path):
    assert parts_of(tmp_path, batch_size=64).total_steps == 2


def test_init_takes_over_another_runs_weights(tmp_path, tmp_path_factory):
    run = runs.trained(tmp_path_factory)
    started = parts_of(tmp_path, init=str(run), seed=9).state.network
    trained = load_network(run)[0].state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in started.state_dict().items())


def test_init_from_a_run_for_other_classes_keeps_all_but_its_classifiers(tmp_path, tmp_path_factory):
    run = runs.trained(tmp_path_factory)
    started = parts_of(tmp_path, init=str(run), ontology="camvid11", seed=9).state.network.state_dict()
    trained = load_network(run)[0].state_dict()
    assert {name for name, value in started.items() if not torch.equal(value, trained[name])} == {
        "head.weight",
        "head.bias",
    }
    assert len(started["head.bias"]) % 11 == 0  # as many for each pixel of a cell


def test_a_stretch_whose_start_is_missing_names_what_comes_first(tmp_path):
    with pytest.raises(
        SegError, match=r"runs/camvid-second: no such run; it is of camvid-second\.yaml, which comes first"
    ):
        parts_of(tmp_path, init="runs/camvid-second")


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_norms_keep_the_statistics_that_came_with_the_start(tmp_path, tmp_path_factory, frozen):
    parts = parts_of(tmp_path, init=str(runs.trained(tmp_path_factory)), freeze_norms=frozen)
    before = {name: value.clone() for name, value in parts.state.network.state_dict().items()}
    batches = training_batches(parts.train, parts.config.augment, PlannedBatches(parts.plan, 0, 1, 0, 1), 0)
    train_step(parts, parts.task, next(batches))
    after = parts.state.network.state_dict()
    changed = {name.rpartition(".")[2] for name, value in after.items() if not torch.equal(value, before[name])}
    assert "weight" in changed
    assert ("running_mean" in changed, "running_var" in changed) == (not frozen, not frozen)


def test_frozen_norms_want_a_start():
    with pytest.raises(
        ValueError, match="freeze_norms keeps the statistics of the weights to start from: set init too"
    ):
        RunConfig.model_validate(runs.config(freeze_norms=True))


def test_a_cache_changes_no_loss_and_keeps_what_was_decoded(tmp_path):
    data = runs.folder_data(tmp_path / "data")
    for name, cache in (("plain", None), ("cached", str(tmp_path / "decoded"))):
        config = runs.write_config(tmp_path / "tiny.yaml", data={**data, "cache": cache})
        ended = runs.seg(tmp_path, "train", config, "-o", tmp_path / name)
        assert ended.code == 0, ended.stderr
        # frame and label map of 6 pairs for training and 3 for validation, all of them read again in the second epoch
        assert len(list((tmp_path / "decoded").rglob("*.npy"))) == (18 if cache else 0)
    assert runs.losses(tmp_path / "cached") == runs.losses(tmp_path / "plain")
    assert "decoded" not in (tmp_path / "cached" / "config.yaml").read_text()  # it is no part of the record


def test_freed_memory_is_kept_where_the_allocator_can_be_told(monkeypatch):
    told = []

    class Glibc:
        def mallopt(self, what, value):
            told.append((what, value))

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Glibc())
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    share_cores()
    assert told == [(-1, 2**31 - 1), (-4, 0)]
    assert "GOMP_SPINCOUNT" not in os.environ  # the user chose


def test_an_allocator_that_cannot_be_told_is_left_alone(monkeypatch):
    class Other:
        def __getattr__(self, name):
            raise AttributeError(f"undefined symbol: {name}")

    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Other())
    share_cores()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    share_cores()
    assert os.environ["GOMP_SPINCOUNT"] == "10000"
    monkeypatch.delenv("GOMP_SPINCOUNT")  # as it was; and on Windows there is no library without a name
    monkeypatch.setattr(os, "name", "nt")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("there is nothing to open"))
    share_cores()
