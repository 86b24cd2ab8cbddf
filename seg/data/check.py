"""The audit of `seg data check`: everything that can be wrong with the data of a run, found before anyone trains."""

from __future__ import annotations

import hashlib
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt

from seg.classes import IGNORE, Ontology
from seg.config import DataConfig
from seg.data.base import LabelledData, Reader
from seg.data.open import open_cache, open_readers
from seg.errors import SegError
from seg.labels import LabelSpace

CHUNK = 8
"""Items sent to a worker at once: few enough for a smooth progress bar, enough to make sending them cheap."""

AHEAD = 4
"""Chunks a worker that are sent or answered before they are needed: no worker waits, and memory does not grow."""


@dataclass(frozen=True)
class Finding:
    """What reading one item gave: its pixels by label value (int64, 256 bins) or None, its frame's hash, errors and size."""

    pixels: npt.NDArray[np.int64] | None
    content: bytes | None
    problems: tuple[str, ...]
    size: tuple[int, int] | None = None


@dataclass
class Audit:
    """The result of an audit.

    Attributes:
        data: all sources as one sequence.
        frames: how many frames each data set has (`train: camvid/train` -> 367), in the order of the config.
        pixels: pixels by label value (int64, 256 bins; 255 is ignore) of each data set.
        sizes: how many frames of each (height, width) each data set has.
        problems: one line for each thing that is wrong; none when the data are sound.
    """

    data: LabelledData
    frames: dict[str, int] = field(default_factory=dict)
    pixels: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    sizes: dict[str, Counter[tuple[int, int]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def shares(self) -> dict[str, dict[str, float]]:
        """Each label value's share of the pixels, by its name: of each data set, then in `total`.

        Values that occur nowhere are left out, except single classes: their zero is worth seeing.
        """
        space = self.data.space
        total = sum(self.pixels.values(), np.zeros(256, dtype=np.int64))
        values = [value for value in range(256) if total[value] or value < len(space.ontology)]
        columns = {**self.pixels, "total": total}
        return {
            name: {space.name(value): float(pixels[value]) / max(1, int(pixels.sum())) for value in values}
            for name, pixels in columns.items()
        }


def open_named(config: DataConfig, ontology: Ontology) -> tuple[dict[str, Reader], LabelledData]:
    """The readers of all sources, named by their part in the run, and all of them as one sequence.

    Raises:
        SegError: if a folder, split or label set is missing or holds nothing.
    """
    readers: dict[str, Reader] = {}
    cache = open_cache(config)  # for videos; all other files are read as they are
    for part, sources in (("train", config.train), ("val", config.val)):
        for reader in open_readers(sources, ontology, cache):
            name, number = f"{part}: {reader.dataset}", 2
            while name in readers:  # one data set may be listed twice, with different settings
                name, number = f"{part}: {reader.dataset} ({number})", number + 1
            readers[name] = reader
    everything = list(readers.values())
    space = LabelSpace(ontology, [reader.label_set for reader in everything])
    return readers, LabelledData(everything, space, [None] * len(everything))


def audit(
    config: DataConfig, ontology: Ontology, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> Audit:
    """Read every frame and label of a run's data, in `workers` processes, and collect what is wrong.

    Args:
        config: the data section of a run.
        ontology: the classes to map labels onto.
        workers: processes to read with; 1 reads in this one.
        progress: called after each item with (done, all).

    Raises:
        SegError: if a source cannot be opened at all.
        KeyboardInterrupt: on Ctrl-C, with no process left behind.
    """
    readers, data = open_named(config, ontology)
    result = Audit(data)
    for name, reader in readers.items():
        result.frames[name] = len(reader)
        result.pixels[name] = np.zeros(256, dtype=np.int64)
        result.sizes[name] = Counter()
        result.problems += [f"{path}: this frame has no label" for path in reader.unlabelled]
        result.problems += [f"{path}: this label has no frame" for path in reader.frameless]
    overlap = _Overlap()
    owners = (name for name, reader in readers.items() for _ in range(len(reader)))
    for index, (owner, finding) in enumerate(zip(owners, _findings(data, workers), strict=True)):
        result.problems += finding.problems
        if finding.pixels is not None:
            result.pixels[owner] += finding.pixels
        if finding.size is not None:
            result.sizes[owner][finding.size] += 1
        if finding.content is not None:
            overlap.add(owner.split(":")[0], finding.content, index)
        if progress:
            progress(index + 1, len(data))
    result.problems += overlap.problems(data)
    for part in ("train", "val"):
        pixels = sum(
            (each for name, each in result.pixels.items() if name.startswith(f"{part}:")), np.zeros(256, np.int64)
        )
        if pixels.any() and not pixels[:IGNORE].any():  # none at all: what could not be read is listed
            result.problems.append(f"none of the frames of {part} has a labelled pixel")
    return result


class _Overlap:
    """Frames that stand in train and val. It keeps a digest and a number of each frame of train, and what is double."""

    def __init__(self) -> None:
        self._first: dict[str, dict[bytes, int]] = {"train": {}, "val": {}}
        self._more: Counter[tuple[str, bytes]] = Counter()

    def add(self, part: str, content: bytes, index: int) -> None:
        """Take up one frame; those of train come before those of val."""
        first = self._first[part]
        if content in first:
            self._more[part, content] += 1
        elif part == "train" or content in self._first["train"]:
            first[content] = index

    def problems(self, data: LabelledData) -> list[str]:
        """One line for each frame in both, in the order of train."""
        lines = []
        for content in sorted(self._first["val"], key=self._first["train"].__getitem__):
            train, val = (
                _describe(data, self._first[part][content], self._more[part, content]) for part in ("train", "val")
            )
            lines.append(f"one frame stands in both train and val: {train} and {val}")
        return lines


def inspect(data: LabelledData, index: int) -> Finding:
    """Read one item and say what is wrong with it; never raises a SegError."""
    reader, inner = data.locate(index)
    problems: list[str] = []
    content = pixels = frame = raw = None
    if len(reader.files(inner)) < 2:  # made, or without labels: frame and label come together
        try:
            frame, raw = reader.read(inner)
        except SegError as error:
            return Finding(None, None, (str(error),))
    else:
        try:
            frame = reader.read_frame(inner)
        except SegError as error:
            problems.append(str(error))
        try:
            raw = reader.read_raw(inner)
        except SegError as error:
            problems.append(str(error))
    if frame is not None:
        content = hashlib.blake2b(repr(frame.shape).encode() + frame.tobytes(), digest_size=16).digest()
    if frame is not None and raw is not None:
        problems += reader.mismatch(inner, frame, raw)
    if raw is not None:
        try:
            label_HW = data.encode(index, raw)
            pixels = np.bincount(label_HW.ravel(), minlength=256).astype(np.int64)
        except SegError as error:
            problems.append(str(error))
    return Finding(pixels, content, tuple(problems), None if frame is None else (frame.shape[0], frame.shape[1]))


def _describe(data: LabelledData, first: int, more: int) -> str:
    reader, inner = data.locate(first)
    return reader.origin(inner) + (f" (and {more} more)" if more else "")


def _findings(data: LabelledData, workers: int) -> Iterator[Finding]:
    """The finding of each item, in order; never more than a few chunks a worker at once."""
    if workers <= 1:
        yield from (inspect(data, index) for index in range(len(data)))
        return
    # spawned, not forked: a fork copies the progress bar's thread and its locks into the workers
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(data,))
    chunks = (range(first, min(first + CHUNK, len(data))) for first in range(0, len(data), CHUNK))
    sent: deque[Future[list[Finding]]] = deque()

    def send(number: int) -> None:
        with _sigint_held():  # sending may start a worker
            sent.extend(pool.submit(_inspect_in_worker, chunk) for chunk in islice(chunks, number))

    try:
        send(AHEAD * workers)
        while sent:
            findings = sent.popleft().result()
            send(1)
            yield from findings
    except BrokenProcessPool:
        raise SegError("a worker process died, perhaps for want of memory; try again with --workers 1") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _sigint_held() -> Iterator[None]:
    """Put Ctrl-C off until the block ends: it would leave half-started workers behind that nobody ends.

    Processes started meanwhile inherit the blocked signal for good, so that this process alone answers Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    received: list[int] = []
    # blocking it in this thread is not enough: the system may deliver it to another one, and Python answers here
    previous = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, previous)
    if received:
        raise KeyboardInterrupt


_data: LabelledData | None = None


def _start_worker(data: LabelledData) -> None:
    global _data
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for systems where it cannot be held back
    _data = data


def _inspect_in_worker(chunk: range) -> list[Finding]:
    assert _data is not None
    return [inspect(_data, index) for index in chunk]
