"""Synthetic road scenes: a procedural renderer whose labels are exact.

A scene is sampled once as plain dataclasses (`scene.py`); picture and label are drawn from the same geometry.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from seg.data.synthetic.labels import SCENE_LABELS
from seg.data.synthetic.render import Renderer
from seg.data.synthetic.sample import sample_scene
from seg.data.synthetic.scene import Style

__all__ = ["SCENE_LABELS", "SyntheticScenes"]

_SMALLEST = 64


class SyntheticScenes:
    """An endless set of labelled road scenes; every frame is a pure function of (size, seed, style, index).

    Args:
        size: (height, width) in pixels, at least 64 each.
        seed: chooses the set of scenes, 0 or more.
        style: `varied` (every place, camera, weather and light) or `motorway` (one car's camera on motorways by day).

    Raises:
        ValueError: if the size or the seed is too small.
    """

    def __init__(self, size: tuple[int, int] = (256, 512), seed: int = 0, style: Style = "varied") -> None:
        if min(size) < _SMALLEST:
            raise ValueError(f"size must be (height, width) of at least {_SMALLEST} pixels each, got {tuple(size)}")
        if seed < 0:
            raise ValueError(f"seed must be 0 or more, got {seed}")
        self.size = (int(size[0]), int(size[1]))
        self.seed = int(seed)
        self.style: Style = style

    def frame(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Scene `index` (0 or more): frame_HW3 uint8 RGB and label_HW uint8 of raw ids (see SCENE_LABELS)."""
        return Renderer(sample_scene(self.seed, index, self.style), self.size).draw(0.0, 0)

    def clip(self, index: int, length: int, fps: float = 25.0) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """A drive through scene `index`: `length` pairs like `frame`'s, `fps` frames per second of driving."""
        renderer = Renderer(sample_scene(self.seed, index, self.style), self.size)
        for tick in range(length):
            yield renderer.draw(tick / fps, tick)
