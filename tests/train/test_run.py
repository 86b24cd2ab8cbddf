"""What a run leaves in its directory (contract 8)."""

import html
import json
import os
import re

import numpy as np
import pytest
import runs
import torch
from PIL import Image

from seg.classes import load_ontology
from seg.config import RunConfig, load_run_config
from seg.data.open import open_data
from seg.errors import SegError
from seg.model.checkpoint import find_checkpoint, load_meta
from train.pixels import measure_pixels, measured_pixels
from train.run import RunDirectory, config_hash, data_hash, data_names


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.trained(tmp_path_factory)


def test_everything_is_there(run):
    assert {entry.name for entry in run.iterdir()} == {
        "checkpoints",
        "config.yaml",
        "environment.json",
        "label_pixels.json",
        "metrics.jsonl",
        "report.html",
        "samples",
        "tensorboard",
    }
    assert {entry.name for entry in (run / "checkpoints").iterdir()} == {"best", "last"}


def test_the_config_is_resolved_and_reads_back_equal(run):
    config = load_run_config(run / "config.yaml")
    assert config == RunConfig.model_validate(runs.config())
    text = (run / "config.yaml").read_text()
    assert "label_smoothing: 0.0" in text  # defaults are written out
    assert load_meta(run / "checkpoints" / "best").config == config


def test_the_environment_names_what_decides_the_result(run):
    environment = json.loads((run / "environment.json").read_text())
    assert environment["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert {"python", "system", "threads", "cpu_capability", "gpus"} <= environment.keys()


def test_every_line_of_metrics_parses(run):
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(r["kind"], r["step"]) for r in records] == [
        *(("train", step) for step in (1, 2, 3)),
        ("val", 3),
        *(("train", step) for step in (4, 5, 6)),
        ("val", 6),
    ]
    assert {"loss", "lr", "images_per_second", "wait", "time"} <= records[0].keys()
    assert {"epoch", "train_loss", "mean_iou", "pixel_accuracy", "iou"} <= records[3].keys()
    assert records[3]["train_loss"] == pytest.approx(np.mean([r["loss"] for r in records[:3]]), abs=1e-4)
    assert max(r["lr"] for r in records if r["kind"] == "train") == pytest.approx(0.002)


def test_the_best_is_the_best(run):
    figures = {step: iou for step, kind, _, _, iou in runs.losses(run) if kind == "val"}
    best = load_meta(run / "checkpoints" / "best")
    assert best.steps == max(figures, key=lambda step: figures[step])
    assert best.report.mean_iou == max(figures.values())
    assert load_meta(run / "checkpoints" / "last").steps == 6
    assert find_checkpoint(run).name == "best"


def test_the_meta_says_what_it_was_made_from(run):
    meta = load_meta(run / "checkpoints" / "best")
    data = open_data(meta.config.data.train, load_ontology("drive"))
    assert (meta.run, meta.ontology.name, meta.size) == ("tiny", "drive", (60, 92))
    assert meta.data == data_names(data) == ("synthetic/0 (6 frames)",)
    assert meta.data_hash == data_hash(data)
    assert meta.config_hash == config_hash(meta.config)


def test_the_data_hash_sees_a_changed_file(tmp_path):
    config = RunConfig.model_validate(runs.config(data=runs.folder_data(tmp_path / "data")))

    def current():
        return data_hash(open_data(config.data.train, load_ontology("drive")))

    before = current()
    assert current() == before
    frame = tmp_path / "data" / "train" / "images" / "0.png"
    frame.write_bytes(frame.read_bytes() + b"\0")
    assert current() != before


def test_tensorboard_can_read_it(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]
    recorded = {step: loss for step, kind, loss, _, _ in runs.losses(run) if kind == "train"}
    assert events.Scalars("train/loss")[2].value == pytest.approx(recorded[3])
    assert [event.step for event in events.Scalars("val/mean_iou")] == [3, 6]
    assert len(events.Images("val/pictures")) == 2


def test_the_pictures_show_frame_label_and_prediction(run):
    names = sorted(path.name for path in (run / "samples").iterdir())
    assert names == ["epoch-0001.png", "epoch-0002.png"]
    with Image.open(run / "samples" / names[-1]) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape[1] >= 3 * 96
    assert pixels.shape[0] >= 3 * 64  # a row for each of the three validation frames
    assert pixels.std() > 20


