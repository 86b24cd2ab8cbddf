"""Frames in, class maps out: the network of an ONNX file with the resizing around it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from infer.session import Session
from infer.stream import Answers, answered
from seg.errors import SegError
from seg.frame import Frame
from seg.geometry import feed, fit_frame, fit_map
from seg.shipped import resolve_model
from seg.spec import ModelSpec

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What the network says about one frame.

    Attributes:
        classes: uint8 class ids of shape (H, W), the frame's own size.
        confidence: uint8 of shape (H, W), the probability of the pixel's class as 0..255; None from a file of profile
            `argmax`, which does not answer it.
        novelty: how unlike the training data the frame is: 0.99 = beyond 99 % of normal frames; like the two below, None
            where the file does not answer it.
        code: the frame's code as one vector, float32 of shape (K,).
        hash: its semantic hash, 32 bits: frames alike differ in few.
        timings: seconds by stage: `preprocess`, `network`, `postprocess`; a pipeline adds its own stages.
    """

    classes: Picture
    confidence: Picture | None
    novelty: float | None
    code: npt.NDArray[np.float32] | None = None
    hash: int | None = None
    timings: dict[str, float] = field(default_factory=dict)


class Segmenter:
    """An ONNX file of this project, ready to be called with frames, by several threads at once too.

    Attributes:
        spec: the file's deploy contract: classes, colours, size, training data...
        provider: what really runs the network.
        choice: why that provider, in one line.
        streams: how many frames `stream` answers at once.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        provider: str = "cpu",
        threads: int | None = None,
        streams: int | None = 1,
        precision: str | None = None,
    ) -> None:
        """Load `model`.

        Args:
            model: an ONNX file, which is all that is needed, or the name of a shipped network; None for `drive`.
            provider: `cpu`, `cuda`, `tensorrt`, `openvino` or `auto`.
            threads: CPU threads of the network; None leaves the choice to the runtime.
            streams: how many frames `stream` answers at once, which share the threads: more frames a second, and each
                takes longer. None for as many as is fastest: one a core; one on a GPU, and for a file of any size.
            precision: what the network is computed in: `float32`, `bfloat16` (OpenVINO), `float16` (TensorRT) or `int8`, for
                a file of `seg export --int8`; None for the file's own: float32 or int8.

        Raises:
            SegError: where the file or the provider cannot be used, saying why; a file that restores frames too.
        """
        path = resolve_model(model)
        self._session = Session(path, provider, threads, streams, precision)
        self.spec: ModelSpec = self._session.spec
        if self.spec.profile == "restore":
            raise SegError(f"{path}: restores frames and knows no classes; use it with `seg restore` (infer.Restorer)")
        self.provider: str = self._session.provider
        self.choice: str = self._session.choice
        self.streams: int = self._session.streams

    def __call__(self, frame: Picture | Frame) -> Segmentation:
        """Segment one frame.

        Args:
            frame: uint8 RGB of shape (H, W, 3), any size, or a `Frame` that holds one.

        Raises:
            SegError: where the array is not that, or the network refuses it or answers what is no number or no class.
        """
        rgb_HWC = frame.rgb_HWC if isinstance(frame, Frame) else frame
        check_picture(rgb_HWC)
        start = time.perf_counter()
        tensor = self.prepare(rgb_HWC)
        ready = time.perf_counter()
        answers = self.run(tensor)
        answered = time.perf_counter()
        self._check_numbers(answers)
        classes, confidence = self._read(answers)
        if classes.max() >= len(self.spec.classes):
            raise SegError(
                f"{self.spec.name}: the network answers class {classes.max()}, its contract knows {len(self.spec.classes)}; "
                "export it again"
            )
        size = (rgb_HWC.shape[0], rgb_HWC.shape[1])
        classes = fit_map(classes, size)
        confidence = None if confidence is None else fit_map(confidence, size)
        novelty, code, hashed = (answers[name][0] if name in answers else None for name in ("novelty", "code", "hash"))
        end = time.perf_counter()
        timings = {"preprocess": ready - start, "network": answered - ready, "postprocess": end - answered}
        return Segmentation(
            classes,
            confidence,
            None if novelty is None else float(novelty),
            code,
            None if hashed is None else int(hashed) % 2**32,  # OpenVINO computes int64 as int32 on a CPU
            timings,
        )

    def stream(self, source: Iterable[Frame]) -> Answers[Segmentation]:
        """Each frame of a source (`open_source`, or any iterable of frames) with its segmentation, in order.

        The next frames are read and answered meanwhile, by other threads. The time that the source took for a frame is
        `timings["decode"]`.
        """
        return answered(source, self, self.streams)

    def run(self, tensor: npt.NDArray[Any]) -> Mapping[str, npt.NDArray[Any]]:
        """The network's outputs by name, at its own size, for what `prepare` makes of a frame."""
        return self._session.run(tensor)

    def prepare(self, rgb_HWC: Picture) -> npt.NDArray[Any]:
        """The frame at the network's size, as the contract wants it fed. What the network itself normalises is in the graph."""
        size = self.spec.size
        if size.kind == "fixed":
            rgb_HWC = fit_frame(rgb_HWC, (size.height, size.width))
        return feed(rgb_HWC, self.spec)

    def _check_numbers(self, answers: Mapping[str, npt.NDArray[Any]]) -> None:
        """SegError if an answer holds what is no number, which would read as one class everywhere.

        In bytes a NaN is 0, which no probability of the winning class is: that is 1/C at least, and C under 128 leaves 2.
        """
        broken = [name for name, value in answers.items() if value.dtype.kind == "f" and not np.isfinite(value).all()]
        if self.spec.profile == "frame" and len(self.spec.classes) < 128 and not answers["confidence"].all():
            broken.append("confidence")
        if broken:
            raise SegError(
                f"{self.spec.name}: the network answers what is no number (NaN or infinite {', '.join(broken)}): its weights "
                f"are damaged or overflow in this precision on {self.provider}; export it again, or use --precision float32"
            )

    def _read(self, answers: Mapping[str, npt.NDArray[Any]]) -> tuple[Picture, Picture | None]:
        """Class ids and confidence at the network's size, whatever the profile."""
        if self.spec.profile == "frame":
            return answers["classes"][0], answers["confidence"][0]
        answer = answers[self.spec.outputs[0].name]
        if self.spec.profile == "argmax":
            return answer[0, ..., 0].astype(np.uint8), None
        logits_CHW = answer[0]
        best_HW = logits_CHW.max(axis=0)
        probability_HW = 1 / np.exp(logits_CHW - best_HW).sum(axis=0)
        return logits_CHW.argmax(axis=0).astype(np.uint8), np.rint(probability_HW * 255).astype(np.uint8)


def check_picture(rgb_HWC: object) -> None:
    """SegError, with what was expected and what came, unless it is a uint8 array of shape (H, W, 3)."""
    if not isinstance(rgb_HWC, np.ndarray):
        raise SegError(f"expected a uint8 RGB array of shape (H, W, 3), got {type(rgb_HWC).__name__}")
    if rgb_HWC.dtype != np.uint8 or rgb_HWC.ndim != 3 or rgb_HWC.shape[2] != 3 or 0 in rgb_HWC.shape:
        raise SegError(f"expected a uint8 RGB array of shape (H, W, 3), got {rgb_HWC.dtype} of shape {rgb_HWC.shape}")
