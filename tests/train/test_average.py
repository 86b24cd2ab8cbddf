"""The mean of several trainings: its weights, its figures, what it remembers, and what it refuses."""

import shutil

import pytest
import runs
import torch

from export import ExportOptions, export_run
from seg.config import RunConfig
from seg.data.open import open_data
from seg.data.synthetic import SyntheticScenes
from seg.errors import SegError
from seg.model.checkpoint import load_network, save_checkpoint
from seg.model.unfold import spec_of
from train.average import average
from train.evaluate import evaluate, network_predictor, predictions
from train.origins import origins_of


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.trained(tmp_path_factory)


def changed(run, folder, change=lambda tensor: tensor, **meta_changes):
    """A checkpoint of the run's network with other weights."""
    network, meta = load_network(run)
    weights = {k: change(v) if v.is_floating_point() else v for k, v in network.state_dict().items()}
    save_checkpoint(folder, meta.model_copy(update={"run": folder.name, **meta_changes}), {"weights": weights})
    return folder


def test_it_is_the_mean_by_hand(run, tmp_path):
    generator = torch.Generator().manual_seed(0)
    parts = [
        changed(run, tmp_path / str(number), lambda t: t + 0.1 * torch.randn(t.shape, generator=generator))
        for number in range(3)
    ]
    average(parts, tmp_path / "mean")
    mean = load_network(tmp_path / "mean")[0].state_dict()
    states = [load_network(part)[0].state_dict() for part in parts]
    for name, value in mean.items():
        if value.is_floating_point():  # norms' statistics too
            torch.testing.assert_close(value, torch.stack([state[name] for state in states]).mean(0))
        else:
            assert torch.equal(value, states[0][name])


def test_of_equals_it_is_the_same_and_is_measured(run, tmp_path):
    meta, scores = average([run, run], tmp_path / "mean")
    network, before = load_network(run)
    for name, value in load_network(tmp_path / "mean")[0].state_dict().items():
        assert torch.equal(value, network.state_dict()[name])
    val = open_data(before.config.data.val, before.ontology)
    answers = predictions(network_predictor(network, before.size, torch.device("cpu")), val, range(len(val)), 0)
    assert meta.report == evaluate(answers, val).report(val.label_sets)
    assert scores == [before.report.mean_iou] * 2
    assert meta.steps == 2 * before.steps


def test_it_names_what_it_is_made_of(run, tmp_path):
    """In the exported file too; what the parts have in common is named once."""
    parts = [changed(run, tmp_path / name, origins=origins_of(run)) for name in ("one", "two")]
    meta, _ = average(parts, tmp_path / "mean")
    assert [origin.run for origin in meta.origins] == [load_network(run)[1].run, "one", "two"]
    frame = SyntheticScenes(seed=3, size=(64, 96)).frame(0)[0]
    export_run(tmp_path / "mean", tmp_path / "mean.onnx", [frame], ExportOptions())
    record = spec_of(tmp_path / "mean.onnx").training
    assert record.run == "mean"
    assert record.origins == meta.origins


def test_what_it_refuses(run, tmp_path):
    with pytest.raises(SegError, match="two runs or more, got 1"):
        average([run], tmp_path / "mean")
    _, meta = load_network(run)
    other_data = changed(run, tmp_path / "data", data_hash="0")
    with pytest.raises(SegError, match=r"tiny and \S+data differ in their training data; expected trainings of one"):
        average([run, other_data], tmp_path / "mean")
    wider = meta.config.model_dump() | {"model": meta.config.model.model_dump() | {"code_activation": "sigmoid"}}
    other_network = changed(run, tmp_path / "network", config=RunConfig.model_validate(wider))
    with pytest.raises(SegError, match="differ in their network"):
        average([run, other_network], tmp_path / "mean")
    classes = meta.ontology.model_copy(update={"classes": meta.ontology.classes[::-1]})
    other_classes = changed(run, tmp_path / "classes", ontology=classes)
    with pytest.raises(SegError, match="differ in their classes"):
        average([run, other_classes], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_it_replaces_a_mean_when_told_and_nothing_else(run, tmp_path):
    trained = tmp_path / "trained"
    shutil.copytree(run, trained)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    for taken in ("trained", "mine"):
        with pytest.raises(SegError, match=f"{taken}: holds something else than a mean"):
            average([run, run], tmp_path / taken, overwrite=True)
    average([run, run], tmp_path / "mean")
    with pytest.raises(SegError, match="mean: exists; give --overwrite"):
        average([run, run], tmp_path / "mean")
    meta, _ = average([run, run, run], tmp_path / "mean", overwrite=True)
    assert load_network(tmp_path / "mean")[1] == meta
    assert meta.steps == 3 * load_network(run)[1].steps


def test_the_command_says_when_the_parts_were_better(run, tmp_path):
    against = changed(run, tmp_path / "against", torch.neg)
    ended = runs.seg(tmp_path, "average", run, run, "-o", tmp_path / "same")
    assert ended.code == 0, ended.stderr
    assert "the mean has a mean IoU of" in ended.stdout
    assert "warning" not in ended.stderr
    ended = runs.seg(tmp_path, "average", run, against, "-o", tmp_path / "mean")
    assert ended.code == 0, ended.stderr
    assert "seg: warning: the mean is not as good as the best of them" in ended.stderr
