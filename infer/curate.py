"""Which frames of a table to label next: the most different or the most novel ones, none nearly twice.

`select` chooses rows; `curate` writes them as a folder: the list, the frames, and a page to look at. Both walk over the
codes once for each frame that is chosen, so time grows with rows x chosen and memory with a few bytes a row.
Shape suffixes: N rows of the table.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from infer.codes import Codes, Row
from infer.curate_map import draw_map
from infer.curate_page import Entry, thumbnail, write_page
from infer.index import FrameIndex, hamming, index_of
from infer.sources import read_again
from seg.data.images import write_png
from seg.errors import SegError
from seg.files import atomic_folder, claim_folder, followed

By = Literal["different", "novel"]

NEAR_BITS, NEAR_COSINE = 4, 0.95
"""Two frames are near-duplicates where their hashes differ in at most so many bits and their codes have at least this
cosine: on CamVid's 15 Hz sequence, frames about a quarter of a second apart."""

LIST, PAGE, FRAMES = "list.csv", "index.html", "frames"
NAME_BYTES = 180
COLUMNS = ("rank", "row", "source", "index", "time_s", "why", "file")


@dataclass(frozen=True, slots=True)
class Selection:
    """Chosen rows, best first.

    Attributes:
        rows: row numbers of the table.
        why: for each, in a few words.
        near: how many other rows were passed over as near-duplicates of these.
    """

    rows: list[int]
    why: list[str]
    near: int


@dataclass(frozen=True, slots=True)
class Curated:
    """What `curate` did.

    Attributes:
        selection: the rows.
        frames: how many of their frames were written.
        problem: why frames are missing, None if none are.
        stopped: what ended the work early; the folder holds what was done until then.
    """

    selection: Selection
    frames: int
    problem: str | None
    stopped: KeyboardInterrupt | None


def select(index: FrameIndex, k: int, novelty_N: npt.NDArray[np.float32] | None = None) -> Selection:
    """Choose `k` rows, fewer where all others are near-duplicates of a chosen one.

    The most different: the row whose code is nearest to the mean of all, then again and again the row that is farthest
    from all chosen ones. This is the greedy k-center of Sener and Savarese, "Active learning for convolutional neural
    networks: a core-set approach" (ICLR 2018), on codes of unit length. With novelty, the most novel ones.

    Args:
        index: of the table.
        k: how many, 1 to the table's rows.
        novelty_N: of all rows, without NaN; None for the most different rows.

    Raises:
        SegError: where `k` is no such number.
    """
    if not 1 <= k <= index.rows:
        raise SegError(f"-k {k}: the table has {index.rows} rows; give 1 to {index.rows}")
    covered = _Covered(index)
    why: list[str] = []
    while len(covered.chosen) < k and not covered.gone_N.all():
        if novelty_N is not None:
            row = int(np.where(covered.gone_N, -np.inf, novelty_N).argmax())
            why.append(f"novelty {novelty_N[row]:.4f}")
        elif covered.chosen:
            row = int(np.where(covered.gone_N, np.inf, covered.cosine_N).argmin())
            why.append(f"cosine {covered.cosine_N[row]:.3f} to the nearest before it")
        else:
            row = _most_typical(index)
            why.append("nearest to the mean of all")
        covered.add(row)
    return Selection(covered.chosen, why, int(covered.gone_N.sum()) - len(covered.chosen))


class _Covered:
    """The rows chosen so far, and how near every row is to them.

    Attributes:
        chosen: row numbers.
        cosine_N: of each row and the chosen one nearest to it, -1..1.
        gone_N: which rows are chosen, or near-duplicates of chosen ones.
    """

    def __init__(self, index: FrameIndex) -> None:
        self._index = index
        self.chosen: list[int] = []
        self.cosine_N = np.full(index.rows, -np.inf, dtype=np.float32)
        self.gone_N = np.zeros(index.rows, dtype=np.bool_)

    def add(self, row: int) -> None:
        """Choose a row: one walk over the codes of all."""
        self.chosen.append(row)
        code_K = self._index.codes(np.array([row]))[0]
        alike_N = hamming(self._index.hash_N, int(self._index.hash_N[row])) <= NEAR_BITS
        for rows, part_NK in self._index.parts():
            cosine = part_NK @ code_K
            np.maximum(self.cosine_N[rows], cosine, out=self.cosine_N[rows])
            self.gone_N[rows] |= alike_N[rows] & (cosine >= NEAR_COSINE)
        self.gone_N[row] = True  # a code of zeros is near to nothing, itself included


