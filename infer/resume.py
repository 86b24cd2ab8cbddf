"""Going on where a killed run stopped: what it was, kept beside its outputs, and how many of its frames all of them hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TextIO

from infer.sink import Sink
from seg.errors import SegError


class Job:
    """A run into sinks, as a context manager: while it lasts, a file beside its first output tells what it is.

    The file goes with the block, unless an error ends it or the process is killed: then it stays, with the outputs as far as
    they got (`Sink.partial`). It is locked, so that no two runs write the same outputs.

    Attributes:
        begin: frames that are there already and need no answer; 0 for a run from the start.
    """

    def __init__(self, sinks: Sequence[Sink], key: Mapping[str, object], *, resume: bool, overwrite: bool) -> None:
        """Claim the outputs; with `resume`, see how far they got. Before any of the sinks is entered.

        Args:
            sinks: at least one.
            key: all that frames and answers depend on, as JSON takes it: source, model, options.
            resume: whether to go on with an unfinished run; where there is none, this one begins.
            overwrite: whether an unfinished run may be given up.

        Raises:
            SegError: where another run is writing the outputs now, or one is unfinished and neither `resume` nor `overwrite`
                is given, or `resume` is and it was another one.
        """
        first = sinks[0].path
        self.path = first.with_name(f"{first.stem}.partial.json")
        self._sinks, self._key = sinks, {**key, "outputs": [str(sink.path) for sink in sinks]}
        self.begin = 0
        self._file = self._lock()
        found = self._file.read()
        if found and resume:
            self._compare(found)
            self.begin = _kept(sinks)
        elif found and not overwrite:
            self._file.close()
            raise SegError(
                f"{first}: an unfinished run of it is there ({sinks[0].partial.name}); give --resume to go on with it, "
                "or --overwrite to begin anew"
            )

    def __enter__(self) -> Job:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps(self._key, indent=1) + "\n")
        self._file.flush()
        for sink in self._sinks:
            sink.keep(self.begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not any(sink.partial.exists() for sink in self._sinks):
            self.path.unlink(missing_ok=True)
        self._file.close()

    def _lock(self) -> TextIO:
        try:
            file = self.path.open("a+", encoding="utf-8")
        except OSError as error:
            raise SegError(f"{self.path}: cannot be written ({error.strerror})") from None
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # a system without it: two runs at once are the user's to avoid
            pass
        except OSError:
            file.close()
            raise SegError(
                f"{self._sinks[0].path}: another run is writing it now; wait, or choose another name"
            ) from None
        file.seek(0)
        return file

    def _compare(self, found: str) -> None:
        try:
            before = json.loads(found)
        except ValueError:  # killed before it was written
            return
        now = json.loads(json.dumps(self._key))
        other = [name for name in now if before.get(name) != now[name]]
        if other:
            self._file.close()
            raise SegError(
                f"--resume: the unfinished run was another one ({', '.join(other)} differ: "
                f"{before.get(other[0])} then, {now[other[0]]} now); give the same, or --overwrite to begin anew"
            )


def _kept(sinks: Sequence[Sink]) -> int:
    """The most frames that every sink can keep."""
    most: int | None = None
    while True:  # what one can keep may be less than another offered, which then has to keep less, too
        offered = [sink.keepable(most) for sink in sinks]
        if min(offered) == most:
            return min(offered)
        most = min(offered)
