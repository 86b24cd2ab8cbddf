"""Reading pictures and label pictures from files, exactly: no label is ever turned into a colour or rounded."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from seg.errors import SegError
from seg.files import atomic


def files_below(folder: Path) -> list[Path]:
    """All files at any depth below `folder`, sorted; links are followed, those that lead round in a circle excepted.

    A data set is often put together of links to where its parts lie: what is behind them must not be lost in silence.
    """
    found = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        here = Path(parent)
        folders[:] = [name for name in folders if not _leads_back(here / name)]
        found += [here / name for name in names]
    return sorted(found)


def _leads_back(folder: Path) -> bool:
    """Whether a folder is one that it is reached through."""
    return any(folder.samefile(parent) for parent in folder.parents)


def read_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """A picture file (PNG, JPEG...) as uint8 RGB of shape (H, W, 3).

    Grey is repeated in three channels, 16 bits keep their upper 8, alpha is dropped, palettes are looked up. The
    orientation in EXIF is left aside, because label pictures are drawn on the pixels as stored.

    Raises:
        SegError: naming the file, if it is missing, is no picture, is truncated, or holds floats, whose white nobody knows.
    """
    with _open(path) as picture:
        if picture.mode == "F":
            raise SegError(
                f"{path}: holds 32-bit floats, and nothing says which of them is white; save it with 8 bits or 16"
            )
        if picture.mode.startswith("I"):  # 16-bit grey; Pillow itself keeps the upper 8 bits of 16-bit colour
            grey = (np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        # `convert` would copy a picture that is RGB already
        return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def read_label(path: Path) -> npt.NDArray[np.integer]:
    """A label picture's ids as stored, uint8, uint16 or int32 of shape (H, W): a palette picture gives its indices.

    A colour picture gives uint8 RGB of shape (H, W, 3), for label sets that are keyed by colour.

    Raises:
        SegError: naming the file, if it is missing, is no picture, is truncated, or stores labels with loss (JPEG) or as
            floats.
    """
    with _open(path) as picture:
        if picture.format == "JPEG":
            raise SegError(f"{path}: a JPEG cannot hold labels (its values are rounded); expected a PNG")
        if picture.mode == "F":
            raise SegError(f"{path}: holds floats, which are no ids; expected a PNG of 8 or 16 bits")
        if picture.mode == "P":
            return np.array(picture)
        if picture.mode == "L":
            return np.asarray(np.array(picture) // _spread(path, picture), dtype=np.uint8)
        if picture.mode == "1":
            return np.array(picture).astype(np.uint8)
        if picture.mode == "I":  # 32 bits: cut to 16, an id would become another
            return np.array(picture)
        if picture.mode.startswith("I"):
            return np.array(picture).astype(np.uint16)
        if picture.mode in {"LA", "PA"}:
            return np.array(picture)[..., 0]
        return np.array(picture.convert("RGB"))


def read_color_label(path: Path) -> npt.NDArray[np.uint8]:
    """A label picture's colours, uint8 RGB of shape (H, W, 3); a palette is looked up.

    Raises:
        SegError: as `read_label`.
    """
    with _open(path) as picture:
        if picture.format == "JPEG":
            raise SegError(f"{path}: a JPEG cannot hold labels (its values are rounded); expected a PNG")
        return np.array(picture.convert("RGB"))


def _spread(path: Path, picture: Image.Image) -> int:
    """What Pillow multiplies a grey picture's values with: 17 or 85 where a PNG has 4 or 2 bits a pixel, to fill the byte."""
    if picture.format != "PNG":
        return 1
    with path.open("rb") as file:
        depth = file.read(25)[24]  # after signature, IHDR's length and name, width and height
    return 255 // ((1 << depth) - 1)


def _open(path: Path) -> Image.Image:
    """The decoded picture (decoding, not only the header, so that a truncated file is found here)."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except FileNotFoundError:
        raise SegError(f"{path}: no such file") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).replace(repr(str(path)), "").replace(str(path), "").strip() or type(error).__name__
        raise SegError(f"{path}: cannot be read as a picture ({reason}); expected a whole PNG or JPEG") from None


def write_png(path: Path, picture_HWC: npt.NDArray[np.uint8]) -> None:
    """Write a uint8 RGB picture as PNG, whole or not at all."""
    with atomic(path) as temporary:
        Image.fromarray(picture_HWC).save(temporary, format="PNG")
