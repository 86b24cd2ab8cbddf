"""What a code is asked for besides reconstruction: sparsity, insensitivity, redundancy.

Shape suffixes: B batch, K code channels, H and W height and width of the code; X is any shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

# how far an activity is drawn from 0 and 1, where the divergence is infinite
MARGIN = 1e-6


def l1_penalty(code_BKHW: Tensor) -> Tensor:
    """The mean absolute value of a code, a float32 scalar; its gradient is the same however near to zero a value is."""
    return code_BKHW.float().abs().mean()


def kl_penalty(code_BKHW: Tensor, rho: float) -> Tensor:
    """How far the channels' activities are from `rho`, a float32 scalar: the mean of KL(rho || activity) over channels.

    A channel's activity is its mean over batch and places (Ng, Sparse autoencoder, CS294A lecture notes, 2011). Ng adds
    the channels up; here it is their mean, as the other losses are means, so that a weight means the same for a code of
    any width. Both numbers are drawn in from 0 and 1 by a millionth, so value and gradient are finite for a channel that
    is off or on everywhere, and the value is still least where the activity is `rho`.

    The activity is that of the batch in this process; it needs enough places to be one of the channel.

    Args:
        code_BKHW: float in 0..1, as a sigmoid makes it.
        rho: in 0..1, without the ends.
    """
    assert 0 < rho < 1
    activity_K = MARGIN + (1 - 2 * MARGIN) * code_BKHW.float().mean((0, 2, 3))
    target = MARGIN + (1 - 2 * MARGIN) * rho
    on_K = target * (math.log(target) - activity_K.log())
    off_K = (1 - target) * (math.log1p(-target) - torch.log1p(-activity_K))
    return (on_K + off_K).mean()


def contractive_penalty(
    encode: Callable[[Tensor], Tensor], input_BX: Tensor, projections: int, generator: torch.Generator | None = None
) -> Tensor:
    """An unbiased estimate of the squared Frobenius norm of d code / d input, a float32 scalar: the mean over samples.

    Rifai et al. (2011) want the norm itself, which takes a backward pass for each number of the code. With random signs
    v, E |J^T v|^2 = |J|^2 (Hutchinson, 1990), and each `v` takes one pass. Signs rather than Gaussians: they have the same
    mean and less variance. The gradient with respect to the encoder's parameters is unbiased, too.

    The norm is per unit of the input: of frames in 0..255 it is 255^2 times smaller than of frames in 0..1. Where the
    encoder mixes samples (batch normalisation in training) it counts what a sample does to the others' codes.

    Args:
        encode: from the input to the code; twice differentiable, so not a compiled module.
        input_BX: B samples; uint8 is turned into float.
        projections: how many vectors v to average over.
        generator: on the CPU; None for torch's global one.
    """
    input_BX = input_BX.detach().float().requires_grad_()
    with torch.enable_grad():
        code_BX = encode(input_BX)
        total = torch.zeros((), device=code_BX.device)
        for _ in range(projections):
            signs_BX = 2 * torch.randint(2, code_BX.shape, generator=generator) - 1
            signs_BX = signs_BX.to(code_BX.device, code_BX.dtype)
            (pulled_BX,) = torch.autograd.grad(code_BX, input_BX, signs_BX, create_graph=True)
            total = total + pulled_BX.float().square().sum()
        return total / (projections * len(input_BX))


def jacobian_norm(encode: Callable[[Tensor], Tensor], input_BX: Tensor) -> Tensor:
    """The exact squared Frobenius norm of d code / d input of each sample, float32 (B,), without gradient.

    It takes a backward pass for each number of a sample's code: for small codes, as the judge of `contractive_penalty`.

    Args:
        encode: from the input to the code, each sample's from that sample alone (batch normalisation in evaluation).
        input_BX: B samples; uint8 is turned into float.
    """
    input_BX = input_BX.detach().float().requires_grad_()
    with torch.enable_grad():
        code_BN = encode(input_BX).flatten(1)
        norm_B = torch.zeros(len(input_BX), device=code_BN.device)
        for sum_over_samples in code_BN.sum(0):
            # a sample's code depends on that sample alone, so the gradient of the sum holds each sample's own
            (row_BX,) = torch.autograd.grad(sum_over_samples, input_BX, retain_graph=True)
            norm_B += row_BX.float().flatten(1).square().sum(1)
    return norm_B


def drop_channels(code_BKHW: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """The code with whole channels zeroed, each with probability `share`, and the others scaled up by 1 / (1 - share).

    What `F.dropout2d` does (Srivastava et al., 2014; Tompson et al., 2015), with a generator of one's own.

    Args:
        code_BKHW: float.
        share: at least 0 and below 1.
        generator: on the CPU; None for torch's global one.
    """
    assert 0 <= share < 1
    if not share:
        return code_BKHW
    kept_BK11 = torch.rand(*code_BKHW.shape[:2], 1, 1, generator=generator) >= share
    return code_BKHW * (kept_BK11 / (1 - share)).to(code_BKHW.device, code_BKHW.dtype)
