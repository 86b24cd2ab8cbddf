"""A live stream that comes back after it stalled or broke: the gap is waited out, measured and told."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from seg.errors import SegError
from seg.frame import Frame
from seg.sources.base import Kind, Source

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Before each try to connect again; the last one again and again."""

PATIENCE_S = 60.0
"""How long a stream may stay away."""

_log = logging.getLogger(__name__)


class Reconnecting(Source):
    """The frames of a live stream over several connections: numbered on, at the times that have really passed.

    A stream that declares its length is no live one, and ends where it ends. Frames of a new connection may have another
    size. Each gap is logged with its length, and all of them are in `problem` at the end.

    Attributes:
        gaps_s: seconds from the last frame of a connection to the first of the next.
    """

    kind: Kind = "stream"

    def __init__(
        self,
        connect: Callable[[], Source],
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] | None = None,
        replays: bool = False,
        closed: threading.Event | None = None,
    ) -> None:
        """Connect for the first time.

        Args:
            connect: opens the stream and waits for its first frame; SegError where it cannot.
            patience_s: how long the stream may stay away until it counts as ended.
            clock: seconds, for tests.
            pause: waits so many seconds, for tests; None for a wait that `interrupt` and `close` end.
            replays: whether the sender may be a file, which begins again at its first frame: then it has ended before.
            closed: set by `interrupt` and `close`, for a `connect` that is to give up then.

        Raises:
            SegError: where it cannot be opened now.
        """
        self._connect, self._patience_s, self._clock, self._replays = connect, patience_s, clock, replays
        self._closed = closed or threading.Event()
        self._pause = pause or self._closed.wait
        self._source = connect()
        self.name, self.size, self.fps, self.count = (
            self._source.name, self._source.size, self._source.fps, self._source.count,
        )  # fmt: skip
        self.gaps_s: list[float] = []

    def frames(self) -> Iterator[Frame]:
        """The frames of all connections; `problem` tells of gaps, and of what was damaged in the last one."""
        index, time_ns, begun_ns = 0, 0, 0
        start = last = self._clock()
        very_first: Frame | None = None
        while True:
            first_ns: int | None = None
            for frame in self._source:
                if first_ns is None:
                    first_ns = frame.time_ns
                    if very_first is None:
                        very_first = frame
                    elif self._replays and self.problem is None and _same(frame, very_first):
                        return
                    else:
                        self._count_gap(self._clock() - last)
                time_ns = begun_ns + frame.time_ns - first_ns
                yield Frame(frame.rgb_HWC, index, time_ns, self.name)
                index += 1
                last = self._clock()
            self.problem = self._source.problem
            if self.count is not None or self._closed.is_set():
                break
            if not self._again(last):
                if not self._closed.is_set():
                    self.problem = f"{self.name}: ended after {index} frames and did not come back"
                break
            # frames may have come faster than they play: time never runs back
            begun_ns = max(round(1e9 * (self._clock() - start)), time_ns + round(1e9 / self.fps))
        if self.gaps_s:
            many = f"{len(self.gaps_s)} gap{'s' * (len(self.gaps_s) > 1)}, {sum(self.gaps_s):.1f} s together"
            self.problem = f"{self.problem}, {many}" if self.problem else f"{self.name}: {many}"

    def interrupt(self) -> None:
        """The frames end here, and so does a wait for the next connection."""
        self._closed.set()
        self._source.interrupt()

    def close(self) -> None:
        """Let go of the connection; a wait for the next one ends."""
        self._closed.set()
        self._source.close()

    def _again(self, last: float) -> bool:
        """Connect anew; False where the stream stayed away too long, or nobody wants it any more."""
        self._source.close()
        _log.warning("%s: no more frames (%s); connecting again", self.name, self.problem or "the sender closed it")
        tries = 0
        while (left := self._patience_s - (self._clock() - last)) > 0 and not self._closed.is_set():
            self._pause(min(left, PAUSES_S[min(tries, len(PAUSES_S) - 1)]))
            tries += 1
            try:
                self._source = self._connect()
            except SegError:
                continue
            if not self._closed.is_set():
                return True
            self._source.close()  # nobody else will
        return False

    def _count_gap(self, seconds: float) -> None:
        self.gaps_s.append(seconds)
        _log.warning("%s: back after a gap of %.1f s", self.name, seconds)


def _same(one: Frame, other: Frame) -> bool:
    """Whether they are one frame, sent twice: a live stream may begin at time 0 again, but not with the same picture."""
    return one.time_ns == other.time_ns and np.array_equal(one.rgb_HWC, other.rgb_HWC)
