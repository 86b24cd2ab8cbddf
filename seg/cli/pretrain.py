"""`seg pretrain`: learn an encoder and its code from frames without labels."""

from __future__ import annotations

from seg.cli.training import ConfigOrRun, Out, Overrides, Resume, config_and_run, share_cores, speaks


def pretrain(
    config: ConfigOrRun,
    overrides: Overrides = None,
    out: Out = None,
    resume: Resume = False,
) -> None:
    """Train an autoencoder on frames without labels; `init: RUN` in a config of `seg train` starts from it."""
    share_cores()
    from seg.cli.tables import print_figures
    from seg.config import load_pretrain_config
    from seg.model.checkpoint import PretrainMeta
    from train.loop import train as run_training
    from train.reconstruction import FIGURES

    file, root = config_and_run(config, out)
    meta = run_training(load_pretrain_config(file, overrides), root, resume=resume)
    assert isinstance(meta, PretrainMeta)
    if speaks():
        print_figures({FIGURES[name]: value for name, value in meta.figures.items()}, f"best validation of {root}")
