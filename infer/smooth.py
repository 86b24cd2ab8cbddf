"""Steady masks: what was seen before, moved along with the picture, has a say in what is seen now.

The evidence for each class is a running mean of the frames' confidences. Before a new frame is added it is warped by the
optical flow from that frame to the one before (DIS; Kroeger et al., Fast optical flow using dense inverse search, 2016),
and it counts the less the more the warped picture differs from the new one: where something was uncovered, or the flow
is wrong, or the scene was cut, the new frame stands alone. All of it happens at the network's size.
Shape suffixes: h and w height and width of the network's size.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from infer.segmenter import Segmentation
from infer.stream import Answers, Streaming
from seg.errors import SegError
from seg.frame import Frame
from seg.geometry import fit_frame, fit_map
from seg.spec import ModelSpec

KEPT = 0.75
"""What the past counts where the picture has not changed, in shares."""

CHANGE = 20.0
"""Grey levels of difference at which the past counts 1/e of that."""

FLOW_SCALE = 0.5
"""The flow is computed at this share of the network's size: four times as fast, and as good for the purpose."""

SMALLEST = 32
"""Height and width below which DIS finds no flow at that scale."""

Map = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]


class TemporalFilter:
    """Class maps of consecutive frames of one camera, made steady; to be called frame by frame."""

    def __init__(self, size: tuple[int, int], kept: float = KEPT, change: float = CHANGE) -> None:
        """Nothing has been seen yet.

        Args:
            size: (h, w) to work at: the network's.
            kept: what the past counts at most, 0 (nothing) to below 1.
            change: grey levels of difference at which it counts 1/e of that.
        """
        self._size = height, width = size
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._grid_hw2 = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
        self._weight = (kept * np.exp(-np.arange(256) / change)).astype(np.float32)
        self._evidence: dict[int, Plane] = {}
        self._before: tuple[Map, Map] | None = None

    def __call__(self, rgb_HWC: Map, classes_HW: Map, confidence_HW: Map) -> tuple[Map, Map]:
        """Class ids and their evidence (the mean confidence over the past, 1/255), uint8 (H, W), for one more frame.

        Args:
            rgb_HWC: the frame, uint8 RGB, of any size.
            classes_HW: its class ids, uint8.
            confidence_HW: their confidence, uint8 in 1/255.
        """
        grey_hw = np.asarray(cv2.cvtColor(fit_frame(rgb_HWC, self._size), cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        small = cv2.resize(grey_hw, None, fx=FLOW_SCALE, fy=FLOW_SCALE, interpolation=cv2.INTER_AREA)
        small_hw = np.asarray(small, dtype=np.uint8)
        weight_hw = self._move(grey_hw, small_hw) if self._before else np.zeros(self._size, dtype=np.float32)
        self._before = grey_hw, small_hw
        self._add(fit_map(classes_HW, self._size), fit_map(confidence_HW, self._size), weight_hw)
        classes_hw, evidence_hw = self._best()
        size = (rgb_HWC.shape[0], rgb_HWC.shape[1])
        return fit_map(classes_hw, size), fit_map(evidence_hw, size)

    def _move(self, grey_hw: Map, small_hw: Map) -> Plane:
        """Warp the evidence to the new frame; what it counts there, 0 to `kept`."""
        assert self._before is not None
        before_hw, before_small_hw = self._before
        flow_hw2 = self._flow.calc(small_hw, before_small_hw, np.zeros((*small_hw.shape, 2), dtype=np.float32))
        flow_hw2 = cv2.resize(flow_hw2, self._size[::-1])
        where_hw2 = self._grid_hw2 + np.asarray(flow_hw2, dtype=np.float32) / np.float32(FLOW_SCALE)
        where, rest = cv2.convertMaps(where_hw2[..., 0], where_hw2[..., 1], cv2.CV_16SC2)  # twice as fast to follow
        for number, plane_hw in self._evidence.items():
            moved_hw = cv2.remap(plane_hw, where, rest, cv2.INTER_LINEAR)
            self._evidence[number] = np.asarray(moved_hw, dtype=np.float32)
        # what came from outside the frame is as different as can be
        expected_hw = cv2.remap(before_hw, where, rest, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(cv2.LUT(cv2.absdiff(expected_hw, grey_hw), self._weight), dtype=np.float32)

    def _add(self, classes_hw: Map, confidence_hw: Map, weight_hw: Plane) -> None:
        new_hw = (1 - weight_hw) * confidence_hw.astype(np.float32)
        for number in np.flatnonzero(np.bincount(classes_hw.ravel(), minlength=256)).tolist():
            self._evidence.setdefault(number, np.zeros(self._size, dtype=np.float32))
        for number, plane_hw in list(self._evidence.items()):
            plane_hw *= weight_hw
            cv2.add(plane_hw, new_hw, plane_hw, mask=(classes_hw == number).view(np.uint8))
            if not plane_hw.max() > 0.5:  # it would round to no confidence at all
                del self._evidence[number]

    def _best(self) -> tuple[Map, Map]:
        numbers = sorted(self._evidence)
        best_hw = self._evidence[numbers[0]].copy()
        classes_hw = np.full(self._size, numbers[0], dtype=np.uint8)
        for number in numbers[1:]:
            plane_hw = self._evidence[number]
            classes_hw[plane_hw > best_hw] = number
            cv2.max(best_hw, plane_hw, best_hw)
        return classes_hw, np.rint(best_hw).astype(np.uint8)


class Smooth:
    """A model whose class maps are made steady over time; give it to `infer.run` or to a `Watch` in the model's place.

    The frames must follow each other in time. Profile `argmax` has no confidence: every pixel then counts as certain.
    """

    def __init__(self, model: Streaming, spec: ModelSpec) -> None:
        """`model` answers segmentations: a `Segmenter`, or a `Live` over one; `spec` is its contract.

        Raises:
            SegError: where the file takes frames of any size, so that there is no size to work at, or of a tiny one.
        """
        if spec.size.kind != "fixed":
            raise SegError(f"--smooth: {spec.name} takes frames of any size; it works on files of a fixed size")
        if min(spec.size.height, spec.size.width) < SMALLEST:
            raise SegError(
                f"--smooth: {spec.name} works on frames below {SMALLEST} pixels, where there is no flow to find"
            )
        self._model = model
        self._filter = TemporalFilter((spec.size.height, spec.size.width))

    def stream(self, source: Iterable[Frame]) -> Answers[Segmentation]:
        """Each frame with its steady segmentation, in order; `timings["smooth"]` is ours."""
        with closing(self._model.stream(source)) as answers:
            for frame, answer in answers:
                assert isinstance(answer, Segmentation)
                before = time.perf_counter()
                certain = np.full_like(answer.classes, 255) if answer.confidence is None else answer.confidence
                classes, evidence = self._filter(frame.rgb_HWC, answer.classes, certain)
                confidence = None if answer.confidence is None else evidence
                answer.timings["smooth"] = time.perf_counter() - before
                yield frame, replace(answer, classes=classes, confidence=confidence)
