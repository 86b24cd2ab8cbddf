"""What `bench.latency` found: as a table, and accuracy against latency as a picture with published peers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.architectures import Figures, Trained
from seg.data.images import write_png


def table(figures: Figures) -> str:
    """The figures in Markdown; in brackets the ratio to the reference."""
    columns = [(size, runtime) for size, ms in figures.rows[0].ms.items() for runtime in ms]
    sizes = list(figures.rows[0].gflops)
    head = ["network", "encoder, decoder", "parameters, M", *(f"GFLOPs {size}" for size in sizes)]
    head += [f"{runtime} {size}, ms" for size, runtime in columns] + ["CamVid val mIoU, %"]
    lines = [" | ".join(head), "|".join(["---"] * len(head))]
    for row in sorted(figures.rows, key=lambda row: row.ms[columns[0][0]][columns[0][1]]):
        cells = [row.name, f"{row.model.encoder}, {row.model.decoder}", f"{row.parameters / 1e6:.2f}"]
        cells += [f"{row.gflops[size]:.1f}" for size in sizes]
        cells += [f"{row.ms[size][runtime]:.1f} ({row.ratio[size][runtime]:.2f})" for size, runtime in columns]
        lines.append(" | ".join([*cells, "; ".join(accuracy(recipe) for recipe in row.trained) or "-"]))
    about = ", ".join(f"{name} {version}" for name, version in figures.machine["versions"].items())
    foot = f"{figures.machine['cpu']}, {figures.machine['threads']} threads; {about}; (1.00) is {figures.reference}."
    foot += "".join(
        f"\n{peer.name}: {peer.mean_iou:.1f} % at {peer.ms[0]:.0f}-{peer.ms[1]:.0f} ms "
        f"(480x360, ONNX Runtime, another run), {PUBLISHED} ({peer.source})."
        for peer in PEERS
    )
    return "\n".join([*(f"| {line} |" for line in lines), "", foot])


def accuracy(recipe: Trained) -> str:
    """Mean IoU of a recipe in percent, its spread where it has several seeds, and how long it was trained."""
    scores = [100 * score for score in recipe.mean_iou]
    spread = f" ({min(scores):.1f}-{max(scores):.1f}, {len(scores)} seeds)" if len(scores) > 1 else ""
    return f"{statistics.mean(scores):.2f}{spread} in {recipe.epochs} epochs"


class Peer(NamedTuple):
    """A published network: mean IoU of its weights on the same val files in percent; lowest and highest ms measured."""

    name: str
    source: str
    mean_iou: float
    ms: tuple[float, float]


PEERS = (
    Peer(
        "ESPNet",
        "Mehta et al., 2018; weights espnet_p_2_q_8_camvid.pth of github.com/sacmehta/ESPNet",
        70.0,
        (123.0, 138.0),
    ),
)
"""Their milliseconds were measured as ours are (480x360, ONNX Runtime, two threads), but in another run."""

PUBLISHED = "published weights, measured on the same files"

WIDTH, HEIGHT = 2000, 1300
LEFT, TOP, RIGHT, BOTTOM = 170, 110, WIDTH - 60, HEIGHT - 140
RADIUS = 11
INK, FAINT, GRID, FRONT = (34, 34, 34), (112, 112, 120), (228, 228, 232), (206, 218, 206)
COLORS = ((36, 86, 200), (214, 96, 24), (30, 140, 80), (168, 44, 120), (120, 90, 200), (150, 120, 20), (70, 130, 150))

Color = tuple[int, int, int]
Box = tuple[float, float, float, float]


def draw(figures: Figures, size: str, runtime: str, path: Path) -> None:
    """Write the picture: a point for each recipe (the mean of its seeds, a bar from worst to best), the front of them,
    peers as rings, and a tick on the axis for each network without a run.

    Args:
        figures: with `with_runs`.
        size: which of the measured sizes.
        runtime: which of the measured runtimes.
        path: the PNG file; replaced if it exists.
    """
    speed = {row.name: row.ms[size][runtime] for row in figures.rows}
    scores = [100 * score for row in figures.rows for recipe in row.trained for score in recipe.mean_iou]
    waiting = [row.name for row in figures.rows if not row.trained]
    chart = _Chart(
        [*speed.values(), *(ms for peer in PEERS for ms in peer.ms)],
        [*scores, *(p.mean_iou for p in PEERS)],
        bool(waiting),
    )
    chart.axes(f"CamVid val, {size}, {runtime}, {figures.machine['threads']} threads ({figures.machine['cpu']})")
    decoders = sorted({row.model.decoder for row in figures.rows})
    recipes = []
    for row in figures.rows:
        color = COLORS[decoders.index(row.model.decoder) % len(COLORS)]
        for recipe in row.trained:
            name = row.name if len(row.trained) == 1 else f"{row.name} ({recipe.run})"
            recipes.append((name, speed[row.name], [100 * score for score in recipe.mean_iou], color))
    chart.points(recipes)
    for peer in PEERS:
        chart.ring(f"{peer.name}: {PUBLISHED}", peer.ms, peer.mean_iou)
    chart.ticks({name: speed[name] for name in waiting})
    chart.labels()
    write_png(path, np.asarray(chart.picture, dtype=np.uint8))


class _Chart:
    """A picture in the making: milliseconds go across by their logarithm, mean IoU in percent goes up."""

    def __init__(self, ms: Sequence[float], scores: Sequence[float], waiting: bool) -> None:
        self.picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
        self._canvas = ImageDraw.Draw(self.picture)
        self._ms = min(ms) / 1.25, max(ms) * 1.35
        span = max(max(scores) - min(scores), 10.0)
        # the names of what has no accuracy stand upright above the axis
        self._scores = min(scores) - span * (0.6 if waiting else 0.12), max(scores) + span * 0.12
        self._labels: list[tuple[str, Box, Color]] = []
        self._taken: list[Box] = []

    def axes(self, title: str) -> None:
        """The grid, its numbers and what they mean."""
        low, high = self._ms
        for value in (digit * 10.0**power for power in range(-1, 5) for digit in (1, 2, 3, 5, 7)):
            if low <= value <= high:
                self._canvas.line((self._x(value), TOP, self._x(value), BOTTOM), fill=GRID, width=2)
                self._canvas.text((self._x(value), BOTTOM + 12), f"{value:g}", INK, _font(30), anchor="mt")
        low, high = self._scores
        step = 5 if high - low < 50 else 10
        for score in range(math.ceil(low / step) * step, math.floor(high) + 1, step):
            self._canvas.line((LEFT, self._y(score), RIGHT, self._y(score)), fill=GRID, width=2)
            self._canvas.text((LEFT - 14, self._y(score)), str(score), INK, _font(30), anchor="rm")
        self._canvas.rectangle((LEFT, TOP, RIGHT, BOTTOM), outline=FAINT, width=2)
        self._canvas.text((LEFT, TOP - 30), title, INK, _font(34), anchor="ls")
        self._canvas.text(((LEFT + RIGHT) / 2, HEIGHT - 28), "ms a frame (logarithmic)", INK, _font(32), anchor="ms")
        self._upright("mean IoU, %", 40, (TOP + BOTTOM) / 2, INK, 32)

    def points(self, recipes: Sequence[tuple[str, float, Sequence[float], Color]]) -> None:
        """Recipes by name, ms, each run's score, colour: the mean, a bar from worst to best; behind them the front."""
        means = [(self._x(ms), self._y(statistics.mean(scores))) for _, ms, scores, _ in recipes]
        self._front(means)
        for (name, _, scores, color), (x, y) in zip(recipes, means, strict=True):
            self._canvas.line((x, self._y(min(scores)), x, self._y(max(scores))), fill=color, width=4)
            self._canvas.ellipse(_around(x, y), fill=color)
            self._mark(name, _around(x, y), color)

    def ring(self, name: str, ms: tuple[float, float], score: float) -> None:
        """A network whose time was measured elsewhere, from lowest to highest."""
        (first, last), y = (self._x(value) for value in ms), self._y(score)
        self._canvas.line((first, y, last, y), fill=FAINT, width=4)
        self._canvas.ellipse(_around((first + last) / 2, y), fill="white", outline=FAINT, width=4)
        self._mark(name, (first, y - RADIUS, last, y + RADIUS), FAINT)

    def ticks(self, ms: dict[str, float]) -> None:
        """Networks without an accuracy, as ticks on the axis with upright names, moved apart where they are close."""
        free = 0.0
        for name, value in sorted(ms.items(), key=lambda item: item[1]):
            x = self._x(value)
            across = max(x, free)
            self._canvas.line((x, BOTTOM, x, BOTTOM - 22), fill=FAINT, width=4)
            self._canvas.line((x, BOTTOM - 22, across, BOTTOM - 48), fill=FAINT, width=2)
            height = _font(26).getlength(name)
            self._upright(name, across, BOTTOM - 58 - height / 2, FAINT, 26)
            self._taken.append((across - 16, BOTTOM - 58 - height, across + 16, BOTTOM))
            free = across + 32

    def labels(self) -> None:
        """The names of points, each at the first side of its point where nothing stands yet."""
        font = _font(28)
        for name, (left, top, right, bottom), color in self._labels:
            y = (top + bottom) / 2
            sides = [
                (x, y + dy, anchor)
                for dy in (0, -34, 34, -64, 64)
                for x, anchor in ((right + 10, "lm"), (left - 10, "rm"))
            ]
            boxes = [self._canvas.textbbox((x, down), name, font, anchor=anchor) for x, down, anchor in sides]
            chosen = next((number for number, box in enumerate(boxes) if self._is_free(box)), 0)
            x, down, anchor = sides[chosen]
            self._canvas.text((x, down), name, color, font, anchor=anchor, stroke_width=4, stroke_fill="white")
            self._taken.append(boxes[chosen])

    def _front(self, points: Sequence[tuple[float, float]]) -> None:
        """A line through the points that no other one beats in both, by steps."""
        best: list[tuple[float, float]] = []
        for x, y in sorted(points):
            if not best or y < best[-1][1]:  # y counts downwards
                best += [(x, best[-1][1]), (x, y)] if best else [(x, y)]
        if best:
            self._canvas.line([*best, (RIGHT, best[-1][1])], fill=FRONT, width=8)

    def _mark(self, name: str, box: Box, color: Color) -> None:
        self._taken.append(box)
        self._labels.append((name, box, color))

    def _is_free(self, box: Box) -> bool:
        left, top, right, bottom = box
        inside = left > LEFT and right < RIGHT and top > TOP and bottom < BOTTOM
        return inside and not any(left < c and a < right and top < d and b < bottom for a, b, c, d in self._taken)

    def _upright(self, text: str, x: float, y: float, color: Color, size: int) -> None:
        """Text that reads upwards, its middle at (x, y)."""
        left, top, right, bottom = (round(side) for side in _font(size).getbbox(text))
        paper = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(paper).text((-left, -top), text, 255, _font(size))
        turned = paper.transpose(Image.Transpose.ROTATE_90)
        self.picture.paste(color, (round(x - turned.width / 2), round(y - turned.height / 2)), turned)

    def _x(self, ms: float) -> float:
        low, high = self._ms
        return LEFT + math.log(ms / low) / math.log(high / low) * (RIGHT - LEFT)

    def _y(self, score: float) -> float:
        low, high = self._scores
        return BOTTOM - (score - low) / (high - low) * (BOTTOM - TOP)


def _around(x: float, y: float) -> Box:
    return x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
