"""`seg calibrate`: a trained run learns what normal frames are, and what makes two of them alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    run: Annotated[Path, typer.Argument(help="A run directory of `seg train`, or a checkpoint folder.")],
    frames: Annotated[
        Path | None,
        typer.Option(help="A folder of pictures that were not trained on (default: the run's validation frames)."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training the small reconstruction decoder.")] = 300,
    device: Annotated[str, typer.Option(help="Where it is computed: auto, cpu or cuda.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the monitor that is there.")] = False,
) -> None:
    """Fit novelty, code and hash to a run's best network; `seg export` then puts them into the file."""
    from seg.cli.training import share_cores

    share_cores()
    from rich.console import Console
    from rich.progress import track

    from seg.model.checkpoint import find_checkpoint
    from seg.model.monitor import BITS, META
    from train.calibrate import calibrate as fit

    progress = Console(stderr=True)

    def show(items: Sequence[int], about: str) -> Iterable[int]:
        return track(items, description=about, console=progress, transient=True, disable=not progress.is_terminal)

    meta = fit(run, frames=frames, steps=steps, device=device, overwrite=overwrite, track=show)
    typer.echo(f"{find_checkpoint(run) / META}: a code of {meta.shape.values} values and a hash of {BITS} bits")
    typer.echo(
        f"fitted to {meta.train_frames} training frames ({', '.join(meta.train)}); frames are rebuilt from their code at "
        f"1/4 of their size with a PSNR of {meta.psnr:.1f} dB"
    )
    typer.echo(
        f"calibrated on {meta.held_out_frames} held-out frames ({', '.join(meta.held_out)}); log distances by level: "
        + ", ".join(f"{level} {distance:.2f}" for level, distance in meta.distances.items())
    )
    least = 99
    if meta.held_out_frames < least:
        typer.echo(
            f"seg: warning: novelty above {meta.held_out_frames / (meta.held_out_frames + 1):.2f} is extrapolated; "
            f"{least} held-out frames or more tell 0.99",
            err=True,
        )
