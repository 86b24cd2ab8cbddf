"""A progress bar on a terminal: frames, frames a second, time left. Nothing at all elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from infer.pipeline import Progress


@contextmanager
def terminal_progress(count: int | None) -> Iterator[Progress | None]:
    """A function to call with the number of frames done; None where stderr is no terminal.

    Args:
        count: frames to expect, None if unknown.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    speed = TextColumn("{task.fields[rate]}")
    bar = Bar(BarColumn(), MofNCompleteColumn(), speed, TimeRemainingColumn(), console=Console(stderr=True))
    with bar:
        task = bar.add_task("frames", total=count, rate="")

        def update(done: int) -> None:
            rate = bar.tasks[task].speed
            bar.update(task, completed=done, rate="" if rate is None else f"{rate:.1f} frames/s")

        yield update
