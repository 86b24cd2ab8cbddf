"""Where frames come from: `open_source` takes a file, a folder, a glob, a camera's index or a stream's URL."""

from __future__ import annotations

import glob
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote

from seg.errors import SegError
from seg.frame import Frame
from seg.sources.base import DEFAULT_FPS, Kind, Source, without_secrets
from seg.sources.upright import read_upright

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
OURS = re.compile(r"\.(overlay|restored|seg-partial\d*)$")
"""How the names end, before the suffix, that we make beside a source; the last is what a killed run leaves."""

SLOWEST, FASTEST = 0.001, 1000
"""Frame rates, a second, that a folder of images may be given: what lies beyond, encoders round or refuse."""

_SECOND_NS = 1_000_000_000


def open_source(text: str | Path, fps: Fraction | float | None = None) -> Source:
    """A source by what the user typed.

    Args:
        text: a video file, an image, a folder or glob of images, a camera's index ("0"), or a URL (rtsp, http, udp...).
        fps: frames a second of a folder of images, SLOWEST to FASTEST (25 if not given).

    Raises:
        SegError: where there is no such thing, no frame can be had from it, or `fps` is no frame rate.
    """
    from seg.sources.guard import Guarded
    from seg.sources.reconnect import Reconnecting
    from seg.sources.video import StreamSource, VideoSource

    if fps is not None and not (SLOWEST <= fps <= FASTEST):
        raise SegError(f"expected a frame rate of {SLOWEST} to {FASTEST}, such as 25, got {fps}")
    text = str(text)
    path = local_path(text)
    if path is None:
        may_be_file = text.partition(":")[0].lower() in ("http", "https", "ftp", "ftps")
        unwanted, name = threading.Event(), without_secrets(text)
        return Reconnecting(
            lambda: Guarded(lambda: StreamSource(text), name, unwanted=unwanted), closed=unwanted, replays=may_be_file
        )
    if path.is_dir():
        files = [entry for entry in path.iterdir() if is_picture(entry) or _leads_nowhere(entry)]
        return ImageSource("folder", path, files, fps)
    if path.exists():
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return ImageSource("image", path, [path], fps)
        return VideoSource(path) if path.is_file() else Guarded(lambda: VideoSource(path), text)  # a pipe may stall
    if re.fullmatch(r"[0-9]{1,4}", text):
        return CameraSource(int(text))
    if glob.has_magic(str(path)):
        names = map(Path, glob.glob(str(path), recursive=True))  # noqa: PTH207  (takes absolute patterns)
        files = [name for name in names if name.suffix.lower() in IMAGE_SUFFIXES and not name.is_dir()]
        common = Path(os.path.commonpath([file.parent.absolute() for file in files])) if files else path
        return ImageSource("folder", common, files, fps)
    shown = without_secrets(text)
    raise SegError(f"{shown}: no such file or folder; expected a video, an image, a folder, a camera index or a URL")


def local_path(text: str) -> Path | None:
    """The path of a source, which a file: URL is another way to write; None for the URL of a stream."""
    if re.match(r"(?i)file:/", text):
        path = re.sub(r"(?i)^file:(//(localhost)?(?=/))?", "", text)
        return Path(path if os.path.lexists(path) else unquote(path))
    return None if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", text) else Path(text)


class ImageSource(Source):
    """One image, or those of a folder or glob in natural order (frame2 before frame10)."""

    def __init__(self, kind: Kind, path: Path, files: Sequence[Path], fps: Fraction | float | None) -> None:
        if not files:
            shown = without_secrets(str(path))
            raise SegError(f"{shown}: no images there; expected one of {', '.join(sorted(IMAGE_SUFFIXES))}")
        self.kind, self.path, self.name, self.count = kind, path, str(path), len(files)
        self.fps = Fraction(fps).limit_denominator(90_000) if fps is not None else DEFAULT_FPS
        self._files = sorted(files, key=natural_key)
        if kind == "image":
            self._only = read_upright(path)  # a picture that cannot be read is said before any output is made
            self.size = (self._only[0].shape[0], self._only[0].shape[1])

    def inputs(self) -> Sequence[Path]:
        """The image files; of a link that leads nowhere there is nothing to replace."""
        return [file for file in self._files if file.exists()]

    def frames(self) -> Iterator[Frame]:
        """The images; those that cannot be read are left out and counted in `problem`, as are those with more pages."""
        period_ns = _SECOND_NS / self.fps
        unreadable: list[str] = []
        paged: list[str] = []
        for index, file in enumerate(self._files):
            try:
                rgb_HWC, pages = self._only if self.kind == "image" else read_upright(file)
            except SegError as error:
                unreadable.append(str(error))
                self.problem = self._told(unreadable, paged)
                continue
            if pages > 1:
                paged.append(f"{file}: holds {pages} pictures and only the first is read; save each as a file")
                self.problem = self._told(unreadable, paged)
            yield Frame(rgb_HWC, index, round(index * period_ns), str(file))

    def _told(self, unreadable: list[str], paged: list[str]) -> str:
        parts = []
        if unreadable:
            parts.append(f"{len(unreadable)} of {self.count} images could not be read (first: {unreadable[0]})")
        if paged:
            others = len(paged) - 1
            parts.append(paged[0] + (f" (and {others} more such file{'s' * (others > 1)})" if others else ""))
        return ", ".join(parts)


class CameraSource(Source):
    """A camera by its index. OpenCV opens it, because it knows each system's cameras; times are those of arrival."""

    kind: Kind = "camera"

    def __init__(self, index: int) -> None:
        import cv2

        level = cv2.utils.logging.setLogLevel(0)  # its warnings are lines on stderr; ours is one
        self.name = f"camera {index}"
        self._device = cv2.VideoCapture(index)
        self._first = self._read() if self._device.isOpened() else None
        cv2.utils.logging.setLogLevel(level)
        if self._first is None:
            self._device.release()
            raise SegError(f"{self.name}: cannot be opened; see `ls /dev/video*`, or give a file")
        self.size = (self._first.rgb_HWC.shape[0], self._first.rgb_HWC.shape[1])
        rate = self._device.get(cv2.CAP_PROP_FPS)
        self.fps = Fraction(rate).limit_denominator(1001) if 1 <= rate <= 1000 else DEFAULT_FPS

    def frames(self) -> Iterator[Frame]:
        """Frames until the camera gives no more."""
        start_ns = time.monotonic_ns()
        index = 0
        frame = self._first
        while frame is not None:
            yield Frame(frame.rgb_HWC, index, max(0, frame.time_ns - start_ns), self.name)
            index += 1
            frame = self._read()
        self.problem = f"{self.name} gave no more frames after {index}"

    def close(self) -> None:
        """Let go of the camera."""
        self._device.release()

    def _read(self) -> Frame | None:
        import cv2
        import numpy as np

        there, bgr_HWC = self._device.read()
        if not there:
            return None
        rgb_HWC = np.asarray(cv2.cvtColor(bgr_HWC, cv2.COLOR_BGR2RGB), dtype=np.uint8)
        return Frame(rgb_HWC, 0, time.monotonic_ns(), self.name)


def is_picture(path: Path) -> bool:
    """Whether a folder's entry is a picture and none of ours: an image's overlay or restored copy lies beside it."""
    return _named_as_picture(path) and path.is_file()


def _leads_nowhere(path: Path) -> bool:
    """Whether a folder's entry was a picture once: a link to one that is gone."""
    return _named_as_picture(path) and path.is_symlink() and not path.exists()


def _named_as_picture(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not OURS.search(path.stem)


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """A sorting key that reads digits as numbers: frame2 before frame10."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]
