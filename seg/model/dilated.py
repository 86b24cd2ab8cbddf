"""Our own encoder: plain residual blocks up to stride 16, where the view grows by dilation instead of a fifth stage.

Trained from scratch on a few hundred frames, a ResNet spends most of its work on wide maps at stride 2 and most of its
weights at stride 32, where a pole is a tenth of a pixel. Here the stem is one thin convolution and the blocks sit at
strides 8 and 16, the last with dilations as in DRN (Yu et al., Dilated Residual Networks, 2017). They are dense 3x3
convolutions on purpose: on a processor's bfloat16 units a step with grouped or depthwise ones and squeeze-excitation
(RegNetY, Radosavovic et al., 2020) took 1.6 times as long for 0.8 times the multiplications.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from timm.layers.drop import DropPath
from torch import Tensor, nn

from seg.config import Positive
from seg.strict import Strict


class DilatedOptions(Strict):
    """`encoder_options` of `DilatedEncoder`.

    `channels` are the widths of the stages from stride 2 on, `blocks` the numbers of blocks at strides 4 and 8,
    `dilations` those of each block at stride 16. `drop_path` is the share of samples for which the last block is skipped
    in training, rising linearly from none for the first (stochastic depth, Huang et al., 2016).
    """

    channels: Annotated[tuple[Positive, ...], Field(min_length=4, max_length=4)] = (32, 32, 64, 128)
    blocks: Annotated[tuple[Positive, ...], Field(min_length=2, max_length=2)] = (1, 2)
    dilations: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 2, 4, 8, 4)
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0


class DilatedEncoder(nn.Module):
    """Stages at strides 1 (the frame), 2, 4, 8 and 16.

    Attributes:
        out_channels: channels of every stage.
        output_stride: 16.
    """

    output_stride = 16

    def __init__(self, options: DilatedOptions) -> None:
        super().__init__()
        channels = options.channels
        self.out_channels = [3, *channels]
        plans = [[1] * options.blocks[0], [1] * options.blocks[1], list(options.dilations)]
        rates = torch.linspace(0, options.drop_path, sum(map(len, plans))).tolist()
        self.stem = nn.Sequential(_convolution(3, channels[0], stride=2), nn.ReLU(inplace=True))
        self.stages = nn.ModuleList()
        for inputs, width, plan in zip(channels[:-1], channels[1:], plans, strict=True):
            first = Block(inputs, width, 2, plan[0], rates.pop(0))
            rest = [Block(width, width, 1, dilation, rates.pop(0)) for dilation in plan[1:]]
            self.stages.append(nn.Sequential(first, *rest))

    def forward(self, frame_B3HW: Tensor) -> list[Tensor]:
        """The maps of every stage, the frame's first; its sides are multiples of 16."""
        features = [frame_B3HW, self.stem(frame_B3HW)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al., 2016); the shortcut averages before it skips pixels."""

    def __init__(self, inputs: int, outputs: int, stride: int, dilation: int, drop_path: float) -> None:
        super().__init__()
        self.change = nn.Sequential(
            _convolution(inputs, outputs, stride=stride, dilation=dilation),
            nn.ReLU(inplace=True),
            _convolution(outputs, outputs, dilation=dilation),
        )
        self.drop_path = DropPath(drop_path)
        self.shortcut = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """A map of the same size, or of half the size at stride 2."""
        return torch.relu(self.shortcut(x_BCHW) + self.drop_path(self.change(x_BCHW)))


def _convolution(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
    )
