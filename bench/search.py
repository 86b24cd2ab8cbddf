"""How fast, and how well, `seg search` finds: `python -m bench.search`, `python -m bench.search --table camvid.parquet`.

Without a table, a million rows are made up: drives of 500 frames that wander around a kind of road, through a space of 24
directions whose spread falls as that of real codes does. Codes are that place in K values with some noise, hashes the
signs of 32 turned directions of equal spread. Frames move as fast as CamVid's do in a second: from one to the next, 2 or 3
bits change. They are written as a table, and everything after that is what `seg index` and `seg search` do. Recall is measured against comparing all codes. With a table of real frames: the share of
the ten neighbours that are of the frame's own sequence, which its source's name says (`--sequence`).

Milliseconds are wall-clock; those of the processor stand beside them, for machines that do other work too.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infer.codes import Codes
from infer.index import BITS, CANDIDATES, FrameIndex, hamming, index_of, write_index
from infer.table import ModelIdentity, open_writer, schema

TOP = 10
DRIVES, FRAMES, DIRECTIONS, KEPT = 50, 500, 24, 0.85
MODEL = ModelIdentity(name="made up", sha256="0" * 64, classes=())

Array = npt.NDArray[np.float32]


def made_up(rows: int, size: int, seed: int) -> Iterator[tuple[Array, npt.NDArray[np.uint32]]]:
    """Codes (N, K) and hashes (N,), some drives at a time."""
    random = np.random.default_rng(seed)
    spread = np.arange(1, DIRECTIONS + 1) ** -0.5
    lift = np.linalg.qr(random.normal(size=(size, DIRECTIONS)))[0].T
    turn = np.linalg.qr(random.normal(size=(BITS, DIRECTIONS)))[0].T
    roads = random.normal(size=(40, DIRECTIONS)) * spread
    for start in range(0, rows, DRIVES * FRAMES):
        home = roads[random.integers(len(roads), size=DRIVES)] + 0.5 * spread * random.normal(size=(DRIVES, DIRECTIONS))
        place = spread * random.normal(size=(DRIVES, DIRECTIONS))
        path = np.empty((DRIVES, FRAMES, DIRECTIONS))
        for frame in range(FRAMES):
            place = KEPT * place + (1 - KEPT**2) ** 0.5 * spread * random.normal(size=place.shape)
            path[:, frame] = home + 0.7 * place
        latent = path.reshape(-1, DIRECTIONS)[: rows - start]
        code = latent @ lift + 0.01 * random.normal(size=(len(latent), size))
        bits = (code @ lift.T / spread) @ turn > 0
        yield code.astype(np.float32), np.packbits(bits, axis=1, bitorder="little").view("<u4").ravel()


def write_table(path: Path, rows: int, size: int, seed: int) -> None:
    """A table of made-up rows."""
    columns = schema(MODEL, size)
    with open_writer(path, columns) as writer:
        for number, (code, hashes) in enumerate(made_up(rows, size, seed)):
            count = len(code)
            values = {
                "source": [f"drive-{number:05}.mp4"] * count,
                "index": np.arange(count),
                "time_s": np.arange(count) / 25,
                "code": pa.FixedSizeListArray.from_arrays(code.ravel(), type=columns.field("code").type),
                "hash": hashes,
                "novelty": pa.nulls(count, pa.float32()),
            }
            writer.write_table(pa.table(values, schema=columns))


def exact(index: FrameIndex, queries: npt.NDArray[np.int64], top: int) -> npt.NDArray[np.int64]:
    """The rows of greatest cosine to each query, the query itself left out, by comparing all codes: (Q, top)."""
    code_QK = index.codes(queries)
    best = np.full((len(queries), 0), -np.inf, dtype=np.float32)
    rows = np.empty((len(queries), 0), dtype=np.int64)
    for where, part_NK in index.parts():
        cosine = code_QK @ part_NK.T
        numbers = np.arange(where.start, where.stop)
        cosine[queries[:, None] == numbers] = -np.inf
        best = np.concatenate([best, cosine], axis=1)
        rows = np.concatenate([rows, np.broadcast_to(numbers, cosine.shape)], axis=1)
        keep = np.argpartition(-best, top - 1, axis=1)[:, :top]
        best, rows = np.take_along_axis(best, keep, axis=1), np.take_along_axis(rows, keep, axis=1)
    return np.take_along_axis(rows, np.argsort(-best, axis=1), axis=1)


def milliseconds(calls: list[Callable[[], object]]) -> str:
    """Median and 95th percentile of the calls' times, wall-clock and processor, after a first round that warms up."""
    wall, own = [], []
    for number, call in enumerate([*calls, *calls]):
        start, begin = time.perf_counter(), time.thread_time()
        call()
        if number >= len(calls):
            wall.append(1000 * (time.perf_counter() - start))
            own.append(1000 * (time.thread_time() - begin))
    (w50, w95), (o50, o95) = np.percentile(wall, [50, 95]), np.percentile(own, [50, 95])
    return f"p50 {w50:7.2f} ms, p95 {w95:7.2f} ms (processor {o50:6.2f}, {o95:6.2f})"


