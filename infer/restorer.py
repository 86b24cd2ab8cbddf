"""Corrupted frames in, restored frames out: an autoencoder's ONNX file and what each task does around it.

A network of `seg pretrain` makes a frame from its code alone. It was taught to do so from corrupted frames, and undoes
what it was taught. Shape suffixes: H and W height and width of a frame, C its three colours.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from infer.segmenter import check_picture
from infer.session import Session
from infer.stream import Answers, answered
from seg.errors import SegError
from seg.frame import Frame
from seg.geometry import fit_frame
from seg.shipped import resolve_model
from seg.spec import ModelSpec
from seg.strict import nearest

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_] | npt.NDArray[np.integer]
Task = Literal["denoise", "inpaint", "watermark", "colourise"]

LEARNED_FROM: dict[str, tuple[str, ...]] = {
    "denoise": ("noise", "pixels"),
    "inpaint": ("blocks",),
    "watermark": ("watermark",),
    "colourise": ("grey",),
}
"""The corruptions of a pretraining run that teach a task; one of them is enough."""

ERASED = 128
"""What missing pixels are set to before the network sees them, as in its training."""

NEAR_SIGMA, AROUND = 1.7, 61
"""In pixels, the Gaussian over which a frame's distance from its answer is averaged, and the window of what is usual around."""

FAR = (2.0, 3.0)
"""How many times the usual distance a frame and its answer must be apart for a watermark to be there: from nothing to certain."""

UNUSUAL, LEAST = 30, 4
"""Grey levels: what is further apart counts no more for the usual distance, and what that is at the least."""

LUMA_3 = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""The share of red, green and blue in a pixel's luma (Rec. 601), as the corruption `grey` has it."""


@dataclass(frozen=True, slots=True)
class Restoration:
    """A restored frame.

    Attributes:
        rgb_HWC: uint8 RGB, the frame's own size.
        timings: seconds by stage: `preprocess`, `network`, `postprocess`; a pipeline adds its own stages.
    """

    rgb_HWC: Picture
    timings: dict[str, float] = field(default_factory=dict)


