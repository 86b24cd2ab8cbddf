"""Readers of frames without labels: folders of pictures, and video files, which are decoded once into the cache."""

from __future__ import annotations

import glob
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seg.classes import Ontology
from seg.config import ImageFrames, VideoFrames
from seg.data.base import Reader
from seg.data.cache import DecodedCache, load
from seg.data.images import files_below, read_rgb
from seg.data.published import chosen
from seg.data.taken import entry_of, take
from seg.errors import SegError
from seg.labels import LabelSet
from seg.paths import expand
from seg.sources.open import IMAGE_SUFFIXES, OURS, is_picture, natural_key


class UnlabelledReader(Reader):
    """Frames without labels: each pixel has the raw label 0, which is ignore in any ontology.

    Raises:
        SegError: if the source names a label set.
    """

    has_labels = False

    def __init__(self, source: ImageFrames | VideoFrames, ontology: Ontology) -> None:
        if source.labels is not None:
            raise SegError(f"{source.kind}: has no labels to read with {source.labels!r}; leave `labels` out")
        self.label_set = LabelSet("unlabelled", ontology, "id", {0: "unlabelled"}, {"unlabelled": frozenset()})

    def read_raw(self, index: int) -> npt.NDArray[np.integer]:
        """Zeros of the frame's size, uint8 of shape (H, W)."""
        return self.read(index)[1]

    def read(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.integer]]:
        """The frame, and zeros of its size."""
        frame = self.read_frame(index)
        return frame, np.zeros(frame.shape[:2], dtype=np.uint8)


class ImagesReader(UnlabelledReader):
    """Every picture under a folder, at any depth, in natural order; neither hidden files nor what we made ourselves.

    Raises:
        SegError: if the folder is missing or holds no picture, or `include` and `exclude` leave none.
    """

    def __init__(self, source: ImageFrames, ontology: Ontology) -> None:
        super().__init__(source, ontology)
        root = expand(source.root)
        if not root.is_dir():
            raise SegError(f"images: no folder {root}; set `root` to a folder of pictures")
        files = sorted((path for path in files_below(root) if _is_picture(path, root)), key=natural_key)
        if not files:
            raise SegError(f"images: no pictures under {root}; expected one of {', '.join(sorted(IMAGE_SUFFIXES))}")
        # a name is without its suffix, as in all sources, unless two files would have one name
        short = [path.relative_to(root).with_suffix("").as_posix() for path in files]
        times = Counter(short)
        names = (
            name if times[name] == 1 else path.relative_to(root).as_posix()
            for name, path in zip(short, files, strict=True)
        )
        found, _ = chosen(dict(zip(names, files, strict=True)), {}, source)
        self.dataset = f"images/{root.name}"
        self._items = list(found.items())[: source.limit]

    def __len__(self) -> int:
        return len(self._items)

    def name(self, index: int) -> str:
        """The file's path under the folder, without its suffix."""
        return self._items[index][0]

    def files(self, index: int) -> tuple[Path, ...]:
        """The picture's file."""
        return (self._items[index][1],)

    def read_frame(self, index: int) -> npt.NDArray[np.uint8]:
        """The picture, uint8 RGB of shape (H, W, 3)."""
        return read_rgb(self._items[index][1])


