"""Tables that several commands print."""

from __future__ import annotations

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
    console.print(f"mean IoU {percent(report.mean_iou)} %, pixel accuracy {percent(report.pixel_accuracy)} %")
    console.print(report.protocol, style="dim")


def percent(value: float | None) -> str:
    """A share as a percentage with two decimals; a dash for none."""
    return "-" if value is None else f"{100 * value:.2f}"
