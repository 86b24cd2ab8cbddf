"""ESPNet, the published small network that ours is measured against: for its time and size, so its weights are random.

Mehta et al., ESPNet: Efficient Spatial Pyramid of Dilated Convolutions for Semantic Segmentation, 2018, written from the
paper's figures 1, 2 and 4 with its own depths for CamVid, 2 and 8 blocks. Convolutions have no bias; an activation is a
PReLU after a batch norm.

Shape suffixes: B batch, C channels or classes, 3 colours, H and W height and width.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.architectures import Trained
from seg.spec import ModelSpec

PEER = "ESPNet"
PUBLISHED = Trained(run="espnet_p_2_q_8_camvid.pth of github.com/sacmehta/ESPNet", epochs=None, mean_iou=(0.70,))
"""Measured once, with its own code on CamVid's val as we read it; only its time is measured here."""

DILATIONS = (1, 2, 4, 8, 16)


def _conv(into: int, out: int, size: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(into, out, size, stride, dilation * (size // 2), dilation, bias=False)


def _activated(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels, eps=1e-3), nn.PReLU(channels))


class ESP(nn.Module):
    """An efficient spatial pyramid: channels reduced to a fifth, five dilations of it, their sums stacked.

    With a `stride` of 2 the reduction is a 3x3 convolution that halves the size; `residual` adds the input.
    """

    def __init__(self, into: int, out: int, stride: int = 1, *, residual: bool = True) -> None:
        super().__init__()
        narrow = out // len(DILATIONS)
        first = out - narrow * (len(DILATIONS) - 1)  # what five do not divide is the first's
        self.reduce = _conv(into, narrow, 3 if stride == 2 else 1, stride)
        self.spread = nn.ModuleList(
            _conv(narrow, narrow if number else first, 3, dilation=dilation)
            for number, dilation in enumerate(DILATIONS)
        )
        self.residual = residual and stride == 1
        self.act = _activated(out)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, out, H, W), divided by the stride."""
        narrow_BCHW = self.reduce(x_BCHW)
        undilated_BCHW, *dilated = (branch(narrow_BCHW) for branch in self.spread)
        sums = [dilated[0]]
        for branch_BCHW in dilated[1:]:  # hierarchical fusion, against gridding
            sums.append(sums[-1] + branch_BCHW)
        y_BCHW = torch.cat([undilated_BCHW, *sums], 1)
        activated_BCHW: Tensor = self.act(x_BCHW + y_BCHW if self.residual else y_BCHW)
        return activated_BCHW


class ESPNet(nn.Module):
    """RGB frames (B, 3, H, W), 0..255, sides divisible by 8, to class logits (B, C, H, W)."""

    def __init__(self, classes: int, blocks: tuple[int, int] = (2, 8)) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(3, 2, 1)
        self.level1 = nn.Sequential(_conv(3, 16, 3, 2), _activated(16))
        self.act1 = _activated(19)
        self.down2, self.level2 = ESP(19, 64, 2), nn.Sequential(*(ESP(64, 64) for _ in range(blocks[0])))
        self.act2 = _activated(131)
        self.down3, self.level3 = ESP(131, 128, 2), nn.Sequential(*(ESP(128, 128) for _ in range(blocks[1])))
        self.act3 = _activated(256)
        self.project3 = nn.Sequential(_conv(256, classes, 1), nn.BatchNorm2d(classes, eps=1e-3))
        self.up3 = nn.Sequential(nn.ConvTranspose2d(classes, classes, 2, 2, bias=False), _activated(classes))
        self.project2 = _conv(131, classes, 1)
        self.merge2 = nn.Sequential(_activated(2 * classes), ESP(2 * classes, classes, residual=False))
        self.up2 = nn.Sequential(nn.ConvTranspose2d(classes, classes, 2, 2, bias=False), _activated(classes))
        self.merge1 = nn.Sequential(_conv(classes + 19, classes, 3), _activated(classes))
        self.up1 = nn.ConvTranspose2d(classes, classes, 2, 2, bias=False)

    def forward(self, rgb_B3HW: Tensor) -> Tensor:
        """Class logits (B, C, H, W)."""
        rgb_B3HW = rgb_B3HW / 255.0
        half_B3HW = self.pool(rgb_B3HW)
        quarter_B3HW = self.pool(half_B3HW)
        one_BCHW = self.act1(torch.cat([self.level1(rgb_B3HW), half_B3HW], 1))
        down_BCHW = self.down2(one_BCHW)
        two_BCHW = self.act2(torch.cat([self.level2(down_BCHW), down_BCHW, quarter_B3HW], 1))
        down_BCHW = self.down3(two_BCHW)
        three_BCHW = self.act3(torch.cat([down_BCHW, self.level3(down_BCHW)], 1))
        up_BCHW = self.up3(self.project3(three_BCHW))
        up_BCHW = self.up2(self.merge2(torch.cat([self.project2(two_BCHW), up_BCHW], 1)))
        logits_BCHW: Tensor = self.up1(self.merge1(torch.cat([up_BCHW, one_BCHW], 1)))
        return logits_BCHW


class ESPNetFrame(nn.Module):
    """The same in our profile `frame`: uint8 RGB (B, H, W, 3) to classes and confidences, uint8 (B, H, W)."""

    def __init__(self, network: ESPNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, frame_BHW3: Tensor) -> tuple[Tensor, Tensor]:
        """Class ids, and the winning class's probability in 1/255."""
        logits_BCHW = self.network(frame_BHW3.permute(0, 3, 1, 2).float())
        top_B1HW, classes_B1HW = logits_BCHW.max(1, keepdim=True)
        confidence_BHW = 1.0 / (logits_BCHW - top_B1HW).exp().sum(1)
        return classes_B1HW.squeeze(1).to(torch.uint8), (confidence_BHW * 255.0).round().to(torch.uint8)


def write_frame_file(network: ESPNet, size: tuple[int, int], spec: ModelSpec, file: Path) -> None:
    """Export it for frames of `size` (height, width), under its own name but otherwise with the contract `spec`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            ESPNetFrame(network).eval(),
            (torch.zeros((1, *size, 3), dtype=torch.uint8),),
            dynamo=True,
            input_names=[tensor.name for tensor in spec.inputs],
            output_names=[tensor.name for tensor in spec.outputs],
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(spec.model_copy(update={"name": PEER}).to_metadata())
    program.save(str(file))
