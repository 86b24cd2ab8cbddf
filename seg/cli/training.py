"""What `seg train`, `seg pretrain` and `seg demo` have in common: their options, and how a process prepares to train."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes to the config, such as optimizer.lr=0.001.")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The run directory (default runs/CONFIG).")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where the run in that directory stopped.")]


ConfigOrRun = Annotated[Path, typer.Argument(help="A run's YAML, or the run directory of an earlier one.")]


def config_and_run(given: Path, out: Path | None) -> tuple[Path, Path]:
    """The YAML and the run directory that are meant. A run directory holds its config, changes and all: it is both."""
    if given.is_dir():
        return given / "config.yaml", out or given
    return given, out or Path("runs") / given.stem


def speaks() -> bool:
    """Whether this process is the one of torchrun's that speaks for all."""
    return os.environ.get("RANK", "0") == "0"


def share_cores() -> None:
    """Let torch's threads wait for each other briefly, then sleep; to be called before torch is first imported.

    By default GNU's OpenMP spins for milliseconds. Beside anything else that computes, a spinning thread keeps the one it
    waits for off the core: on two cores a step took 6 times as long. Where threads sleep at once, waking them two thousand
    times a step costs: 357 ms a step against 240 for a short spin, 236 for the default on an idle machine.
    And glibc's allocator hands freed memory back to the system, to ask for it anew in the next step, page by page;
    told to keep it, the loss alone took 7 ms instead of 16 and a whole step a tenth less.
    """
    if "OMP_WAIT_POLICY" not in os.environ:  # the user's own choice
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    tune = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None  # only glibc has it
    if tune is not None:
        trim_threshold, mmap_max = -1, -4  # malloc.h: M_TRIM_THRESHOLD, M_MMAP_MAX
        tune(trim_threshold, 2**31 - 1)
        tune(mmap_max, 0)
