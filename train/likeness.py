"""How near a reconstructed frame is to the frame: the loss it is trained on, and the figures it is judged by.

Shape suffixes: B batch, 3 colours, H and W height and width. All of it is computed in float32, autocast or not: a mean of
squares less the square of a mean is lost in bfloat16.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg.config import ReconstructionLossConfig
from seg.errors import SegError

# Wang et al., Image quality assessment, 2004
WINDOW = 11
SIGMA = 1.5
LUMINANCE = 0.01**2
CONTRAST = 0.03**2

CLAMP = 1e-6  # predictions this near to 0 or 1 are taken for it, or the logarithm would be infinite
MOST = 100.0  # decibels


def ssim(a_B3HW: Tensor, b_B3HW: Tensor) -> Tensor:
    """Structural similarity in -1..1, 1 for equal images, float32 (B,): the mean over places and channels.

    An 11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, on each channel, at the places where the window lies
    within the image (Wang et al., 2004).

    Args:
        a_B3HW: float in 0..1, at least 11 by 11.
        b_B3HW: of the same shape.

    Raises:
        SegError: for smaller images.
    """
    assert a_B3HW.shape == b_B3HW.shape
    height, width = a_B3HW.shape[-2:]
    if min(height, width) < WINDOW:
        raise SegError(f"structural similarity: expected images of at least {WINDOW}x{WINDOW}, got {height}x{width}")
    # variances are the same about any point, and lose least to rounding where the squares are small
    a_B3HW, b_B3HW = a_B3HW.float() - 0.5, b_B3HW.float() - 0.5
    maps_4B3HW = torch.stack([a_B3HW, b_B3HW, a_B3HW.square() + b_B3HW.square(), a_B3HW * b_B3HW])
    mean_a, mean_b, squares, product = _blur(_blur(maps_4B3HW, -1), -2).unbind()
    variances = squares - (mean_a.square() + mean_b.square())
    covariance = product - mean_a * mean_b
    mean_a, mean_b = mean_a + 0.5, mean_b + 0.5
    luminance = (2 * mean_a * mean_b + LUMINANCE) / (mean_a.square() + mean_b.square() + LUMINANCE)
    return (luminance * (2 * covariance + CONTRAST) / (variances + CONTRAST)).mean((1, 2, 3))


def psnr(a_B3HW: Tensor, b_B3HW: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of images in 0..255, float32 (B,).

    At most 100 dB, which is what equal images get in place of infinity, so that a mean over frames stays a number.

    Args:
        a_B3HW: uint8 or float, in 0..255.
        b_B3HW: of the same shape; uint8 or float.
    """
    assert a_B3HW.shape == b_B3HW.shape
    error_B = (a_B3HW.float() - b_B3HW.float()).div(255).square().mean((1, 2, 3))
    return -10 * error_B.clamp_min(10 ** (-MOST / 10)).log10()


class ReconstructionLoss(nn.Module):
    """The weighted sum of squared error, absolute error, binary cross-entropy and 1 - structural similarity.

    Each is a mean over the batch, on pixels in 0..1. Binary cross-entropy is least, but not zero, where the frame is
    reached: its least is the entropy of the frame's own values.

    Args:
        config: the weights; what weighs 0 is not computed.
    """

    def __init__(self, config: ReconstructionLossConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, reconstruction_B3HW: Tensor, target_B3HW: Tensor) -> Tensor:
        """The loss of a batch, a float32 scalar.

        Args:
            reconstruction_B3HW: float in 0..255, of any precision.
            target_B3HW: uint8 or float in 0..255, of the same shape.

        Raises:
            SegError: for frames below 11x11, where structural similarity has a weight.
        """
        assert reconstruction_B3HW.shape == target_B3HW.shape
        config = self.config
        with torch.autocast(reconstruction_B3HW.device.type, enabled=False):
            made_B3HW, target_B3HW = reconstruction_B3HW.float() / 255, target_B3HW.float() / 255
            loss = torch.zeros((), device=made_B3HW.device)
            if config.squared:
                loss = loss + config.squared * F.mse_loss(made_B3HW, target_B3HW)
            if config.absolute:
                loss = loss + config.absolute * F.l1_loss(made_B3HW, target_B3HW)
            if config.cross_entropy:
                clamped_B3HW = made_B3HW.clamp(CLAMP, 1 - CLAMP)
                loss = loss + config.cross_entropy * F.binary_cross_entropy(clamped_B3HW, target_B3HW)
            if config.ssim:
                loss = loss + config.ssim * (1 - ssim(made_B3HW, target_B3HW).mean())
        return loss


def _blur(maps_X: Tensor, dim: int) -> Tensor:
    """The Gaussian window along one axis, which gets 10 shorter.

    A sum of shifted maps, not a convolution: cuDNN may compute those in TF32, whose 10 bits the variances do not survive.
    On the CPU it takes no longer.
    """
    weights = [math.exp(-0.5 * (place / SIGMA) ** 2) for place in range(-(WINDOW // 2), WINDOW // 2 + 1)]
    total = sum(weights)
    length = maps_X.shape[dim] - WINDOW + 1
    out_X = torch.zeros_like(maps_X.narrow(dim, 0, length))
    for shift, weight in enumerate(weights):
        out_X = torch.add(out_X, maps_X.narrow(dim, shift, length), alpha=weight / total)
    return out_X
