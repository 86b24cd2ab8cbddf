"""Decoded frames and label maps in a folder, so that training decodes each file once and then reads what it needs."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seg.errors import SegError
from seg.files import atomic, claim

U8 = npt.NDArray[np.uint8]

RESERVE = 2**30
"""Bytes that stay free on the cache's disk: checkpoints may have to go there too."""


class DecodedCache:
    """uint8 arrays in .npy files, handed out as read-only views of the file: only what is looked at is read.

    An array belongs to the source files that it was made of, as they are: paths, sizes in bytes and times of change.
    What was made of an earlier version of the files goes when the new one comes, so the folder does not grow over time:
    3 bytes for each pixel of a frame, 1 for each pixel of a label map and ontology. Any number of processes may share
    it, and it may be deleted at any time. Where its disk is full it takes no more, with a warning.

    Args:
        folder: made if it is missing.

    Raises:
        SegError: if the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._full = False
        claim(folder / "any.npy", overwrite=True)

    def entry(self, files: Sequence[Path], what: str) -> Path:
        """The file that holds `what` made of `files` as they are now, if it was kept.

        Raises:
            SegError: if one of `files` is not there.
        """
        # SOURCE-VERSION.npy: hashes of the paths, and of sizes and times; spread over 256 folders
        source = _digest(what, [str(file.absolute()) for file in files])
        return self.folder / source[:2] / f"{source}-{_version(files)}.npy"

    def shelf(self, file: Path, what: str) -> Path:
        """The folder for many arrays, `what`, made of `file` as it is now; what was made of it as it was is removed.

        Its arrays are for the caller to name and `write`.

        Raises:
            SegError: if `file` is not there.
        """
        # SOURCE-VERSION-WHAT, beside the entries
        source, version = _digest(str(file.absolute())), _version([file])
        parent = self.folder / source[:2]
        for earlier in parent.glob(f"{source}-*"):
            if not earlier.name.startswith(f"{source}-{version}-"):
                shutil.rmtree(earlier, ignore_errors=True)
        return parent / f"{source}-{version}-{_digest(what)}"

    def fetch(self, entries: Sequence[Path], decode: Callable[[], Sequence[U8]]) -> Sequence[U8]:
        """The arrays of `entries`, read-only; where any is missing all are decoded, and what was missing is kept."""
        kept = [load(entry) for entry in entries]
        found = [array for array in kept if array is not None]
        if len(found) == len(entries):
            return found
        decoded = decode()
        for entry, before, array in zip(entries, kept, decoded, strict=True):
            if before is None and not self._full:
                self._keep(entry, array)
        return decoded

    def _keep(self, entry: Path, array: U8) -> None:
        try:
            self.write(entry, array)
        except SegError as error:
            self._full = True
            warnings.warn(f"data.cache takes no more, other files are decoded each time ({error})", stacklevel=3)
            return
        source, _ = entry.name.split("-")
        for earlier in set(entry.parent.glob(f"{source}-*.npy")) - {entry}:
            earlier.unlink(missing_ok=True)

    def write(self, entry: Path, array: U8) -> None:
        """Keep `array` in the file `entry`, whole or not at all.

        Raises:
            SegError: if the disk is full, or the folder cannot be written.
        """
        try:
            if shutil.disk_usage(self.folder).free < RESERVE + array.nbytes:
                raise SegError(f"{self.folder}: less than {RESERVE >> 20} MiB free on its disk")
            entry.parent.mkdir(exist_ok=True, parents=True)
            with atomic(entry) as temporary:
                np.save(temporary, array)
        except OSError as error:
            raise SegError(f"{self.folder}: cannot be written ({error.strerror or error})") from error


def load(entry: Path) -> U8 | None:
    """The array in a cache's file as a read-only view of it; None if it is missing, or was damaged by others."""
    try:
        return np.asarray(np.load(entry, mmap_mode="r"))
    except (OSError, ValueError, EOFError):
        return None


def _version(files: Sequence[Path]) -> str:
    """What tells `files` as they are now from how they were. SegError if one is not there."""
    try:
        return _digest([(stat.st_size, stat.st_mtime_ns) for stat in (file.stat() for file in files)])
    except OSError as error:
        raise SegError(f"{error.filename}: cannot be read ({error.strerror})") from None


def _digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()
