"""What a run learns, apart from the loop that learns it: `seg train` and `seg pretrain` are two tasks of one loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seg.data.base import LabelledData
from train.batches import Batch
from train.distributed import World

T = TypeVar("T")
U8 = npt.NDArray[np.uint8]
Part = tuple[Tensor, ...]
"""What one forward and backward pass works on: the tensors that a task made of a batch, or of a part of it."""


@dataclass(frozen=True)
class Setting:
    """Where a task works.

    Attributes:
        val: the data to validate on.
        size: (height, width) that the network sees there.
        device: where it computes.
        world: the processes that share a batch.
    """

    val: LabelledData
    size: tuple[int, int]
    device: torch.device
    world: World


@dataclass(frozen=True)
class Outcome:
    """What a validation found.

    Attributes:
        score: the larger the better; the best is kept.
        figures: for `metrics.jsonl`: numbers, or mappings of names to numbers.
        line: the figures in a few words.
        sections: title -> HTML, for the report.
        meta: what the checkpoint's meta says of it.
    """

    score: float
    figures: dict[str, Any]
    line: str
    sections: dict[str, str] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)


class Watch(Protocol):
    """Shows how far a validation is, and ends it early when the run is to stop."""

    def __call__(self, items: Iterable[T], /) -> Iterator[T]:
        """The items, one after another."""
        ...


class Task(nn.Module, ABC):
    """A network and what it learns; called as a module, one part after another, so that DDP sees every gradient.

    `network` is what is trained and saved, `score_name` what `Outcome.score` is.
    """

    score_name: str

    def __init__(self, network: nn.Module, setting: Setting) -> None:
        super().__init__()
        self.network, self.setting = network, setting

    def speed_up(self) -> None:
        """Compile what this task calls of its network (torch.compile)."""
        self.network.compile()

    @abstractmethod
    def parts(self, batch: Batch, count: int) -> list[Part]:
        """The batch on the device, ready to learn from, in `count` parts whose losses add up to the whole batch's.

        Whole means over all processes. What is random in it comes from torch's global generator.
        """

    @abstractmethod
    def forward(self, *part: Tensor) -> Tensor:
        """The loss of one part, with the gradient to follow."""

    @abstractmethod
    def validate(self, network: nn.Module, watch: Watch) -> Outcome:
        """Measure `network` (the average) on the validation data, shared out among the processes."""

    @abstractmethod
    def pictures(self, network: nn.Module) -> U8:
        """A few validation frames and what `network` makes of them, uint8 RGB (H, W, 3)."""
