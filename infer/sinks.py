"""Where answers go: pictures, folders of pictures, statistics. The sinks that encode video are in `infer.encode`."""

from __future__ import annotations

import json
import os
import shutil
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

import numpy as np
import numpy.typing as npt

from infer.restorer import Restoration
from infer.segmenter import Segmentation
from infer.sink import Sink, check_suffix
from infer.watch import Watched
from seg.draw import alarm, overlay
from seg.errors import SegError
from seg.files import atomic_folder, claim_folder, followed
from seg.frame import Frame
from seg.spec import ModelSpec

if TYPE_CHECKING:
    from PIL.Image import Image as Pillow

__all__ = [
    "PICTURE_SUFFIXES",
    "MaskFolder",
    "OverlayImage",
    "Paint",
    "Painter",
    "PictureFolder",
    "RestoredFolder",
    "Sink",
    "Stats",
    "restored_picture",
    "statistics",
]

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")

Paint = Callable[[Frame, Any], npt.NDArray[np.uint8]]
"""Makes the picture to show of a frame and a model's answer to it: uint8 RGB, HWC. `Painter` is one."""


class Painter:
    """The way a model's overlays look: its own colours, the class `background` left bare; alarms of a `Watch` in red."""

    def __init__(self, spec: ModelSpec, alpha: float = 0.5) -> None:
        """`alpha` is the weight of the paint; SegError outside 0..1."""
        if not 0 <= alpha <= 1:
            raise SegError(f"expected alpha between 0 and 1, got {alpha}")
        ontology = spec.as_ontology()
        self._palette_C3 = ontology.palette_C3
        self._skip = [index for index, name in enumerate(ontology.names) if name == "background"]
        self._alpha = alpha

    def __call__(self, frame: Frame, segmentation: Segmentation) -> npt.NDArray[np.uint8]:
        """The painted frame, uint8 RGB, HWC."""
        painted = overlay(frame.rgb_HWC, segmentation.classes, self._palette_C3, self._alpha, self._skip)
        text = segmentation.alarm if isinstance(segmentation, Watched) else ""
        return alarm(painted, text) if text else painted


class OverlayImage(Sink):
    """The painted frame as a PNG or JPEG, for a source of one picture."""

    kind = "overlay"
    readable = False

    def __init__(self, path: Path, painter: Paint, *, overwrite: bool = False) -> None:
        """SegError where the suffix is none of PICTURE_SUFFIXES."""
        check_suffix(path, PICTURE_SUFFIXES)
        super().__init__(path, overwrite=overwrite)
        self._painter = painter

    def _write(self, frame: Frame, answer: Any) -> None:
        from PIL import Image

        with self._making("painting", frame):
            picture = Image.fromarray(self._painter(frame, answer))
        picture.save(self._temporary, quality=95)

    def _close(self) -> None:
        return


class PictureFolder(Sink):
    """PNGs, one a frame: `000000.png`..., or the image's own name for a source of images.

    The folder gets its name as a whole.

    Attributes:
        software: what the PNGs say of themselves in their `Software` text: only such files are replaced.
        command: who writes them.
    """

    software: str
    command: str

    def __init__(self, path: Path, *, by_source: bool = False, overwrite: bool = False) -> None:
        """`by_source` names pictures by their images. SegError where the folder exists and holds something."""
        from PIL.PngImagePlugin import PngInfo

        super().__init__(followed(path), overwrite=overwrite)
        self._by_source = by_source
        self._used: set[str] = set()
        self._signed = PngInfo()
        self._signed.add_text("Software", self.software)

    def _claim(self, overwrite: bool) -> None:
        claim_folder(self.path, self._is_ours, self.command, overwrite=overwrite)

    def _is_ours(self, path: Path) -> bool:
        from PIL import Image

        try:
            with Image.open(path) as picture:
                return picture.format == "PNG" and picture.info.get("Software") == self.software
        except OSError:
            return False

    @property
    def partial(self) -> Path:
        """The folder that grows until it is complete."""
        return self.path.with_name(f"{self.path.name}.seg-partial")

    def keepable(self, most: int | None) -> int:
        """All pictures but one: the last may have been cut."""
        held = sum(1 for _ in self.partial.glob("*.png")) - 1 if self.partial.is_dir() else 0
        return max(0, held if most is None else min(held, most))

    def _reserve(self) -> AbstractContextManager[Path]:
        return atomic_folder(self.path, self.partial, keep=True)

    def _forget(self) -> None:
        if self.partial.is_dir():
            claim_folder(self.partial, self._is_part, self.command, overwrite=True)
            shutil.rmtree(self.partial, ignore_errors=True)

    def _is_part(self, path: Path) -> bool:
        """Whether it may be a picture of ours, which the process may have been killed in the middle of."""
        return path.suffix == ".png" and path.is_file()

    def _skip(self, frame: Frame) -> None:
        self._name(frame)
        if self.frames + 1 == self._keep:  # pictures behind it are made again; the last may be cut
            for path in self._temporary.glob("*.png"):
                number = int(path.stem) if path.stem.isdecimal() else frame.index + 1
                if path.stem not in self._used if self._by_source else number > frame.index:
                    path.unlink()

    def _write(self, frame: Frame, answer: Any) -> None:
        name = self._name(frame)
        with self._making("painting", frame):
            picture = self._picture(frame, answer)
        picture.save(self._temporary / f"{name}.png", compress_level=3, pnginfo=self._signed)

    def _name(self, frame: Frame) -> str:
        """The picture's name, which no other gets; those of images, which may be the same, are remembered."""
        if not self._by_source:
            return f"{frame.index:06d}"
        name = Path(frame.source).stem
        if name in self._used:  # several formats or folders
            name = f"{name}_{frame.index:06d}"
        self._used.add(name)
        return name

    def _close(self) -> None:
        return

    @abstractmethod
    def _picture(self, frame: Frame, answer: Any) -> Pillow:
        """The picture to save."""


