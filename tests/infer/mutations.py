"""The program of `test_mutations.py`: 300 damaged copies of videos through the whole of `infer`, in a process of its own.

A watchdog ends it with all stacks if one copy takes longer than half a minute. It prints what came of the copies as JSON.
"""

from __future__ import annotations

import faulthandler
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from media import with_sound
from onnx_models import save_bands

from infer import Segmenter, open_source, run
from infer.encode import OverlayVideo
from infer.sinks import Painter, Stats
from seg.errors import SegError

COPIES, FRAMES = 300, 24
WATCHDOG_S = 30

random = np.random.default_rng(0)


def somewhere(data: bytes) -> int:
    return int(random.integers(1, len(data)))


def flipped(data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(int(random.integers(1, 30))):
        changed[somewhere(data)] ^= int(random.integers(1, 256))
    return bytes(changed)


def cut(data: bytes) -> bytes:
    return data[: somewhere(data)]


def without_its_head(data: bytes) -> bytes:
    return bytes(count := int(random.integers(1, 64))) + data[count:]


def index_damaged(data: bytes) -> bytes:
    start = max(data.find(b"moov"), 40)
    changed = bytearray(data)
    for _ in range(8):
        changed[min(len(data) - 1, start + int(random.integers(0, 400)))] ^= int(random.integers(1, 256))
    return bytes(changed)


def spliced(data: bytes) -> bytes:
    first, second = sorted((somewhere(data), somewhere(data)))
    return data[:first] + data[second:]


def zeroed(data: bytes) -> bytes:
    start, count = somewhere(data), int(random.integers(1, 400))
    return data[:start] + bytes(len(data[start : start + count])) + data[start + count :]


KINDS: tuple[Callable[[bytes], bytes], ...] = (flipped, cut, without_its_head, index_damaged, spliced, zeroed)


def outcome(segmenter: Segmenter, path: Path) -> dict[str, object]:
    faulthandler.dump_traceback_later(WATCHDOG_S, exit=True)
    stats, painted = path.with_suffix(".jsonl"), path.with_suffix(".painted.mp4")
    try:
        with open_source(path) as source:
            alone = sum(1 for _ in source)
        with open_source(path) as source:
            overlay = OverlayVideo(painted, Painter(segmenter.spec), source.fps, sound=path)
            summary = run(segmenter, source, [overlay, Stats(stats, segmenter.spec)])
    except SegError as error:
        return {"refused": str(error), "kept": stats.exists() or painted.exists()}
    finally:
        faulthandler.cancel_dump_traceback_later()
    lines = len(stats.read_text().splitlines())
    return {"frames": summary.frames, "problem": summary.problem, "lines": lines, "alone": alone}


def main(folder: Path) -> None:
    segmenter = Segmenter(save_bands(folder / "bands.onnx"), threads=1, streams=2)
    videos = [with_sound(folder / f"whole{suffix}", count=FRAMES) for suffix in (".mp4", ".mkv", ".ts")]
    found = []
    for number in range(COPIES):
        video = videos[number % len(videos)]
        kind = KINDS[number // len(videos) % len(KINDS)]
        suffix = ".avi" if number % 10 == 0 else video.suffix  # wrong now and then
        copy = folder / f"{number}{suffix}"
        copy.write_bytes(kind(video.read_bytes()))
        found.append({"kind": kind.__name__, "of": video.suffix, **outcome(segmenter, copy)})
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