def compare_hash_indexes(index: FrameIndex, queries: npt.NDArray[np.int64], wanted: int) -> None:
    """faiss's indexes of hashes: how long they take to build and to find `wanted` rows, and how near those are."""
    hashes = index.hash_N.view(np.uint8).reshape(-1, BITS // 8)
    heap, count = faiss.IndexBinaryFlat(BITS), faiss.IndexBinaryFlat(BITS)
    count.use_heap = False
    kinds = {
        "all, by heap": heap,
        "all, by counting": count,
        "one table of 16 bits, 1 flipped": faiss.IndexBinaryHash(BITS, 16),
        "2 tables of 16 bits, 1 flipped": faiss.IndexBinaryMultiHash(BITS, 2, 16),
        "4 tables of 8 bits": faiss.IndexBinaryMultiHash(BITS, 4, 8),
    }
    kinds["one table of 16 bits, 1 flipped"].nflip = kinds["2 tables of 16 bits, 1 flipped"].nflip = 1
    print(f"\nfaiss, the {wanted} nearest hashes:")
    for name, kind in kinds.items():
        start = time.thread_time()
        kind.add(hashes)
        built = time.thread_time() - start
        took = milliseconds([lambda row=row, kind=kind: kind.search(hashes[row : row + 1], wanted) for row in queries])
        bits, rows = kind.search(np.ascontiguousarray(hashes[queries]), wanted)
        missing = (rows < 0).sum(axis=1).mean()
        print(
            f"  {name:32} built in {built:5.2f} s; {took}; in {bits[rows >= 0].mean():4.1f} bits, {missing:.0f} missing"
        )


def whole_command(table: Path, row: int) -> str:
    """Time and memory of `seg search` as a process of its own, with all its imports."""
    code = (
        "import sys, re\nfrom seg.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(*re.findall(r'Rss(?:Anon|File):\\s+(\\d+)', open('/proc/self/status').read()))"
    )
    start = time.perf_counter()
    command = [sys.executable, "-c", code, "search", str(table), "--row", str(row)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    took = time.perf_counter() - start
    own, mapped = (int(kilobytes) / 1024 for kilobytes in done.stdout.splitlines()[-1].split())
    return f"{took:.1f} s, {own:.0f} MB of its own memory, {mapped:.0f} MB of mapped files touched"


def changes(hash_N: npt.NDArray[np.uint32]) -> str:
    """In how many bits a row differs from the one before it."""
    bits = np.bitwise_count(hash_N[1:] ^ hash_N[:-1])
    return f"{np.median(bits):.0f} bits, 95 % in at most {np.percentile(bits, 95):.0f}"


def speed(rows: int, size: int, count: int) -> None:
    """Print what an index of made-up rows costs and finds."""
    with tempfile.TemporaryDirectory() as folder:
        table_path, path = Path(folder) / "frames.parquet", Path(folder) / "frames.index"
        write_table(table_path, rows, size, seed=0)
        table = Codes(table_path)
        start, begin = time.perf_counter(), time.process_time()
        write_index(table, path)
        took = f"{time.perf_counter() - start:.1f} s (processor {time.process_time() - begin:.1f})"
        sizes = f"table {table_path.stat().st_size / 1e6:.0f} MB, index {path.stat().st_size / 1e6:.0f} MB"
        start, begin = time.perf_counter(), time.process_time()
        index = FrameIndex(path, table)
        opened = f"{time.perf_counter() - start:.2f} s (processor {time.process_time() - begin:.2f})"
        print(f"{rows:,} rows, codes of {size} values; {sizes}; written in {took}, opened in {opened},")
        _, copies = np.unique(index.hash_N, return_counts=True)
        print(f"{len(copies):,} different hashes, the most frequent of {copies.max():,} rows;")
        print(f"from one row to the next differ {changes(index.hash_N)}")
        queries = np.random.default_rng(1).choice(rows, count, replace=False)
        truth = exact(index, queries, TOP)
        bits = np.concatenate(
            [hamming(index.hash_N[found], int(index.hash_N[row])) for row, found in zip(queries, truth, strict=True)]
        )
        print(
            f"a frame and its ten nearest by code differ in {np.median(bits):.0f} bits, 95 % in at most {np.percentile(bits, 95):.0f}"
        )
        compare_hash_indexes(index, queries, CANDIDATES)
        code_QK = index.codes(queries)
        print(f"\nby hash, then by code, against comparing all ({count} queries):")
        for candidates in (1024, 4096, CANDIDATES, 65_536):
            calls = [
                lambda row=row, code=code, m=candidates: index.search(code, int(index.hash_N[row]), TOP + 1, m)
                for row, code in zip(queries, code_QK, strict=True)
            ]
            took = milliseconds(calls)
            found = [set(call().rows.tolist()) - {row} for call, row in zip(calls, queries.tolist(), strict=True)]
            recall = np.mean([len(one & set(best.tolist())) / TOP for one, best in zip(found, truth, strict=True)])
            mark = " <- seg search" if candidates == CANDIDATES else ""
            print(f"  {candidates:6} candidates: {took}, recall@{TOP} {recall:.3f}{mark}")
        places = [lambda one=one: table.places(one.tolist()) for one in truth]
        print(f"  looking up where ten rows came from: {milliseconds(places)}")
        print(f"  the whole command, with all its imports: {whole_command(table_path, 5)}")


def quality(path: Path, pattern: str) -> None:
    """Print which share of each frame's neighbours is of its own sequence."""
    table = Codes(path)
    sequence = np.array([found[1] if (found := re.search(pattern, name)) else name for name in table.column("source")])
    with index_of(table) as index:
        near = [index.like_row(row, TOP) for row in range(index.rows)]
        moved = changes(index.hash_N)
        by_hash = [
            np.argsort(np.delete(hamming(index.hash_N, int(value)), row), kind="stable")[:TOP]
            for row, value in enumerate(index.hash_N)
        ]
        truth = exact(index, np.arange(index.rows), TOP)
    own = np.array([(sequence[found.rows] == sequence[row]).mean() for row, found in enumerate(near)])
    alone = np.array([(np.delete(sequence, row)[found] == sequence[row]).mean() for row, found in enumerate(by_hash)])
    best = np.array([(sequence[found] == sequence[row]).mean() for row, found in enumerate(truth)])
    bits = np.concatenate([found.bits for found in near])
    print(f"{table.rows} frames of {path.name}, {table.model.name}; from one row to the next differ {moved};")
    print(f"a frame and its ten nearest in {np.median(bits):.0f} bits, 95 % in at most {np.percentile(bits, 95):.0f}")
    print(f"shares of the {TOP} neighbours that are of the frame's own sequence:")
    for name in [*np.unique(sequence).tolist(), "all"]:
        rows = np.arange(table.rows) if name == "all" else np.flatnonzero(sequence == name)
        chance = np.mean([(np.sum(sequence == sequence[row]) - 1) / (table.rows - 1) for row in rows])
        shares = (
            f"{own[rows].mean():.1%}; all codes compared {best[rows].mean():.1%}, hash alone {alone[rows].mean():.1%}"
        )
        print(f"  {name:10} {len(rows):5} frames: {shares}, chance {chance:.1%}")


def main() -> None:
    """Print one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="of real frames; without it, made-up rows are searched")
    parser.add_argument(
        "--sequence", default=r"([^/_]+)_[^/]*$", help="the part of a source's name that is its sequence's"
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=256, help="values of a made-up code")
    parser.add_argument("--queries", type=int, default=200)
    args = parser.parse_args()
    if args.table is not None:
        quality(args.table, args.sequence)
    else:
        speed(args.rows, args.size, args.queries)


if __name__ == "__main__":
    main()
