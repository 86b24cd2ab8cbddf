"""Segmentation metrics from one confusion matrix, honest about what a data set cannot tell apart (contract 2).

A label is a set of classes, a prediction is one class. With `counts[s, c]` the pixels of label value s predicted as c,
and for a *unit* u, a group of classes that the data tell apart from the rest:

    TP(u) = counts where s is a subset of u    and c in u
    FN(u) = counts where s is a subset of u    and c not in u
    FP(u) = counts where s is disjoint from u  and c in u

A set that straddles u (`background | vehicle` for u = vehicle) says nothing about u, and is not counted for it. With
sets of one member, units are the classes and this is the usual definition, as in Cityscapes' evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from seg.classes import IGNORE
from seg.errors import SegError
from seg.labels import LabelSet, LabelSpace, Members
from seg.strict import Strict

PROTOCOL = (
    "One int64 confusion matrix over the whole set, each frame at its label's own size, ignored pixels (255) left out. "
    "IoU = TP / (TP + FP + FN) for each unit: a class that the labels tell apart, or the smallest group of classes that "
    "they do (road|lane where the road's label contains the lane markings). Mean IoU is the mean over units; a unit "
    "absent from both labels and predictions is left out. Pixel accuracy counts a pixel as right where the predicted "
    "class is one that its label allows."
)
"""What the numbers mean; it goes wherever they go."""


class UnitReport(Strict):
    """The figures of one unit; a ratio is None where its denominator is zero. `label_pixels` = TP + FN."""

    iou: float | None
    precision: float | None
    recall: float | None
    label_pixels: int


class Report(Strict):
    """The figures of one evaluation, ready for JSON.

    `units` goes by name (`vehicle`, `road|lane`); `confusion` has a row for each of `label_names` (`ontology` classes,
    then larger sets) and a column for each of `class_names`.
    """

    protocol: str = PROTOCOL
    mean_iou: float | None
    pixel_accuracy: float | None
    pixels: int
    units: dict[str, UnitReport]
    class_names: tuple[str, ...]
    label_names: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def iou(self) -> dict[str, float | None]:
        """IoU by unit."""
        return {name: unit.iou for name, unit in self.units.items()}


class Confusion:
    """A confusion matrix over a label space, int64 of shape (label values, classes)."""

    def __init__(self, space: LabelSpace) -> None:
        self.space = space
        self.counts_SC: npt.NDArray[np.int64] = np.zeros(space.member_SC.shape, dtype=np.int64)

    def update(self, label_HW: npt.NDArray[np.uint8], classes_HW: npt.NDArray[np.integer]) -> None:
        """Count a frame: `label_HW` holds label values (255 is left out), `classes_HW` predicted class ids.

        Raises:
            SegError: if the two differ in shape, or hold values that the space or the ontology does not have.
        """
        if label_HW.shape != classes_HW.shape:
            raise SegError(f"expected a prediction of the label's shape {label_HW.shape}, got {classes_HW.shape}")
        rows, columns = self.counts_SC.shape
        counted = label_HW != IGNORE
        label_N, class_N = label_HW[counted], classes_HW[counted]
        if label_N.size == 0:
            return
        if label_N.max() >= rows:
            raise SegError(f"the label holds {label_N.max()}, but the label space ends at {rows - 1}")
        if class_N.max() >= columns or class_N.min() < 0:
            raise SegError(
                f"the prediction holds ids {class_N.min()}..{class_N.max()}, "
                f"but the ontology {self.space.ontology.name!r} has only 0..{columns - 1}"
            )
        cells = label_N.astype(np.intp) * columns + class_N
        self.counts_SC += np.bincount(cells, minlength=rows * columns).reshape(rows, columns)

    def merge(self, other: Confusion) -> None:
        """Add the counts of another matrix over the same label space."""
        assert self.space.sets == other.space.sets
        assert self.space.ontology == other.space.ontology
        self.counts_SC += other.counts_SC

    def report(self, label_sets: Iterable[LabelSet] | None = None) -> Report:
        """The figures, with units from the sets of `label_sets`: those of the evaluated data.

        Args:
            label_sets: None for all sets of the label space (which holds every single class).
        """
        sets = self.space.sets if label_sets is None else [members for one in label_sets for members in one.sets]
        units = told_apart(sets)
        figures = {self._name(unit): self._unit_report(unit) for unit in units}
        ious = [unit.iou for unit in figures.values() if unit.iou is not None]
        pixels = int(self.counts_SC.sum())
        return Report(
            mean_iou=sum(ious) / len(ious) if ious else None,
            pixel_accuracy=_ratio(int(self.counts_SC[self.space.member_SC].sum()), pixels),
            pixels=pixels,
            units=figures,
            class_names=self.space.ontology.names,
            label_names=tuple(self.space.name(value) for value in range(len(self.space.sets))),
            confusion=tuple(tuple(row) for row in self.counts_SC.tolist()),
        )

    def _unit_report(self, unit: Members) -> UnitReport:
        inside_S = np.array([members <= unit for members in self.space.sets])
        outside_S = np.array([members.isdisjoint(unit) for members in self.space.sets])
        hit_C = np.array([index in unit for index in range(len(self.space.ontology))])
        labelled = int(self.counts_SC[inside_S].sum())
        true = int(self.counts_SC[np.ix_(inside_S, hit_C)].sum())
        false = int(self.counts_SC[np.ix_(outside_S, hit_C)].sum())
        return UnitReport(
            iou=_ratio(true, labelled + false),
            precision=_ratio(true, true + false),
            recall=_ratio(true, labelled),
            label_pixels=labelled,
        )

    def _name(self, unit: Members) -> str:
        return "|".join(self.space.ontology.names[member] for member in sorted(unit))


def told_apart(sets: Iterable[Members]) -> list[Members]:
    """The units of data that use `sets`, ordered by their first class.

    A class whose singleton occurs is a unit. The remaining classes are joined into the connected components of the
    sets that are made of remaining classes only; a class that no such set contains cannot be judged and is no unit.
    CamVid onto `drive` gives background, vehicle, pole and road|lane.
    """
    known = {members for members in sets if members}
    singles = {members for members in known if len(members) == 1}
    single_classes = frozenset[int]().union(*singles)
    groups: list[Members] = []
    for members in known - singles:
        if members & single_classes:
            continue
        joined = [group for group in groups if group & members]
        groups = [group for group in groups if not group & members] + [members.union(*joined)]
    return sorted([*singles, *groups], key=min)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


AGREE = 1.0
"""Pixels by which flow there and back may miss where it began, for a pixel to be seen in both frames."""


class Flicker:
    """How much class maps of consecutive frames change where the picture does not.

    The share of pixels whose class differs from that of the same point in the frame before, found along optical flow: one
    minus the temporal consistency of Liu et al. (Efficient semantic video segmentation with per-frame inference, 2020),
    counted by pixels. Points that are hidden in one of the frames are left out: those that flow there and back does not
    bring home. The flow (DIS, its medium preset) is computed from the frames alone, so it is the same for all class maps.
    """

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._before: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]] | None = None
        self.compared = self.changed = 0

    def add(self, rgb_HWC: npt.NDArray[np.uint8], classes_HW: npt.NDArray[np.uint8]) -> None:
        """The next frame, uint8 RGB, and its class ids, uint8, both of the size of the ones before."""
        grey_HW = np.asarray(cv2.cvtColor(rgb_HWC, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        if self._before is not None:
            where_HW2, seen_HW = self._match(grey_HW, self._before[0])
            moved_HW = cv2.remap(self._before[1], where_HW2[..., 0], where_HW2[..., 1], cv2.INTER_NEAREST)
            self.compared += int(seen_HW.sum())
            self.changed += int((seen_HW & (moved_HW != classes_HW)).sum())
        self._before = grey_HW, classes_HW

    @property
    def share(self) -> float | None:
        """Changed over compared; None where nothing was compared."""
        return self.changed / self.compared if self.compared else None

    def _match(
        self, grey_HW: npt.NDArray[np.uint8], before_HW: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Where each point was in the frame before, as (x, y), and whether it was to be seen there."""
        height, width = grey_HW.shape
        nothing_HW2 = np.zeros((height, width, 2), dtype=np.float32)
        back_HW2 = np.asarray(self._flow.calc(grey_HW, before_HW, nothing_HW2.copy()), dtype=np.float32)
        forth_HW2 = np.asarray(self._flow.calc(before_HW, grey_HW, nothing_HW2), dtype=np.float32)
        grid_HW2 = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
        where_HW2 = grid_HW2 + back_HW2
        home_HW2 = cv2.remap(forth_HW2, where_HW2[..., 0], where_HW2[..., 1], cv2.INTER_LINEAR) + back_HW2
        inside_HW = ((where_HW2 >= 0) & (where_HW2 <= (width - 1, height - 1))).all(axis=2)
        return where_HW2, inside_HW & (np.abs(home_HW2) < AGREE).all(axis=2)
