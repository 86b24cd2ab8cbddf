"""Tables that several commands print."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from seg.metrics import Report


def print_report(report: Report, title: str) -> None:
    """An evaluation's figures with their definition, on stdout."""
    table = Table(title=title)
    table.add_column("class", no_wrap=True)
    for name in ("IoU %", "precision %", "recall %", "label pixels"):
        table.add_column(name, justify="right")
    for name, unit in report.units.items():
        table.add_row(name, percent(unit.iou), percent(unit.precision), percent(unit.recall), f"{unit.label_pixels:,}")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    confusion = _confusion(report, report.class_names)
    if _width(confusion) > console.width:
        confusion = _confusion(report, tuple(map(str, range(len(report.class_names)))))
    # squeezed into an 80-column pipe, the columns of many classes would lose their figures
    Console(highlight=False, width=max(console.width, _width(confusion))).print(confusion)
    console.print(f"mean IoU {percent(report.mean_iou)} %, pixel accuracy {percent(report.pixel_accuracy)} %")
    console.print(report.protocol, style="dim")


def print_figures(figures: Mapping[str, float], title: str) -> None:
    """Names and numbers, on stdout."""
    table = Table(title=title)
    table.add_column("figure", no_wrap=True)
    table.add_column("", justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:.4g}")
    Console(highlight=False, soft_wrap=True).print(table)


def _width(table: Table) -> int:
    """The characters that a table takes where nothing is cut."""
    return Console(width=10_000).measure(table).maximum


def _confusion(report: Report, heads: tuple[str, ...]) -> Table:
    """Shares of each label's pixels by prediction; `heads` of the columns that are no names are the classes' ids."""
    named = heads == report.class_names
    title = f"confusion, % of the label's pixels (rows: label, columns: prediction{'' if named else ', by id'})"
    table = Table(title=title, padding=(0, 1) if named else (0, 0, 0, 1), show_edge=named)
    table.add_column("label", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for index, (name, counts) in enumerate(zip(report.label_names, report.confusion, strict=True)):
        row = name if named or index >= len(heads) else f"{name} {index}"
        if total := sum(counts):
            table.add_row(row, *(f"{100 * count / total:.0f}" for count in counts))
    return table


def percent(value: float | None) -> str:
    """A share as a percentage with two decimals; a dash for none."""
    return "-" if value is None else f"{100 * value:.2f}"
