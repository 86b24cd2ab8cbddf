"""Going on where a killed run stopped: what it was, kept beside its outputs, and how many of its frames all of them hold."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TextIO

from infer.sink import Sink
from seg.errors import SegError
from seg.files import lock


class Job:
    """A run into sinks, as a context manager: while it lasts, a file beside each output tells what it is.

    These files go with the block, unless an error ends it or the process is killed: then they stay, with the outputs as far
    as they got (`Sink.partial`). They are locked, so that no two runs write the same output.

    Attributes:
        begin: frames that are there already and need no answer; 0 for a run from the start.
        aside: parts of an older run that were renamed, because its frames do not come again.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        key: Mapping[str, object],
        *,
        resume: bool = False,
        overwrite: bool = False,
        live: bool = False,
    ) -> None:
        """Claim the outputs; with `resume`, see how far they got. Before any of the sinks is entered.

        Args:
            sinks: at least one.
            key: all that frames and answers depend on, as JSON takes it: source, model, options.
            resume: whether to go on with an unfinished run; where there is none, this one begins.
            overwrite: whether an unfinished run may be given up.
            live: whether the frames do not come again; what an older run left is then kept under another name.

        Raises:
            SegError: where another run is writing one of the outputs now, or one is unfinished and neither `resume` nor
                `overwrite` is given, or `resume` is and it was another run.
        """
        self._sinks, self.begin, self.aside = sinks, 0, list[Path]()
        self._key = {**key, "outputs": [str(sink.path) for sink in sinks]}
        self._files: list[TextIO] = []
        found: list[str] = []
        try:
            for sink in sinks:
                self._files.append(_lock(sink))
                found.append(self._files[-1].read())
            left = [sink for sink in sinks if sink.partial.exists()]
            if live:
                self.aside = [_set_aside(sink.partial) for sink in left]
            elif left and resume:
                self._compare(found)
                self.begin = _kept(sinks)
            elif left and not overwrite:
                raise SegError(
                    f"{left[0].path}: an unfinished run of it is there ({left[0].partial.name}); give --resume to go on with "
                    "it, or --overwrite to begin anew"
                )
        except SegError:
            self._let_go([sink for sink, text in zip(sinks, found, strict=False) if text])
            raise

    def __enter__(self) -> Job:
        for file, sink in zip(self._files, self._sinks, strict=True):
            file.seek(0)
            file.truncate()
            file.write(json.dumps(self._key, indent=1) + "\n")
            file.flush()
            sink.keep(self.begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go([sink for sink in self._sinks if sink.partial.exists()])

    def _let_go(self, told: Sequence[Sink]) -> None:
        """Unlock; the files that tell of these sinks' parts stay."""
        for file, sink in zip(self._files, self._sinks, strict=False):
            if sink not in told:
                journal(sink).unlink(missing_ok=True)
            file.close()

    def _compare(self, found: Sequence[str]) -> None:
        """SegError unless all that is there tells of this very run."""
        now = json.loads(json.dumps(self._key))
        for text, sink in zip(found, self._sinks, strict=True):
            try:
                before = json.loads(text)
            except ValueError:
                before = None
            if not isinstance(before, dict):
                raise SegError(
                    f"--resume: nothing tells what run {sink.path} is of; rename {sink.partial.name} if you want it, or give "
                    "--overwrite to begin anew"
                )
            other = [name for name in now if before.get(name) != now[name]]
            if other:
                raise SegError(
                    f"--resume: the unfinished run was another one ({', '.join(other)} differ: "
                    f"{before.get(other[0])} then, {now[other[0]]} now); give the same, or --overwrite to begin anew"
                )


def journal(sink: Sink) -> Path:
    """The file that tells what run an output is of."""
    return sink.path.with_name(f".{sink.path.name}.seg-job")


def _lock(sink: Sink) -> TextIO:
    path = journal(sink)
    while True:
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise SegError(f"{path}: cannot be written ({error.strerror})") from None
        if not lock(file):
            file.close()
            raise SegError(f"{sink.path}: another run is writing it now; wait, or choose another name")
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            file.seek(0)
            return file
        file.close()  # of a run that ended between our opening and locking it


def _set_aside(partial: Path) -> Path:
    number = 1
    while (free := partial.with_name(f"{partial.stem}{number}{partial.suffix}")).exists():
        number += 1
    return partial.rename(free)


def _kept(sinks: Sequence[Sink]) -> int:
    """The most frames that every sink can keep."""
    most: int | None = None
    while True:  # what one can keep may be less than another offered, which then has to keep less, too
        offered = [sink.keepable(most) for sink in sinks]
        if min(offered) == most:
            return min(offered)
        most = min(offered)
