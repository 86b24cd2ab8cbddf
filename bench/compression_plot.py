"""Quality against bytes, one panel a figure, in the look of `bench.plot`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from bench.plot import COLORS, FAINT, GRID, INK

Line = Sequence[tuple[float, float]]
"""Bytes, and the figure at these bytes."""

PANEL, HEIGHT = 1000, 820
LEFT, TOP, RIGHT, BOTTOM = 100, 80, 50, 150
RADIUS = 9


def draw_panels(panels: Mapping[str, Mapping[str, Line]], across: str) -> npt.NDArray[np.uint8]:
    """The picture, uint8 RGB: a panel for each figure, its lines by name; bytes go across by their logarithm."""
    picture = Image.new("RGB", (PANEL * len(panels), HEIGHT), "white")
    canvas = ImageDraw.Draw(picture)
    for number, (title, lines) in enumerate(panels.items()):
        _panel(canvas, number * PANEL, title, lines)
    canvas.text((PANEL * len(panels) / 2, HEIGHT - 20), across, INK, _font(26), anchor="ms")
    return np.asarray(picture, dtype=np.uint8)


def _panel(canvas: ImageDraw.ImageDraw, start: int, title: str, lines: Mapping[str, Line]) -> None:
    left, top, right, bottom = start + LEFT, TOP, start + PANEL - RIGHT, HEIGHT - BOTTOM
    sizes = [size for line in lines.values() for size, _ in line]
    values = [value for line in lines.values() for _, value in line]
    low, high = min(sizes) / 1.15, max(sizes) * 1.15
    margin = 0.08 * (max(values) - min(values)) or 1.0
    least, most = min(values) - margin, max(values) + margin

    def at(size: float, value: float) -> tuple[float, float]:
        x = left + math.log(size / low) / math.log(high / low) * (right - left)
        return x, bottom - (value - least) / (most - least) * (bottom - top)

    for size in (digit * 10**power for power in range(1, 7) for digit in (1, 2, 3, 5, 7)):
        if low <= size <= high:
            x = at(size, least)[0]
            canvas.line((x, top, x, bottom), fill=GRID, width=2)
            canvas.text((x, bottom + 12), f"{size:,}", INK, _font(24), anchor="mt")
    step = next(step for step in (0.5, 1, 2, 5, 10, 20) if (most - least) / step <= 9)
    for number in range(math.ceil(least / step), math.floor(most / step) + 1):
        y = at(low, number * step)[1]
        canvas.line((left, y, right, y), fill=GRID, width=2)
        canvas.text((left - 12, y), f"{number * step:g}", INK, _font(24), anchor="rm")
    canvas.rectangle((left, top, right, bottom), outline=FAINT, width=2)
    canvas.text((left, top - 18), title, INK, _font(32), anchor="ls")
    x = left
    for (name, line), color in zip(lines.items(), (*COLORS[:2], FAINT), strict=False):
        dots = [at(*point) for point in line]
        canvas.line(dots, fill=color, width=4)
        for across, up in dots:
            canvas.ellipse((across - RADIUS, up - RADIUS, across + RADIUS, up + RADIUS), fill=color)
        canvas.ellipse((x, bottom + 61, x + 20, bottom + 81), fill=color)
        canvas.text((x + 30, bottom + 71), name, INK, _font(28), anchor="lm")
        x += 70 + round(_font(28).getlength(name))


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
