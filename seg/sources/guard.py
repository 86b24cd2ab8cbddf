"""A source that may fall silent for ever, such as a pipe: who waits for it is told instead of hanging with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue

from seg.errors import SegError
from seg.frame import Frame
from seg.sources.base import Source

OPENING_S, SILENCE_S = 40.0, 15.0
"""How long a source may give nothing, at first and then: longer than the decoder's own timeouts, which know the reason
better; opening is several reads."""


LOOK_S = 0.1
"""How often who waits looks whether anybody still wants what is waited for."""


class Guarded(Source):
    """The frames of another source, read by a thread of its own, which may hang: its reader does not.

    A read that hangs inside FFmpeg cannot be ended from outside, only left behind: the thread is a daemon.
    """

    def __init__(
        self,
        connect: Callable[[], Source],
        name: str,
        silence_s: float = SILENCE_S,
        opening_s: float = OPENING_S,
        *,
        unwanted: threading.Event | None = None,
    ) -> None:
        """Open the source.

        Args:
            connect: opens it.
            name: for messages, until it is open.
            silence_s: how long it may give nothing.
            opening_s: how long it may take to give its first frame.
            unwanted: set, from another thread, where nobody wants it any more while it is being opened.

        Raises:
            SegError: as `connect` does, and where it gives nothing at all or is unwanted.
        """
        self.name, self._connect, self._silence_s = name, connect, silence_s
        self._given: Queue[Source | Frame | BaseException | None] = Queue(1)
        self._closed = threading.Event()
        threading.Thread(target=self._read, name="seg-guard", daemon=True).start()
        try:
            opened = self._opened(opening_s, unwanted or threading.Event())
        except BaseException:  # Ctrl-C too: the thread is to let go
            self._closed.set()
            raise
        self._source = opened
        self.kind, self.name, self.path, self.size = opened.kind, opened.name, opened.path, opened.size
        self.fps, self.count = opened.fps, opened.count

    def frames(self) -> Iterator[Frame]:
        """The frames, until the source ends or falls silent."""
        done = 0
        while True:
            try:
                frame = self._given.get(timeout=self._silence_s)
            except Empty:
                self.problem = f"{self.name}: fell silent after {done} frames, for {self._silence_s:g} s"
                self._closed.set()
                return
            if isinstance(frame, BaseException):
                raise frame
            if frame is None or self._closed.is_set():  # interrupted, where there was no room for more than a frame
                self.problem = self._source.problem
                return
            assert isinstance(frame, Frame)
            yield frame
            done += 1

    def interrupt(self) -> None:
        """The frames end here."""
        self._closed.set()
        with suppress(Full):
            self._given.put_nowait(None)

    def close(self) -> None:
        """The thread lets go of the source as soon as that lets go of the thread."""
        self._closed.set()
        with suppress(Empty):
            self._given.get_nowait()

    def _opened(self, opening_s: float, unwanted: threading.Event) -> Source:
        until = time.monotonic() + opening_s
        while (left := until - time.monotonic()) > 0:
            if unwanted.is_set():
                raise SegError(f"{self.name}: not wanted any more")
            with suppress(Empty):
                opened = self._given.get(timeout=min(left, LOOK_S))
                if isinstance(opened, BaseException):
                    raise opened
                assert isinstance(opened, Source)
                return opened
        raise SegError(f"{self.name}: gave nothing for {opening_s:g} s; is anybody sending?")

    def _read(self) -> None:
        try:
            with self._connect() as source:
                self._give(source)
                for frame in source:
                    if not self._give(frame):
                        return
            self._give(None)
        except BaseException as error:
            self._give(error)

    def _give(self, what: Source | Frame | BaseException | None) -> bool:
        """Hand it over; False where nobody wants any more."""
        while not self._closed.is_set():
            with suppress(Full):
                self._given.put(what, timeout=LOOK_S)
                return True
        return False
