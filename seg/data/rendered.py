"""A reader of synthetic scenes: nothing on disk, each scene is rendered when it is read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seg.classes import Ontology
from seg.config import SyntheticData
from seg.data.base import Reader
from seg.errors import SegError
from seg.labels import load_label_set


class SyntheticReader(Reader):
    """Scenes `first`..`first + count - 1` of a seed."""

    def __init__(self, source: SyntheticData, ontology: Ontology) -> None:
        from seg.data.synthetic import SyntheticScenes  # loads the renderer only where scenes are asked for

        self.dataset = f"synthetic/{source.seed}"
        self.label_set = load_label_set(source.labels or "synthetic", ontology)
        self._first = source.first
        self._count = min(source.count, source.limit or source.count)
        try:
            self._scenes = SyntheticScenes(source.size, source.seed, source.style)
        except ValueError as error:
            raise SegError(f"synthetic: {error}") from None

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        """The scene's number."""
        return f"{self._first + index:06d}"

    def read_frame(self, index: int) -> npt.NDArray[np.uint8]:
        """The picture of the scene, uint8 RGB of shape (H, W, 3)."""
        return self.read(index)[0]

    def read_raw(self, index: int) -> npt.NDArray[np.integer]:
        """The scene's label ids, uint8 of shape (H, W)."""
        return self.read(index)[1]

    def read(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.integer]]:
        """Picture and label ids, rendered together."""
        return self._scenes.frame(self._first + index)
