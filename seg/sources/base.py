"""What every source of frames is, whatever it reads."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from seg.frame import Frame

Kind = Literal["video", "image", "folder", "camera", "stream"]

DEFAULT_FPS = Fraction(25)


class Source(ABC):
    """A stream of frames, once through: a context manager and an iterator of `Frame`.

    Attributes:
        kind: what it is.
        name: for messages and statistics; never holds a password.
        path: the file or folder that it reads, None for cameras and streams.
        size: (height, width) of its frames, None where they may differ.
        fps: frames a second; nominal where the rate varies.
        count: how many frames to expect, None if unknown.
        problem: why frames are missing or damaged, in one line; None while nothing is.
    """

    kind: Kind
    name: str
    path: Path | None = None
    size: tuple[int, int] | None = None
    fps: Fraction = DEFAULT_FPS
    count: int | None = None
    problem: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """The frames, in order. Whatever ends them early is told in `problem`, not raised."""

    def interrupt(self) -> None:
        """Frames are not wanted any more: whoever waits for one is let go. From any thread, unlike `close`."""
        return

    def close(self) -> None:
        """Let go of the file or device."""
        return

    def inputs(self) -> Sequence[Path]:
        """The files that are read, which no output may replace."""
        return [self.path] if self.path else []


def without_secrets(text: str) -> str:
    """A URL, or what was meant to be one, without what may be a password or a token in it; any other text as it is.

    Hidden are all before the last @, because a password may hold a slash, and all behind the first `?`, `#` or `=`: cameras
    take passwords in their paths as well.
    """
    scheme = re.match(r"[\w+.-]{2,}:/{0,2}", text)
    if scheme is None:
        return text
    begin, user, place = scheme[0], *text[scheme.end() :].rpartition("@")[1:]
    return begin + "***" * len(user) + user + re.sub(r"(?s)([?#=]).*", r"\1***", place)
