"""Small tables of codes for tests, written by the sink itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from infer.segmenter import Segmentation
from infer.table import ModelIdentity, Table
from seg.frame import Frame

MODEL = ModelIdentity(name="bands", sha256="a" * 64, classes=("background", "road"))
OTHER = ModelIdentity(name="bands", sha256="b" * 64, classes=("background", "road"))


def answer(index: int, code, hashed: int, novelty: float | None = None, source: str = "drive.mp4"):
    """A frame, 40 ms after the one before it and 3/4 road, and an answer to it."""
    frame = Frame(np.zeros((2, 2, 3), np.uint8), index, 40_000_000 * index, source)
    classes = np.array([[0, 1], [1, 1]], np.uint8)
    return frame, Segmentation(classes, None, novelty, np.asarray(code, np.float32), int(hashed))


def save_table(path: Path, code_NK, hashes, novelty=None, places=None, model=MODEL) -> Path:
    """A table of these codes and hashes; `places` are a source and an index for each row."""
    with Table(path, model) as table:
        for row, (code, hashed) in enumerate(zip(code_NK, hashes, strict=True)):
            source, index = ("drive.mp4", row) if places is None else places[row]
            table.write(*answer(index, code, hashed, None if novelty is None else float(novelty[row]), source))
    return path
