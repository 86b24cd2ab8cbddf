"""The reconstruction decoder: from the code alone back to the frame, with no skip connections.

With skips it would copy its input and the code would learn nothing (contract 4 of the design).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ReconstructionDecoder(nn.Module):
    """Doubles the code's size until it is the frame's, or 1/`stop` of it: two 3x3 convolutions a step.

    A step begins with bilinear upsampling, which leaves no checkerboard where transposed convolution would (Odena et al.,
    2016); or, with `subpixel`, its first convolution makes the four pixels of each place apart (Shi et al., Real-time single
    image super-resolution using an efficient sub-pixel convolutional neural network, 2016), which keeps fine detail. Those
    four begin alike, so that there is no checkerboard either (Aitken et al., Checkerboard artifact free sub-pixel
    convolution, 2017).

    Args:
        code_channels: K of the code.
        stride: how many times smaller the code is than the frame; a power of two.
        width: channels of the first step; halved each step, not below 16.
        stop: how many times smaller than the frame the picture is; a power of two, below `stride`.
        subpixel: how a step doubles the size.
    """

    def __init__(
        self, code_channels: int, stride: int, width: int = 128, stop: int = 1, subpixel: bool = False
    ) -> None:
        super().__init__()
        assert stop < stride
        steps: list[nn.Module] = []
        channels, current = code_channels, width
        for _ in range((stride // stop).bit_length() - 1):
            steps += _doubled(channels, current) if subpixel else _enlarged(channels, current)
            steps += [nn.BatchNorm2d(current), nn.ReLU()]
            steps += [nn.Conv2d(current, current, 3, padding=1, bias=False), nn.BatchNorm2d(current), nn.ReLU()]
            channels = current
            current = max(16, current // 2)
        self.steps = nn.Sequential(*steps)
        self.head = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, code_BKHW: Tensor) -> Tensor:
        """The picture that the code describes, float RGB in 0..255, (B, 3, H x stride / stop, W x stride / stop)."""
        # in float32: bfloat16's sigmoid rounds to exactly 1, where there is no gradient any more
        return torch.sigmoid(self.head(self.steps(code_BKHW)).float()) * 255.0


def _enlarged(inputs: int, outputs: int) -> list[nn.Module]:
    upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return [upsample, nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)]


def _doubled(inputs: int, outputs: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, 4 * outputs, 3, padding=1, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(convolution.weight[::4].repeat_interleave(4, dim=0))
    return [convolution, nn.PixelShuffle(2)]
