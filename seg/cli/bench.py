"""`seg bench`: how fast files are on each backend of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from rich.table import Table

    from infer.speed import Row

SCENE = 540, 960
"""Height and width of the rendered frames that stand in for a source."""


def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="ONNX files or shipped networks' names (default: drive); all are compared with the first on cpu.",
        ),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Whose first frames to run (default: rendered scenes).")] = None,
    frames: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    rounds: Annotated[int, typer.Option(min=1, help="How often; backends take turns.")] = 5,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of the network.")] = None,
    output: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Latency, frames a second and agreement with float32, on every backend that runs here: `seg bench my.onnx my-int8.onnx`."""
    from infer.speed import measure
    from seg.files import claim, spare, write_text
    from seg.shipped import resolve_model

    if output is not None:
        claim(output, overwrite=overwrite)
        spare(output, [resolve_model(model).resolve() for model in models or []])
    rows = measure(models or [None], _frames(source, frames, output), rounds, threads)
    _print(rows)
    if output is not None:
        write_text(output, json.dumps([_figures(row) for row in rows], indent=1) + "\n")


def _frames(source: str | None, count: int, output: Path | None) -> list[npt.NDArray[np.uint8]]:
    from itertools import islice

    from seg.files import spare

    if source is None:
        from seg.data.synthetic import SyntheticScenes

        scenes = SyntheticScenes(SCENE, seed=0)
        return [scenes.frame(index)[0] for index in range(count)]
    from seg.sources.open import open_source

    with open_source(source) as opened:
        if output is not None:
            spare(output, (path.resolve() for path in opened.inputs()))
        return [frame.rgb_HWC for frame in islice(opened, count)]


def _print(rows: list[Row]) -> None:
    from rich.console import Console

    files = list(dict.fromkeys(row.model for row in rows))
    for name in files:
        if len(files) > 1:
            typer.echo(name)
        Console(highlight=False, soft_wrap=True).print(_table([row for row in rows if row.model == name]))
    typer.echo(
        f"ms of one frame alone; frames/s of many ({rows[0].streams} at once on the processor, one on a GPU); changed: pixels "
        "of another class than the first row's"
    )
    for row in rows:
        backend = f"{row.model if len(files) > 1 else ''} {row.provider} {row.precision}".strip()
        if row.problem is not None:
            typer.echo(f"{backend}: not measured: {row.problem}")
        elif row.changed:
            shares = ", ".join(f"{name} {100 * share:.2f}" for name, share in row.by_class.items())
            typer.echo(f"{backend}: changed, % of each class: {shares}")


def _table(rows: list[Row]) -> Table:
    """A line for each backend that runs here."""
    from rich.table import Table

    from infer.latency import SHOWN

    table = Table(box=None, pad_edge=False)  # as wide as a pipe's 80 columns
    table.add_column("backend", no_wrap=True)
    for name in (*(f"p{percent} ms" for percent in SHOWN), "frames/s", "changed %"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        if row.problem is not None:
            continue
        table.add_row(
            f"{row.provider} {row.precision}",
            *(f"{1000 * row.latency.at(percent):.1f}" for percent in SHOWN),
            f"{row.frames_per_second:.1f}",
            f"{100 * row.changed:.3f}",
        )
    return table


def _figures(row: Row) -> dict[str, Any]:
    from infer.latency import SHOWN

    about = {"model": row.model, "provider": row.provider, "precision": row.precision}
    if row.problem is not None:
        return {**about, "problem": row.problem}
    return {
        **about,
        "latency_ms": {f"p{percent}": 1000 * row.latency.at(percent) for percent in SHOWN},
        "frames_per_second": row.frames_per_second,
        "streams": row.streams,
        "changed": row.changed,
        "changed_by_class": row.by_class,
    }
