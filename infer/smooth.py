"""Steady masks: what was seen before, moved along with the picture, has a say in what is seen now.

The evidence for a class is a running mean of its frames' confidences to the power of `SURE`: a frame that is unsure hardly
speaks against a past that was sure. Before a new frame is added the evidence is warped by the optical flow from that frame
to the one before (DIS; Kroeger et al., Fast optical flow using dense inverse search, 2016), and it counts the less the more
the warped picture differs from the new one: where something was uncovered, or the flow is wrong, or the scene was cut, the new
frame stands alone. All of it happens at the network's size and in bytes, which are warped and weighed many times as fast as
floats.
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

KEPT = 0.65
"""What the past counts where the picture has not changed, in shares."""

CHANGE = 20.0
"""Grey levels of difference at which the past counts 1/e of that."""

SURE = 3.0
"""The power of a confidence that is its evidence."""

SMALLEST = 16
"""Height and width below which DIS finds no flow."""

CHANNELS = 4
"""Planes that OpenCV warps at once in little more than the time of one."""

Map = npt.NDArray[np.uint8]


class TemporalFilter:
    """Class maps of consecutive frames of one camera, made steady; to be called frame by frame."""

    def __init__(self, size: tuple[int, int], kept: float = KEPT, change: float = CHANGE, sure: float = SURE) -> None:
        """Nothing has been seen yet.

        Args:
            size: (h, w) to work at: the network's.
            kept: what the past counts at most, 0 (nothing) to below 1.
            change: grey levels of difference at which it counts 1/e of that.
            sure: the power of a confidence that is its evidence; 1 counts confidences as they are.
        """
        self._size = height, width = size
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._grid_hw2 = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
        shares = np.arange(256) / 255
        self._weight = _bytes(kept * np.exp(-np.arange(256) / change))
        self._evidence_of, self._confidence_of = _bytes(shares**sure), _bytes(shares ** (1 / sure))
        self._evidence: dict[int, Map] = {}
        self._before_hw: Map | None = None

    def __call__(self, rgb_HWC: Map, classes_HW: Map, confidence_HW: Map) -> tuple[Map, Map]:
        """Class ids and what confidence their evidence is worth (1/255), uint8 (H, W), for one more frame.

        Args:
            rgb_HWC: the frame, uint8 RGB, of any size.
            classes_HW: its class ids, uint8.
            confidence_HW: their confidence, uint8 in 1/255.
        """
        grey_hw = np.asarray(cv2.cvtColor(fit_frame(rgb_HWC, self._size), cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        nothing_hw = np.zeros(self._size, dtype=np.uint8)
        weight_hw = nothing_hw if self._before_hw is None else self._move(grey_hw, self._before_hw)
        self._before_hw = grey_hw
        seen_hw = fit_map(classes_HW, self._size)
        self._add(seen_hw, _look_up(fit_map(confidence_HW, self._size), self._evidence_of), weight_hw)
        classes_hw, evidence_hw = self._best(seen_hw)
        size = (rgb_HWC.shape[0], rgb_HWC.shape[1])
        return fit_map(classes_hw, size), fit_map(_look_up(evidence_hw, self._confidence_of), size)

    def _move(self, grey_hw: Map, before_hw: Map) -> Map:
        """Warp the evidence to the new frame; what it counts there, 0 to 255 times `kept`."""
        flow_hw2 = self._flow.calc(grey_hw, before_hw, np.zeros((*self._size, 2), dtype=np.float32))
        where_hw2 = self._grid_hw2 + np.asarray(flow_hw2, dtype=np.float32)
        where, rest = cv2.convertMaps(where_hw2[..., 0], where_hw2[..., 1], cv2.CV_16SC2)  # twice as fast to follow
        known = list(self._evidence)
        for numbers in (known[start : start + CHANNELS] for start in range(0, len(known), CHANNELS)):
            planes_hwk = cv2.merge([self._evidence[number] for number in numbers])
            moved = cv2.split(cv2.remap(planes_hwk, where, rest, cv2.INTER_LINEAR))
            self._evidence |= {
                number: np.asarray(plane, np.uint8) for number, plane in zip(numbers, moved, strict=True)
            }
        # what came from outside the frame is as different as can be
        expected_hw = cv2.remap(before_hw, where, rest, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return _look_up(np.asarray(cv2.absdiff(expected_hw, grey_hw), dtype=np.uint8), self._weight)

    def _add(self, seen_hw: Map, evidence_hw: Map, weight_hw: Map) -> None:
        new_hw = cv2.multiply(evidence_hw, cv2.bitwise_not(weight_hw), scale=1 / 255)
        for number in np.flatnonzero(np.bincount(seen_hw.ravel(), minlength=256)).tolist():
            self._evidence.setdefault(number, np.zeros(self._size, dtype=np.uint8))
        one_hw = np.ones_like(weight_hw)
        for number, plane_hw in list(self._evidence.items()):
            # one less: rounding would keep a last 1 for ever
            cv2.multiply(cv2.subtract(plane_hw, one_hw), weight_hw, plane_hw, 1 / 255)
            cv2.add(plane_hw, new_hw, plane_hw, mask=(seen_hw == number).view(np.uint8))
            if not plane_hw.any():
                del self._evidence[number]

    def _best(self, seen_hw: Map) -> tuple[Map, Map]:
        """The class with the most evidence, and how much; what was seen, where none has any."""
        classes_hw, best_hw = seen_hw.copy(), np.zeros(self._size, dtype=np.uint8)
        for number in sorted(self._evidence):
            plane_hw = self._evidence[number]
            classes_hw[plane_hw > best_hw] = number
            cv2.max(best_hw, plane_hw, best_hw)
        return classes_hw, best_hw


def _bytes(shares: npt.NDArray[np.float64]) -> Map:
    return np.rint(255 * shares).astype(np.uint8)


def _look_up(values_hw: Map, table: Map) -> Map:
    return np.asarray(cv2.LUT(values_hw, table), dtype=np.uint8)


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
