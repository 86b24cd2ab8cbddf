"""`seg golden`: reference answers for a program of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seg.cli.infer import protect_inputs
from seg.cli.running import warnings_as_lines
from seg.errors import SegError


def golden(
    model: Annotated[Path, typer.Argument(help="A file made by `seg export`, or a shipped network's name.")],
    source: Annotated[str, typer.Argument(help="A video, an image, a folder or glob of images.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to make.")],
    frames: Annotated[int, typer.Option(min=1, help="How many of its first frames.")] = 4,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that this command made.")] = False,
) -> None:
    """Write what goes into the network and what comes out, step by step: a program of your own has to match it."""
    from infer.golden import write_golden
    from infer.segmenter import Segmenter
    from seg.shipped import resolve_model
    from seg.sources.open import open_source

    file = resolve_model(model)
    with warnings_as_lines():
        segmenter = Segmenter(file)
    with open_source(source) as opened:
        protect_inputs(opened, file, [out])
        made = write_golden(segmenter, file, opened, out, frames, overwrite=overwrite)
        problem = opened.problem
    typer.echo(f"{out}: {len(made)} frames; golden.json says how far a program may be off")
    if problem is not None:
        raise SegError(f"{problem}; {out} holds the {len(made)} frames that could be read")
