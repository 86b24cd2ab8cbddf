"""Real time: the newest frame wins, what comes too late is dropped and counted, and nothing waits in a queue.

A thread reads the source as fast as it gives frames and keeps the newest. The network takes that one as soon as it is
free, on all its threads, because one frame soon is worth more here than many frames a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Generic

from infer.latency import Percentiles
from infer.stream import PATIENCE_S, A, Answers
from seg.errors import SegError
from seg.frame import Frame

STAGES = ("wait", "network", "output", "all")
"""From capture until the network takes the frame; until there is a mask; until all outputs have it; and together."""


def paced(source: Iterable[Frame]) -> Iterator[Frame]:
    """Frames of a file as a camera would give them: none before its time, counted from the first."""
    start: float | None = None
    first_ns = 0
    for frame in source:
        now = time.monotonic()
        if start is None:
            start, first_ns = now, frame.time_ns
        time.sleep(max(0.0, start + (frame.time_ns - first_ns) / 1e9 - now))
        yield frame


class Live(Generic[A]):
    """A model that answers the newest frame of a source; give it to `infer.run` or to a `Watch` in the model's place.

    Attributes:
        read: how many frames the source has given.
        answered: how many of them were answered.
        dropped: how many were not, because a newer one came before the network was free; read = answered + dropped
            once the source has ended.
        late: how many of the answered left all outputs after the deadline.
        latency: seconds by stage (STAGES) over the answered frames.
    """

    def __init__(self, answer: Callable[[Frame], A], deadline_ms: float | None = None, *, pace: bool = False) -> None:
        """Answer frames as they come.

        Args:
            answer: a `Segmenter` or a `RestoreJob`.
            deadline_ms: from capture to the last output; None for none.
            pace: whether frames are held back until their time has come, as a file's must be to pass for a camera's.

        Raises:
            SegError: for a deadline that is not above 0.
        """
        if deadline_ms is not None and not deadline_ms > 0:
            raise SegError(f"--deadline-ms: expected more than 0, got {deadline_ms:g}")
        self._answer, self._deadline_ms, self._pace = answer, deadline_ms, pace
        self.read = self.answered = self.dropped = self.late = 0
        self.latency = {stage: Percentiles() for stage in STAGES}

    def stream(self, source: Iterable[Frame]) -> Answers[A]:
        """Frames with their answers, in order, without those that were dropped.

        `timings["latency"]` are the seconds from the moment that the source gave the frame to its mask. What the source or
        the model raises is raised here.
        """
        with closing(_Newest(paced(source) if self._pace else source, self)) as newest:
            while (taken := newest.take()) is not None:
                frame, captured = taken
                start = time.perf_counter()
                answer = self._answer(frame)
                done = time.perf_counter()
                answer.timings["latency"] = done - captured
                try:
                    yield frame, answer
                finally:  # all outputs have it, though it may be the last that is asked for
                    self._count(start - captured, done - start, time.perf_counter() - done)

    def told(self) -> list[str]:
        """In lines: frames dropped and late, and the latency by stage."""
        lines = [f"{self.dropped} of {self.read} frames dropped for newer ones"]
        if self._deadline_ms is not None:
            lines.append(f"{self.late} of {self.answered} frames after their deadline of {self._deadline_ms:g} ms")
        if self.answered:
            lines += [f"latency, {stage}: {times.told()}" for stage, times in self.latency.items()]
        return lines

    def _count(self, wait: float, network: float, output: float) -> None:
        self.answered += 1
        whole = wait + network + output
        self.late += self._deadline_ms is not None and 1000 * whole > self._deadline_ms
        for stage, seconds in zip(STAGES, (wait, network, output, whole), strict=True):
            self.latency[stage].add(seconds)


class _Newest:
    """The newest frame of a source, read by a thread of its own."""

    def __init__(self, source: Iterable[Frame], live: Live[A]) -> None:
        self._source, self._live = source, live
        self._changed = threading.Condition()
        self._slot: tuple[Frame, float] | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="seg-live", daemon=True)
        self._thread.start()

    def take(self) -> tuple[Frame, float] | None:
        """The newest frame that has not been taken, and when it came (`perf_counter`); None after the last."""
        with self._changed:
            while self._slot is None and not self._ended:
                self._changed.wait()
            taken, self._slot = self._slot, None
        if taken is None and self._error is not None:
            raise self._error
        return taken

    def close(self) -> None:
        """No frame is read any more; waits for the thread, unless the source holds it."""
        with self._changed:
            self._ended = True
            self._live.dropped += self._slot is not None
            self._slot = None
        self._thread.join(PATIENCE_S)

    def _read(self) -> None:
        try:
            for frame in self._source:
                captured = time.perf_counter()
                with self._changed:
                    if self._ended:
                        return
                    self._live.read += 1
                    self._live.dropped += self._slot is not None
                    self._slot = frame, captured
                    self._changed.notify()
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()