class Restorer:
    """An ONNX file of profile `restore`, ready to be called with frames of any size, by several threads at once too.

    A file that was exported with `--dynamic` takes a frame as it is, whole, so there are no tiles and no borders of
    tiles. To one of a fixed size the frame is stretched, bilinear, and its answer back to the frame's size: detail finer
    than the network's size is lost wherever the answer is used. That is every pixel for `denoise`, the missing
    ones for `inpaint`, those under the mark for `watermark`, and for `colourise` the colour but not the luma.

    Attributes:
        spec: the file's deploy contract; `spec.corruptions` is what it learned to undo.
        tasks: the tasks that it was trained for.
        provider: what really runs the network.
        choice: why that provider, in one line.
        streams: how many frames a `RestoreJob` answers at once.
    """

    def __init__(
        self,
        model: str | Path,
        provider: str = "cpu",
        threads: int | None = None,
        streams: int | None = 1,
        precision: str | None = None,
    ) -> None:
        """Load `model`.

        Args:
            model: an ONNX file that `seg export` made of a run of `seg pretrain`.
            provider: `cpu`, `cuda`, `tensorrt`, `openvino` or `auto`.
            threads: CPU threads of the network; None leaves the choice to the runtime.
            streams: how many frames a `RestoreJob` answers at once, as `Segmenter`'s.
            precision: as `Segmenter`'s.

        Raises:
            SegError: where the file or the provider cannot be used, saying why; a file that segments too.
        """
        self._path = resolve_model(model)
        self._session = Session(self._path, provider, threads, streams, precision)
        self.spec: ModelSpec = self._session.spec
        self.provider: str = self._session.provider
        self.choice: str = self._session.choice
        self.streams: int = self._session.streams
        if self.spec.profile != "restore":
            raise SegError(
                f"{self._path}: segments frames (profile {self.spec.profile}) and restores none; use it with `seg infer`, "
                "or give a file that `seg export` made of a run of `seg pretrain`"
            )
        learned = self.spec.corruptions
        self.tasks: tuple[str, ...] = tuple(
            task for task, names in LEARNED_FROM.items() if any(name in learned for name in names)
        )

    def __call__(self, frame: Picture | Frame, task: Task, mask_HW: Mask | None = None) -> Picture:
        """Restore one frame: uint8 RGB of shape (H, W, 3), the frame's own size.

        `denoise` gives what the network answers. `watermark` takes that where the frame is unusually far from it, and the
        frame elsewhere: a code that has learned to leave text and logos out rebuilds what is under them. `inpaint` sets the missing
        pixels to 128 before the network sees the frame and replaces them alone: all others stay bit-identical.
        `colourise` shows the network the frame's luma alone and takes nothing but chroma from it (YCrCb of Rec. 601): the luma
        stays the frame's, within rounding. Chroma that no RGB colour of this luma has is reduced until one does, at the
        same hue.

        Args:
            frame: uint8 RGB of shape (H, W, 3), any size, or a `Frame` that holds one.
            task: `denoise`, `inpaint`, `watermark` or `colourise`.
            mask_HW: for `inpaint`, and only there: which pixels are missing, bool or integers that are not 0 there.

        Raises:
            SegError: for a task that the network was not trained for, or arrays that are not as described.
        """
        self.check(task, mask_HW)
        return self.restore(frame, task, mask_HW).rgb_HWC

    def check(self, task: str, mask_HW: Mask | None = None) -> None:
        """SegError unless the network was trained for the task, and has a mask where the task needs one."""
        if task not in LEARNED_FROM:
            raise SegError(f"no task named {task!r}; {nearest(task, list(LEARNED_FROM))}")
        if task not in self.tasks:
            wanted = " or ".join(f"corruption.{name}" for name in LEARNED_FROM[task])
            learned = f"with {', '.join(self.spec.corruptions)}" if self.spec.corruptions else "without any corruption"
            can = f", for --task {' or '.join(self.tasks)}" if self.tasks else ""
            raise SegError(
                f"{self._path}: was not trained for {task}, which takes {wanted}; it was trained {learned}{can}"
            )
        if task == "inpaint" and mask_HW is None:
            raise SegError("inpaint needs a mask (--mask): of the frame's size, not 0 where a pixel is missing")
        if task != "inpaint" and mask_HW is not None:
            raise SegError(f"a mask is for inpaint; {task} restores the whole frame")

    def restore(self, frame: Picture | Frame, task: Task, mask_HW: Mask | None = None) -> Restoration:
        """As calling it, with the seconds of each stage, and without `check`."""
        rgb_HWC = frame.rgb_HWC if isinstance(frame, Frame) else frame
        check_picture(rgb_HWC)
        start = time.perf_counter()
        missing_HW = None if mask_HW is None else _missing(mask_HW, rgb_HWC)
        tensor_1HWC = self._fitted(_shown(rgb_HWC, task, missing_HW))
        ready = time.perf_counter()
        answer_HWC = self._session.run(tensor_1HWC)["restored"][0]
        answered = time.perf_counter()
        answer_HWC = fit_frame(answer_HWC, (rgb_HWC.shape[0], rgb_HWC.shape[1]))
        restored_HWC = take(rgb_HWC, answer_HWC, task, missing_HW)
        end = time.perf_counter()
        timings = {"preprocess": ready - start, "network": answered - ready, "postprocess": end - answered}
        return Restoration(restored_HWC, timings)

    def _fitted(self, rgb_HWC: Picture) -> Picture:
        size = self.spec.size
        if size.kind == "fixed":
            rgb_HWC = fit_frame(rgb_HWC, (size.height, size.width))
        return np.ascontiguousarray(rgb_HWC)[None]


class RestoreJob:
    """A restorer with its task, and one mask for all frames: what `infer.run` takes in place of a `Segmenter`."""

    def __init__(self, restorer: Restorer, task: Task, mask_HW: Mask | None = None) -> None:
        """As calling the restorer; SegError for a task that it was not trained for, or without its mask."""
        restorer.check(task, mask_HW)
        self._restorer, self._task, self._mask_HW = restorer, task, mask_HW

    def __call__(self, frame: Frame) -> Restoration:
        """One frame; SegError where the mask is not of its size."""
        return self._restorer.restore(frame, self._task, self._mask_HW)

    def stream(self, source: Iterable[Frame]) -> Answers[Restoration]:
        """Each frame of a source (`open_source`, or any iterable of frames) with its restoration, in order."""
        return answered(source, self, self._restorer.streams)


