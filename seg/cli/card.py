"""`seg card`: the model card of an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def card(
    model: Annotated[Path, typer.Argument(help="A file made by `seg export`.")],
    notes: Annotated[
        Path, typer.Argument(metavar="NOTES.yaml", help="What only a person can say; see configs/cards for examples.")
    ],
    figures: Annotated[list[Path], typer.Option(help="What `seg eval MODEL --json` wrote; may be repeated.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The card (default: MODEL.md beside the model).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a card that exists.")] = False,
) -> None:
    """Write a model card: data and licences, figures with their protocol, use, known failures."""
    from export.card import write_card
    from seg.onnx_file import read_metadata
    from seg.shipped import resolve_model
    from seg.spec import ModelSpec

    file = resolve_model(model)
    spec = ModelSpec.from_metadata(read_metadata(file), str(file))
    output = output or file.with_suffix(".md")
    write_card(file, spec, notes, figures, output, overwrite=overwrite)
    typer.echo(str(output))