def _most_typical(index: FrameIndex) -> int:
    mean_K = sum((part_NK.sum(axis=0, dtype=np.float64) for _, part_NK in index.parts()), np.zeros(index.size))
    cosines = [part_NK @ mean_K.astype(np.float32) for _, part_NK in index.parts()]
    return int(np.concatenate(cosines).argmax())


def curate(
    table: Codes,
    folder: Path,
    k: int,
    by: By = "different",
    *,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Curated:
    """Choose `k` frames of a table and write them as a folder: `list.csv`, `index.html` and the frames as PNGs.

    The folder gets its name as a whole. Frames that cannot be read again are left out and told. After Ctrl-C the folder
    holds the frames read until then.

    Args:
        table: what to choose from.
        folder: what to make; its parent is made too.
        k: how many frames.
        by: `different` or `novel`.
        overwrite: replace a folder that this function made.
        progress: called with the number of frames done, after each.

    Raises:
        SegError: for a `k` that is no number of rows, a folder that may not be written, or a table without novelty where
            that is asked for.
    """
    if by not in ("different", "novel"):
        raise SegError(f"expected to choose by 'different' or 'novel', got {by!r}")
    folder = followed(folder)
    made = {folder / name for name in (LIST, PAGE, FRAMES, *_listed(folder / LIST))}
    claim_folder(folder, made.__contains__, "seg curate", overwrite=overwrite)
    table.protect(folder)  # frames that were chosen once may be what this table is of
    novelty_N = table.column("novelty") if by == "novel" else None
    if novelty_N is not None and np.isnan(novelty_N).any():
        raise SegError(
            f"{table.path}: holds frames without novelty, because {table.model.name!r} does not answer it; "
            "run `seg calibrate` and export again, or choose by 'different'"
        )
    with index_of(table) as index, atomic_folder(folder) as temporary:
        selection = select(index, k, novelty_N)
        places = table.places(selection.rows)
        entries = [Entry(place, why) for place, why in zip(places, selection.why, strict=True)]
        problems, stopped = _write_frames(temporary, entries, progress)
        _write_list(temporary / LIST, entries)
        said = (
            f"{len(entries)} of {table.rows} frames of {table.path.name}, the most {by}; {selection.near} others are "
        )
        said += "near-duplicates of these"
        write_page(temporary / PAGE, f"{len(entries)} frames to label", said, entries, draw_map(index, selection.rows))
    problem = f"{len(problems)} of {len(entries)} frames could not be read (first: {problems[0]})" if problems else None
    return Curated(selection, sum(bool(entry.file) for entry in entries), problem, stopped)


def _write_frames(
    folder: Path, entries: list[Entry], progress: Callable[[int], None] | None
) -> tuple[list[str], KeyboardInterrupt | None]:
    """Write each entry's frame and note its file and thumbnail; why frames are missing, and what stopped it."""
    (folder / FRAMES).mkdir()
    problems: list[str] = []
    digits = len(str(len(entries)))
    wanted = [(entry.row.source, entry.row.index) for entry in entries]
    try:
        for done, (position, got) in enumerate(read_again(wanted), start=1):
            entry = entries[position]
            if isinstance(got, SegError):
                problems.append(str(got))
            else:
                name = f"{FRAMES}/{position + 1:0{digits}}_{_stem(entry.row)}.png"
                write_png(folder / name, got)
                entry.file, entry.thumbnail = name, thumbnail(got)
            if progress is not None:
                progress(done)
    except KeyboardInterrupt as stop:
        return problems, stop
    return problems, None


def _stem(row: Row) -> str:
    # a file's name has at most 255 bytes, rank and index among them; `list.csv` has the source in full
    stem = Path(row.source).stem.encode()[:NAME_BYTES].decode(errors="ignore")
    return f"{stem}_{row.index:06d}"


def _write_list(path: Path, entries: list[Entry]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for rank, entry in enumerate(entries, start=1):
            row = entry.row
            writer.writerow([rank, row.number, row.source, row.index, f"{row.time_s:.3f}", entry.why, entry.file])


def _listed(path: Path) -> set[str]:
    """The frames that a list of ours names; none where it is not ours."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {row.get("file") or "" for row in csv.DictReader(file)}
    except (OSError, ValueError, csv.Error):
        return set()