def _missing(mask_HW: Mask, rgb_HWC: Picture) -> npt.NDArray[np.bool_]:
    height, width = rgb_HWC.shape[:2]
    if mask_HW.shape != (height, width):
        got = "x".join(str(side) for side in mask_HW.shape)
        raise SegError(f"expected a mask of the frame's size {height}x{width} (height x width), got {got}")
    return np.asarray(mask_HW != 0)


def _shown(rgb_HWC: Picture, task: Task, missing_HW: npt.NDArray[np.bool_] | None) -> Picture:
    """What the network is to see of a frame."""
    if task == "colourise":
        return np.repeat(np.asarray(cv2.cvtColor(rgb_HWC, cv2.COLOR_RGB2GRAY), dtype=np.uint8)[..., None], 3, axis=2)
    if missing_HW is None:
        return rgb_HWC
    return np.where(missing_HW[..., None], np.uint8(ERASED), rgb_HWC)


def take(rgb_HWC: Picture, answer_HWC: Picture, task: Task, missing_HW: npt.NDArray[np.bool_] | None = None) -> Picture:
    """The restored frame: what a task takes from the network's answer, at the frame's size.

    Args:
        rgb_HWC: the frame, uint8 RGB.
        answer_HWC: what the network makes of it, uint8 RGB.
        task: as in calling a `Restorer`.
        missing_HW: for `inpaint`: which pixels are missing.
    """
    if task == "colourise":
        return _with_chroma(rgb_HWC, answer_HWC)
    if task == "watermark":
        return _where_far(rgb_HWC, answer_HWC)
    if missing_HW is None:
        return answer_HWC
    return np.where(missing_HW[..., None], answer_HWC, rgb_HWC)


def _where_far(rgb_HWC: Picture, answer_HWC: Picture) -> Picture:
    """The frame, and the answer where the two differ by more than they do around, as they do in fine detail everywhere."""
    distance_HW = cv2.absdiff(rgb_HWC, answer_HWC).max(axis=2).astype(np.float32)
    near_HW = cv2.GaussianBlur(distance_HW, (0, 0), NEAR_SIGMA)
    usual_HW = cv2.blur(np.minimum(distance_HW, UNUSUAL), (AROUND, AROUND)) + LEAST
    share_HW1 = ((near_HW / usual_HW - FAR[0]) / (FAR[1] - FAR[0])).clip(0, 1)[..., None]
    return np.asarray(np.rint(rgb_HWC + share_HW1 * (answer_HWC.astype(np.float32) - rgb_HWC)), dtype=np.uint8)


def _with_chroma(rgb_HWC: Picture, answer_HWC: Picture) -> Picture:
    """The luma of one frame and the chroma of another.

    In YCrCb only Y would be exchanged; the way there and back is linear, so that moves every channel by the same.
    """
    luma_HW1 = (rgb_HWC @ LUMA_3)[..., None]
    chroma_HWC = answer_HWC - (answer_HWC @ LUMA_3)[..., None]
    # the largest share of the chroma that leaves every channel in 0..255: cutting channels off would change the luma
    room_HWC = np.where(chroma_HWC > 0, 255 - luma_HW1, luma_HW1)
    share_HWC = room_HWC / np.maximum(np.abs(chroma_HWC), 1e-3)
    share_HW1 = share_HWC.min(axis=2, keepdims=True).clip(0, 1)
    return np.asarray(np.rint(luma_HW1 + share_HW1 * chroma_HWC).clip(0, 255), dtype=np.uint8)


def read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """A mask from a picture file, bool (H, W): True, so missing, wherever the picture is not black; alpha is dropped.

    Raises:
        SegError: naming the file, if it cannot be read or is a JPEG, which is not black where it should be.
    """
    from seg.data.images import read_color_label

    return np.asarray(read_color_label(path).any(axis=2))
