"""A table of codes, read: `seg search` and `seg curate` ask it for codes, and for where a row's frame came from.

What its columns are, `infer.table` says. Shape suffixes: N rows, K values of a code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from infer.table import ModelIdentity, library
from seg.errors import SegError
from seg.files import spare

Floats = npt.NDArray[np.float32]
Hashes = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Row:
    """Where a row's frame came from, and how novel it is.

    Attributes:
        number: the row, from 0.
        source: the video's or picture's name.
        index: position of the frame in its source.
        time_s: presentation time in seconds.
        novelty: 0.99 = beyond 99 % of normal frames; None where the model does not answer it.
    """

    number: int
    source: str
    index: int
    time_s: float
    novelty: float | None


class Codes:
    """A table of codes, opened for reading; nothing but what is asked for is held in memory.

    Attributes:
        path: the Parquet file.
        model: which model made it.
        rows: how many there are, at least one.
        size: K, the values of a code.
        names: its columns.
        fingerprint: hex SHA-256 of the file's own description of itself: another one after any change.
    """

    def __init__(self, path: str | Path) -> None:
        """Open a table.

        Raises:
            SegError: where the file is missing, cut short, empty, or no table of `seg embed`; where pyarrow is missing.
        """
        self.path = Path(path)
        parquet, arrow = library("pyarrow.parquet"), library("pyarrow")
        if self.path.is_dir():
            raise SegError(f"{path}: is a folder, expected a Parquet file of `seg embed`")
        with self._errors("not a whole Parquet file"):
            self._file = parquet.ParquetFile(self.path, memory_map=True, page_checksum_verification=True)
            self.fingerprint = _footer_hash(self.path)
        columns = self._file.schema_arrow
        self.model = ModelIdentity.from_metadata(columns.metadata, self.path, "seg embed")
        self.names: tuple[str, ...] = tuple(columns.names)
        code: Any = columns.field("code").type if "code" in self.names else None
        missing = {"source", "index", "time_s", "hash", "novelty"} - {*self.names}
        if missing or not arrow.types.is_fixed_size_list(code) or code.value_type != arrow.float32():
            raise SegError(
                f"{path}: expected the columns of `seg embed`, got code of type {code}"
                + (f" and no {', '.join(sorted(missing))}" if missing else "")
            )
        self.size: int = code.list_size
        self.rows: int = self._file.metadata.num_rows
        if not self.rows:
            raise SegError(f"{path}: has no rows; expected at least one frame")
        groups = range(self._file.metadata.num_row_groups)
        self._starts = np.cumsum([0, *(self._file.metadata.row_group(group).num_rows for group in groups)])

    def codes(self, rows: int = 65_536) -> Iterator[tuple[Hashes, Floats]]:
        """Hashes (N,) and codes (N, K) of all rows in order, at most `rows` at a time; SegError where the file is damaged."""
        for batch in self._batches(["hash", "code"], rows):
            hashes, codes = batch.column("hash"), batch.column("code")
            if hashes.null_count or codes.null_count or codes.flatten().null_count:
                raise SegError(
                    f"{self.path}: holds rows without code or hash; leave them out, or make it with `seg embed`"
                )
            yield hashes.to_numpy(), codes.flatten().to_numpy().reshape(-1, self.size)

    def column(self, name: str) -> npt.NDArray[Any]:
        """One column, (N,): numbers, nulls as NaN, or names; SegError where the table has none of that name."""
        if name not in self.names:
            raise SegError(f"{self.path}: has no column {name!r}; expected one of {', '.join(self.names)}")
        batches = [batch.column(name) for batch in self._batches([name], 65_536)]
        return np.concatenate([array.to_numpy(zero_copy_only=False) for array in batches])

    def places(self, numbers: Sequence[int]) -> list[Row]:
        """Where the frames of these rows came from, in this order.

        Raises:
            SegError: for a row that is not there, and where the file is damaged.
        """
        for number in numbers:
            self.check_row(number)
        groups = np.searchsorted(self._starts, numbers, side="right") - 1
        columns = ["source", "index", "time_s", "novelty"]
        found: dict[int, Row] = {}
        for group in np.unique(groups).tolist():
            with self._errors("damaged"):
                part = self._file.read_row_group(group, columns=columns)
            for number in np.asarray(numbers)[groups == group].tolist():
                values = [part.column(name)[number - int(self._starts[group])].as_py() for name in columns]
                found[number] = Row(number, *values)
        return [found[number] for number in numbers]

    def protect(self, output: Path) -> None:
        """SegError where an output would replace this table, a file that its frames came from, or a folder that holds one."""
        if output.exists():  # or a long column is read for nothing
            spare(output, (Path(name).resolve() for name in {str(self.path), *self.column("source").tolist()}))

    def check_row(self, number: int) -> None:
        """SegError unless the table has a row of this number."""
        if not 0 <= number < self.rows:
            raise SegError(f"{self.path}: has no row {number}; expected 0 to {self.rows - 1}")

    def _batches(self, columns: list[str], rows: int) -> Iterator[Any]:
        with self._errors("damaged"):
            yield from self._file.iter_batches(batch_size=rows, columns=columns)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except SegError:
            raise
        except FileNotFoundError:
            raise SegError(f"{self.path}: no such file") from None
        except (OSError, ValueError, library("pyarrow").ArrowException) as error:
            reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:120]
            raise SegError(f"{self.path}: {what} ({reason}); copy it again, or make it with `seg embed`") from None


def _footer_hash(path: Path) -> str:
    """Of the footer: where each column's pages stand, their sizes and their lowest and highest values."""
    with path.open("rb") as file:
        file.seek(-8, 2)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, 2)
        return hashlib.sha256(file.read(length)).hexdigest()
