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
