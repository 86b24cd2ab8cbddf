"""Where a frame's time goes: processor time of each stage of `seg infer`, run alone on one thread, for each backend."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from bench.charts import new, picture
from infer.encode import OverlayVideo
from infer.segmenter import Segmenter
from infer.sinks import Painter
from seg.frame import Frame
from seg.sources.open import open_source

FRAMES = 60
"""Of each stage."""

STAGES = ("decode", "resize", "network", "paint", "encode")

T = TypeVar("T")


def stages(segmenters: Mapping[str, Segmenter], clip: Path, folder: Path) -> dict[str, dict[str, float]]:
    """Milliseconds of processor time that a frame takes in each stage (STAGES), by backend.

    Args:
        segmenters: of the same network, each on one thread.
        clip: a video.
        folder: for the painted one.
    """
    cv2.setNumThreads(1)
    with open_source(clip) as source:
        frames, decode = _each(islice(source, FRAMES))
        fps = source.fps
    found = {}
    for name, segmenter in segmenters.items():
        segmenter(frames[0])
        answers, answer = _each(segmenter(frame) for frame in frames)
        painter = Painter(segmenter.spec)
        painted, paint = _each(painter(frame, said) for frame, said in zip(frames, answers, strict=True))
        # these two run in this thread alone, so that seconds are seconds of the processor
        resize = 1000 * statistics.median(said.timings["preprocess"] + said.timings["postprocess"] for said in answers)
        encode = _encode(frames, painted, folder / "stages.mp4", fps)
        found[name] = dict(zip(STAGES, (decode, resize, answer - resize, paint, encode), strict=True))
    return found


def draw(found: Mapping[str, Mapping[str, float]]) -> npt.NDArray[np.uint8]:
    """A bar for each backend, its stages end to end, uint8 RGB."""
    figure, (axis,) = new(1, (8.0, 1.2 + 0.55 * len(found)))
    names = list(found)[::-1]
    begin = np.zeros(len(names))
    for number, stage in enumerate(STAGES):
        widths = np.array([found[name][stage] for name in names])
        axis.barh(names, widths, left=begin, color=f"C{number}", label=stage, height=0.6)
        begin += widths
    axis.set(xlabel="ms of processor time a frame")
    figure.legend(loc="outside lower center", ncols=len(STAGES), frameon=False)
    return picture(figure)


def _encode(frames: Sequence[Frame], painted: Sequence[npt.NDArray[np.uint8]], path: Path, fps: Fraction) -> float:
    with OverlayVideo(path, lambda _, made: made, fps, overwrite=True) as sink:
        start = time.process_time()
        for frame, made in zip(frames, painted, strict=True):
            sink.write(frame, made)
        sink.finish()
        return 1000 * (time.process_time() - start) / len(frames)


def _each(work: Iterator[T]) -> tuple[list[T], float]:
    start = time.process_time()
    made = list(work)
    return made, 1000 * (time.process_time() - start) / len(made)
