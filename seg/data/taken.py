"""Which frames of a video are taken without labels, and their one decoding into the cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from seg.config import VideoFrames
from seg.data.cache import DecodedCache, load
from seg.errors import SegError
from seg.files import write_text
from seg.frame import Frame
from seg.strict import Strict

INDEX = "index.json"
"""Which frames of a video were taken; written after them, beside them."""

GREY = (64, 36)
"""Width and height of the pictures that tell whether a scene has changed."""


class Index(Strict):
    """The frames taken of one video: (number in the video, presentation time in ns, bytes of its file) each.

    Not `complete`: frames were taken until a limit was reached. `problem`: what is missing of the video, or damaged.
    """

    frames: tuple[tuple[int, int, int], ...]
    complete: bool
    problem: str | None


def take(video: Path, cache: DecodedCache, source: VideoFrames, most: int | None) -> tuple[Path, Index]:
    """The folder and the index of the frames that `source` takes of a video; decoded now where the cache lacks some.

    Args:
        video: its file.
        cache: where the frames go.
        source: says which to take.
        most: only the first so many (None: all); the index may list more.

    Raises:
        SegError: if the file is gone, no frame in it can be decoded, or the cache is full.
    """
    shelf = cache.shelf(video, f"every {source.every!r} s, scene change {source.scene_change!r}")
    return shelf, _read_index(shelf, most) or _decode(video, cache, shelf, source, most)


def entry_of(shelf: Path, number: int) -> Path:
    """The file of the frame that is the `number`-th of its video, in the folder of the video's frames."""
    return shelf / f"{number:08d}.npy"


def _read_index(shelf: Path, most: int | None) -> Index | None:
    """The index in a video's folder, if the first `most` frames (None: all) were taken and are still there."""
    try:
        index = Index.model_validate_json((shelf / INDEX).read_bytes())
        wanted = index.frames[:most]
        whole = all(entry_of(shelf, number).stat().st_size == size for number, _, size in wanted)
    except (OSError, ValueError):
        return None
    return index if whole and (index.complete or len(wanted) == most) else None


def _decode(video: Path, cache: DecodedCache, shelf: Path, source: VideoFrames, most: int | None) -> Index:
    """Take the first `most` frames (None: all) of a video into `shelf`, those that a killed run left there excepted."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    from seg.sources.video import VideoSource

    sampling = _Sampling(source.every, source.scene_change)
    frames: list[tuple[int, int, int]] = []
    console = Console(stderr=True)
    bar = Progress(console=console, disable=not console.is_terminal, transient=True)
    complete = False
    with VideoSource(video) as decoder, bar:
        for frame in bar.track(decoder, total=decoder.count, description=f"decoding {escape(video.name)}"):
            if not sampling.takes(frame):
                continue
            with _kept(video):
                frames.append((frame.index, frame.time_ns, _write(cache, entry_of(shelf, frame.index), frame)))
            if len(frames) == most:
                break
        else:
            complete = True
    index = Index(frames=tuple(frames), complete=complete, problem=decoder.problem)
    with _kept(video):
        write_text(shelf / INDEX, index.model_dump_json())
    return index


def _write(cache: DecodedCache, entry: Path, frame: Frame) -> int:
    """Keep a frame, if it is not there already; the bytes of its file."""
    before = load(entry)
    if before is None or before.shape != frame.rgb_HWC.shape:
        cache.write(entry, frame.rgb_HWC)
    return entry.stat().st_size


@contextmanager
def _kept(video: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SegError) as error:
        raise SegError(
            f"{video}: data.cache takes no more, and its frames have no other place ({error}); "
            "free space there, or take fewer frames (`every`, `limit`)"
        ) from None


class _Sampling:
    """Says of each frame of a video, in order, whether it is to be taken.

    By time, the first frame and then the first at or after each further multiple of `every_s` since then. With
    `scene_change`, the first frame, and then each that differs enough from the last one taken, `every_s` after it at
    the earliest.
    """

    def __init__(self, every_s: float, scene_change: float | None) -> None:
        self._every_ns = max(1, round(every_s * 1e9))
        self._scene_change = scene_change
        self._grey_hw: npt.NDArray[np.uint8] | None = None
        self._due_ns: int | None = None

    def takes(self, frame: Frame) -> bool:
        """Whether the frame is to be taken."""
        # recordings that were joined start their clock anew: what is due would never come
        if self._due_ns is None or frame.time_ns < self._due_ns - 2 * self._every_ns:
            self._due_ns = frame.time_ns
        if frame.time_ns < self._due_ns:
            return False
        if self._scene_change is None:
            self._due_ns += self._every_ns * ((frame.time_ns - self._due_ns) // self._every_ns + 1)
            return True
        small_hwc = cv2.resize(frame.rgb_HWC, GREY, interpolation=cv2.INTER_AREA)
        grey_hw = np.asarray(cv2.cvtColor(small_hwc, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        if self._grey_hw is not None and cv2.absdiff(grey_hw, self._grey_hw).mean() / 255 <= self._scene_change:
            return False
        self._grey_hw = grey_hw
        self._due_ns = frame.time_ns + self._every_ns
        return True
