"""`seg curate`: which frames to label next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from seg.cli.search import TableArgument
from seg.errors import InterruptedRunError, SegError

if TYPE_CHECKING:
    from infer.curate import By


def curate(
    table: TableArgument,
    k: Annotated[int, typer.Option("-k", min=1, help="How many frames to choose.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.")],
    by: Annotated[
        str, typer.Option(help="different: unlike each other; novel: unlike what the model knows.")
    ] = "different",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that `seg curate` made.")] = False,
) -> None:
    """Choose what to label next: `seg curate drives.parquet -k 80 -o to-label`.

    Near-duplicates are passed over. The folder holds list.csv, the frames, and index.html with pictures and a map.
    """
    from infer.codes import Codes
    from infer.curate import curate as write
    from infer.progress import terminal_progress
    from seg.cli import Terminated

    codes = Codes(table)
    with terminal_progress(k) as progress:
        done = write(codes, output, k, cast("By", by), overwrite=overwrite, progress=progress)
    chosen = len(done.selection.rows)
    typer.echo(f"{chosen} of {codes.rows} frames; {done.selection.near} others are near-duplicates of these")
    if chosen < k:
        typer.echo(f"fewer than the {k} asked for: no others are left")
    typer.echo(str(output / "index.html"))
    if done.stopped is not None:
        terminated = isinstance(done.stopped, Terminated)
        word = "terminated" if terminated else "stopped by Ctrl-C"
        raise InterruptedRunError(
            f"{word}; {output} holds {done.frames} of {chosen} frames", 143 if terminated else 130
        )
    if done.problem:
        raise SegError(f"{done.problem}; {output} holds the others")
