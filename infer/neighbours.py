"""What `seg search` looks for and what it shows: a picture's code, and the pictures of the rows that are like it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from infer.codes import Codes, Floats, Row
from infer.index import Neighbours
from infer.segmenter import Picture, Segmenter
from infer.sources import read_again
from infer.table import check_answers_codes
from seg.draw import grid, label
from seg.errors import SegError
from seg.files import sha256
from seg.shipped import resolve_model
from seg.sources.upright import read_upright

WIDTH = 320
"""Of a picture on a sheet, in pixels."""


def query_of_picture(table: Codes, picture: Path, model: str | Path | None = None) -> tuple[Floats, int]:
    """The code, float32 (K,), and the semantic hash of a picture, by the model that made the table.

    Args:
        table: what will be searched.
        picture: a picture file.
        model: an ONNX file or a shipped network's name; None for `drive`.

    Raises:
        SegError: where the picture cannot be read, or the model is another than the table's.
    """
    path = resolve_model(model)
    if not path.is_file():
        raise SegError(f"{path}: no such file; expected {table.model.name!r}, the model that made {table.path}")
    rgb_HWC, _ = read_upright(picture)
    if sha256(path) != table.model.sha256:
        raise SegError(
            f"{path}: is not the model that made {table.path}, so its codes cannot be compared with the table's; name "
            f"{table.model.name!r} with SHA-256 {table.model.sha256[:12]}... by --model"
        )
    segmenter = Segmenter(path)
    check_answers_codes(segmenter.spec, path)
    answer = segmenter(rgb_HWC)
    assert answer.code is not None
    assert answer.hash is not None
    return answer.code, answer.hash


def sheet(query: tuple[str, int], found: Neighbours, rows: Sequence[Row]) -> tuple[Picture, list[str]]:
    """A contact sheet of the query and what was found, uint8 RGB, and a line for each picture that could not be read.

    Args:
        query: source and index of the frame that was looked for.
        found: the neighbours.
        rows: where they came from (`Codes.places`).

    Raises:
        SegError: where not even one of the pictures can be read.
    """
    tiles: dict[int, Picture] = {}
    problems: list[str] = []
    for position, got in read_again([query, *((row.source, row.index) for row in rows)]):
        if isinstance(got, SegError):
            problems.append(str(got))
        else:
            text = "query" if position == 0 else _caption(position, found, rows[position - 1])
            tiles[position] = label(_narrow(got), text)
    if not tiles:
        raise SegError(f"no picture of the sheet can be read (first: {problems[0]})")
    blank = np.full_like(next(iter(tiles.values())), 60)
    ordered = [tiles.get(position, label(blank, "cannot be read")) for position in range(len(rows) + 1)]
    return grid(ordered, columns=4), problems


def _caption(position: int, found: Neighbours, row: Row) -> str:
    bits, cosine = found.bits[position - 1], found.cosines[position - 1]
    return f"{position}: {bits} bits, {cosine:.3f}, {Path(row.source).stem} {row.time_s:.1f} s".encode(
        "ascii", "replace"
    ).decode()


def _narrow(rgb_HWC: Picture) -> Picture:
    height = max(1, round(rgb_HWC.shape[0] * WIDTH / rgb_HWC.shape[1]))
    return np.asarray(cv2.resize(rgb_HWC, (WIDTH, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
