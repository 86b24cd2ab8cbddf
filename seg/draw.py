"""Pictures for people: class maps in colour, overlays, legends and contact sheets. Everything is uint8 RGB, HWC.

Painting is look-ups and one blend of whole pictures by OpenCV: about 1 ms for a 960x540 frame on one core.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from seg.classes import IGNORE
from seg.errors import SegError

Picture = npt.NDArray[np.uint8]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK, _PAPER = (255, 255, 255), (24, 24, 24)
_ALARM = (230, 0, 30)


def colorize(classes_HW: Picture, palette_C3: Picture) -> Picture:
    """The class map in its colours; ids without a colour (255 among them) are black.

    Args:
        classes_HW: uint8 class ids.
        palette_C3: uint8 RGB, one row a class (`Ontology.palette_C3`).
    """
    _check_map(classes_HW)
    table = np.zeros((256, 1, 3), dtype=np.uint8)
    table[: len(palette_C3), 0] = palette_C3
    # a colour map is OpenCV's three-channel look-up: ten times as fast as indexing, and it keeps the channel order
    return np.asarray(cv2.applyColorMap(classes_HW, table), dtype=np.uint8)


def overlay(
    rgb_HWC: Picture, classes_HW: Picture, palette_C3: Picture, alpha: float = 0.5, skip: Collection[int] = ()
) -> Picture:
    """The frame with its classes painted on, as a new array.

    Args:
        rgb_HWC: uint8 RGB frame.
        classes_HW: uint8 class ids of the same height and width.
        palette_C3: uint8 RGB, one row a class.
        alpha: weight of the paint, 0 (frame alone) to 1 (colours alone).
        skip: classes that stay unpainted; ignored pixels (255) and ids without a colour always do.

    Raises:
        SegError: where map and frame differ in size, or alpha is outside 0..1.
    """
    if classes_HW.shape != rgb_HWC.shape[:2]:
        raise SegError(f"expected a class map of the frame's size {rgb_HWC.shape[:2]}, got {classes_HW.shape}")
    if not 0 <= alpha <= 1:
        raise SegError(f"expected alpha between 0 and 1, got {alpha}")
    painted = cv2.addWeighted(rgb_HWC, 1 - alpha, colorize(classes_HW, palette_C3), alpha, 0)
    bare = np.zeros(256, dtype=np.uint8)
    bare[len(palette_C3) :] = 255
    bare[[IGNORE, *skip]] = 255
    cv2.copyTo(rgb_HWC, cv2.LUT(classes_HW, bare), painted)
    return np.asarray(painted, dtype=np.uint8)


def label(rgb_HWC: Picture, text: str) -> Picture:
    """A copy of the picture with `text` (plain ASCII) on a dark strip in its upper left corner."""
    out = rgb_HWC.copy()
    _write(out, text, _PAPER, 0)
    return out


def alarm(rgb_HWC: Picture, text: str) -> Picture:
    """A copy of the picture that cannot be overlooked: a red border, and `text` (plain ASCII) on red in its corner."""
    width = max(2, round(min(rgb_HWC.shape[:2]) / 60))
    out = np.empty_like(rgb_HWC)
    out[:] = _ALARM
    out[width:-width, width:-width] = rgb_HWC[width:-width, width:-width]
    _write(out, text, _ALARM, width)
    return out


def legend(rgb_HWC: Picture, names: Sequence[str], palette_C3: Picture) -> Picture:
    """A copy of the picture with a strip below that names the classes beside their colours, in as many rows as needed."""
    width = rgb_HWC.shape[1]
    scale = _text_scale(rgb_HWC)
    line = round(30 * scale) + 8
    rows: list[list[tuple[int, str, tuple[int, ...]]]] = [[]]
    x = line // 4
    for name, color in zip(names, palette_C3.tolist(), strict=True):
        needed = line + cv2.getTextSize(name, _FONT, scale, 1)[0][0] + line // 2
        if rows[-1] and x + needed > width:
            rows.append([])
            x = line // 4
        rows[-1].append((x, name, tuple(color)))
        x += needed
    strip = np.full((line * len(rows), width, 3), _PAPER, dtype=np.uint8)
    for row, entries in enumerate(rows):
        top, bottom = row * line + line // 4, (row + 1) * line - line // 4
        for left, name, color in entries:
            cv2.rectangle(strip, (left, top), (left + line * 3 // 4, bottom), color, cv2.FILLED)
            cv2.putText(strip, name, (left + line, bottom), _FONT, scale, _INK, 1, cv2.LINE_AA)
    return np.concatenate([rgb_HWC, strip])


def grid(pictures: Sequence[Picture], columns: int, gap: int = 4) -> Picture:
    """A contact sheet: the pictures in rows of `columns`, smaller ones padded to the largest, `gap` pixels between.

    Raises:
        SegError: where there is no picture or no column.
    """
    if not pictures or columns < 1:
        raise SegError(f"a contact sheet needs pictures and columns, got {len(pictures)} and {columns}")
    height = max(picture.shape[0] for picture in pictures)
    width = max(picture.shape[1] for picture in pictures)
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), _PAPER, dtype=np.uint8)
    for number, picture in enumerate(pictures):
        top, left = (number // columns) * (height + gap), (number % columns) * (width + gap)
        sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return sheet


def _write(out_HWC: Picture, text: str, paper: tuple[int, int, int], corner: int) -> None:
    """Put `text` on a strip of the colour `paper`, `corner` pixels away from the upper left corner, in place."""
    scale, pad = _text_scale(out_HWC), 4
    text = text.encode(
        "ascii", "replace"
    ).decode()  # what OpenCV has letters for; names that are no Unicode end it at once
    (width, height), base = cv2.getTextSize(text, _FONT, scale, 1)
    out_HWC[corner : corner + height + base + 2 * pad, corner : corner + width + 2 * pad] = paper
    cv2.putText(out_HWC, text, (corner + pad, corner + pad + height), _FONT, scale, _INK, 1, cv2.LINE_AA)


def _text_scale(rgb_HWC: Picture) -> float:
    """Text that can be read on a thumbnail and does not fill a full frame."""
    return float(np.clip(rgb_HWC.shape[1] / 1200, 0.4, 1.2))


def _check_map(classes_HW: Picture) -> None:
    if classes_HW.ndim != 2 or classes_HW.dtype != np.uint8:
        raise SegError(f"expected a uint8 class map of two axes, got {classes_HW.dtype} of shape {classes_HW.shape}")
