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
    console.print(_confusion(report))
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


def _confusion(report: Report) -> Table:
    """Shares of each label's pixels by prediction."""
    table = Table(title="confusion, % of the label's pixels (rows: label, columns: prediction)")
    table.add_column("label", no_wrap=True)
    for name in report.class_names:
        table.add_column(name, justify="right", overflow="fold")
    for name, counts in zip(report.label_names, report.confusion, strict=True):
        if total := sum(counts):
            table.add_row(name, *(f"{100 * count / total:.0f}" for count in counts))
    return table


def percent(value: float | None) -> str:
    """A share as a percentage with two decimals; a dash for none."""
    return "-" if value is None else f"{100 * value:.2f}"
