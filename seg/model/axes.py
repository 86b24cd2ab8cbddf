"""Axes of a code: along them it is uncorrelated, and rounding costs the picture alike.

The channels of a code tell much of the same, and on a scale of their own. So they are measured on frames of the training: how
they vary together, and how much the picture changes with each. The change of coordinates that makes the second the same in all
directions, then the rotation that makes what varies uncorrelated (Karhunen-Loeve transform; Goyal, Theoretical foundations of
transform coding, 2001), leave numbers that can be rounded to multiples of one step and coded one by one.

Shape suffixes: 1 one frame, K code channels, N places, 3 colours, H and W height and width (of the frame, or of the code for a
code).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from seg.draw import Picture
from seg.errors import SegError
from seg.files import atomic
from seg.model.autoencoder import Autoencoder
from seg.model.checkpoint import load_tensors
from seg.model.entropy import EIGHTH, LARGEST, Integers

EVERY = 4
"""On every so-many-th frame it is measured how the picture changes with the code, which takes longer than the rest."""

EVEN = 0.5
"""Weight of all directions of the code alike, against 1 for the picture: class maps need some that the picture does not."""


@dataclass(frozen=True)
class Axes:
    """Axes of a code, in units such that rounding to multiples of s puts an error of up to about s grey levels into the picture.

    `forward_KK` takes a code's difference from `mean_K` into the axes, `back_KK` out of them; `deviation_K` is the standard
    deviation along each, the largest first. All float32.
    """

    mean_K: Tensor
    forward_KK: Tensor
    back_KK: Tensor
    deviation_K: Tensor

    def quantise(self, code_1KHW: Tensor, step: float) -> Integers:
        """The code in these axes in multiples of `step`, to the nearest integer, (K, H, W)."""
        centred_KHW = code_1KHW[0].double() - self.mean_K.double()[:, None, None]
        along_KHW = torch.tensordot(self.forward_KK.double(), centred_KHW, 1) / step
        return np.asarray(along_KHW.round().clamp(-LARGEST, LARGEST).numpy(), dtype=np.int64)

    def restore(self, values_KHW: Integers, step: float) -> Tensor:
        """The code that `quantise` made the values of, but for rounding, float32 (1, K, H, W)."""
        along_KHW = torch.tensor(values_KHW, dtype=torch.float64) * step
        code_KHW = torch.tensordot(self.back_KK.double(), along_KHW, 1) + self.mean_K.double()[:, None, None]
        restored_1KHW: Tensor = code_KHW.float()[None]
        return restored_1KHW

    def expected_K(self, step: float) -> Integers:
        """How far the values of each axis are from 0, roughly, in eighths, (K,)."""
        eighths_K = self.deviation_K.numpy().astype(np.float64) * (EIGHTH / 2) / step
        return np.asarray(np.rint(eighths_K.clip(0, LARGEST)), dtype=np.int64)


def encode(network: Autoencoder, rgb_HWC: Picture) -> Tensor:
    """The code of a frame at the network's size, (1, K, H, W); SegError if it is not finite."""
    with torch.no_grad():
        code_1KHW = network.encode(torch.tensor(rgb_HWC).permute(2, 0, 1)[None])
    if not code_1KHW.isfinite().all():
        raise SegError("the code of a frame is not finite: the network's weights are damaged")
    return code_1KHW


def measure_axes(network: Autoencoder, frames: Iterable[Picture]) -> Axes:
    """The axes of a network's codes; the same for the same frames.

    Args:
        network: with a reconstruction decoder, in evaluation mode, on the CPU.
        frames: uint8 RGB (H, W, 3), at the size that the network is to see.

    Raises:
        SegError: if there is no frame, a code is not finite, or all are alike.
    """
    width = network.projection.out_channels
    generator = torch.Generator().manual_seed(0)
    count, sum_K, squares_KK = 0, torch.zeros(width).double(), torch.zeros(width, width).double()
    changed, change_KK = 0, torch.zeros(width, width).double()
    for number, rgb_HWC in enumerate(frames):
        code_1KHW = encode(network, rgb_HWC)
        code_KN = code_1KHW[0].flatten(1).double()
        count += code_KN.shape[1]
        sum_K += code_KN.sum(1)
        squares_KK += code_KN @ code_KN.T
        if number % EVERY == 0:
            changed += code_KN.shape[1]
            change_KK += _change(network, code_1KHW, (rgb_HWC.shape[0], rgb_HWC.shape[1]), generator)
    if not count:
        raise SegError("there are no frames to measure codes on")
    mean_K = sum_K / count
    covariance_KK = squares_KK / count - torch.outer(mean_K, mean_K)
    return _axes(mean_K, covariance_KK, change_KK / changed, network.stage_strides[-1])


def _change(network: Autoencoder, code_1KHW: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """How the picture changes with the code, (K, K) float64: J^T J of each place, summed over the places.

    J is the decoder's Jacobian there. It is estimated without bias from its product with one random picture.
    """
    code_1KHW = code_1KHW.clone().requires_grad_(True)
    picture_13HW = network.reconstruct(code_1KHW, size)
    random_13HW = torch.randn(picture_13HW.shape, generator=generator)
    (product_1KHW,) = torch.autograd.grad((picture_13HW * random_13HW).sum(), code_1KHW)
    product_KN = product_1KHW[0].flatten(1).double()
    return product_KN @ product_KN.T


def _axes(mean_K: Tensor, covariance_KK: Tensor, change_KK: Tensor, stride: int) -> Axes:
    """The axes from the codes' mean and covariance, and a place's change of the picture with the code (J^T J)."""
    width = len(mean_K)
    if not float(covariance_KK.trace()) > 0 or not float(change_KK.trace()) > 0:
        raise SegError("the codes of all frames are alike, or the picture does not depend on them: train for longer")
    metric_KK = change_KK + EVEN * change_KK.trace() / width * torch.eye(width).double()
    values_K, vectors_KK = torch.linalg.eigh(metric_KK)
    root_KK = vectors_KK * values_K.sqrt() @ vectors_KK.T
    variance_K, turn_KK = torch.linalg.eigh(root_KK @ covariance_KK @ root_KK)
    # K axes rounded to multiples of s are off by K s^2 / 12 at each place, which its 3 stride^2 values of the picture share;
    # in multiples of this unit that is one grey level each, root mean square
    unit = stride * math.sqrt(36 / width)
    forward_KK = turn_KK.flip(1).T @ root_KK / unit
    deviation_K = variance_K.flip(0).clamp_min(0).sqrt() / unit
    tensors = mean_K, forward_KK, torch.linalg.inv(forward_KK), deviation_K
    return Axes(*(tensor.float().contiguous() for tensor in tensors))


def save_axes(path: Path, axes: Axes) -> None:
    """Write the axes as safetensors, whole or not at all."""
    with atomic(path) as temporary:
        save_file(vars(axes), temporary)


def load_axes(path: Path, width: int) -> Axes:
    """The axes of codes of `width` channels.

    Raises:
        SegError: if the file is missing or damaged, or is of other codes.
    """
    tensors = load_tensors(path)
    sizes = {"mean_K": (width,), "forward_KK": (width, width), "back_KK": (width, width), "deviation_K": (width,)}
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != sizes:
        raise SegError(
            f"{path}: holds no axes of codes of {width} channels; remove it, and `seg compress` makes it anew"
        )
    return Axes(**tensors)
