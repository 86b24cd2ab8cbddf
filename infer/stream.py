"""What a model is to the pipeline, whatever it answers: frames in, answers out, each with the time that it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from seg.frame import Frame


class Answer(Protocol):
    """What a model says about a frame: a `Segmentation`, a `Restoration`."""

    @property
    def timings(self) -> dict[str, float]:
        """Seconds by stage; the pipeline adds its own."""


class Streaming(Protocol):
    """What `infer.run` needs of a model: a `Segmenter`, a `RestoreJob`."""

    def stream(self, source: Iterable[Frame]) -> Iterator[tuple[Frame, Answer]]:
        """Each frame of a source with the answer to it, in order."""


A = TypeVar("A", bound=Answer)


def timed(source: Iterable[Frame], answer: Callable[[Frame], A]) -> Iterator[tuple[Frame, A]]:
    """Each frame with its answer; the time that the source took for the frame is `timings["decode"]`."""
    before = time.perf_counter()
    for frame in source:
        decode = time.perf_counter() - before
        answered = answer(frame)
        answered.timings["decode"] = decode
        yield frame, answered
        before = time.perf_counter()
