"""`seg train`: learn a network from labelled frames."""

from __future__ import annotations

from seg.cli.training import ConfigOrRun, Out, Overrides, Resume, config_and_run, share_cores, speaks


def train(
    config: ConfigOrRun,
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

    file, root = config_and_run(config, out)
    meta = run_training(load_run_config(file, overrides), root, resume=resume)
    assert isinstance(meta, CheckpointMeta)
    if meta.report is not None and speaks():
        print_report(meta.report, f"best validation of {root}")
