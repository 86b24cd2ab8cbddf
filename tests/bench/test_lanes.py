"""The hand-made lane labels are sound, are drawn as they say, and networks are compared with them as they should."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from media import write_video
from onnx_models import save_bands

from bench import lane_labels, lanes
from bench.lane_labels import IGNORE, LANE, OTHER, REFERENCES, FrameOutlines, Key, Outlines, Reference, draw_label
from seg.classes import load_ontology
from seg.data.images import read_label, write_png
from seg.errors import SegError

HIGHWAY, STREETS = REFERENCES["highway"], REFERENCES["streets"]
BOTH = pytest.mark.parametrize("reference", [HIGHWAY, STREETS], ids=["highway", "streets"])


def first_frame(outlines: Outlines) -> tuple[Key, Outlines]:
    """The key of the first outlined frame, and the outlines without the others."""
    key = next(iter(outlines.frames))
    return key, outlines.model_copy(update={"frames": {key: outlines.frames[key]}})


@BOTH
def test_there_is_a_label_for_each_outlined_frame_evenly_over_the_sequence(reference: Reference) -> None:
    keys = list(reference.outlines().frames)
    numbers = [key if isinstance(key, int) else int(key.removeprefix("0016E5_")) for key in keys]
    assert len(numbers) == 13
    # every 17th of the motorway's frames; CamVid's names count by two, so this is every 8th of its val split
    assert set(np.diff(numbers)) == {17 if reference is HIGHWAY else 16}
    assert sorted(path.name for path in reference.folder.glob("*.png")) == [
        reference.label_path(key).name for key in keys
    ]


@BOTH
def test_labels_hold_three_values_and_a_plausible_share_of_paint(reference: Reference) -> None:
    outlines = reference.outlines()
    horizon, most_unsure = (300, 0.01) if reference is HIGHWAY else (185, 0.05)
    for key in outlines.frames:
        label = read_label(reference.label_path(key))
        assert label.shape == outlines.size
        assert label.dtype == np.uint8
        assert set(np.unique(label)) == {OTHER, LANE, IGNORE}
        assert 0.003 < (label == LANE).mean() < 0.025
        assert (label == IGNORE).mean() < most_unsure
        assert not (label[:horizon] != OTHER).any()


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


def test_paint_is_lane_where_it_was_called_unsure_too() -> None:
    frame = np.full((20, 40, 3), 80, dtype=np.uint8)
    frame[9:12, 5:35] = 200
    line = ((5.0, 10.0, 6.0), (34.0, 10.0, 6.0))
    label = draw_label(frame, FrameOutlines(lane=(line,), unsure=(((20.0, 10.0, 4.0),),)))
    assert (label[9:12, 5:35] == LANE).all()
    assert (label[[8, 12], 20] == IGNORE).all()


@pytest.mark.parametrize(
    ("paint", "line"),
    [
        pytest.param(200, ((-30.0, 10.0, 200.0), (60.0, 10.0, 200.0)), id="no asphalt around it"),
        pytest.param(40, ((5.0, 10.0, 5.0), (34.0, 10.0, 5.0)), id="darker than the asphalt"),
        pytest.param(200, ((100.0, 10.0, 5.0), (120.0, 10.0, 5.0)), id="outside the frame"),
    ],
)
def test_an_outline_that_shows_no_paint_on_asphalt_is_an_error(paint: int, line: lane_labels.Line) -> None:
    frame = np.full((20, 40, 3), 80, dtype=np.uint8)
    frame[5:16] = paint
    with pytest.raises(SegError, match="outline it anew"):
        draw_label(frame, FrameOutlines(lane=(line,)))


@BOTH
def test_a_perfect_answer_has_every_figure_at_one_and_unsure_pixels_cost_nothing(reference: Reference) -> None:
    comparison = lanes.Comparison(reference)
    label = comparison.label(next(iter(comparison.outlines.frames)))
    road = load_ontology("drive").id_of("road")
    answer = np.where(label == comparison.lane, comparison.lane, road).astype(np.uint8)
    answer[label == IGNORE] = comparison.lane
    row = comparison.figures(label, answer).row()
    assert [row[name] for name in ("iou", "precision", "recall", "f1")] == [1.0] * 4
    assert row["label_pixels"] == row["predicted_pixels"] == (label == comparison.lane).sum()


@pytest.mark.parametrize(("reference", "found"), [(HIGHWAY, 8), (STREETS, 7)], ids=["3 pixels", "2 pixels"])
def test_iou_counts_what_is_missed_and_what_is_false(reference: Reference, found: int) -> None:
    comparison = lanes.Comparison(reference)
    other = comparison.space.sets.index(frozenset(range(5)) - {comparison.lane})
    label = np.full((20, 20), other, dtype=np.uint8)
    label[5, 0:10] = comparison.lane
    label[15, :] = IGNORE
    answer = np.zeros((20, 20), dtype=np.uint8)
    answer[5, 5:10] = answer[0, 0:5] = answer[15, 0:3] = comparison.lane
    row = comparison.figures(label, answer).row()
    assert row["iou"] == 5 / 15
    assert row["precision"] == 5 / 10
    assert row["recall"] == found / 10  # five, and those within the tolerance of them
    assert row["predicted_pixels"] == 10


def test_another_video_is_refused(tmp_path: Path) -> None:
    outlines = HIGHWAY.outlines()
    short = write_video(tmp_path / "short.mp4", count=3)
    with pytest.raises(SegError, match=r"frames are \(48, 64\)"):
        list(HIGHWAY.frames(short, outlines))
    small = outlines.model_copy(update={"size": (48, 64)})
    with pytest.raises(SegError, match="ended without frames"):
        list(HIGHWAY.frames(short, small))


def test_pictures_are_found_by_name_and_others_are_refused(tmp_path: Path) -> None:
    outlines = STREETS.outlines()
    key, one = first_frame(outlines)
    with pytest.raises(SegError, match=f"no {key}.jpg and no {key}.png"):
        list(STREETS.frames(tmp_path, outlines))
    (tmp_path / "val").mkdir()
    write_png(tmp_path / "val" / f"{key}.png", np.full((48, 64, 3), 7, dtype=np.uint8))
    with pytest.raises(SegError, match=r"frames are \(48, 64\) \(height, width\); the labels are of \(360, 480\)"):
        list(STREETS.frames(tmp_path, one))
    ((found, rgb),) = STREETS.frames(tmp_path, one.model_copy(update={"size": (48, 64)}))
    assert found == key
    assert (rgb == 7).all()


@BOTH
def test_the_frames_have_to_be_named(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEG_DATA", "somewhere")
    assert reference.source(None) == Path("somewhere") / reference.home
    assert reference.source(Path("here")) == Path("here")
    monkeypatch.delenv("SEG_DATA")
    with pytest.raises(SegError, match=f"give {reference.option} or --frames"):
        reference.source(None)


def test_a_network_of_other_classes_is_refused() -> None:
    with pytest.raises(SegError, match="expected a network of the ontology 'drive'"):
        lanes.check_ontology(Path("m.onnx"), load_ontology("camvid11"), load_ontology("drive"))


@pytest.mark.real_data
@BOTH
def test_the_labels_are_what_the_outlines_draw(seg_data: Path, reference: Reference) -> None:
    _, one = first_frame(reference.outlines())
    # a video has to be decoded up to its frame, a picture not
    outlines = one if reference.of_video else reference.outlines()
    for key, rgb in reference.frames(seg_data / reference.home, outlines):
        assert np.array_equal(draw_label(rgb, outlines.frames[key]), read_label(reference.label_path(key)))


@pytest.mark.real_data
def test_lanes_of_the_streets_lie_on_what_camvid_calls_road(seg_data: Path) -> None:
    lane = road = unlabelled = 0
    for key in STREETS.outlines().frames:
        on_lane = read_label(STREETS.label_path(key)) == LANE
        camvid = read_label(seg_data / "camvid" / "valannot" / f"{key}.png")[on_lane]
        lane, road, unlabelled = lane + camvid.size, road + (camvid == 3).sum(), unlabelled + (camvid == 11).sum()
    assert road > 0.98 * lane
    assert road + unlabelled > 0.995 * lane


@pytest.mark.real_data
@BOTH
def test_a_changed_label_is_told(
    reference: Reference,
    seg_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key, one = first_frame(reference.outlines())
    label = read_label(reference.label_path(key)).astype(np.uint8)
    monkeypatch.setattr(Reference, "outlines", lambda self: one)
    monkeypatch.setattr(Reference, "label_path", lambda self, key: tmp_path / f"{key}.png")
    words = [reference.folder.name, "--frames", str(seg_data / reference.home)]
    monkeypatch.setattr("sys.argv", ["lane_labels", *words])
    lane_labels.main()
    assert np.array_equal(read_label(tmp_path / f"{key}.png"), label)
    assert f"{(label == LANE).sum():5d} lane" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["lane_labels", *words, "--check"])
    lane_labels.main()
    label[-1, -1] = LANE - label[-1, -1]
    lane_labels.write_label(tmp_path / f"{key}.png", label)
    with pytest.raises(SystemExit, match=f"not what the outlines draw: {key}.png"):
        lane_labels.main()


@pytest.mark.real_data
@pytest.mark.parametrize("named", [True, False], ids=["named", "default"])
@BOTH
def test_the_command_measures_a_network_and_writes_what_it_found(
    reference: Reference,
    named: bool,
    seg_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key, one = first_frame(reference.outlines())
    monkeypatch.setattr(Reference, "outlines", lambda self: one)
    model, figures, source = save_bands(tmp_path / "bands.onnx"), tmp_path / "figures.json", seg_data / reference.home
    where = [reference.option, str(source)] if named else [] if reference is HIGHWAY else [reference.option]
    words = [str(model), *where, "--json", str(figures), "--overlay", str(tmp_path / "o.png")]
    monkeypatch.setattr("sys.argv", ["lanes", *words])
    lanes.main()
    printed = capsys.readouterr().out
    assert f"1 frames of {source.name}" in printed
    assert f"within {reference.tolerance} pixels" in printed
    written = json.loads(figures.read_text())
    assert written["frames"][str(key)] == written["total"]
    assert written["total"]["label_pixels"] == (read_label(reference.label_path(key)) == LANE).sum()
    assert written["reference"] == reference.folder.name
    assert written["tolerance_pixels"] == (3 if reference is HIGHWAY else 2)
    assert list(written["frames_sha256"]) == [source.name if reference is HIGHWAY else f"{key}.jpg"]
    assert (tmp_path / "o.png").is_file()
    with pytest.raises(SystemExit, match="exists already"):
        lanes.main()
