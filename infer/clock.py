"""The times of frames in an encoded file, and when a frame has to begin a group of pictures."""

from __future__ import annotations

from fractions import Fraction

SECOND = 90_000
TIME_BASE = Fraction(1, SECOND)
"""The clock of encoded files: fine enough for any frame rate, variable ones too."""

JUMP_S = 0.5
"""Times that run back by more, in seconds, are those of another recording, which was joined to the first."""


class Clock:
    """The source's times in units of TIME_BASE, as encoders want them: each later than the one before.

    Where recordings were joined the source's times begin again; here they go on, with the spacing that they had. Times that
    begin below zero are moved to zero: players pass over what an MP4 has before it.

    Attributes:
        last: the time of the last frame, None before the first.
        gap: how far it is behind the frame before it; at first what the nominal rate says.
        moved: what is added to the source's times.
        key: the time of the frame that begins the newest group of pictures; None makes the next frame begin one.
    """

    def __init__(self, fps: Fraction) -> None:
        self.last: int | None = None
        self.gap = max(1, round(SECOND / fps))
        self.moved = 0
        self.key: int | None = None

    def time(self, time_ns: int) -> int:
        """The time of the next frame."""
        time = (time_ns * 9 + 50_000) // 100_000 + self.moved
        if self.last is None and time < 0:
            self.moved, time = -time, 0
        elif self.last is not None:
            if time < self.last - JUMP_S * SECOND:
                self.moved += self.last + self.gap - time
                time = self.last + self.gap
            elif time <= self.last:  # it stands, or stutters
                time = self.last + 1
            else:
                self.gap = time - self.last
        self.last = time
        return time

    def starts_group(self) -> bool:
        """Whether the last frame has to begin a group of pictures, which are a second long, however many frames that is."""
        assert self.last is not None
        starts = self.key is None or self.last + self.gap - self.key > SECOND
        if starts:
            self.key = self.last
        return starts

    def too_seldom(self, since: int) -> bool:
        """Whether frames come so seldom that one of this time would wait a second if it waited for the next."""
        assert self.last is not None
        return self.last + 2 * self.gap - since > SECOND