class VideoReader(UnlabelledReader):
    """Frames of videos, taken by time or by change of scene, and decoded into the cache when the reader is made.

    What the cache holds is not decoded again. A video that ends early or is damaged gives the frames that it has, with
    a warning.

    Args:
        source: of a config.
        ontology: the classes that its label set speaks of.
        cache: where the frames go: there is no other place to read them from.

    Raises:
        SegError: without a cache, if no file fits, if no frame of a video can be decoded, or if the cache is full.
    """

    decoded = True

    def __init__(self, source: VideoFrames, ontology: Ontology, cache: DecodedCache | None) -> None:
        super().__init__(source, ontology)
        if cache is None:
            raise SegError("kind: video needs data.cache: its frames are decoded once into that folder")
        self._cached_in = cache.folder
        videos = _videos(expand(source.files))
        labels = _labels(videos)
        self.dataset = f"video/{_title(expand(source.files))}"
        self._frames: list[_Taken] = []
        names: list[str] = []
        for video in videos:
            most = None if source.limit is None else source.limit - len(self._frames)
            if most == 0:
                break
            shelf, index = take(video, cache, source, most)
            taken = index.frames[:most]
            if index.problem:
                warnings.warn(f"{index.problem}; frames taken of it: {len(taken)}", stacklevel=2)
            self._frames += [_Taken(video, entry_of(shelf, number), time_ns) for number, time_ns, _ in taken]
            names += [f"{labels[video]}@{time_ns / 1e9:.3f}" for _, time_ns, _ in taken]
        self._names = _unique(names)

    def __len__(self) -> int:
        return len(self._frames)

    def name(self, index: int) -> str:
        """The video's name and the frame's presentation time in seconds: `drive@12.040`."""
        return self._names[index]

    def files(self, index: int) -> tuple[Path, ...]:
        """The video's file."""
        return (self._frames[index].video,)

    def origin(self, index: int) -> str:
        """The video's file and the frame's time."""
        return f"{self._frames[index].video} at {self._frames[index].time_ns / 1e9:.3f} s"

    def read_frame(self, index: int) -> npt.NDArray[np.uint8]:
        """The frame, uint8 RGB of shape (H, W, 3), a read-only view of the cache's file.

        Raises:
            SegError: if it has been deleted meanwhile.
        """
        frame = load(self._frames[index].entry)
        if frame is None:
            raise SegError(
                f"{self.origin(index)}: no longer in data.cache {self._cached_in}; start again, and it is decoded again"
            )
        return frame


class _Taken(NamedTuple):
    video: Path
    entry: Path
    time_ns: int


def _is_picture(path: Path, root: Path) -> bool:
    return is_picture(path) and not any(part.startswith(".") for part in path.relative_to(root).parts)


def _videos(pattern: Path) -> list[Path]:
    """The files that fit, in natural order. SegError if there is none."""
    if pattern.is_dir():
        raise SegError(f"video: {pattern} is a folder; name its videos with a pattern, such as {pattern / '*.mp4'}")
    if pattern.is_file():
        return [pattern]
    found = {Path(name) for name in glob.glob(str(pattern), recursive=True)}  # noqa: PTH207  (takes absolute patterns)
    # not what `seg infer` and `seg restore` write beside a video
    videos = [path for path in found if path.is_file() and not OURS.search(path.stem)]
    if not videos:
        raise SegError(f"video: no file fits {pattern}; expected a video file, or a pattern such as drives/**/*.mp4")
    return sorted(videos, key=natural_key)


def _title(pattern: Path) -> str:
    """What to call a source: a video's stem, or the last folder before the first wildcard."""
    plain = pattern
    while glob.has_magic(str(plain)) and not plain.exists():
        plain = plain.parent
    return plain.stem if plain == pattern else plain.resolve().name


def _labels(videos: Iterable[Path]) -> dict[Path, str]:
    """Each video's stem; where several share it, with as much of the folders before it as tells them apart."""
    by_stem: dict[str, list[Path]] = {}
    for video in videos:
        by_stem.setdefault(video.stem, []).append(video)
    return {video: text for alike in by_stem.values() for video, text in zip(alike, _told_apart(alike), strict=True)}


def _told_apart(videos: Sequence[Path]) -> list[str]:
    for ends in ([video.stem for video in videos], [video.name for video in videos]):  # one folder, other suffixes
        for depth in range(1, max(len(video.parts) for video in videos) + 1):
            texts = ["/".join((*video.parts[-depth:-1], end)) for video, end in zip(videos, ends, strict=True)]
            if len(set(texts)) == len(videos):
                return texts
    raise AssertionError(f"{videos}: a file is there twice")


def _unique(names: Iterable[str]) -> list[str]:
    """The names, with `#2`, `#3`... at those that came before: two frames may share a millisecond."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return unique