def test_the_report_shows_the_figures(run):
    page = (run / "report.html").read_text(encoding="utf-8")
    report = load_meta(run / "checkpoints" / "last").report
    assert f"mean IoU <b>{100 * report.mean_iou:.2f}</b>" in page
    for name, unit in report.units.items():
        figures = [
            f"{100 * value:.2f}" if value is not None else "-" for value in (unit.iou, unit.precision, unit.recall)
        ]
        cells = "".join(f"<td>{figure}</td>" for figure in figures)
        assert re.search(rf"{name}</td>{re.escape(cells)}<td>{unit.label_pixels:,}</td>", page)
    assert page.count("<svg") == 2
    assert "samples/epoch-0002.png" in page
    assert html.escape(report.protocol) in page
    assert "encoder: resnet18" in page
    assert not re.search(r'(src|href)="https?:', page)  # nothing to load


def test_rewinding_drops_what_will_be_written_again(tmp_path):
    directory = RunDirectory(tmp_path)
    for kind, step, values in [
        ("train", 3, {}),
        ("val", 3, {"epoch": 1}),
        ("train", 4, {}),
        ("train", 6, {}),
        ("val", 6, {"epoch": 2}),
    ]:
        directory.record(kind, step, values)
    directory.rewind(6, 1)  # saved at step 6, before its validation was
    assert [(r["kind"], r["step"]) for r in directory.records()] == [
        ("train", 3),
        ("val", 3),
        ("train", 4),
        ("train", 6),
    ]
    directory.rewind(3, 0)
    assert [(r["kind"], r["step"]) for r in directory.records()] == [("train", 3)]


def test_a_run_may_go_on_elsewhere_but_not_otherwise(tmp_path):
    config = load_run_config(runs.write_config(tmp_path / "tiny.yaml"))
    run = RunDirectory(tmp_path / "run")
    run.check(config, resume=False)
    run.begin(config)
    run.rewind(0, 0)
    run.check(config.model_copy(update={"device": "cuda", "workers": 7}), resume=True)
    other = config.model_copy(update={"optimizer": config.optimizer.model_copy(update={"lr": 0.5})})
    with pytest.raises(SegError, match=r"\(optimizer\.lr: was 0\.002, now 0\.5\)"):
        run.check(other, resume=True)


def test_other_label_files_end_a_resumed_run(tmp_path):
    config = load_run_config(runs.write_config(tmp_path / "tiny.yaml"))
    run = RunDirectory(tmp_path)
    data = open_data(config.data.train, load_ontology("drive"))
    measure_pixels(data, run, config.weight_frames)
    file = tmp_path / "label_pixels.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "road|pole": 3}))
    with pytest.raises(SegError, match="start a new run"):
        measured_pixels(data, run)


def test_a_run_that_never_began_is_started_again(tmp_path):
    """With what it measured and wrote down, which may be of other data and another config."""
    config = RunConfig.model_validate(runs.config())
    directory = RunDirectory(tmp_path)
    directory.label_pixels.write_text('{"background": 1}')
    directory.begin(config)
    other = config.model_copy(update={"epochs": 9})
    directory.check(other, resume=False)
    directory.begin(other)
    assert not directory.label_pixels.exists()
    assert load_run_config(directory.config_file) == other


def test_somebodys_own_folder_is_left_alone(tmp_path):
    config = load_run_config(runs.write_config(tmp_path / "config.yaml"))
    with pytest.raises(SegError, match="choose another --out"):
        RunDirectory(tmp_path).check(config, resume=False)


def test_a_second_process_is_refused(tmp_path):
    first, second = (RunDirectory(tmp_path / "run").held() for _ in range(2))
    with first, pytest.raises(SegError, match="another process trains into it now"), second:
        pass
    with RunDirectory(tmp_path / "run").held():
        pass


def test_files_whose_names_are_no_unicode_have_a_hash_too(tmp_path):
    named = os.fsdecode(b"caf\xe9.png")
    for kind, shape in (("images", (4, 4, 3)), ("labels", (4, 4))):
        (tmp_path / kind).mkdir()
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / kind / named)
    source = {"kind": "folder", "root": str(tmp_path), "images": "images/{name}.png", "masks": "labels/{name}.png"}
    config = RunConfig.model_validate(runs.config(data__train=[{**source, "labels": "synthetic"}]))
    assert len(data_hash(open_data(config.data.train, load_ontology("drive")))) == 64
