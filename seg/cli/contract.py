"""`seg contract`: what a file says about itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def contract(
    model: Annotated[Path, typer.Argument(help="A file made by `seg export`, or a shipped network's name.")],
) -> None:
    """Print a file's deploy contract as JSON, after a check that its network is the one that was exported."""
    from seg.onnx_file import read_metadata
    from seg.shipped import resolve_model
    from seg.spec import METADATA_KEY, ModelSpec

    file = resolve_model(model)
    metadata = read_metadata(file)
    ModelSpec.from_metadata(metadata, str(file))  # refuses what is none
    typer.echo(json.dumps(json.loads(metadata[METADATA_KEY]), indent=1))
