"""Pictures as they are meant to be seen: cameras store them as the sensor lies, and say how to turn or mirror them."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]

_ORIENTATION = 0x0112
_TURNS = {
    2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1),
    5: (0, 1, 1, 0), 6: (0, 1, -1, 0), 7: (0, -1, -1, 0), 8: (0, -1, 1, 0),
}  # fmt: skip
"""What the orientations of EXIF mean, as `turned` takes it; 1 is upright."""


def turned(rgb_HWC: Pixels, a: int, b: int, c: int, d: int) -> Pixels:
    """The picture with each pixel (x, y) at (ax + cy, bx + dy), moved back into view.

    Quarter turns and mirrors only: where neither a and d nor b and c are 0, the picture stays as it is.
    """
    if not a and not d:
        rgb_HWC, a, d = rgb_HWC.transpose(1, 0, 2), c, b
    elif b or c:
        return rgb_HWC
    return np.ascontiguousarray(rgb_HWC[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def read_upright(path: Path) -> tuple[Pixels, int]:
    """A picture file as uint8 RGB of shape (H, W, 3), upright, and how many pictures of this size the file holds.

    16 bits keep their upper 8: 65535 is white, whatever the brightest pixel. Of a TIFF of several pages or an animated
    picture it is the first.

    Raises:
        SegError: naming the file, if it is missing, is no picture, is truncated, or holds floats.
    """
    from PIL import Image

    from seg.data.images import read_rgb

    rgb_HWC = read_rgb(path)
    unread = SyntaxError, ValueError, LookupError, OSError, EOFError, struct.error  # as read_rgb, which saw none
    with Image.open(path) as picture, suppress(*unread):  # its header alone
        turn = _TURNS.get(_orientation(picture))
        return rgb_HWC if turn is None else turned(rgb_HWC, *turn), _pages(picture)
    return rgb_HWC, 1


def _orientation(picture: Image.Image) -> int:
    # Pillow turns a TIFF itself, and would decode a PNG to look for what stands behind its pixels
    stands = picture.format != "TIFF" and "exif" in picture.info
    return int(picture.getexif().get(_ORIENTATION, 1)) if stands else 1


def _pages(picture: Image.Image) -> int:
    """How many pictures there are, all of one size: those of another are a thumbnail or a pyramid."""
    count: int = getattr(picture, "n_frames", 1)
    if count == 1 or picture.format == "MPO":  # a JPEG's further pictures are its preview and its depth
        return 1
    size = picture.size
    picture.seek(1)
    return count if picture.size == size else 1
