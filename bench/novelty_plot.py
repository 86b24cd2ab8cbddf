"""Lines through the levels of conditions, one panel a score, in the look of `bench.plot`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from bench.plot import COLORS, FAINT, GRID, INK

PANEL, HEIGHT = 1000, 1020
LEFT, TOP, RIGHT, BOTTOM = 110, 90, 40, 250
RADIUS = 6
TICKS = 5
NINES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)


class Point(NamedTuple):
    """A level: its score and its mean IoU in percent."""

    score: float
    mean_iou: float


class Panel(NamedTuple):
    """What one score says: the levels of each condition, from clean to worst.

    `nines` spreads scores towards 1, where 0.9, 0.99 and 0.999 are equally far from each other.
    """

    title: str
    across: str
    lines: Mapping[str, Sequence[Point]]
    nines: bool = False


def draw_panels(panels: Sequence[Panel], up: str) -> npt.NDArray[np.uint8]:
    """The picture, uint8 RGB: the panels side by side, all of them with the same conditions and mean IoU.

    Args:
        panels: a dot in them is a level, the larger the stronger; black is the clean one.
        up: what the mean IoU is of.
    """
    picture = Image.new("RGB", (PANEL * len(panels), HEIGHT), "white")
    canvas = ImageDraw.Draw(picture)
    for number, panel in enumerate(panels):
        _Drawn(canvas, number * PANEL, panel).draw(up if number == 0 else "")
    _legend(canvas, list(panels[0].lines))
    return np.asarray(picture, dtype=np.uint8)


class _Drawn:
    def __init__(self, canvas: ImageDraw.ImageDraw, start: int, panel: Panel) -> None:
        self._canvas, self._panel = canvas, panel
        self._box = (start + LEFT, TOP, start + PANEL - RIGHT, HEIGHT - BOTTOM)
        points = [point for line in panel.lines.values() for point in line]
        self._across = _span([self._place(point.score) for point in points])
        self._up = _span([point.mean_iou for point in points])

    def draw(self, up: str) -> None:
        left, top, right, bottom = self._box
        low, high = self._across
        nines = [tick for tick in NINES if low <= self._place(tick) <= high]
        for tick in nines if self._panel.nines else _ticks(low, high):
            x = self._at(Point(tick, 0))[0]
            self._canvas.line((x, top, x, bottom), fill=GRID, width=2)
            self._canvas.text((x, bottom + 10), f"{tick:g}", INK, _font(24), anchor="mt")
        for tick in _ticks(*self._up):
            y = self._at(Point(0, tick))[1]
            self._canvas.line((left, y, right, y), fill=GRID, width=2)
            self._canvas.text((left - 12, y), f"{tick:g}", INK, _font(24), anchor="rm")
        self._canvas.rectangle(self._box, outline=FAINT, width=2)
        self._canvas.text((left, top - 14), self._panel.title, INK, _font(30), anchor="ls")
        self._canvas.text(((left + right) / 2, bottom + 48), self._panel.across, INK, _font(26), anchor="mt")
        self._canvas.text((left, 14), up, FAINT, _font(24), anchor="lt")
        for line, color in zip(self._panel.lines.values(), _colors(), strict=False):
            dots = [self._at(point) for point in line]
            self._canvas.line(dots, fill=color, width=3)
            for level, (x, y) in reversed(list(enumerate(dots))):  # the clean dot on top
                radius = RADIUS + 1.5 * level
                around = (x - radius, y - radius, x + radius, y + radius)
                self._canvas.ellipse(around, fill=color if level else INK)

    def _place(self, score: float) -> float:
        return -math.log10(max(1 - score, 1e-6)) if self._panel.nines else score

    def _at(self, point: Point) -> tuple[float, float]:
        left, top, right, bottom = self._box
        (low, high), (least, most) = self._across, self._up
        x = left + (self._place(point.score) - low) / (high - low) * (right - left)
        return x, bottom - (point.mean_iou - least) / (most - least) * (bottom - top)


def _legend(canvas: ImageDraw.ImageDraw, names: Sequence[str]) -> None:
    x, y = LEFT, HEIGHT - BOTTOM + 120
    for name, color in zip([*names, "the frames as they are"], [*_colors()[: len(names)], INK], strict=True):
        wide = 60 + round(_font(28).getlength(name))
        if x + wide > canvas.im.size[0] - RIGHT:
            x, y = LEFT, y + 46
        canvas.ellipse((x, y - 11, x + 22, y + 11), fill=color)
        canvas.text((x + 32, y), name, INK, _font(28), anchor="lm")
        x += wide + 20


def _colors() -> list[tuple[int, int, int]]:
    return [*COLORS, (200, 40, 40)]


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between the two, about TICKS of them."""
    rough = (high - low) / TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= rough)
    return [round(number * step, 10) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
