"""What every sink is: a context manager that takes frames one by one, in bounded memory.

What it writes stands under another name (`partial`) until the block ends. By its own end, Ctrl-C or SIGTERM the output is
finished and gets its name. By any other error (a full disk...), and where the process is killed, the part stays under that
other name: it can be looked at, and a later run can go on with it (`infer.resume`). An older output stays as it was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from infer.stream import StageError
from seg.errors import SegError, one_line
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
        readable: whether a part of it can be read; else none is kept.
    """

    kind: str
    readable = True

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        """Check that `path` may be written, before any work; SegError otherwise."""
        self.path = path
        self.frames = 0
        self.kept = False
        self._keep = 0
        self._state: Literal["open", "broken", "finished"] = "open"
        self._stack = ExitStack()
        self._claim(overwrite)

    def __enter__(self) -> Sink:
        if not self._keep:
            self._forget()
        self._temporary = self._stack.enter_context(self._reserve())
        return self

    @property
    def partial(self) -> Path:
        """Where the output grows until it is complete."""
        return self.path.with_name(f"{self.path.stem}.seg-partial{self.path.suffix}")

    def keepable(self, most: int | None) -> int:
        """How many frames of a killed run can be kept, at most `most` (None: as many as there are)."""
        return 0

    def keep(self, frames: int) -> None:
        """Before the block: go on with the first `frames` frames of a killed run, `keepable` has allowed so many.

        Inside it, `skip` is then called for each of these, and `write` for those behind.
        """
        self._keep = frames

    def skip(self, frame: Frame) -> None:
        """Pass by a frame that is kept from a killed run."""
        with self._disk_errors():
            self._skip(frame)
        self.frames += 1

    def write(self, frame: Frame, answer: Any) -> None:
        """Add one frame and the model's answer to it.

        Raises:
            SegError: where the disk takes no more.
            StageError: where nothing can be made of the frame and its answer; a note says which frame.
        """
        with self._disk_errors():
            self._write(frame, answer)
        self.frames += 1

    def finish(self) -> None:
        """Complete the output under its temporary name. Leaving the block does it too; twice does no harm."""
        if self._state == "open" and self.frames and self.frames >= self._keep:
            self._state = "broken"  # unless closing comes to its end
            with self._disk_errors():
                self._close()
                self._complete()
            self._state = "finished"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = isinstance(error, KeyboardInterrupt)
        passed = self.frames > 0 and self.frames >= self._keep  # else parts are more than what was passed by
        wanted = passed and self._state != "broken" and (error is None or stopped)
        # what was reserved is named where this block ends, and removed where it raises
        with suppress(_Unwanted), self._disk_errors(), self._stack:
            try:
                if not wanted:
                    raise _Unwanted
                self.finish()
            except BaseException:
                with suppress(Exception):  # what a part holds it holds, whether it closes cleanly or not
                    self._close()
                raise
        self.kept = wanted
        if not self.frames and not self._keep:
            self._forget()

    def _claim(self, overwrite: bool) -> None:
        claim(self.path, overwrite=overwrite)

    def _reserve(self) -> AbstractContextManager[Path]:
        return atomic(self.path, self.partial, keep=True) if self.readable else atomic(self.path)

    def _forget(self) -> None:
        """Remove what a killed run left."""
        if self.readable:
            self.partial.unlink(missing_ok=True)

    def _skip(self, frame: Frame) -> None:
        """Pass by a frame that is kept."""
        return

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except SegError:
            raise
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None)  # PyAV has one too, and is of either class
            if reason is None and not isinstance(error, OSError):
                raise
            raise SegError(f"{self.path}: cannot be written ({reason or error}); {self._left()}") from error

    @contextmanager
    def _making(self, stage: str, frame: Frame) -> Iterator[None]:
        """Around what comes before the disk: an error of it is not the disk's, and tells its stage and frame."""
        try:
            yield
        except SegError:
            raise
        except Exception as error:
            told = f"{type(error).__name__}: {one_line(error)}"
            failed = StageError(f"{self.path}: {stage} failed ({told}); {self._left()}")
            failed.add_note(f"at frame {frame.index} of {frame.source}")
            raise failed from error

    def _left(self) -> str:
        part = self.readable and (self.frames or self._keep)
        return f"what could be written is in {self.partial.name}" if part else "nothing of it was kept"

    @abstractmethod
    def _write(self, frame: Frame, answer: Any) -> None:
        """Add one frame."""

    @abstractmethod
    def _close(self) -> None:
        """Close the output, complete or not."""

    def _complete(self) -> None:
        """What is left to do for a complete output, after it is closed."""
        return


class _Unwanted(Exception):  # noqa: N818
    """Ends a block whose output is not to be kept."""


def check_suffix(path: Path, allowed: tuple[str, ...]) -> None:
    """SegError unless the path ends in one of the suffixes."""
    if path.suffix.lower() not in allowed:
        raise SegError(f"{path}: expected a name that ends in {' or '.join(allowed)}, got {path.suffix or 'none'!r}")
