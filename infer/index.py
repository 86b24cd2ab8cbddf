"""Which frames are like a given one: by semantic hash first, then by code, among millions.

The index of a table is an Arrow file that is mapped into memory, not read: the hashes, and the codes at unit length. A
query takes the CANDIDATES rows whose hashes differ in the fewest bits from a faiss index that is held in memory (4 bytes a
row), and only reads their codes. Shape suffixes: N rows, K values of a code, M candidates.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from infer.codes import Codes, Floats, Hashes
from infer.table import ModelIdentity, library
from seg.errors import SegError
from seg.files import atomic

CANDIDATES = 16_384
"""How many rows, nearest by hash, are compared by code: `python -m bench.search` measured what that finds and takes."""

BITS = 32
_TABLE_KEY = "segmentation_autoencoder.table"


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Rows like a query, the most alike first.

    Attributes:
        rows: row numbers of the table, int64.
        bits: Hamming distance of each row's hash to the query's, 0..32.
        cosines: cosine of each row's code and the query's, float32, -1..1.
    """

    rows: npt.NDArray[np.int64]
    bits: npt.NDArray[np.int32]
    cosines: Floats


def unit(code_NK: npt.ArrayLike) -> Floats:
    """Codes at length 1, so that a dot product is a cosine; a code of zeros, or with NaN in it, becomes zeros."""
    code_NK = np.asarray(code_NK, dtype=np.float32)
    lengths_N1 = np.sqrt(np.einsum("nk,nk->n", code_NK, code_NK, dtype=np.float64))[:, None]
    sound_N1 = np.isfinite(lengths_N1) & (lengths_N1 > 0)
    return np.where(sound_N1, code_NK / np.where(sound_N1, lengths_N1, 1), 0).astype(np.float32)


def hamming(hash_N: Hashes, value: int) -> npt.NDArray[np.uint8]:
    """In how many bits each hash differs from `value`, uint8 (N,)."""
    return np.asarray(np.bitwise_count(hash_N ^ np.uint32(value)), dtype=np.uint8)


def write_index(table: Codes, path: Path) -> None:
    """Write the index of a table, whole or not at all; whoever calls checks that `path` may be written.

    Raises:
        SegError: where the table is damaged, the disk is full, or pyarrow is missing.
    """
    arrow = library("pyarrow")
    code = arrow.list_(arrow.float32(), table.size)
    metadata = {**table.model.to_metadata(), _TABLE_KEY: table.fingerprint}
    columns = arrow.schema([("hash", arrow.uint32()), ("code", code)], metadata=metadata)
    with (
        atomic(path) as temporary,
        arrow.OSFile(str(temporary), "wb") as file,
        arrow.ipc.new_file(file, columns) as writer,
    ):
        for hash_N, code_NK in table.codes():
            codes = arrow.FixedSizeListArray.from_arrays(arrow.array(unit(code_NK).ravel()), type=code)
            writer.write_batch(arrow.record_batch([arrow.array(hash_N), codes], schema=columns))


def beside(table: Path) -> Path:
    """Where the index of a table stands: codes.parquet has codes.index. SegError for a table that is itself called so."""
    if table.suffix == ".index":
        raise SegError(
            f"{table}: is where its own index would stand; call the table {table.with_suffix('.parquet').name}"
        )
    return table.with_suffix(".index")


@contextmanager
def index_of(table: Codes) -> Iterator[FrameIndex]:
    """The index of a table: the one beside it, or, where there is none, one that is made for this block.

    Raises:
        SegError: where the one beside it is damaged, or was made of another table or model.
    """
    if beside(table.path).exists():
        yield FrameIndex(beside(table.path), table)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.index"
        write_index(table, path)
        yield FrameIndex(path, table)


