"""Learning-rate schedules, as a factor of the peak rate; pure functions of the step, so that resuming is exact."""

from __future__ import annotations

import math
from collections.abc import Callable

from seg.config import OptimizerConfig


def factor(config: OptimizerConfig, total_steps: int) -> Callable[[int], float]:
    """The factor of `config.lr` at each step 0..total_steps-1.

    `onecycle`: cosine up from 1/25 over the warm-up, cosine down to 1e-4 (Smith and Topin, 2018).
    `poly`: linear warm-up, then (1 - t)^0.9 (Chen et al., DeepLab, 2017).
    """
    warmup = max(1, round(config.warmup * total_steps))

    def onecycle(step: int) -> float:
        if step < warmup:
            return _cosine(1 / 25, 1.0, step / warmup)
        return _cosine(1.0, 1e-4, (step - warmup) / max(1, total_steps - warmup))

    def poly(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return max(0.0, 1 - (step - warmup) / max(1, total_steps - warmup)) ** 0.9

    return {"onecycle": onecycle, "poly": poly}[config.schedule]


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
