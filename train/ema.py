"""An exponential moving average of a network's weights and statistics."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class MovingAverage:
    """The average network; after t updates the decay is min(decay, (1 + t) / (10 + t)), so that a young one keeps up.

    Attributes:
        network: the averaged copy, in evaluation mode and without gradients.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards `network`, after its update number `step` (from 0); counters are copied."""
        amount = 1 - min(self.decay, (1 + step) / (10 + step))
        averages, currents = _tensors(self.network), _tensors(network)
        floats = [name for name, tensor in averages.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([averages[name] for name in floats], [currents[name] for name in floats], amount)
        for name in averages.keys() - set(floats):
            averages[name].copy_(currents[name])


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return dict(network.state_dict(keep_vars=False))
