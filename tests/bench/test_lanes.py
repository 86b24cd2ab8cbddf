"""The hand-made lane labels are sound, are drawn as they say, and networks are compared with them as they should."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from media import write_video
from onnx_models import save_bands

from bench import lanes
from bench.highway_labels import (
    FOLDER,
    IGNORE,
    LANE,
    OTHER,
    FrameOutlines,
    Outlines,
    draw_label,
    find_video,
    label_path,
    labelled_frames,
    load_outlines,
)
from seg.classes import load_ontology
from seg.data.images import read_label
from seg.errors import SegError


@pytest.fixture(scope="module")
def outlines() -> Outlines:
    return load_outlines()


@pytest.fixture(scope="module")
def comparison() -> lanes.Comparison:
    return lanes.Comparison()


def test_there_is_a_label_for_each_outlined_frame_evenly_over_the_video(outlines: Outlines) -> None:
    numbers = sorted(outlines.frames)
    assert len(numbers) >= 12
    assert set(np.diff(numbers)) == {17}
    assert sorted(path.name for path in FOLDER.glob("*.png")) == [label_path(number).name for number in numbers]


def test_labels_hold_three_values_and_a_plausible_share_of_paint(outlines: Outlines) -> None:
    for number in outlines.frames:
        label = read_label(label_path(number))
        assert label.shape == outlines.size
        assert label.dtype == np.uint8
        assert set(np.unique(label)) == {OTHER, LANE, IGNORE}
        assert 0.003 < (label == LANE).mean() < 0.02
        assert (label == IGNORE).mean() < 0.01
        assert not (label[:300] != OTHER).any()


def test_the_label_follows_the_paint_inside_a_generous_outline() -> None:
    truth = np.zeros((40, 60), dtype=np.bool_)
    for x in range(10, 50):
        truth[10 + x // 4 : 13 + x // 4, x] = True
    frame = np.full((40, 60, 3), 80, dtype=np.uint8)
    frame[truth] = 200
    frame[30:34, 5:20] = 220  # bright, and outside every outline
    line = ((10.0, 13.5, 9.0), (49.0, 23.25, 9.0))
    reflector = ((30.0, 34.0, 4.0), (34.0, 34.0, 4.0))
    label = draw_label(frame, FrameOutlines(lane=(line,), unsure=(reflector,)))
    assert np.array_equal(label == LANE, truth)
    assert label[34, 28:37].tolist() == [IGNORE] * 9
    assert (label == IGNORE).sum() < 50


def test_a_speck_beside_the_marking_is_no_paint() -> None:
    frame = np.full((20, 40, 3), 80, dtype=np.uint8)
    frame[9:12, 5:35] = 200
    frame[14, 20] = 210
    label = draw_label(frame, FrameOutlines(lane=(((5.0, 10.0, 12.0), (34.0, 10.0, 12.0)),)))
    assert (label == LANE).sum() == 3 * 30


def test_a_perfect_answer_has_every_figure_at_one_and_unsure_pixels_cost_nothing(
    outlines: Outlines, comparison: lanes.Comparison
) -> None:
    label = comparison.label(next(iter(outlines.frames)))
    road = load_ontology("drive").id_of("road")
    answer = np.where(label == comparison.lane, comparison.lane, road).astype(np.uint8)
    answer[label == IGNORE] = comparison.lane
    row = comparison.figures(label, answer).row()
    assert [row[name] for name in ("iou", "precision", "recall", "f1")] == [1.0] * 4
    assert row["label_pixels"] == row["predicted_pixels"] == (label == comparison.lane).sum()


def test_iou_counts_what_is_missed_and_what_is_false(comparison: lanes.Comparison) -> None:
    other = comparison.space.sets.index(frozenset(range(5)) - {comparison.lane})
    label = np.full((20, 20), other, dtype=np.uint8)
    label[5, 0:10] = comparison.lane
    label[15, :] = IGNORE
    answer = np.zeros((20, 20), dtype=np.uint8)
    answer[5, 5:10] = answer[0, 0:5] = answer[15, 0:3] = comparison.lane
    row = comparison.figures(label, answer).row()
    assert row["iou"] == 5 / 15
    assert row["precision"] == 5 / 10
    assert row["recall"] == 8 / 10  # three more are within three pixels
    assert row["predicted_pixels"] == 10


def test_another_video_is_refused(tmp_path: Path, outlines: Outlines) -> None:
    short = write_video(tmp_path / "short.mp4", count=3)
    with pytest.raises(SegError, match=r"frames are \(48, 64\)"):
        list(labelled_frames(short, outlines))
    small = outlines.model_copy(update={"size": (48, 64)})
    with pytest.raises(SegError, match="ended without frames"):
        list(labelled_frames(short, small))


def test_a_video_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEG_DATA", raising=False)
    with pytest.raises(SegError, match="give --video"):
        find_video(None)


def test_a_network_of_other_classes_is_refused(comparison: lanes.Comparison) -> None:
    with pytest.raises(SegError, match="expected a network of the ontology 'drive'"):
        lanes.check_ontology(Path("m.onnx"), load_ontology("camvid11"), comparison.ontology)


@pytest.mark.real_data
def test_the_labels_are_what_the_outlines_draw(seg_data: Path, outlines: Outlines) -> None:
    first = min(outlines.frames)
    one = outlines.model_copy(update={"frames": {first: outlines.frames[first]}})
    ((number, rgb),) = labelled_frames(seg_data / "video" / "highway.mp4", one)
    assert np.array_equal(draw_label(rgb, outlines.frames[number]), read_label(label_path(number)))


@pytest.mark.real_data
def test_the_command_measures_a_network_and_writes_what_it_found(
    seg_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outlines = load_outlines()
    first = min(outlines.frames)
    one = outlines.model_copy(update={"frames": {first: outlines.frames[first]}})
    monkeypatch.setattr(lanes, "load_outlines", lambda: one)
    model, figures = save_bands(tmp_path / "bands.onnx"), tmp_path / "figures.json"
    video = seg_data / "video" / "highway.mp4"
    words = [str(model), "--video", str(video), "--json", str(figures), "--overlay", str(tmp_path / "o.png")]
    monkeypatch.setattr("sys.argv", ["lanes", *words])
    lanes.main()
    assert "1 frames of highway.mp4" in capsys.readouterr().out
    written = json.loads(figures.read_text())
    assert written["frames"][str(first)] == written["total"]
    assert written["total"]["label_pixels"] == (read_label(label_path(first)) == LANE).sum()
    assert (tmp_path / "o.png").is_file()
    with pytest.raises(SystemExit, match="exists already"):
        lanes.main()
