"""Which samples make each step's batch: a pure function of the seed and the step, so that any step can be resumed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler


class Draw(NamedTuple):
    """One sample of a batch: which item, and the seed of its augmentation."""

    index: int
    seed: int


class BatchPlan:
    """The batches of a run.

    Without weights an epoch runs through permutations of the items; with weights its items are drawn independently. The
    last, incomplete batch of an epoch is left out.

    Args:
        items: number of items.
        epoch_size: samples an epoch.
        batch_size: samples a step, over all processes.
        seed: of the run.
        weights: float64 (items,), probability of each item; None to run through all.
    """

    def __init__(
        self,
        items: int,
        epoch_size: int,
        batch_size: int,
        seed: int,
        weights: npt.NDArray[np.float64] | None = None,
    ) -> None:
        self.items, self.epoch_size, self.batch_size, self.seed, self.weights = (
            items,
            epoch_size,
            batch_size,
            seed,
            weights,
        )
        self.steps_per_epoch = max(1, epoch_size // batch_size)
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def batch(self, step: int) -> list[Draw]:
        """The samples of a step, over all processes."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._epoch_order(epoch)
        chosen = self._order[position * self.batch_size : (position + 1) * self.batch_size]
        seeds = np.random.default_rng((self.seed, 1, step)).integers(0, 2**31, len(chosen))
        return [Draw(int(index), int(seed)) for index, seed in zip(chosen, seeds, strict=True)]

    def _epoch_order(self, epoch: int) -> npt.NDArray[np.int64]:
        generator = np.random.default_rng((self.seed, 0, epoch))
        count = self.steps_per_epoch * self.batch_size
        if self.weights is not None:
            return generator.choice(self.items, size=count, p=self.weights)
        rounds = [generator.permutation(self.items) for _ in range(math.ceil(count / self.items))]
        return np.concatenate(rounds)[:count]


class PlannedBatches(Sampler[list[Draw]]):
    """One process's share of the batches of steps `start`..`stop - 1`, for a DataLoader."""

    def __init__(self, plan: BatchPlan, start: int, stop: int, rank: int, world: int) -> None:
        self.plan, self.start, self.stop, self.rank, self.world = plan, start, stop, rank, world

    def __iter__(self) -> Iterator[list[Draw]]:
        """Batches of equal size: the step's samples rank * B .. (rank + 1) * B - 1."""
        share = self.plan.batch_size // self.world
        for step in range(self.start, self.stop):
            yield self.plan.batch(step)[self.rank * share : (self.rank + 1) * share]

    def __len__(self) -> int:
        return self.stop - self.start
