"""Whether an ONNX file answers as the network does, on real frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch

from seg.errors import SegError
from seg.geometry import feed
from seg.model.autoencoder import Autoencoder
from seg.model.monitor import BITS, Monitor
from seg.spec import ModelSpec

TIE = 1e-3
"""Two classes whose logits are this close are a tie: float32 sums in another order may decide it either way."""


@dataclass(frozen=True)
class Tolerance:
    """What may differ.

    `pixels` is the share of pixels whose class differs without a tie; `confidence` the difference of a probability;
    `logits` that of a logit, relative to the frame's largest; `grey` that of a restored value from the network's before
    it is rounded, in grey levels; `novelty` the difference of a novelty; `code` that of a code's value, relative to the
    frame's largest, and how near to 0, likewise, what decides a bit of the hash must be for the bit to differ.
    """

    pixels: float
    confidence: float
    logits: float
    grey: float
    novelty: float
    code: float


EXACT = Tolerance(pixels=0.0, confidence=0.5 / 255 + 1e-4, logits=1e-3, grey=0.5 + 0.1, novelty=1e-3, code=1e-3)
"""What float32 sums in another order explain, and rounding to uint8: a restored value may be one grey level off."""

FLOAT16 = Tolerance(pixels=1e-3, confidence=0.5 / 255 + 0.02, logits=1e-2, grey=4.0, novelty=0.05, code=0.05)
"""What weights rounded to float16 may change: the class of at most one pixel in a thousand, confidences, novelty and code
by a little, no restored value by more than four grey levels."""


@dataclass(frozen=True)
class Parity:
    """What was compared: `pixels` of `frames`; share of them that differ, and that differ without being ties.

    `value` is the largest difference of confidence; of a logit for the profile `logits`, of a rounded value in grey levels
    for `restore`, None for `argmax`. A restored pixel is a tie while it is within the tolerance. `novelty` is the largest
    difference of a novelty, None without a monitor.
    """

    frames: int
    pixels: int
    differing: float
    differing_without_tie: float
    value: float | None
    novelty: float | None = None


def check_parity(
    network: Autoencoder,
    file: Path,
    spec: ModelSpec,
    frames: Sequence[npt.NDArray[np.uint8]],
    allowed: Tolerance = EXACT,
    monitor: Monitor | None = None,
) -> Parity:
    """Compare the file's answers with the network's.

    Args:
        network: in evaluation mode, on the CPU, in float32; one with classes, except for profile `restore`.
        file: the ONNX file.
        spec: its contract.
        frames: uint8 RGB (H, W, 3), of sizes that the file takes.
        allowed: what may differ.
        monitor: in evaluation mode; the one in the file, if there is one.

    Raises:
        SegError: saying what differs, if more does than `allowed`.
    """
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    pixels = sum(frame.shape[0] * frame.shape[1] for frame in frames)
    differing = untied = 0
    value: float | None = None
    novelty: float | None = None
    for frame in frames:
        answers = session.run(None, {spec.inputs[0].name: feed(frame, spec)})
        with torch.inference_mode():
            rgb_13HW = torch.from_numpy(frame).permute(2, 0, 1)[None]
            output = network(rgb_13HW)
            if monitor is not None:
                named = {tensor.name: answer for tensor, answer in zip(spec.outputs, answers, strict=True)}
                compared = _compare_watch(monitor, output.code_BKHW, rgb_13HW, named, allowed)
                novelty = compared if novelty is None or compared is None else max(novelty, compared)
        if spec.profile == "restore":
            one = _compare_frames(output.frame_B3HW[0].permute(1, 2, 0).numpy(), answers[0][0], allowed)
        else:
            one = _compare_classes(output.logits_BCHW[0].numpy(), answers, spec, allowed)
        differing += one.differing
        untied += one.untied
        if untied > allowed.pixels * pixels or not one.difference <= one.limit:  # NaN is no answer either
            raise SegError(
                f"the exported file does not answer as the network: {untied} of {pixels} pixels differ that are no ties "
                f"(allowed {allowed.pixels:.1%}), {value_name(spec)} differs by up to {one.difference:.3g} "
                f"(allowed {one.limit:.4g}); nothing was written"
            )
        value = max(value or 0.0, one.value)
    value = None if spec.profile == "argmax" else value
    return Parity(len(frames), pixels, differing / pixels, untied / pixels, value, novelty)


def value_name(spec: ModelSpec) -> str:
    """The output that `Parity.value` is of; that of the classes, where there is none."""
    return spec.outputs[1 if spec.profile == "frame" else 0].name


class _Compared(NamedTuple):
    """Of one frame: pixels that differ, and without a tie; the largest difference, the one allowed, the one to tell."""

    differing: int
    untied: int
    difference: float
    limit: float
    value: float


def _compare_classes(
    logits_CHW: npt.NDArray[np.float32],
    answers: Sequence[npt.NDArray[np.generic]],
    spec: ModelSpec,
    allowed: Tolerance,
) -> _Compared:
    top_2HW = np.sort(logits_CHW, axis=0)[-2:]
    differs_HW = classes_of(answers[0], spec) != logits_CHW.argmax(0)
    untied = int((differs_HW & (top_2HW[1] - top_2HW[0] > TIE)).sum())
    difference, limit = _difference(answers, logits_CHW, spec, allowed)
    return _Compared(int(differs_HW.sum()), untied, difference, limit, difference)


def _compare_frames(
    restored_HWC: npt.NDArray[np.float32], answer_HWC: npt.NDArray[np.generic], allowed: Tolerance
) -> _Compared:
    answer_HWC = np.asarray(answer_HWC, dtype=np.float32)
    from_rounded_HWC = np.abs(answer_HWC - np.rint(restored_HWC).clip(0, 255))
    # before rounding: a graph that cuts fractions off instead is found here
    difference_HWC = np.abs(answer_HWC - restored_HWC.clip(0, 255))
    return _Compared(
        int((from_rounded_HWC > 0).any(2).sum()),
        int((difference_HWC > allowed.grey).any(2).sum()),
        float(difference_HWC.max()),
        allowed.grey,
        float(from_rounded_HWC.max()),
    )


def _compare_watch(
    monitor: Monitor,
    code_1KHW: torch.Tensor,
    rgb_13HW: torch.Tensor,
    answers: Mapping[str, npt.NDArray[np.generic]],
    allowed: Tolerance,
) -> float | None:
    """How much a frame's novelty differs, None where the file answers none.

    SegError where it, the code or the hash differ by more than is allowed.
    """
    watch = monitor(code_1KHW, rgb_13HW)
    novelty = abs(float(answers["novelty"][0]) - float(watch.novelty_B[0])) if "novelty" in answers else None
    code_D = watch.code_BD[0].numpy()
    code = float(
        np.abs(np.asarray(answers["code"][0], dtype=np.float32) - code_D).max() / max(1.0, np.abs(code_D).max())
    )
    margin_32 = np.abs(monitor.project(watch.code_BD)[0].numpy())
    flipped = int(answers["hash"][0]) ^ int(watch.hash_B[0])
    wrong = [bit for bit in range(BITS) if flipped >> bit & 1 and margin_32[bit] > allowed.code * margin_32.max()]
    if not ((novelty or 0.0) <= allowed.novelty and code <= allowed.code) or wrong:  # NaN is no answer either
        raise SegError(
            f"the exported file does not answer as the monitor: novelty differs by {novelty or 0.0:.3g} "
            f"(allowed {allowed.novelty:.3g}), the code by {code:.3g} of its largest value (allowed {allowed.code:.3g}), "
            f"the hash in {len(wrong)} bits that are no ties; nothing was written"
        )
    return novelty


def classes_of(answer: npt.NDArray[np.generic], spec: ModelSpec) -> npt.NDArray[np.generic]:
    """Class ids (H, W) of one frame from the first output of the file's profile."""
    if spec.profile == "logits":
        return np.asarray(answer[0].argmax(0))
    return np.asarray(answer[0, ..., 0] if spec.profile == "argmax" else answer[0])


def _difference(
    answers: Sequence[npt.NDArray[np.generic]], logits_CHW: npt.NDArray[np.float32], spec: ModelSpec, allowed: Tolerance
) -> tuple[float, float]:
    """The largest difference of a confidence or logit, and the one allowed; none where the file answers neither."""
    if spec.profile == "frame":
        confidence_HW = 1 / np.exp(logits_CHW - logits_CHW.max(0)).sum(0)
        return float(np.abs(answers[1][0].astype(np.float32) / 255 - confidence_HW).max()), allowed.confidence
    if spec.profile == "logits":
        limit = allowed.logits * max(1.0, float(np.abs(logits_CHW).max()))
        return float(np.abs(np.asarray(answers[0][0], dtype=np.float32) - logits_CHW).max()), limit
    return 0.0, 0.0
