"""`seg import`: an exported file becomes a run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_file(
    model: Annotated[Path, typer.Argument(help="A file made by `seg export`, or a shipped network's name.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to make, which serves as a run directory.")],
    frames: Annotated[
        Path | None,
        typer.Option(help="A folder of pictures to measure its norms on (default: the training frames it names)."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an imported network, or a mean, that is there.")
    ] = False,
) -> None:
    """Make a run of an exported file again: to export it in another way, make it integers, calibrate or average it."""
    from seg.cli.training import share_cores

    share_cores()
    from seg.shipped import resolve_model
    from train.importing import import_file as imported

    file = resolve_model(model)
    meta = imported(file, out, frames=frames, overwrite=overwrite)
    typer.echo(
        f"{out}: the network of {file.name}, {meta.size[0]}x{meta.size[1]}, {len(meta.ontology)} classes; export it with "
        f"`seg export {out}`"
    )
