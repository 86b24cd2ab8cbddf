"""Our own decoder: a light U-Net that works at half the frame's size and still answers at the frame's.

Lanes and poles are two pixels wide; the library's decoders have lost their edges by the encoder's first stage. Here the
normalised frame itself (stage 0) joins in at stride 2 with its pixels sorted into channels (space to depth), and the
last convolution's channels are sorted back into pixels (sub-pixel convolution, Shi et al., 2016). Nothing is lost, and
no wide map of the frame's size is ever made, which is what costs the time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DetailDecoder(nn.Module):
    """From the code upwards: double the size, join the stage of that size, one 3x3 convolution; at stride 2, to pixels.

    Args:
        stages: channels of every stage; stage 0 is the frame, the last is the code.
        widths: channels of the answer, then of the decoder's map beside each stage from stage 1 on but the code.
    """

    def __init__(self, stages: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        if len(widths) != len(stages) - 1:
            raise TypeError(f"channels: expected {len(stages) - 1} widths, got {len(widths)}")
        self.stem = _convolution(4 * stages[0], 16)
        skips = (16 + stages[1], *stages[2:-1])
        below = (*widths[2:], stages[-1])
        self.joins = nn.ModuleList(
            _convolution(channels + skip, width) for channels, skip, width in zip(below, skips, widths[1:], strict=True)
        )
        self.last = _convolution(widths[1], 4 * widths[0])

    def forward(self, features: list[Tensor]) -> Tensor:
        """The map of `widths[0]` channels at the padded frame's size."""
        frame_BCHW = self.stem(F.pixel_unshuffle(features[0], 2))
        stages = [torch.cat([frame_BCHW, features[1]], dim=1), *features[2:-1]]
        x_BCHW = features[-1]
        for skip_BCHW, join in zip(reversed(stages), reversed(self.joins), strict=True):
            x_BCHW = F.interpolate(x_BCHW, size=skip_BCHW.shape[-2:], mode="nearest")
            x_BCHW = join(torch.cat([x_BCHW, skip_BCHW], dim=1))
        return F.pixel_shuffle(self.last(x_BCHW), 2)


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )
