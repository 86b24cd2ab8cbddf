"""Ctrl-C and SIGTERM as a request that the loop answers at a good moment."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from train.distributed import World


class StopRequest:
    """Whether, and by which signal, the run was asked to stop."""

    def __init__(self) -> None:
        self.signal: int = 0

    @property
    def exit_code(self) -> int:
        """128 + the signal's number: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signal

    def receive(self, number: int, _: FrameType | None) -> None:
        """Take a signal; a second Ctrl-C does not wait any longer."""
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def agreed(self, world: World) -> bool:
        """Whether any process was asked: all of them then stop at the same step."""
        if world.size > 1:
            self.signal = int(world.max(torch.tensor(self.signal)))
        return self.signal != 0


@contextmanager
def stop_requested() -> Iterator[StopRequest]:
    """Route SIGINT and SIGTERM to a StopRequest while the block runs."""
    request = StopRequest()
    before = {number: signal.signal(number, request.receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
