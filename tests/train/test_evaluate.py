"""Evaluation: the same figures from a checkpoint and from its ONNX file, by the protocol of deployment."""

import json

import numpy as np
import pytest
import runs
import torch

from seg.classes import load_ontology
from seg.config import RunConfig
from seg.data.open import open_data
from seg.geometry import fit_frame, fit_map
from seg.metrics import Confusion
from seg.model.checkpoint import load_meta, load_network
from train.evaluate import evaluate, network_predictor, predictions

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.trained(tmp_path_factory)


@pytest.fixture(scope="module")
def model(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    ended = runs.seg(folder, "export", run, "-o", folder / "model.onnx")
    assert ended.code == 0, ended.stderr
    return folder / "model.onnx"


@pytest.fixture(scope="module")
def figures(run, model, tmp_path_factory):
    """The JSON of `seg eval` by model and split."""
    folder = tmp_path_factory.mktemp("figures")
    made = {}
    for name, path, more in [("run", run, ["--device", "cpu"]), ("onnx", model, [])]:
        for split in ("val", "train"):
            json_file = folder / f"{name}-{split}.json"
            ended = runs.seg(folder, "eval", path, "--split", split, "--json", json_file, "--workers", 0, *more)
            assert ended.code == 0, ended.stderr
            assert "mean IoU" in ended.stdout
            assert "One int64 confusion matrix over the whole set" in ended.stdout
            made[name, split] = json.loads(json_file.read_text())
    return made


@pytest.mark.parametrize("split", ["val", "train"])
def test_checkpoint_and_onnx_file_agree(figures, split):
    ours, theirs = figures["run", split], figures["onnx", split]
    assert ours["mean_iou"] == pytest.approx(theirs["mean_iou"], abs=0.001)
    assert ours["pixel_accuracy"] == pytest.approx(theirs["pixel_accuracy"], abs=0.001)
    assert ours["units"].keys() == theirs["units"].keys() == {"background", "road", "lane", "vehicle", "pole"}
    for name, unit in ours["units"].items():
        for figure, value in unit.items():
            assert value == pytest.approx(theirs["units"][name][figure], abs=0.001), (name, figure)
    assert ours["pixels"] == theirs["pixels"] == np.sum(ours["confusion"]) > 0
    assert 0 < ours["mean_iou"] < 1


def test_it_is_what_the_run_reported(run, figures):
    report = load_meta(run / "checkpoints" / "best").report.model_dump(mode="json")
    assert {key: figures["run", "val"][key] for key in report} == report


def test_it_is_the_protocol_of_deployment(run):
    """Frames at the network's size, answers back at the label's: counted here once more by hand."""
    network, meta = load_network(run)
    data = open_data(RunConfig.model_validate(runs.config()).data.val, load_ontology("drive"))
    ours = evaluate(predictions(network_predictor(network, meta.size, CPU), data, range(3), 0), data)
    by_hand = Confusion(data.space)
    for index in range(3):
        sample = data.sample(index)
        rgb = torch.from_numpy(fit_frame(sample.frame_HWC, (60, 92)).copy()).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            classes = network(rgb).logits_BCHW[0].argmax(0).numpy().astype(np.uint8)
        by_hand.update(sample.label_HW, fit_map(classes, (64, 96)))
    np.testing.assert_array_equal(ours.counts_SC, by_hand.counts_SC)
    assert ours.counts_SC.sum() == sum(int((data.sample(i).label_HW != 255).sum()) for i in range(3))


def test_readers_ahead_change_nothing(run):
    data = open_data(RunConfig.model_validate(runs.config()).data.val, load_ontology("drive"))
    predict = network_predictor(load_network(run)[0], (60, 92), CPU)
    names = [[sample.name for sample, _ in predictions(predict, data, range(1, 3), workers)] for workers in (0, 2)]
    assert names == [["001001", "001002"]] * 2


@pytest.mark.parametrize("which", ["run", "model"])
def test_a_config_of_another_ontology_is_refused(request, tmp_path, which):
    config = runs.write_config(tmp_path / "other.yaml", ontology="camvid11")
    ended = runs.seg(tmp_path, "eval", request.getfixturevalue(which), "--config", config)
    assert ended.code == 2
    assert "other.yaml is for the classes of 'camvid11' (sky" in ended.stderr
    assert "the model has those of 'drive' (background, road, lane, vehicle, pole)" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_other_data_by_a_config(run, tmp_path):
    config = runs.write_config(tmp_path / "other.yaml")
    given = ("--config", config, "--set", "data.val.0.count=1", "--json", tmp_path / "one.json", "--workers", 0)
    assert runs.seg(tmp_path, "eval", run, *given).code == 0
    assert json.loads((tmp_path / "one.json").read_text())["data"] == "synthetic/0 (1 frames)"
    again = runs.seg(tmp_path, "eval", run, *given)
    assert again.code == 2
    assert "one.json: exists already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "test"], "--split: expected train or val, got 'test'"),
        (["--set", "epochs=1"], "--set changes a --config; give one"),
        (["--size", "60"], "--size: expected HEIGHTxWIDTH such as 360x480, got '60'"),
    ],
)
def test_mistakes_are_one_line(run, tmp_path, arguments, message):
    ended = runs.seg(tmp_path, "eval", run, *arguments)
    assert (ended.code, ended.stderr) == (2, f"seg: {message}\n")


def test_what_runs_the_other_kind_is_refused(run, tmp_path):
    ended = runs.seg(tmp_path, "eval", run, "--provider", "cuda")
    assert (ended.code, "--device" in ended.stderr) == (2, True)
    ended = runs.seg(tmp_path, "eval", run, "--device", "cuda")
    assert (ended.code, "no CUDA GPU" in ended.stderr) == (2, True)


def test_the_confusion_is_printed(run, tmp_path):
    ended = runs.seg(tmp_path, "eval", run)
    assert ended.code == 0, ended.stderr
    rows = [line for line in ended.stdout.splitlines() if "│" in line or "┃" in line]
    shares = [row for row in rows if row.count("│") == 7]  # a label and the five classes
    assert len(shares) >= 3
    for row in shares:
        assert sum(float(cell) for cell in row.strip("│ ").split("│")[1:]) == pytest.approx(
            100, abs=3
        )  # whole percents
