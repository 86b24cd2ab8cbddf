"""Random numbers for sampling scenes: scalar draws without numpy's cost per call."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Dice:
    """Deterministic scalar draws from a key of non-negative integers.

    A numpy generator costs microseconds per scalar and a scene needs a thousand, so uniforms are drawn in blocks.
    """

    BLOCK = 1024

    def __init__(self, *key: int) -> None:
        self._rng = np.random.default_rng(key)
        self._block: list[float] = []

    def unit(self) -> float:
        """Uniform in [0, 1)."""
        if not self._block:
            self._block = self._rng.random(self.BLOCK).tolist()
        return self._block.pop()

    def uniform(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * self.unit()

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.unit() < probability

    def integer(self, low: int, high: int) -> int:
        """Uniform integer in [low, high], both ends included."""
        return low + int(self.unit() * (high - low + 1))

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`, all equally likely."""
        return options[int(self.unit() * len(options))]

    def weighted(self, options: dict[T, float]) -> T:
        """One key of `options`, likely in proportion to its value."""
        left = self.unit() * sum(options.values())
        for option, weight in options.items():
            left -= weight
            if left < 0:
                return option
        return next(reversed(options))

    def around(self, colour: tuple[float, float, float], spread: float) -> tuple[float, float, float]:
        """`colour` with brightness scaled and each channel shifted by up to `spread` (grey levels)."""
        gain = 1 + self.uniform(-spread, spread) / 100
        wide = spread / 1.5
        r, g, b = colour
        r = r * gain + (self.unit() - 0.5) * wide
        g = g * gain + (self.unit() - 0.5) * wide
        b = b * gain + (self.unit() - 0.5) * wide
        return min(max(r, 4.0), 250.0), min(max(g, 4.0), 250.0), min(max(b, 4.0), 250.0)
