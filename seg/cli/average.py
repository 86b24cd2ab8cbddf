"""`seg average`: one network from several trainings that went on from the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def average(
    runs: Annotated[
        list[Path], typer.Argument(help="Run directories or checkpoint folders of `seg train`, two or more.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The mean's folder, which serves as a run directory.")],
    device: Annotated[str, typer.Option(help="What runs the validation: auto, cpu or cuda.")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a mean or an imported network that is there.")
    ] = False,
) -> None:
    """Average the weights of trainings that went on from the same network (seeds, say), and measure the mean."""
    from rich.console import Console
    from rich.progress import track

    from seg.cli.tables import percent, print_report
    from train.average import average as mean_of

    progress = Console(stderr=True)
    meta, scores = mean_of(
        runs,
        out,
        device=device,
        overwrite=overwrite,
        track=lambda answers, total: track(answers, "evaluating", total, console=progress, transient=True),
    )
    assert meta.report is not None
    print_report(meta.report, f"validation of {out}")
    each = ", ".join(f"{run} {percent(score)}" for run, score in zip(runs, scores, strict=True))
    typer.echo(f"the mean has a mean IoU of {percent(meta.report.mean_iou)} %, what it was made of: {each}")
    known = [score for score in scores if score is not None]
    if known and meta.report.mean_iou is not None and meta.report.mean_iou < max(known):
        typer.echo(
            "seg: warning: the mean is not as good as the best of them; it serves trainings that went on from the same "
            "weights, for not too long",
            err=True,
        )
