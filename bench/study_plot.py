"""Lines with the spread of their seeds, in the look of `bench.plot`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from bench.plot import COLORS, FAINT, GRID, INK

WIDTH, HEIGHT = 1200, 840
LEFT, TOP, RIGHT, BOTTOM = 110, 90, WIDTH - 50, HEIGHT - 120
RADIUS = 10

Line = Sequence[tuple[float, Sequence[float]]]
"""Where a point stands across, and the figure of each of its seeds."""


def draw(lines: Mapping[str, Line], title: str, across: str) -> npt.NDArray[np.uint8]:
    """The picture, uint8 RGB: a line through each name's means, with a bar from the worst seed to the best."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    canvas = ImageDraw.Draw(picture)
    places = sorted({place for line in lines.values() for place, _ in line})
    scores = [score for line in lines.values() for _, seeds in line for score in seeds]
    low, high = min(places) / 1.25, max(places) * 1.25
    margin = max(1.0, 0.08 * (max(scores) - min(scores)))
    least, most = min(scores) - margin, max(scores) + margin

    def at(place: float, score: float) -> tuple[float, float]:
        x = LEFT + math.log(place / low) / math.log(high / low) * (RIGHT - LEFT)
        return x, BOTTOM - (score - least) / (most - least) * (BOTTOM - TOP)

    for place in places:
        x = at(place, least)[0]
        canvas.line((x, TOP, x, BOTTOM), fill=GRID, width=2)
        canvas.text((x, BOTTOM + 12), f"{place:g}", INK, _font(26), anchor="mt")
    step = next((step for step in (1, 2, 5, 10) if (most - least) / step <= 9), 20)
    for number in range(math.ceil(least / step), math.floor(most / step) + 1):
        y = at(low, number * step)[1]
        canvas.line((LEFT, y, RIGHT, y), fill=GRID, width=2)
        canvas.text((LEFT - 14, y), f"{number * step:g}", INK, _font(26), anchor="rm")
    canvas.rectangle((LEFT, TOP, RIGHT, BOTTOM), outline=FAINT, width=2)
    canvas.text((LEFT, TOP - 26), title, INK, _font(34), anchor="ls")
    canvas.text(((LEFT + RIGHT) / 2, HEIGHT - 20), across, INK, _font(28), anchor="ms")
    for number, ((name, line), color) in enumerate(zip(lines.items(), COLORS, strict=False)):
        aside = 10 * (number - (len(lines) - 1) / 2)  # or one line's bars would hide the other's
        bars = [
            [at(place, score) for score in (min(seeds), statistics.mean(seeds), max(seeds))] for place, seeds in line
        ]
        bars = [[(x + aside, y) for x, y in bar] for bar in bars]
        canvas.line([mean for _, mean, _ in bars], fill=color, width=4)
        for worst, (x, y), best in bars:
            canvas.line((worst, best), fill=color, width=4)
            canvas.ellipse((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS), fill=color)
        y = BOTTOM - 40 - 44 * (len(lines) - 1 - number)
        canvas.ellipse((RIGHT - 260 - RADIUS, y - RADIUS, RIGHT - 260 + RADIUS, y + RADIUS), fill=color)
        canvas.text((RIGHT - 236, y), name, color, _font(30), anchor="lm")
    return np.asarray(picture, dtype=np.uint8)


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
