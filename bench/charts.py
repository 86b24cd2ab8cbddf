"""The charts of the measurements, drawn by matplotlib in one look: panels of lines, and what they share with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, StrMethodFormatter

PANEL = 6.4, 5.2
"""Width and height of a panel in inches."""

DPI = 150
FAINT, GRID = "#707078", "#e4e4e8"
NINES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)

Scale = Literal["linear", "log", "nines"]
"""How a panel goes across; `nines` spreads scores towards 1, where 0.9, 0.99 and 0.999 are equally far from each other."""


class Point(NamedTuple):
    """A place of a line, and where there are several seeds the worst and the best of them."""

    x: float
    y: float
    spread: tuple[float, float] | None = None


class Panel(NamedTuple):
    """Lines by name over one pair of axes; `ticks` are the only numbers across, where they are given."""

    title: str
    across: str
    up: str
    lines: Mapping[str, Sequence[Point]]
    scale: Scale = "linear"
    ticks: Sequence[float] | None = None


def draw(panels: Sequence[Panel]) -> npt.NDArray[np.uint8]:
    """The panels side by side, uint8 RGB; a name has one colour in all of them, and stands below them once."""
    figure, axes = new(len(panels))
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    for axis, panel in zip(axes, panels, strict=True):
        for name, line in panel.lines.items():
            _line(axis, line, f"C{names.index(name) % 10}", name)
        _across(axis, panel)
        axis.set(xlabel=panel.across, ylabel=panel.up, title=panel.title)
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False)
    return picture(figure)


def new(count: int, size: tuple[float, float] = PANEL) -> tuple[Figure, list[Axes]]:
    """An empty figure of so many panels of `size` inches side by side, with a grid."""
    figure = Figure(figsize=(count * size[0], size[1]), dpi=DPI, layout="constrained")
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    for axis in axes:
        axis.grid(color=GRID)
        axis.set_axisbelow(True)
    return figure, axes


def picture(figure: Figure) -> npt.NDArray[np.uint8]:
    """The figure as pixels, uint8 RGB."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba(), dtype=np.uint8)[..., :3].copy()


def log_ticks(axis: Axes) -> None:
    """Milliseconds, bytes or frames by their logarithm, with numbers that are read as they are."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.5g}"))
    axis.xaxis.set_minor_locator(NullLocator())


def _line(axis: Axes, line: Sequence[Point], color: str, name: str) -> None:
    x, y = [point.x for point in line], [point.y for point in line]
    axis.plot(x, y, color=color, marker="o", markersize=5, label=name)
    for point in line:
        if point.spread is not None:
            axis.vlines(point.x, *point.spread, color=color, linewidth=2)


def _across(axis: Axes, panel: Panel) -> None:
    if panel.scale == "log":
        log_ticks(axis)
    if panel.scale == "nines":
        axis.set_xscale("function", functions=(_to_nines, _from_nines))
        axis.xaxis.set_major_locator(FixedLocator(NINES))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if panel.ticks is not None:
        axis.xaxis.set_major_locator(FixedLocator(panel.ticks))


def _to_nines(score: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return -np.log10(np.maximum(1 - score, 1e-6))


def _from_nines(place: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1 - 10.0**-place
