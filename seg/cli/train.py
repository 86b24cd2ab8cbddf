"""`seg train`: learn a network from labelled frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seg.cli.training import Out, Overrides, Resume, share_cores, speaks


def train(
    config: Annotated[Path, typer.Argument(help="A run's YAML, such as configs/train/camvid.yaml.")],
    overrides: Overrides = None,
    out: Out = None,
    resume: Resume = False,
) -> None:
    """Train a network and leave everything about it in a run directory."""
    share_cores()
    from seg.cli.tables import print_report
    from seg.config import load_run_config
    from seg.model.checkpoint import CheckpointMeta
    from train.loop import train as run_training

    root = out or Path("runs") / config.stem
    meta = run_training(load_run_config(config, overrides), root, resume=resume)
    assert isinstance(meta, CheckpointMeta)
    if meta.report is not None and speaks():
        print_report(meta.report, f"best validation of {root}")
