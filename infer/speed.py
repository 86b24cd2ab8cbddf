"""How fast files are on each backend and in each precision of this machine, and how far their answers are from float32's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from infer.latency import Percentiles
from infer.segmenter import Segmenter
from seg.errors import SegError
from seg.frame import Frame
from seg.shipped import resolve_model

BACKENDS = (
    ("cpu", "float32"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("cuda", "float32"),
    ("tensorrt", "float32"),
    ("tensorrt", "float16"),
)
"""Provider and precision of a file in floats; the first is what the others are compared with."""

INT8_BACKENDS = (
    ("cpu", "int8"),
    ("openvino", "int8"),
    ("openvino", "bfloat16"),  # what stays float
    ("tensorrt", "int8"),
)
"""Those of a file in integers."""

ENOUGH = 10
"""Frames for each stream in a round."""

Picture = npt.NDArray[np.uint8]


@dataclass
class Row:
    """What one backend reached.

    Attributes:
        model: the file's name.
        provider: its name.
        precision: what it computed in.
        problem: why it does not run here, None where it does; nothing else is known then.
        latency: seconds of one frame alone, on all threads, resizing included.
        frames_per_second: of many frames, as many at once as `streams` allows; the median of the rounds.
        streams: how many at once.
        changed: share of pixels whose class is another than the reference's.
        by_class: the same, of the pixels of each class that the reference finds; classes that it does not find are left out.
    """

    model: str
    provider: str
    precision: str
    problem: str | None = None
    latency: Percentiles = field(default_factory=Percentiles)
    frames_per_second: float = 0.0
    streams: int = 1
    changed: float = 0.0
    by_class: dict[str, float] = field(default_factory=dict)


def measure(
    models: Sequence[str | Path | None], pictures: Sequence[Picture], rounds: int = 5, threads: int | None = None
) -> list[Row]:
    """A row for each file on each of its backends; those that run take turns.

    Args:
        models: ONNX files or shipped networks' names, of the same classes; all are compared with the first.
        pictures: frames to run, uint8 RGB (H, W, 3), at least one.
        rounds: how often each backend sees all of them, for latency and again for frames a second.
        threads: CPU threads of the network.

    Raises:
        SegError: where a file cannot be used at all, or has other classes than the first.
    """
    if not pictures:
        raise SegError("there are no frames to run: none of the source's could be read")
    rows, loaded = _load(models, threads)
    reference = [loaded[0].alone(picture).classes for picture in pictures]
    names = loaded[0].alone.spec.as_ontology().names
    for one in loaded:
        _compare(one.row, reference, [one.alone(picture).classes for picture in pictures], names)
    most = max(one.row.streams for one in loaded)
    count = max(len(pictures), ENOUGH * most)  # or filling and draining would be all that is timed
    frames = [Frame(pictures[index % len(pictures)], index, 0, "bench") for index in range(count)]
    for one in loaded:  # the first frames also plan and allocate
        _rate(one.many, frames[: 2 * one.row.streams])
    rates: list[list[float]] = [[] for _ in loaded]
    for _ in range(rounds):
        for one, found in zip(loaded, rates, strict=True):
            for picture in pictures:
                start = time.perf_counter()
                one.alone(picture)
                one.row.latency.add(time.perf_counter() - start)
            found.append(_rate(one.many, frames))
    for one, found in zip(loaded, rates, strict=True):
        one.row.frames_per_second = float(np.median(found))
    return rows


class _Loaded(NamedTuple):
    """A backend that runs here: its row, and the file loaded for one frame alone and for many."""

    row: Row
    alone: Segmenter
    many: Segmenter


def _load(models: Sequence[str | Path | None], threads: int | None) -> tuple[list[Row], list[_Loaded]]:
    rows: list[Row] = []
    loaded: list[_Loaded] = []
    paths = [resolve_model(model) for model in models]
    alike = len({path.name for path in paths}) < len(paths)
    for path in paths:
        spec = Segmenter(path, threads=threads).spec  # a file that does not run on the processor is none
        if loaded and spec.as_ontology().names != loaded[0].alone.spec.as_ontology().names:
            raise SegError(f"{path}: its classes are not those of {rows[0].model}; answers cannot be compared")
        for provider, precision in INT8_BACKENDS if spec.network.get("weights") == "int8" else BACKENDS:
            row = Row(str(path) if alike else path.name, provider, precision)
            rows.append(row)
            try:
                alone, many = (Segmenter(path, provider, threads, streams, precision) for streams in (1, None))
            except SegError as error:
                row.problem = str(error)
            else:
                row.streams = many.streams
                loaded.append(_Loaded(row, alone, many))
    return rows, loaded


def _rate(segmenter: Segmenter, frames: Sequence[Frame]) -> float:
    """Frames a second."""
    start = time.perf_counter()
    for _ in segmenter.stream(frames):
        pass
    return len(frames) / (time.perf_counter() - start)


def _compare(row: Row, reference: Sequence[Picture], found: Sequence[Picture], names: Sequence[str]) -> None:
    before, after = (np.concatenate([classes.ravel() for classes in each]) for each in (reference, found))
    differs = before != after
    row.changed = float(differs.mean())
    there = np.bincount(before, minlength=256)
    wrong = np.bincount(before[differs], minlength=256)
    row.by_class = {name: float(wrong[number] / there[number]) for number, name in enumerate(names) if there[number]}