class MaskFolder(PictureFolder):
    """Index PNGs with the palette: pixel values are class ids; viewers show the colours."""

    kind = "masks"
    software, command = "segmentation-autoencoder", "seg infer"

    def __init__(self, path: Path, spec: ModelSpec, *, by_source: bool = False, overwrite: bool = False) -> None:
        """`by_source` names masks by their images. SegError where the folder exists and holds something."""
        super().__init__(path, by_source=by_source, overwrite=overwrite)
        self._palette = spec.as_ontology().palette_C3.tobytes().ljust(256 * 3, b"\0")

    def _picture(self, frame: Frame, segmentation: Segmentation) -> Pillow:
        from PIL import Image

        picture = Image.fromarray(segmentation.classes)
        picture.putpalette(self._palette)
        return picture


def restored_picture(frame: Frame, restoration: Restoration) -> npt.NDArray[np.uint8]:
    """The `Paint` of a restored frame: the answer itself, uint8 RGB, HWC."""
    return restoration.rgb_HWC


class RestoredFolder(PictureFolder):
    """Restored frames as RGB PNGs, so without loss."""

    kind = "restored"
    software, command = "segmentation-autoencoder restored", "seg restore"

    def _picture(self, frame: Frame, restoration: Restoration) -> Pillow:
        from PIL import Image

        return Image.fromarray(restoration.rgb_HWC)


class Stats(Sink):
    """One JSON line a frame: index, time in s, share of each class, mean confidence 0..1, novelty, frozen, seconds by stage.

    `novelty` is null where the file does not answer it, `frozen` where no `Watch` over one camera says it.
    Give it last to a pipeline: the stages of the sinks before it are then in its lines.
    """

    kind = "stats"

    def __init__(self, path: Path, spec: ModelSpec, *, overwrite: bool = False) -> None:
        super().__init__(path, overwrite=overwrite)
        self._names = spec.as_ontology().names
        self._file: TextIO | None = None

    def keepable(self, most: int | None) -> int:
        """Whole lines."""
        try:
            held = self.partial.read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0
        return held if most is None else min(held, most)

    def _skip(self, frame: Frame) -> None:
        if self._file is None:
            lines = self._temporary.read_bytes().split(b"\n")[: self._keep]
            os.truncate(self._temporary, sum(len(line) + 1 for line in lines))
            self._file = self._open("a")

    def _write(self, frame: Frame, segmentation: Segmentation) -> None:
        if self._file is None:
            self._file = self._open("w")
        with self._making("counting", frame):
            line = json.dumps(statistics(frame, segmentation, self._names))
        self._file.write(line + "\n")

    def _open(self, mode: Literal["a", "w"]) -> TextIO:
        return self._temporary.open(mode, encoding="utf-8", buffering=1)  # line by line: a killed run keeps its own

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()


def statistics(frame: Frame, segmentation: Segmentation, names: tuple[str, ...]) -> dict[str, object]:
    """What `Stats` writes of a frame."""
    counts = np.bincount(segmentation.classes.ravel(), minlength=len(names))
    confidence, novelty = segmentation.confidence, segmentation.novelty
    return {
        "index": frame.index,
        "time": frame.time_ns / 1e9,
        "source": frame.source,
        "share": {
            name: round(int(count) / segmentation.classes.size, 6) for name, count in zip(names, counts, strict=False)
        },
        "confidence": None if confidence is None else round(float(confidence.mean()) / 255, 6),
        "novelty": novelty,
        "frozen": segmentation.frozen if isinstance(segmentation, Watched) else None,
        "seconds": {stage: round(seconds, 6) for stage, seconds in segmentation.timings.items()},
    }
