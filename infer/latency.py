"""Percentiles of many times in bounded memory: a histogram whose buckets are each one per cent wider than the last."""

from __future__ import annotations

import math

import numpy as np

SHORTEST_S, GROWTH = 1e-6, 1.01
BUCKETS = 2048
"""The last one holds all from 700 s on."""

SHOWN = (50, 95, 99)


class Percentiles:
    """Times in seconds, of which any percentile is told within one per cent."""

    def __init__(self) -> None:
        self._counts = np.zeros(BUCKETS, dtype=np.int64)

    def add(self, seconds: float) -> None:
        """One more."""
        place = math.ceil(math.log(max(seconds, SHORTEST_S) / SHORTEST_S, GROWTH))
        self._counts[min(place, BUCKETS - 1)] += 1

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._counts.sum())

    def at(self, percent: float) -> float:
        """The least time, in seconds and rounded up to a bucket, that so many per cent do not exceed; NaN without any."""
        if not self.count:
            return math.nan
        wanted = max(1, math.ceil(percent / 100 * self.count))
        place = int(np.searchsorted(self._counts.cumsum(), wanted))
        return SHORTEST_S * GROWTH**place

    def told(self) -> str:
        """In milliseconds: `p50 21.3, p95 24.0, p99 30.1 ms`."""
        return ", ".join(f"p{percent} {1000 * self.at(percent):.1f}" for percent in SHOWN) + " ms"
