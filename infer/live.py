"""Real time: the newest frame wins, what comes too late is dropped and counted, and nothing waits in a queue.

A thread reads the source as fast as it gives frames and keeps the newest. The network takes that one as soon as it is
free, on all its threads, because one frame soon is worth more here than many frames a second. Only where that frame has
waited so long that its mask would be late, and the next frame's would not, it waits for the next one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from threading import Condition, Thread
from typing import Generic

from infer.clock import JUMP_S
from infer.latency import Percentiles
from infer.stream import PATIENCE_S, A, Answers, in_stage, waiting
from seg.errors import SegError
from seg.frame import Frame

STAGES = ("decode", "wait", "network", "output", "all")
"""From capture until the frame is decoded; until the network takes it; until there is a mask; until all outputs have it; and
together. A camera's or stream's frames count as captured when they are decoded: what was before, nobody here knows."""

PERIODS = 2
"""How old a frame may be when all outputs have it, in frame periods, where no deadline is given."""

SHORT = 1 / 40
"""The share of that age that is left free: a thread wakes up late, a network's time varies."""

RECENT = 16
"""Frames over which period and time of service are measured."""


def paced(source: Iterable[Frame], wait: Callable[[float], object]) -> Iterator[tuple[Frame, float]]:
    """Frames of a file as a camera would give them, each with the moment of its capture (`perf_counter`).

    That is when its time has come, counted from the first frame, and only then is it decoded, or once the frame before it
    is. A file has to be decoded before its time, which the frame tells: so it is held back by as long as that took. Where
    recordings were joined and time runs back, it is counted anew.

    Args:
        source: frames of a file.
        wait: called with the seconds to wait, above 0; may return sooner where nobody wants the frame any more.
    """
    frames = iter(source)
    start = before_s = 0.0
    first = True
    while True:
        asked = time.perf_counter()
        frame = next(frames, None)
        if frame is None:
            return
        time_s = frame.time_ns / 1e9
        if first or time_s < before_s - JUMP_S:
            start = asked - time_s
        first, before_s = False, time_s
        captured = start + time_s
        if captured > asked:  # now is `asked` + decoding, and it is to be `captured` + decoding
            wait(captured - asked)
        yield frame, captured


class Live(Generic[A]):
    """A model that answers the newest frame of a source; give it to `infer.run` or to a `Watch` in the model's place.

    Attributes:
        read: how many frames the source has given.
        answered: how many of them were answered.
        dropped: how many were not, because a newer one came or was worth waiting for; read = answered + dropped once
            the source has ended.
        late: how many of the answered left all outputs after the deadline.
        latency: seconds by stage (STAGES) over the answered frames.
    """

    def __init__(self, answer: Callable[[Frame], A], deadline_ms: float | None = None, *, pace: bool = False) -> None:
        """Answer frames as they come.

        Args:
            answer: a `Segmenter` or a `RestoreJob`.
            deadline_ms: from capture to the last output; None for PERIODS frame periods, which then are no deadline that is
                counted.
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

        `timings["latency"]` are the seconds from the frame's capture to its mask; `wait`, and `decode` of a file, are parts
        of them. What the source or the model raises is raised here, with its stage and frame.
        """
        with closing(_Newest(source, self, self._pace, _Patience(self._deadline_ms))) as newest:
            while (taken := newest.take()) is not None:
                frame, captured, decoded = taken
                start = time.perf_counter()
                with in_stage("network", f"frame {frame.index} of {frame.source}"):
                    answer = self._answer(frame)
                    done = time.perf_counter()
                    answer.timings.update(wait=start - decoded, latency=done - captured)
                    if self._pace:
                        answer.timings["decode"] = decoded - captured
                try:
                    yield frame, answer
                finally:  # all outputs have it, though it may be the last that is asked for
                    end = time.perf_counter()
                    newest.patience.served(start, end)
                    self._count(decoded - captured, start - decoded, done - start, end - done)

    def told(self) -> list[str]:
        """In lines: frames dropped and late, and the latency by stage."""
        lines = [f"{self.dropped} of {self.read} frames dropped for newer ones"]
        if self._deadline_ms is not None:
            lines.append(f"{self.late} of {self.answered} frames after their deadline of {self._deadline_ms:g} ms")
        if self.answered:
            stages = STAGES if self._pace else STAGES[1:]
            lines += [f"latency, {stage}: {self.latency[stage].told()}" for stage in stages]
        return lines

    def _count(self, *seconds: float) -> None:
        """The seconds of all STAGES but the last, which is their sum."""
        self.answered += 1
        self.late += self._deadline_ms is not None and 1000 * sum(seconds) > self._deadline_ms
        for stage, each in zip(STAGES, (*seconds, sum(seconds)), strict=True):
            self.latency[stage].add(each)


