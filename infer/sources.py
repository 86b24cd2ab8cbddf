"""Several sources one after the other, and single frames of sources read once more."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seg.errors import SegError
from seg.frame import Frame
from seg.sources.base import Kind, Source, without_secrets
from seg.sources.open import IMAGE_SUFFIXES, local_path, open_source
from seg.sources.upright import read_upright

Picture = npt.NDArray[np.uint8]


class Several(Source):
    """The frames of several sources, one source after the other; each frame keeps its own source, index and time.

    One that cannot be read is left out and told in `problem`; one that is not there at all is an error at once.
    """

    kind: Kind = "folder"

    def __init__(self, texts: Sequence[str], every: int = 1) -> None:
        """Look at each source, so that a mistake is told before any work.

        Args:
            texts: what `open_source` takes.
            every: take each frame of a source whose index is a multiple of this.

        Raises:
            SegError: where a source is not there, a folder holds no picture, or nothing at all can be read.
        """
        if every < 1:
            raise SegError(f"expected to take every 1st frame or fewer, got every {every}")
        self.name = ", ".join(map(without_secrets, texts))
        self._every = every
        self._problems: list[str] = []
        self._files: list[Path] = []
        counts = {text: self._look(text) for text in texts}
        self._texts = [text for text in texts if counts[text] != 0]
        if not self._texts:
            raise SegError(self._problems[0])
        known = [count for text in self._texts if (count := counts[text]) is not None]
        self.count = sum(known) if len(known) == len(self._texts) else None

    def inputs(self) -> Sequence[Path]:
        """The files of all sources."""
        return self._files

    def frames(self) -> Iterator[Frame]:
        """The frames of each source in turn."""
        for text in self._texts:
            try:
                source = open_source(text)
            except SegError as error:
                self._tell(str(error))
                continue
            with source:
                for frame in source:
                    if frame.index % self._every == 0:
                        yield frame
            if source.problem:
                self._tell(source.problem)

    def _look(self, text: str) -> int | None:
        """How many frames to expect of a source: None if unknown, 0 if it cannot be read."""
        path = local_path(text)
        if path is not None and path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:  # decoded later
            self._files.append(path)
            return 1
        try:
            with open_source(text) as source:
                self._files += source.inputs()
                return None if source.count is None else math.ceil(source.count / self._every)
        except SegError as error:
            if path is None or not path.is_file():
                raise
            self._tell(str(error))
            return 0

    def _tell(self, problem: str) -> None:
        self._problems.append(problem)
        others = len(self._problems) - 1
        self.problem = self._problems[0] + (f" (and {others} more problem{'s' * (others > 1)})" if others else "")


def read_again(places: Sequence[tuple[str, int]]) -> Iterator[tuple[int, Picture | SegError]]:
    """The frames of places (a source's name, an index in it), each with its position in `places`, source by source.

    A video is decoded once, from its start to its last frame that is wanted. What cannot be read comes as the error that
    says why; nothing is raised.
    """
    wanted: dict[str, dict[int, list[int]]] = {}
    for position, (name, index) in enumerate(places):
        wanted.setdefault(name, {}).setdefault(index, []).append(position)
    for name, positions in wanted.items():
        left = dict(positions)
        error = None
        try:
            for frame in _frames(Path(name), left):
                for position in left.pop(frame.index):
                    yield position, frame.rgb_HWC
        except SegError as caught:
            error = caught
        for index, missing in left.items():
            for position in missing:
                yield position, error or SegError(f"{name}: has no frame {index}")


def _frames(path: Path, wanted: dict[int, list[int]]) -> Iterator[Frame]:
    """The frames of the indices that are wanted, as long as any is."""
    if not path.is_file():  # a camera, a stream, or a file that is gone
        raise SegError(f"{path}: no such file here, so its frames cannot be read again")
    if path.suffix.lower() in IMAGE_SUFFIXES:  # one of a folder: its index is its place among the others
        rgb_HWC, _ = read_upright(path)
        for index in list(wanted):
            yield Frame(rgb_HWC, index, 0, str(path))
        return
    with open_source(path) as source:
        for frame in source:
            if frame.index in wanted:
                yield frame
            if not wanted:
                return
