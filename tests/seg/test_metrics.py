"""The metrics equal an independent count, pixel by pixel, and Cityscapes' own evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seg.classes import ClassInfo, Ontology, load_ontology
from seg.errors import SegError
from seg.labels import LabelSet, LabelSpace, load_label_set
from seg.metrics import PROTOCOL, Confusion, Flicker, Report, told_apart


def make_ontology(classes: int) -> Ontology:
    infos = tuple(ClassInfo(name=f"c{index}", color=(index, 0, 0)) for index in range(classes))
    return Ontology(name="test", classes=infos)


def make_label_set(ontology: Ontology, sets: list[frozenset[int]]) -> LabelSet:
    raw = {index: f"raw{index}" for index in range(len(sets))}
    return LabelSet("test", ontology, "id", raw, {f"raw{index}": members for index, members in enumerate(sets)})


def slow_units(classes: int, sets: list[frozenset[int]]) -> set[frozenset[int]]:
    """Units by walking a graph: an independent reading of the definition in `told_apart`."""
    singles = {next(iter(members)) for members in sets if len(members) == 1}
    rest = set(range(classes)) - singles
    edges = [members for members in sets if members and members <= rest]
    units = {frozenset({single}) for single in singles}
    for start in rest:
        reached, frontier = {start}, [start]
        while frontier:
            current = frontier.pop()
            for members in edges:
                if current in members:
                    frontier += members - reached
                    reached |= members
        if any(start in members for members in edges):
            units.add(frozenset(reached))
    return units


def slow_iou(
    unit: frozenset[int], space: LabelSpace, label: np.ndarray, predicted: np.ndarray
) -> tuple[float | None, int]:
    """IoU and label pixels of a unit, one pixel after the other in plain Python."""
    true = false = missed = 0
    for value, answer in zip(label.ravel().tolist(), predicted.ravel().tolist(), strict=True):
        if value == 255:
            continue
        members = space.sets[value]
        inside, apart = all(m in unit for m in members), all(m not in unit for m in members)
        true += inside and answer in unit
        missed += inside and answer not in unit
        false += apart and answer in unit
    whole = true + false + missed
    return (true / whole if whole else None), true + missed


@st.composite
def scenes(draw: st.DrawFn) -> tuple[LabelSpace, LabelSet, np.ndarray, np.ndarray]:
    classes = draw(st.integers(2, 6))
    members = st.frozensets(st.integers(0, classes - 1), min_size=1, max_size=max(1, classes - 1))
    sets = draw(st.lists(members, min_size=1, max_size=6, unique=True))
    ontology = make_ontology(classes)
    label_set = make_label_set(ontology, sets)
    space = LabelSpace(ontology, [label_set])
    size = draw(st.integers(1, 60))
    values = st.sampled_from([255, *(space.sets.index(one) for one in sets)])
    label = np.array(draw(st.lists(values, min_size=size, max_size=size)), dtype=np.uint8)
    predicted = np.array(draw(st.lists(st.integers(0, classes - 1), min_size=size, max_size=size)), dtype=np.uint8)
    return space, label_set, label.reshape(1, size), predicted.reshape(1, size)


@given(scenes())
@settings(max_examples=300, deadline=None)
def test_report_equals_a_loop_over_pixels(scene: tuple[LabelSpace, LabelSet, np.ndarray, np.ndarray]) -> None:
    space, label_set, label, predicted = scene
    confusion = Confusion(space)
    confusion.update(label, predicted)
    report = confusion.report([label_set])
    units = slow_units(len(space.ontology), label_set.sets)
    assert set(told_apart(label_set.sets)) == units
    names = {"|".join(f"c{member}" for member in sorted(unit)): unit for unit in units}
    assert report.units.keys() == names.keys()
    ious = []
    for name, unit in names.items():
        iou, pixels = slow_iou(unit, space, label, predicted)
        assert report.units[name].label_pixels == pixels
        assert report.iou[name] == (None if iou is None else pytest.approx(iou, abs=1e-12))
        ious += [iou] if iou is not None else []
    assert report.mean_iou == (pytest.approx(sum(ious) / len(ious)) if ious else None)
    counted = [(v, p) for v, p in zip(label.ravel().tolist(), predicted.ravel().tolist(), strict=True) if v != 255]
    right = sum(p in space.sets[v] for v, p in counted)
    assert report.pixels == len(counted)
    assert report.pixel_accuracy == (pytest.approx(right / len(counted)) if counted else None)


@given(scenes(), st.integers(0, 59))
@settings(max_examples=50, deadline=None)
def test_merging_parts_equals_counting_at_once(
    scene: tuple[LabelSpace, LabelSet, np.ndarray, np.ndarray], cut: int
) -> None:
    space, _, label, predicted = scene
    whole, first, second = Confusion(space), Confusion(space), Confusion(space)
    whole.update(label, predicted)
    first.update(label[:, :cut], predicted[:, :cut])
    second.update(label[:, cut:], predicted[:, cut:])
    first.merge(second)
    assert np.array_equal(first.counts_SC, whole.counts_SC)


def test_camvid_on_drive_tells_four_units_apart() -> None:
    drive = load_ontology("drive")
    camvid = load_label_set("camvid11", drive)
    report = Confusion(LabelSpace(drive, [camvid])).report([camvid])
    assert list(report.units) == ["background", "road|lane", "vehicle", "pole"]
    assert report.mean_iou is None
    assert report.pixel_accuracy is None


def test_a_set_that_straddles_a_unit_counts_neither_for_nor_against_it() -> None:
    drive = load_ontology("drive")
    camvid = load_label_set("camvid11", drive)
    space = LabelSpace(drive, [camvid])
    bicyclist = space.sets.index(frozenset({drive.id_of("background"), drive.id_of("vehicle")}))
    vehicle, road = drive.id_of("vehicle"), drive.id_of("road")
    label = np.array([[bicyclist, bicyclist, vehicle, vehicle]], dtype=np.uint8)
    confusion = Confusion(space)
    confusion.update(label, np.array([[vehicle, road, vehicle, road]], dtype=np.uint8))
    report = confusion.report([camvid])
    assert report.units["vehicle"].iou == 0.5
    assert report.units["vehicle"].precision == 1.0
    assert report.units["vehicle"].label_pixels == 2
    assert report.units["background"].iou is None
    assert report.units["road|lane"].iou == 0.0  # a bicyclist is certainly no road
    assert report.pixel_accuracy == 0.5
    assert report.mean_iou == pytest.approx(0.25)


def test_report_goes_through_json_with_its_protocol() -> None:
    ontology = make_ontology(3)
    confusion = Confusion(LabelSpace(ontology))
    confusion.update(np.array([[0, 1, 255]], dtype=np.uint8), np.array([[0, 0, 2]], dtype=np.uint8))
    report = confusion.report()
    assert Report.model_validate_json(report.model_dump_json()) == report
    data = json.loads(report.model_dump_json())
    assert data["protocol"] == PROTOCOL
    assert data["confusion"] == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert report.iou == {"c0": 0.5, "c1": 0.0, "c2": None}
    assert report.mean_iou == 0.25  # c2 is in neither labels nor predictions


def test_counts_do_not_overflow_in_a_long_evaluation() -> None:
    confusion = Confusion(LabelSpace(make_ontology(2)))
    confusion.counts_SC[0, 0] = 2**40
    confusion.update(np.zeros((2, 2), dtype=np.uint8), np.zeros((2, 2), dtype=np.uint8))
    assert confusion.counts_SC[0, 0] == 2**40 + 4


@pytest.mark.parametrize(
    ("label", "predicted", "message"),
    [
        (np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), "shape"),
        (np.zeros((1, 1), np.uint8), np.full((1, 1), 3, np.uint8), "only 0..2"),
        (np.full((1, 1), 9, np.uint8), np.zeros((1, 1), np.uint8), "label holds 9"),
    ],
)
def test_bad_input_is_named(label: np.ndarray, predicted: np.ndarray, message: str) -> None:
    with pytest.raises(SegError, match=message):
        Confusion(LabelSpace(make_ontology(3))).update(label, predicted)


def test_singletons_equal_cityscapes_own_evaluation(tmp_path: Path) -> None:
    evaluation = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    from cityscapesscripts.helpers.labels import trainId2label

    random = np.random.default_rng(7)
    ontology = load_ontology("cityscapes19")
    ids = load_label_set("cityscapes-ids", ontology)
    space = LabelSpace(ontology, [ids])
    encode, confusion = space.encoder(ids), Confusion(space)
    truths, predictions = [], []
    for number in range(3):
        truth = random.integers(0, 34, (40, 60)).astype(np.uint8)
        classes = random.integers(0, 17, (40, 60)).astype(np.uint8)  # two classes are never predicted
        right = random.random((40, 60)) < 0.6
        label = encode(truth, "made")
        classes[right & (label != 255)] = label[right & (label != 255)]
        confusion.update(label, classes)
        as_ids = np.array([trainId2label[index].id for index in range(19)], dtype=np.uint8)[classes]
        for folder, array, files in (("truth", truth, truths), ("prediction", as_ids, predictions)):
            path = tmp_path / f"{folder}{number}.png"
            Image.fromarray(array).save(path)
            files.append(str(path))
    arguments = evaluation.args
    arguments.quiet, arguments.JSONOutput, arguments.evalInstLevelScore = True, False, False
    theirs = evaluation.evaluateImgLists(predictions, truths, arguments)
    report = confusion.report([ids])
    assert len(report.units) == 19
    for name, unit in report.units.items():
        assert unit.iou == pytest.approx(theirs["classScores"][name], abs=1e-6), name
    assert report.mean_iou == pytest.approx(theirs["averageScoreClasses"], abs=1e-6)


def _pictures(count, step):
    """A texture that moves to the left by `step` pixels a frame."""
    noise = np.random.default_rng(0).uniform(0, 255, (80, 100 + count * step, 3)).astype(np.float32)
    texture = np.clip((cv2.GaussianBlur(noise, (0, 0), 3) - 128) * 6 + 128, 0, 255).astype(np.uint8)
    return [np.ascontiguousarray(texture[:, step * index : step * index + 100]) for index in range(count)]


def test_flicker_is_the_share_that_changes_where_the_picture_does_not():
    flicker = Flicker()
    assert flicker.share is None
    (picture,) = _pictures(1, 0)
    classes = np.zeros((80, 100), np.uint8)
    flicker.add(picture, classes)
    assert flicker.share is None
    changed = classes.copy()
    changed[:20] = 1
    flicker.add(picture, changed)
    assert flicker.share == pytest.approx(0.25)
    flicker.add(picture, changed)
    assert flicker.share == pytest.approx(0.125)


def test_classes_that_move_with_the_picture_do_not_flicker():
    def share(classes_of):
        flicker = Flicker()
        for index, picture in enumerate(_pictures(6, 4)):
            flicker.add(picture, classes_of(index))
        return flicker.share

    columns = np.arange(100)[None].repeat(80, 0)
    assert share(lambda index: ((columns + 4 * index) // 25 % 3).astype(np.uint8)) < 0.01
    assert share(lambda _: (columns // 25 % 3).astype(np.uint8)) > 0.1  # they stand while the picture moves
