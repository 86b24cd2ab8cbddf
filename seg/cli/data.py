"""`seg data`: look at data before training on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections import Counter

    from rich.console import Console

    from seg.classes import Ontology
    from seg.config import DataConfig
    from seg.data.check import Audit

app = typer.Typer(no_args_is_help=True, help="Look at data sets.")


@app.callback()
def _data() -> None:
    """Look at data sets."""


@app.command("check")
def check(
    config: Annotated[Path, typer.Argument(help="A run's YAML, as for seg train.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes to it.")] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Where the contact sheet goes; a file that exists there is kept unless --overwrite is given "
            "(default out/data-check/CONFIG.png, which is renewed each time)."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file that --sheet names. The default sheet needs no leave.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes to read with (default: one a core).")] = None,
) -> None:
    """Audit the data of a run: files, labels, classes, overlap of train and val. Exits with 1 if anything is wrong."""
    from rich.console import Console

    from seg.classes import load_ontology
    from seg.cli import Terminated
    from seg.cli.datasets import spare_data
    from seg.config import load_run_config
    from seg.data.check import open_named
    from seg.data.images import write_png
    from seg.data.sheet import contact_sheet
    from seg.errors import InterruptedRunError
    from seg.files import claim

    run = load_run_config(config, overrides)
    ontology = load_ontology(run.ontology)
    path = sheet or Path("out/data-check") / f"{config.stem}.png"
    claim(path, overwrite=overwrite or sheet is None)  # the one in out/ is ours to renew
    if path.exists():  # before the audit, which may take an hour
        spare_data(path, open_named(run.data, ontology)[1])
    console = Console()
    try:
        result = _audit(run.data, ontology, workers, console)
        picture = contact_sheet(result.data)
    except KeyboardInterrupt as stop:
        word, code = ("terminated", 143) if isinstance(stop, Terminated) else ("interrupted", 130)
        raise InterruptedRunError(f"{word}; no contact sheet was written", exit_code=code) from None
    _print_shares(result, console)
    if picture is not None:
        write_png(path, picture)
        console.print(f"contact sheet: {path}", markup=False, highlight=False, soft_wrap=True)
    for problem in result.problems:
        console.print(f"error: {problem}", markup=False, highlight=False, soft_wrap=True)
    frames, errors = sum(result.frames.values()), len(result.problems)
    if errors:
        console.print(f"{frames} frames, {errors} error{'s' if errors > 1 else ''}", style="bold red")
        raise typer.Exit(1)
    console.print(f"{frames} frames, no errors", style="bold green")


def _audit(data: DataConfig, ontology: Ontology, workers: int | None, console: Console) -> Audit:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from seg.data.check import audit
    from seg.runtime import cores

    columns = (TextColumn("checking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("checking", total=None)
        return audit(
            data, ontology, workers or cores(), lambda done, total: bar.update(task, completed=done, total=total)
        )


def _print_shares(result: Audit, console: Console) -> None:
    from rich.table import Table

    shares = result.shares()
    table = Table(title="pixels of each class in percent")
    table.add_column("", no_wrap=True)
    for name in shares:
        table.add_column(name, justify="right", overflow="fold")
    frames = [str(result.frames.get(name, sum(result.frames.values()))) for name in shares]
    table.add_row("frames", *frames)
    table.add_row(
        "size", *(_sizes(result.sizes[name]) if name in result.sizes else "" for name in shares), end_section=True
    )
    for row in shares["total"]:
        table.add_row(row, *(f"{100 * column[row]:.3f}" for column in shares.values()))
    console.print(table)


def _sizes(frames: Counter[tuple[int, int]]) -> str:
    """The frames' size as WIDTHxHEIGHT or, of several, the smallest and the largest."""
    ordered = [f"{width}x{height}" for height, width in sorted(frames, key=lambda size: size[0] * size[1])]
    return " to ".join(dict.fromkeys([ordered[0], ordered[-1]])) if ordered else "-"
