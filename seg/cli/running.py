"""What `seg infer` and `seg restore` have in common: a model runs over a source into sinks, told in lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from seg.errors import InterruptedRunError, SegError

if TYPE_CHECKING:
    from infer.pipeline import Progress
    from infer.sink import Sink
    from infer.stream import Streaming
    from seg.sources.base import Source


def run_and_tell(
    model: Streaming,
    name: str,
    source: Source,
    sinks: list[Sink],
    told: Sequence[Callable[[], list[str]]] = (),
    begin: int = 0,
) -> None:
    """Run every frame of `source` into the sinks, with progress; print frames, speed and outputs.

    `name` says what runs, and on what; `told` what else there is to print afterwards, in lines;
    `begin` how many frames the sinks hold already.

    Raises:
        SegError: where frames of the source are missing or damaged; the outputs hold the others.
        InterruptedRunError: after Ctrl-C or SIGTERM, saying what was kept, and of missing or damaged frames first.
    """
    from infer.pipeline import Summary, run
    from infer.progress import terminal_progress

    start = time.perf_counter()
    stopped: KeyboardInterrupt | None = None
    with terminal_progress(source.count) as shown:
        progress = _Counting(begin, shown)
        try:
            summary = run(model, source, sinks, progress, begin)
        except KeyboardInterrupt as stop:  # a camera's usual end
            stopped = stop
            summary = Summary(progress.done - begin, time.perf_counter() - start, source.problem, ())
    if begin:
        typer.echo(f"went on behind {begin} frames of the run before")
    typer.echo(f"{summary.frames} frames in {summary.seconds:.1f} s, {summary.frames_per_second:.1f} frames/s ({name})")
    _say_all([*(line for each in told for line in each()), *map(str, summary.outputs)])
    if stopped is not None:
        raise _interrupted(stopped, summary.problem, sinks) from None
    if summary.problem:
        raise SegError(f"{summary.problem}; the outputs hold the {begin + summary.frames} frames that could be read")


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """The warnings of loading a model, as lines of ours."""
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        typer.echo(f"seg: warning: {warning.message}", err=True)


def _say_all(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


class _Counting:
    """Progress that is also kept: of a run that is stopped nothing else tells how far it got."""

    def __init__(self, done: int, shown: Progress | None) -> None:
        self.done, self._shown = done, shown

    def __call__(self, done: int) -> None:
        self.done = done
        if self._shown is not None:
            self._shown(done)


def _interrupted(stop: KeyboardInterrupt, problem: str | None, sinks: list[Sink]) -> InterruptedRunError:
    from seg.cli import Terminated

    kept = [f"{sink.path} ({sink.frames} frames)" for sink in sinks if sink.kept]
    said = f"kept, finished: {', '.join(kept)}" if kept else "nothing was written"
    said = f"{problem}; {said}" if problem else said
    if isinstance(stop, Terminated):
        return InterruptedRunError(f"terminated; {said}", 143)
    return InterruptedRunError(f"stopped by Ctrl-C; {said}", 130)