class _Patience:
    """Whether a frame is still worth the network's time, or a newer one should be waited for.

    Newest wins alone leaves a frame that came just after the network was taken waiting for up to a period: at 1.5 times the
    load that can be met, masks are up to 2.5 periods old. Waiting for the next frame instead, they are 1.5.
    """

    def __init__(self, deadline_ms: float | None) -> None:
        self._deadline_s = None if deadline_ms is None else deadline_ms / 1000
        self._captured: deque[float] = deque(maxlen=RECENT + 1)
        self._service: deque[float] = deque(maxlen=RECENT)
        self._free = 0.0

    def came(self, captured: float) -> None:
        """One more frame, whatever becomes of it."""
        self._captured.append(captured)

    def served(self, start: float, end: float) -> None:
        """A frame held the network and the outputs from `start` to `end`."""
        self._service.append(end - start)
        self._free = end

    def left(self, captured: float, decoded: float, now: float) -> float:
        """Seconds to wait at most for a newer frame than one captured and decoded then; 0 where it is to be answered now.

        It is where it will be in time, and where no frame could be, since the network alone takes too long. So that masks
        never cease, it also is where it found the network idle for the time that a frame may take in all, and where nothing
        newer has come for that time.
        """
        if not self._service or (limit := self._limit()) is None:
            return 0.0
        service = sorted(self._service)[-2:][0]  # the slowest but one: one hiccup is no measure
        short = SHORT * limit
        if service + 2 * short >= limit or now - captured + service + short < limit:
            return 0.0
        return 0.0 if decoded - self._free >= limit else max(0.0, decoded + limit - now)

    def _limit(self) -> float | None:
        if self._deadline_s is not None:
            return self._deadline_s
        count = len(self._captured) - 1
        return PERIODS * (self._captured[-1] - self._captured[0]) / count if count > 0 else None


class _Newest:
    """The newest frame of a source, read by a thread of its own."""

    def __init__(self, source: Iterable[Frame], live: Live[A], pace: bool, patience: _Patience) -> None:
        self._source, self._live, self._pace, self.patience = source, live, pace, patience
        self._changed = Condition()
        self._slot: tuple[Frame, float, float] | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._thread = Thread(target=self._read, name="seg-live", daemon=True)
        self._thread.start()

    def take(self) -> tuple[Frame, float, float] | None:
        """The newest frame worth answering, when it was captured and when decoded (`perf_counter`); None after the last."""
        with self._changed:
            while (left := self._left()) != 0 and not self._ended:
                with waiting:
                    self._changed.wait(left)
            if left:  # the last one, too late
                self._live.dropped += 1
                self._slot = None
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
            self._changed.notify_all()
        self._thread.join(PATIENCE_S)

    def _left(self) -> float | None:
        """Seconds that may be waited for a newer frame than the one there; None for any time, as there is none."""
        return None if self._slot is None else self.patience.left(*self._slot[1:], time.perf_counter())

    def _pause(self, seconds: float) -> None:
        """Wait, unless no more frames are wanted."""
        until = time.perf_counter() + seconds
        with self._changed:
            while not self._ended and (left := until - time.perf_counter()) > 0:
                self._changed.wait(left)

    def _read(self) -> None:
        at = "the first frame"
        try:
            frames = paced(self._source, self._pause) if self._pace else ((frame, None) for frame in self._source)
            while True:
                with in_stage("decode", at):
                    given = next(frames, None)
                if given is None:
                    return
                decoded = time.perf_counter()
                frame, captured = given[0], decoded if given[1] is None else given[1]
                at = f"frame {frame.index + 1}"
                with self._changed:
                    if self._ended:
                        return
                    self._live.read += 1
                    self._live.dropped += self._slot is not None
                    self._slot = frame, captured, decoded
                    self.patience.came(captured)
                    self._changed.notify_all()
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