class FrameIndex:
    """The hashes and codes of a table's rows, to be searched and compared.

    Attributes:
        rows: how many there are.
        size: K, the values of a code.
        hash_N: the hashes, uint32.
    """

    def __init__(self, path: Path, table: Codes) -> None:
        """Open the index of `table` that `write_index` wrote.

        Raises:
            SegError: where it is missing, damaged, or of another table or model; where faiss is missing.
        """
        arrow, faiss = library("pyarrow"), library("faiss")
        again = f"make it again with `seg index {table.path} --overwrite`"
        try:
            reader = arrow.ipc.open_file(arrow.memory_map(str(path)))
            batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        except FileNotFoundError:
            raise SegError(f"{path}: no such file") from None
        except (OSError, ValueError, arrow.ArrowException) as error:
            raise SegError(f"{path}: not a whole index ({' '.join(str(error).split())[:80]}); {again}") from None
        metadata = reader.schema.metadata or {}
        made_by = ModelIdentity.from_metadata(metadata, path, "seg index")
        table.model.check(made_by, table.path, path)
        if metadata.get(_TABLE_KEY.encode()) != table.fingerprint.encode():
            raise SegError(f"{path}: is of another table, or {table.path} has changed since; {again}")
        self.rows, self.size = table.rows, table.size
        self._parts = [batch.column("code").flatten().to_numpy().reshape(-1, self.size) for batch in batches]
        self._starts = np.cumsum([0, *map(len, self._parts)])
        self.hash_N: Hashes = np.concatenate([batch.column("hash").to_numpy() for batch in batches])
        # a pass over all hashes: building takes no time, and none is missed. Counting distances instead of keeping a
        # heap makes many candidates as fast as few
        self._hashes = faiss.IndexBinaryFlat(BITS)
        self._hashes.use_heap = False
        self._hashes.add(_bytes(self.hash_N))

    def parts(self) -> Iterator[tuple[slice, Floats]]:
        """All codes at unit length, (N, K), part by part with the rows that it has; mapped, so not in memory."""
        for start, part_NK in zip(self._starts.tolist(), self._parts, strict=False):
            yield slice(start, start + len(part_NK)), part_NK

    def codes(self, rows_M: npt.NDArray[np.int64]) -> Floats:
        """The codes of some rows at unit length, (M, K)."""
        code_MK = np.empty((len(rows_M), self.size), dtype=np.float32)
        part_M = np.searchsorted(self._starts, rows_M, side="right") - 1
        for part in np.unique(part_M).tolist():
            here_M = part_M == part
            code_MK[here_M] = self._parts[part][rows_M[here_M] - self._starts[part]]
        return code_MK

    def like_row(self, row: int, k: int) -> Neighbours:
        """The rows most like one of the table's own, which is not among them; SegError as `search`."""
        code_1K = self.codes(np.array([row]))
        found = self.search(code_1K[0], int(self.hash_N[row]), k + 1)
        others = found.rows != row
        return Neighbours(found.rows[others][:k], found.bits[others][:k], found.cosines[others][:k])

    def search(self, code_K: Floats, value: int, k: int, candidates: int = CANDIDATES) -> Neighbours:
        """The rows most like a frame, `k` of them, or all where there are fewer.

        The `candidates` rows nearest by hash are ordered by cosine; rows of equal cosine by their number. Where there are
        no more rows than that, the answer is that of comparing all codes.

        Args:
            code_K: the frame's code, any length.
            value: its semantic hash.
            k: how many rows, at least 1.
            candidates: how many rows are compared by code, at least k.

        Raises:
            SegError: where the code is not of this index's size, or k is below 1.
        """
        if np.shape(code_K) != (self.size,):
            raise SegError(f"expected a code of {self.size} values, got one of shape {np.shape(code_K)}")
        if k < 1:
            raise SegError(f"expected to look for at least 1 row, got {k}")
        wanted = min(max(candidates, k), self.rows)
        bits_1M, rows_1M = self._hashes.search(_bytes(np.array([value], dtype=np.uint32)), wanted)
        cosine_M = self.codes(rows_1M[0]) @ unit(np.asarray(code_K)[None])[0]
        best = np.lexsort((rows_1M[0], -cosine_M))[:k]
        return Neighbours(rows_1M[0][best], bits_1M[0][best], cosine_M[best])


def _bytes(hash_N: Hashes) -> npt.NDArray[np.uint8]:
    """As faiss takes them, (N, 4)."""
    return np.ascontiguousarray(hash_N).view(np.uint8).reshape(-1, BITS // 8)
