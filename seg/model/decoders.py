"""Segmentation decoders by name, those of segmentation-models-pytorch and our own, behind one signature.

A builder takes the channels of every stage (the last is the code's) and the encoder's depth, and answers with a decoder
module (stage features in, one feature map out), the channels of that map and its stride relative to the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
from segmentation_models_pytorch.decoders.linknet.decoder import LinknetDecoder
from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import nn

from seg.model.detail import DetailDecoder


@dataclass(frozen=True)
class Decoder:
    """A built decoder: `module(features)` gives a map of `channels` channels at 1/`stride` of the frame.

    One with `cells` answers for every pixel of the stride x stride cell at each place; of the others the answer is
    enlarged.
    """

    module: nn.Module
    channels: int
    stride: int
    cells: bool = False


def _unet(stages: Sequence[int], depth: int, *, channels: Sequence[int] | None = None, **options: Any) -> Decoder:
    """Ronneberger et al., 2015. `channels`: one width a block, from the code upwards."""
    widths = list(channels or (256, 128, 64, 32, 16)[:depth])
    module = UnetDecoder(encoder_channels=stages, decoder_channels=widths, n_blocks=depth, **options)
    return Decoder(module, widths[-1], 1)


def _linknet(stages: Sequence[int], depth: int, *, channels: int = 32, **options: Any) -> Decoder:
    """Chaurasia and Culurciello, 2017. `channels`: width of the last block."""
    module = LinknetDecoder(encoder_channels=list(stages), prefinal_channels=channels, n_blocks=depth, **options)
    return Decoder(module, channels, 1)


def _fpn(stages: Sequence[int], depth: int, *, channels: int = 128, pyramid: int = 256, **options: Any) -> Decoder:
    """Kirillov et al., Panoptic Feature Pyramid Networks, 2019. `pyramid`: width of the lateral maps."""
    if 0 in stages[-4:]:
        raise ValueError("it needs four stages, and this encoder has none at stride 2; give encoder_options depth 5")
    module = FPNDecoder(
        encoder_channels=list(stages),
        encoder_depth=depth,
        pyramid_channels=pyramid,
        segmentation_channels=channels,
        **options,
    )
    return Decoder(module, module.out_channels, 2 ** (depth - 3))


def _deeplabv3plus(
    stages: Sequence[int],
    depth: int,
    *,
    channels: int = 128,
    atrous_rates: Sequence[int] = (12, 24, 36),
    dropout: float = 0.1,
) -> Decoder:
    """Chen et al., 2018, at output stride 16 (the last stage is dilated)."""
    module = DeepLabV3PlusDecoder(
        encoder_channels=stages,
        encoder_depth=depth,
        out_channels=channels,
        atrous_rates=atrous_rates,
        output_stride=16,
        aspp_separable=True,
        aspp_dropout=dropout,
    )
    # the branch that pools to 1x1: batch statistics of a single value are undefined for a batch of one
    pooling = module.aspp[0].convs[-1]
    assert isinstance(pooling[2], nn.BatchNorm2d)
    pooling[2] = nn.GroupNorm(1, channels)
    return Decoder(module, channels, 4)


def _segformer(stages: Sequence[int], depth: int, *, channels: int = 128) -> Decoder:
    """Xie et al., 2021: the all-MLP head."""
    module = SegformerDecoder(encoder_channels=list(stages), encoder_depth=depth, segmentation_channels=channels)
    return Decoder(module, channels, 4)


def _detail(stages: Sequence[int], depth: int, *, channels: Sequence[int] | None = None) -> Decoder:
    """Ours. `channels`: widths of the last map and of the decoder beside stages 1, 2... but the code."""
    widths = list(channels or (32, 32, 48, 64, 96)[:depth])
    return Decoder(DetailDecoder(stages, widths), widths[0], 2, cells=True)


DECODERS: dict[str, Callable[..., Decoder]] = {
    "unet": _unet,
    "linknet": _linknet,
    "fpn": _fpn,
    "deeplabv3plus": _deeplabv3plus,
    "segformer": _segformer,
    "detail": _detail,
}

ENCODER_STRIDE = {"deeplabv3plus": 16}
"""Output stride that a decoder demands of its encoder, where it is not the usual 2^depth."""
