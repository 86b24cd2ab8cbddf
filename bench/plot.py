"""What `bench.latency` found: as a table, and accuracy against latency as a picture."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from bench.architectures import Figures, Trained
from bench.charts import FAINT, log_ticks, new, picture
from seg.data.images import write_png


def table(figures: Figures) -> str:
    """The figures in Markdown; in brackets the ratio to the reference."""
    columns = [(size, runtime) for size, ms in figures.rows[0].ms.items() for runtime in ms]
    sizes = list(figures.rows[0].gflops)
    head = ["network", "encoder, decoder", "parameters, M", *(f"GFLOPs {size}" for size in sizes)]
    head += [f"{runtime} {size}, ms" for size, runtime in columns] + ["CamVid val mIoU, %"]
    lines = [" | ".join(head), "|".join(["---"] * len(head))]
    for row in sorted(figures.rows, key=lambda row: row.ms[columns[0][0]][columns[0][1]]):
        cells = [row.name, row.kind, f"{row.parameters / 1e6:.2f}"]
        cells += [f"{row.gflops[size]:.1f}" for size in sizes]
        cells += [f"{row.ms[size][runtime]:.1f} ({row.ratio[size][runtime]:.2f})" for size, runtime in columns]
        lines.append(" | ".join([*cells, "; ".join(accuracy(recipe) for recipe in row.trained) or "-"]))
    about = ", ".join(f"{name} {version}" for name, version in figures.machine["versions"].items())
    foot = f"{figures.machine['cpu']}, {figures.machine['threads']} threads; {about}; (1.00) is {figures.reference}."
    return "\n".join([*(f"| {line} |" for line in lines), "", foot])


def accuracy(recipe: Trained) -> str:
    """Mean IoU of a recipe in percent, its spread where it has several seeds, and how long it was trained."""
    scores = [100 * score for score in recipe.mean_iou]
    spread = f" ({min(scores):.1f}-{max(scores):.1f}, {len(scores)} seeds)" if len(scores) > 1 else ""
    if recipe.epochs is None:
        return f"{statistics.mean(scores):.1f} with published weights ({recipe.run})"
    return f"{statistics.mean(scores):.2f}{spread} in {recipe.epochs} epochs"


ROW = 0.04
"""The height of a name in the margin of the picture, as a share of it."""


def draw(figures: Figures, size: str, runtime: str, path: Path) -> None:
    """Write the picture: a point for each recipe (the mean of its seeds, a bar from worst to best), the front of them,
    published networks as rings, and a tick on the axis for each network without a run. Names stand in the margin.

    Args:
        figures: with `with_runs`.
        size: which of the measured sizes.
        runtime: which of the measured runtimes.
        path: the PNG file; replaced if it exists.
    """
    figure, (axis,) = new(1, (13.0, 8.0))
    log_ticks(axis)
    decoders = sorted({row.model.decoder for row in figures.rows if row.model is not None})
    named: list[tuple[str, float, float, str]] = []
    for row in figures.rows:
        ms = row.ms[size][runtime]
        color = FAINT if row.model is None else f"C{decoders.index(row.model.decoder) % 10}"
        for recipe in row.trained:
            scores = [100 * score for score in recipe.mean_iou]
            fill = "white" if row.model is None else color
            axis.plot(ms, statistics.mean(scores), "o", color=color, markerfacecolor=fill, markersize=8)
            axis.vlines(ms, min(scores), max(scores), color=color, linewidth=2)
            name = row.name if len(row.trained) == 1 else f"{row.name} ({recipe.run})"
            named.append((name, ms, statistics.mean(scores), color))
    trained = [(ms, score) for _, ms, score, _ in named]
    waiting = [(row.name, row.ms[size][runtime]) for row in figures.rows if not row.trained]
    if waiting:
        axis.set_ylim(bottom=axis.get_ylim()[0] - 2)
    low = axis.get_ylim()[0]
    for name, ms in waiting:
        axis.plot(ms, low, "|", color=FAINT, markersize=18)
        named.append((f"{name}: not trained", ms, low, FAINT))
    _front(axis, trained)
    _names(axis, named)
    threads = f"{figures.machine['threads']} threads ({figures.machine['cpu']})"
    axis.set(xlabel="ms a frame (logarithmic)", ylabel="mean IoU, %", title=f"CamVid val, {size}, {runtime}, {threads}")
    write_png(path, picture(figure))


def _front(axis: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Steps through the points that no other one beats in both."""
    best: list[tuple[float, float]] = []
    for ms, score in sorted(points):
        if not best or score > best[-1][1]:
            best.append((ms, score))
    if best:
        last = (axis.get_xlim()[1], best[-1][1])
        axis.step(*zip(*best, last, strict=True), where="post", color="#ceDAce", linewidth=5, zorder=0)


def _names(axis: Axes, named: Sequence[tuple[str, float, float, str]]) -> None:
    """Each point's name in the right margin, at its height or, where they would overlap, as near to it as fits."""
    low, high = axis.get_ylim()
    taken = -math.inf
    room = len(named) * ROW
    for place, (name, ms, score, color) in enumerate(sorted(named, key=lambda each: each[2])):
        wanted = (score - low) / (high - low)
        left = max(0.0, 1.0 - (len(named) - place - 1) * ROW)  # what is above it must fit too
        taken = max(taken + ROW, min(wanted, left) if room < 1 else 0.0)
        axis.annotate(
            name,
            (ms, score),
            (1.03, taken),
            textcoords="axes fraction",
            color=color,
            va="center",
            arrowprops={"arrowstyle": "-", "color": color, "alpha": 0.35, "shrinkB": 6},
            annotation_clip=False,
        )
