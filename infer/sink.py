"""What every sink is: a context manager that takes frames one by one, in bounded memory.

What it writes stands under a temporary name until the block ends. By its own end, Ctrl-C or SIGTERM the output is
finished and gets its name; by any other error (a full disk...) it is removed, and an older one stays as it was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from seg.errors import SegError
from seg.files import atomic, claim
from seg.frame import Frame


class Sink(ABC):
    """One output. Call `write` for each frame inside its `with` block.

    Which answers a sink takes, segmentations or restorations, its `_write` says.

    Attributes:
        kind: its stage in timings: "overlay", "masks"...
        path: the file or folder that it makes.
        frames: how many frames it holds.
        kept: whether the output stands under its name (after the block).
    """

    kind: str

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        """Check that `path` may be written, before any work; SegError otherwise."""
        self.path = path
        self.frames = 0
        self.kept = False
        self._state: Literal["open", "broken", "finished"] = "open"
        self._stack = ExitStack()
        self._claim(overwrite)

    def __enter__(self) -> Sink:
        self._temporary = self._stack.enter_context(self._reserve())
        return self

    def write(self, frame: Frame, answer: Any) -> None:
        """Add one frame and the model's answer to it; SegError where the disk takes no more."""
        with self._disk_errors():
            self._write(frame, answer)
        self.frames += 1

    def finish(self) -> None:
        """Complete the output under its temporary name. Leaving the block does it too; twice does no harm."""
        if self._state == "open" and self.frames:
            self._state = "broken"  # unless closing comes to its end
            with self._disk_errors():
                self._close()
            self._state = "finished"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = isinstance(error, KeyboardInterrupt)
        wanted = self.frames > 0 and self._state != "broken" and (error is None or stopped)
        # what was reserved is named where this block ends, and removed where it raises
        with suppress(_Unwanted), self._disk_errors(), self._stack:
            try:
                if not wanted:
                    raise _Unwanted
                self.finish()
            except BaseException:
                with suppress(Exception):  # it goes away: whether it closes cleanly does not matter any more
                    self._close()
                raise
        self.kept = wanted

    def _claim(self, overwrite: bool) -> None:
        claim(self.path, overwrite=overwrite)

    def _reserve(self) -> AbstractContextManager[Path]:
        return atomic(self.path)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except SegError:
            raise
        except (OSError, ValueError) as error:  # PyAV's errors are one or the other
            reason = getattr(error, "strerror", None) or error
            raise SegError(f"{self.path}: cannot be written ({reason}); nothing of it was kept") from error

    @abstractmethod
    def _write(self, frame: Frame, answer: Any) -> None:
        """Add one frame."""

    @abstractmethod
    def _close(self) -> None:
        """Complete and close the output."""


class _Unwanted(Exception):  # noqa: N818
    """Ends a block whose output is not to be kept."""


def check_suffix(path: Path, allowed: tuple[str, ...]) -> None:
    """SegError unless the path ends in one of the suffixes."""
    if path.suffix.lower() not in allowed:
        raise SegError(f"{path}: expected a name that ends in {' or '.join(allowed)}, got {path.suffix or 'none'!r}")
