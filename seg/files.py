"""Files and folders that are either whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from seg.errors import SegError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space left, no quota left, a file larger than the file system or a limit allows."""


def claim(path: Path, *, overwrite: bool) -> None:
    """Check, before any work starts, that `path` may be written.

    Raises:
        SegError: if it exists and `overwrite` is false, if it is a folder, a device or a pipe, or if its folder cannot be made
            or written.
    """
    if path.is_dir():
        raise SegError(f"{path}: is a folder, expected a file name")
    if path.exists() and not path.is_file():
        raise SegError(f"{path}: is no ordinary file but a device or a pipe; choose another name")
    if path.exists() and not overwrite:
        raise SegError(f"{path}: exists already; give --overwrite to replace it, or another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SegError(f"{path.parent}: cannot be made ({error.strerror}); choose another folder") from None
    if not os.access(path.parent, os.W_OK):
        raise SegError(f"{path.parent}: not writable; choose another folder")


def spare(output: Path, inputs: Iterable[Path]) -> None:
    """SegError where writing `output` would replace one of the inputs, resolved paths, or a folder that holds one.

    The inputs are not looked at where there is nothing to replace.
    """
    if not output.exists():
        return
    replaced = output.resolve()
    for held in inputs:
        if replaced == held or replaced in held.parents:
            raise SegError(f"{output}: is an input (or holds one) and is never replaced; choose another name")


@contextmanager
def atomic(path: Path, temporary: Path | None = None, *, keep: bool = False) -> Iterator[Path]:
    """A temporary path beside `path` (same suffix) that takes its name when the block ends without an error.

    `temporary` names it, for a file that is to be found if it does not come to its end, and with `keep` stays there by an
    error too; else it is hidden, and removed.

    The data reach the disk before the name changes, so that a crash leaves the old file or the new, never a part.

    Raises:
        SegError: where the disk is full, naming `path` and not the temporary file.
    """
    temporary = temporary or path.with_name(f".{path.stem}.partial{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise SegError(
            f"{path}: cannot be written ({error.strerror}), and nothing was written under that name; "
            "free space on its disk, or choose another folder"
        ) from error
    finally:
        if not keep:
            temporary.unlink(missing_ok=True)


def claim_folder(folder: Path, ours: Callable[[Path], bool], command: str, *, overwrite: bool) -> None:
    """Check, before any work starts, that `folder` may be made, or replaced as a whole.

    Args:
        folder: which; an empty one may always be replaced.
        ours: whether a file or folder within it, at any depth, is one that `command` made. A folder that holds anything
            else was named by mistake.
        command: who makes such folders, for the message.
        overwrite: whether one that holds files may be replaced.

    Raises:
        SegError: where it may not.
    """
    if folder.is_file():
        raise SegError(f"{folder}: is a file, expected a folder's name")
    if not folder.is_dir():
        claim(folder, overwrite=overwrite)
        return
    held = sorted(folder.rglob("*"))
    if held and not overwrite:
        raise SegError(f"{folder}: exists already and holds files; give --overwrite to replace it, or another name")
    other = next((path for path in held if not ours(path)), None)
    if other:
        name = str(other.relative_to(folder))
        raise SegError(f"{folder}: holds {name!r}, which `{command}` did not write; choose another folder")
    if folder.is_mount():
        raise SegError(f"{folder}: is a disk of its own, which cannot be replaced; name a folder in it")
    if not os.access(folder.parent, os.W_OK):
        raise SegError(f"{folder.parent}: not writable; choose another folder")


@contextmanager
def atomic_folder(folder: Path, temporary: Path | None = None, *, keep: bool = False) -> Iterator[Path]:
    """A folder under a temporary name beside `folder`, whose name it takes, and place, if the block ends without an error.

    `temporary` and `keep` are as for `atomic`; it may be there already.
    """
    temporary = temporary or folder.with_name(f".{folder.name}.partial{os.getpid()}")
    temporary.mkdir(exist_ok=True)
    try:
        yield temporary
        take_place(temporary, folder, folder.with_name(f".{folder.name}.old{os.getpid()}"))
    finally:
        if not keep:
            shutil.rmtree(temporary, ignore_errors=True)


def take_place(new: Path, folder: Path, old: Path) -> None:
    """Rename the folder `new` to `folder`, in whose place it comes.

    What had that name is `old` between the two renames, as no folder can replace another in one step, and is removed once
    the new one has it, since removing may take long. What is there as `old` already stays until then, if it is all there is.
    """
    if folder.exists():
        if old.exists():  # left by a kill
            shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    try:
        new.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def followed(folder: Path) -> Path:
    """Where `folder` really is: a link's name cannot be given to a new folder in place of the one that it leads to."""
    return folder.resolve() if folder.is_symlink() else folder


def lock(file: int | TextIO) -> bool:
    """Lock an open file or folder for this process until it is closed; False where another process has it locked.

    Where the system or the file system knows no locks this says True: two runs at once are the user's to avoid there.
    """
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        pass
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically; SegError where the disk is full."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
