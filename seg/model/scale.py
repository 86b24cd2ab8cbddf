"""The scale of weights before a batch norm: without meaning for what a network computes, decisive for how it learns.

A batch norm undoes any factor of the weights before it, so training makes them larger and larger, and the same step turns
them less and less (van Laarhoven, L2 regularization versus batch and weight normalization, 2017). With Muon's or Adam's
steps of a fixed size, weights of 15 times the norm learn at 1/15 of the rate.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

Convolution = nn.Conv2d | nn.ConvTranspose2d

EXAMPLE = 64
"""Sides of the picture that is sent through to see what follows what."""


def rescale(network: nn.Module, reference: Mapping[str, Tensor]) -> None:
    """Give the convolutions before a batch norm the norm of their weights in `reference`; answers stay as they are.

    Args:
        network: on the CPU; it takes a picture (1, 3, H, W).
        reference: a state of the same network, such as that of fresh weights; convolutions that it lacks are left alone.
    """
    names = {module: name for name, module in network.named_modules()}
    with torch.no_grad():
        for convolution, norm in convolutions_with_norms(network):
            wanted = reference.get(f"{names[convolution]}.weight")
            if wanted is None:
                continue
            factor = wanted.norm() / convolution.weight.norm().clamp_min(1e-12)
            convolution.weight *= factor
            if convolution.bias is not None:
                convolution.bias *= factor
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean *= factor
            norm.running_var *= factor**2


def convolutions_with_norms(network: nn.Module) -> list[tuple[Convolution, nn.BatchNorm2d]]:
    """The convolutions whose output a batch norm takes, each with it, found by sending a picture through."""
    made: list[tuple[Tensor, Convolution]] = []  # kept alive: the next tensor would get the same identity
    pairs: list[tuple[Convolution, nn.BatchNorm2d]] = []

    def note(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, Convolution)
        made.append((output, module))

    def match(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        pairs.extend((convolution, module) for output, convolution in made if output is given[0])

    modules = list(network.modules())
    handles = [module.register_forward_hook(note) for module in modules if isinstance(module, Convolution)]
    handles += [module.register_forward_pre_hook(match) for module in modules if isinstance(module, nn.BatchNorm2d)]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, EXAMPLE, EXAMPLE))
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    return pairs
