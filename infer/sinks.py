"""Where answers go. A sink is a context manager that takes frames one by one, in bounded memory.

What it writes stands under a temporary name until the block ends. By its own end, Ctrl-C or SIGTERM the output is
finished and gets its name; by any other error (a full disk...) it is removed, and an older one stays as it was.
The sinks that encode video are in `infer.encode`.
"""

from __future__ import annotations

import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, TextIO

import numpy as np
import numpy.typing as npt

from infer.segmenter import Segmentation
from seg.draw import overlay
from seg.errors import SegError
from seg.files import atomic, claim
from seg.frame import Frame
from seg.spec import ModelSpec

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")


class Sink(ABC):
    """One output. Call `write` for each frame inside its `with` block.

    Attributes:
        kind: its stage in timings: "overlay", "masks"...
        path: the file or folder that it makes.
        frames: how many frames it holds.
        kept: whether the output stands under its name (after the block).
    """

    kind: str

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        """Check that `path` may be written, before any work; SegError otherwise."""
        self.path = path
        self.frames = 0
        self.kept = False
        self._state: Literal["open", "broken", "finished"] = "open"
        self._stack = ExitStack()
        self._claim(overwrite)

    def __enter__(self) -> Sink:
        self._temporary = self._stack.enter_context(self._reserve())
        return self

    def write(self, frame: Frame, segmentation: Segmentation) -> None:
        """Add one frame; SegError where the disk takes no more."""
        with self._disk_errors():
            self._write(frame, segmentation)
        self.frames += 1

    def finish(self) -> None:
        """Complete the output under its temporary name. Leaving the block does it too; twice does no harm."""
        if self._state == "open" and self.frames:
            self._state = "broken"  # unless closing comes to its end
            with self._disk_errors():
                self._close()
            self._state = "finished"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = isinstance(error, KeyboardInterrupt)
        wanted = self.frames > 0 and self._state != "broken" and (error is None or stopped)
        # what was reserved is named where this block ends, and removed where it raises
        with suppress(_Unwanted), self._disk_errors(), self._stack:
            try:
                if not wanted:
                    raise _Unwanted
                self.finish()
            except BaseException:
                with suppress(Exception):  # it goes away: whether it closes cleanly does not matter any more
                    self._close()
                raise
        self.kept = wanted

    def _claim(self, overwrite: bool) -> None:
        claim(self.path, overwrite=overwrite)

    def _reserve(self) -> AbstractContextManager[Path]:
        return atomic(self.path)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except SegError:
            raise
        except (OSError, ValueError) as error:  # PyAV's errors are one or the other
            reason = getattr(error, "strerror", None) or error
            raise SegError(f"{self.path}: cannot be written ({reason}); nothing of it was kept") from error

    @abstractmethod
    def _write(self, frame: Frame, segmentation: Segmentation) -> None:
        """Add one frame."""

    @abstractmethod
    def _close(self) -> None:
        """Complete and close the output."""


class _Unwanted(Exception):  # noqa: N818
    """Ends a block whose output is not to be kept."""


class Painter:
    """The way a model's overlays look: its own colours, the class `background` left bare."""

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
        return overlay(frame.rgb_HWC, segmentation.classes, self._palette_C3, self._alpha, self._skip)


class OverlayImage(Sink):
    """The painted frame as a PNG or JPEG, for a source of one picture."""

    kind = "overlay"

    def __init__(self, path: Path, painter: Painter, *, overwrite: bool = False) -> None:
        """SegError where the suffix is none of PICTURE_SUFFIXES."""
        check_suffix(path, PICTURE_SUFFIXES)
        super().__init__(path, overwrite=overwrite)
        self._painter = painter

    def _write(self, frame: Frame, segmentation: Segmentation) -> None:
        from PIL import Image

        Image.fromarray(self._painter(frame, segmentation)).save(self._temporary, quality=95)

    def _close(self) -> None:
        return


SOFTWARE = "segmentation-autoencoder"
"""What our masks say of themselves in the PNG's `Software` text: only such files are replaced."""


def _is_ours(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.format == "PNG" and picture.info.get("Software") == SOFTWARE
    except OSError:
        return False


class MaskFolder(Sink):
    """Index PNGs with the palette, one a frame: `000000.png`..., or the image's own name for a source of images.

    Pixel values are class ids; viewers show the colours. The folder gets its name as a whole.
    """

    kind = "masks"

    def __init__(self, path: Path, spec: ModelSpec, *, by_source: bool = False, overwrite: bool = False) -> None:
        """`by_source` names masks by their images. SegError where the folder exists and holds something."""
        from PIL.PngImagePlugin import PngInfo

        super().__init__(path, overwrite=overwrite)
        self._palette = spec.as_ontology().palette_C3.tobytes().ljust(256 * 3, b"\0")
        self._by_source = by_source
        self._signed = PngInfo()
        self._signed.add_text("Software", SOFTWARE)

    def _claim(self, overwrite: bool) -> None:
        if not self.path.is_dir():
            if self.path.exists():
                raise SegError(f"{self.path}: is a file, expected a folder's name")
            claim(self.path, overwrite=overwrite)
            return
        held = list(self.path.iterdir())
        if held and not overwrite:
            raise SegError(
                f"{self.path}: exists already and holds files; give --overwrite to replace it, or another name"
            )
        other = next((entry for entry in held if not _is_ours(entry)), None)
        if other:  # the whole folder is replaced: one that holds anything but our masks was named by mistake
            raise SegError(f"{self.path}: holds {other.name!r}, which `seg infer` did not write; choose another folder")
        if not os.access(self.path.parent, os.W_OK):
            raise SegError(f"{self.path.parent}: not writable; choose another folder")

    @contextmanager
    def _reserve(self) -> Iterator[Path]:
        temporary = self.path.with_name(f".{self.path.name}.partial{os.getpid()}")
        temporary.mkdir()
        try:
            yield temporary
            if self.path.exists():
                shutil.rmtree(self.path)
            temporary.replace(self.path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _write(self, frame: Frame, segmentation: Segmentation) -> None:
        from PIL import Image

        picture = Image.fromarray(segmentation.classes)
        picture.putpalette(self._palette)
        name = Path(frame.source).stem if self._by_source else f"{frame.index:06d}"
        target = self._temporary / f"{name}.png"
        if target.exists():  # images of one name in several formats or folders
            target = self._temporary / f"{name}_{frame.index:06d}.png"
        picture.save(target, compress_level=3, pnginfo=self._signed)

    def _close(self) -> None:
        return


class Stats(Sink):
    """One JSON line a frame: index, time in s, share of each class, mean confidence 0..1, novelty, seconds by stage.

    Give it last to a pipeline: the stages of the sinks before it are then in its lines.
    """

    kind = "stats"

    def __init__(self, path: Path, spec: ModelSpec, *, overwrite: bool = False) -> None:
        super().__init__(path, overwrite=overwrite)
        self._names = spec.as_ontology().names
        self._file: TextIO | None = None

    def _write(self, frame: Frame, segmentation: Segmentation) -> None:
        if self._file is None:
            self._file = self._temporary.open("w", encoding="utf-8")
        self._file.write(json.dumps(statistics(frame, segmentation, self._names)) + "\n")

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
        "seconds": {stage: round(seconds, 6) for stage, seconds in segmentation.timings.items()},
    }


def check_suffix(path: Path, allowed: tuple[str, ...]) -> None:
    """SegError unless the path ends in one of the suffixes."""
    if path.suffix.lower() not in allowed:
        raise SegError(f"{path}: expected a name that ends in {' or '.join(allowed)}, got {path.suffix or 'none'!r}")
