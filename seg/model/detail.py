"""Our own decoder: a light U-Net that works at half the frame's size and still answers at the frame's.

Lanes and poles are two pixels wide; the library's decoders have lost their edges by the encoder's first stage. Here the
normalised frame itself (stage 0) joins in at stride 2 with its pixels sorted into channels (space to depth), and each place
of the last map answers for the 2x2 pixels of its cell (sub-pixel convolution, Shi et al., 2016). Nothing is lost, and no
map of the frame's size is made but the answer itself, which is what costs the time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class DetailDecoder(nn.Module):
    """From the code upwards: double the size, add the stage of that size, one 3x3 convolution; at stride 2, one more.

    What is joined is first brought to the same narrow width by 1x1 convolutions, those of the smaller map before it is
    enlarged (as in a feature pyramid, Lin et al., 2017): a 3x3 convolution of everything side by side at stride 2 took
    half of a training step.

    Args:
        stages: channels of every stage; stage 0 is the frame, the last is the code.
        widths: channels of the last map, then of the decoder's map beside each stage from stage 1 on but the code.
    """

    def __init__(self, stages: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        if len(widths) != len(stages) - 1:
            raise TypeError(f"channels: expected {len(stages) - 1} widths, got {len(widths)}")
        last, *widths = widths
        # a 6x6 convolution at stride 2 is space to depth and a 3x3 one after it, without the rearranging
        self.stem = _convolution(stages[0], widths[0], 6, stride=2)
        self.laterals = nn.ModuleList(
            _convolution(stage, width, 1) for stage, width in zip(stages[1:-1], widths, strict=True)
        )
        below = (*widths[1:], stages[-1])
        self.raises = nn.ModuleList(_convolution(lower, width, 1) for lower, width in zip(below, widths, strict=True))
        self.joins = nn.ModuleList(_convolution(width, width, 3) for width in widths)
        self.last = _convolution(widths[0], last, 3)

    def forward(self, features: list[Tensor]) -> Tensor:
        """The map of `widths[0]` channels at half the padded frame's size."""
        x_BCHW = features[-1]
        for level in reversed(range(len(self.joins))):
            stage_BCHW = features[level + 1]
            raised_BCHW = F.interpolate(self.raises[level](x_BCHW), size=stage_BCHW.shape[-2:], mode="nearest")
            sum_BCHW = raised_BCHW + self.laterals[level](stage_BCHW)
            if level == 0:
                sum_BCHW = sum_BCHW + self.stem(features[0])
            x_BCHW = self.joins[level](sum_BCHW)
        return self.last(x_BCHW)  # type: ignore[no-any-return]


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=(size - 1) // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
