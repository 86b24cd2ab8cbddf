"""The study of few labels: what its commands train, and what it makes of the runs they leave."""

import json
import shlex
import sys
from itertools import product

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from bench import few_labels
from bench.few_labels import FewLabels
from bench.label_study import EPOCHS, RECIPE, SEEDS, Point, plot
from seg.classes import load_ontology
from seg.config import load_pretrain_config, load_run_config
from seg.data.open import open_data
from seg.errors import SegError
from seg.metrics import Report
from seg.model.checkpoint import CheckpointMeta, save_checkpoint

FRAMES = 20


@pytest.fixture
def study(tmp_path):
    """Of a CamVid of twenty frames, in a folder with a blank in its name."""
    root = tmp_path / "my data"
    for folder in ("train", "trainannot", "val", "valannot"):
        (root / folder).mkdir(parents=True)
        for index in range(FRAMES if folder.startswith("train") else 2):
            Image.fromarray(np.zeros((4, 4), np.uint8)).save(root / folder / f"a_{index:02}.png")
    return FewLabels(root, tmp_path / "runs")


def finish(study, share, arm, seed, mean_iou, **changes):
    """What a run leaves whose only validation found this."""
    config = load_run_config(RECIPE, study.overrides(share, arm, seed)).model_copy(update=changes)
    report = Report(
        mean_iou=mean_iou, pixel_accuracy=None, pixels=0, units={}, class_names=(), label_names=(), confusion=()
    )
    meta = CheckpointMeta(
        run="x", steps=1, size=(4, 4), data=(), data_hash="", config_hash="", versions={}, config=config,
        ontology=load_ontology("camvid11"), report=report,
    )  # fmt: skip
    save_checkpoint(study.run(share, arm, seed) / "checkpoints/best", meta, {"weights": {"x": torch.zeros(1)}})


def drawn_in(color):
    """A colour of matplotlib's as pixels have it."""
    return np.rint(255 * np.array(to_rgb(color))).astype(np.uint8)


def parsed(line):
    """The command, its config, its overrides and its run directory."""
    seg, command, config, *overrides, out, run, resume = shlex.split(line)
    assert (seg, out, resume) == ("seg", "--out", "--resume")
    return command, few_labels.configs().parent / config, overrides, run


def test_the_labelled_frames_are_evenly_spread(study):
    assert study.labelled(10) == ["a_00", "a_10"]
    assert study.labelled(25) == ["a_00", "a_04", "a_08", "a_12", "a_16"]
    assert len(study.labelled(100)) == FRAMES


def test_the_commands_make_arms_that_differ_in_nothing_but_where_they_begin(study):
    first, *rest = map(parsed, study.commands())
    pretraining = load_pretrain_config(first[1], first[2])
    ontology = load_ontology("camvid11")
    assert first[0] == "pretrain"
    assert len(open_data(pretraining.data.train, ontology)) == FRAMES
    made = {}
    for command, config, overrides, run in rest:
        assert command == "train"
        made[run] = load_run_config(config, overrides)
    assert set(made) == {str(study.run(*key)) for key in product(study.budgets, study.arms, SEEDS)}
    for share, seed in product(study.budgets, SEEDS):
        scratch, pretrained = (made[str(study.run(share, arm, seed))] for arm in study.arms)
        assert (scratch.init, pretrained.init) == (None, first[3])
        assert scratch == pretrained.model_copy(update={"init": None})
        assert scratch.seed == seed
        assert len(open_data(scratch.data.train, ontology)) == round(share * FRAMES / 100)
        # as many steps at every share, and a validation after the last alone
        assert (scratch.epoch_size, scratch.epochs, scratch.val_every) == (FRAMES, EPOCHS, EPOCHS)
    encoder = {"encoder", "encoder_options", "code_channels", "code_activation"}
    assert pretraining.model.model_dump(include=encoder) == scratch.model.model_dump(include=encoder)


def test_a_table_of_the_runs_that_have_ended(study):
    assert study.points() == []
    for seed, (scratch, pretrained) in enumerate([(0.40, 0.45), (0.42, 0.44), (0.41, 0.46)]):
        finish(study, 10, "scratch", seed, scratch)
        finish(study, 10, "pretrained", seed, pretrained)
    finish(study, 25, "scratch", 1, 0.5)
    study.run(25, "scratch", 0).mkdir()  # has not ended
    points = study.points()
    assert [(point.frames, point.arm, len(point.mean_iou)) for point in points] == [
        (2, "scratch", 3), (2, "pretrained", 3), (5, "scratch", 1),
    ]  # fmt: skip
    assert study.gain_at(points, 10) == pytest.approx(4)
    assert study.gain_at(points, 25) is None
    assert study.table(points).splitlines()[2:] == [
        "| 2 (10 %) | 41.0 (40.0-42.0, 3 seeds) | 45.0 (44.0-46.0, 3 seeds) | +4.0 |",
        "| 5 (25 %) | 50.0 (50.0-50.0, 1 seeds) | - | - |",
    ]


@pytest.mark.parametrize("changes", [{"batch_size": 4}, {"epochs": 80}, {"init": "elsewhere"}])
def test_a_run_that_is_another_than_its_name_says_is_refused(study, changes):
    finish(study, 10, "scratch", 0, 0.4, **changes)
    with pytest.raises(SegError, match="10-scratch-0: is not the run"):
        study.points()


def test_where_it_was_computed_does_not_matter(study):
    finish(study, 10, "scratch", 0, 0.4, device="cuda", workers=7)
    assert study.points()[0].mean_iou == (40.0,)


def test_the_plot_has_bars_as_long_as_the_seeds_are_apart(study):
    def height(spread):
        points = [Point(10, 2, "scratch", (40 - spread, 40, 40 + spread)), Point(100, 20, "scratch", (60, 60, 60))]
        points += [Point(10, 2, "pretrained", (70.0,)), Point(100, 20, "pretrained", (30.0,))]  # they set the axes
        blue = (plot(study, points) == drawn_in("C0")).all(2)
        columns = blue.any(0).nonzero()[0]
        left = blue[:, columns.min() : columns.min() + 20]
        return np.ptp(left.any(1).nonzero()[0])

    assert height(8) > height(0.1) + 50


def test_the_command(study, monkeypatch, capsys, tmp_path):
    def run(*arguments):
        root = str(tmp_path / "my data")
        monkeypatch.setattr(sys, "argv", ["few_labels", "--data", root, "--runs", str(tmp_path / "runs"), *arguments])
        few_labels.main()
        return capsys.readouterr().out

    assert run("--commands").splitlines() == study.commands()
    with pytest.raises(SystemExit, match="none of the runs has ended"):
        run()
    finish(study, 10, "scratch", 0, 0.4)
    finish(study, 10, "pretrained", 0, 0.44)
    said = run("--plot", str(tmp_path / "few.png"), "--json", str(tmp_path / "few.json"))
    assert "16 runs are missing" in said
    assert "pretraining at 10 %: +4.0 points" in said
    assert json.loads((tmp_path / "few.json").read_text())[1]["mean_iou"] == [44.0]
    assert Image.open(tmp_path / "few.png").size[0] == 960
    with pytest.raises(SystemExit, match="exists already"):
        run("--plot", str(tmp_path / "few.png"))
