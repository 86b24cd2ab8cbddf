"""The segmentation autoencoder: encoder -> stage features -> code -> {class logits, reconstructed frame}.

Shape suffixes: B batch, C classes, K code channels, 3 colours, 1 broadcast, H and W height and width (of the frame, or of
the code for a code).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.base.initialization import initialize_decoder
from torch import Tensor, nn

from seg.config import ModelConfig
from seg.errors import SegError
from seg.model.decoders import DECODERS, ENCODER_STRIDE
from seg.model.encoder import build_encoder
from seg.model.reconstruction import ReconstructionDecoder

# the channel statistics of ImageNet (RGB, 0..255), which pretrained encoders expect
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


class Output(NamedTuple):
    """What the network answers.

    `logits_BCHW` float, at the frame's size; `code_BKHW` float, at 1/stride; `reconstruction_B3HW` float RGB 0..255 at
    the frame's size, None where the network has no reconstruction decoder. `auxiliary`, in training mode and where the
    network has such classifiers: logits (B, C, H, W) at the size of each of the last two stages of the padded frame.
    """

    logits_BCHW: Tensor
    code_BKHW: Tensor
    reconstruction_B3HW: Tensor | None
    auxiliary: tuple[Tensor, ...] = ()


class SegmentationAutoencoder(nn.Module):
    """An encoder of segmentation-models-pytorch, a 1x1 projection to the code, and up to two decoders of it.

    Args:
        num_classes: C.
        config: which encoder and decoder, the code's width, and whether it reconstructs.

    Attributes:
        stage_channels: channels of every stage, from the frame (3) to the code (K).
        stage_strides: how many times smaller than the frame each stage is.
        stride: what the padded frame's sides are multiples of.
    """

    mean_1311: Tensor
    std_1311: Tensor

    def __init__(self, num_classes: int, config: ModelConfig) -> None:
        super().__init__()
        options = dict(config.encoder_options)
        depth = options.pop("depth", 4 if config.encoder == "dilated" else 5)
        if not isinstance(depth, int) or not 3 <= depth <= 5:
            raise SegError(f"encoder_options.depth: expected 3 to 5 stages, got {depth!r}")
        code_stride = min(ENCODER_STRIDE.get(config.decoder, 2**depth), 2**depth)
        self.encoder = build_encoder(
            config.encoder,
            depth=depth,
            output_stride=code_stride if config.decoder in ENCODER_STRIDE else 32,
            weights=config.encoder_weights,
            **options,
        )
        channels: list[int] = list(self.encoder.out_channels)  # type: ignore[arg-type]
        self.projection = nn.Conv2d(channels[-1], config.code_channels, 1)
        self.stage_channels: tuple[int, ...] = (*channels[:-1], config.code_channels)
        self.stage_strides: tuple[int, ...] = (*(2**stage for stage in range(depth)), code_stride)
        self.stride = 2**depth
        try:
            decoder = DECODERS[config.decoder](self.stage_channels, depth, **config.decoder_options)
        except (TypeError, ValueError) as error:
            raise SegError(f"decoder_options of {config.decoder!r}: {error}") from None
        self.decoder = decoder.module
        self.head = nn.Conv2d(decoder.channels, num_classes, 3, padding=1)
        initialize_decoder(self.decoder)
        self.reconstruction = (
            ReconstructionDecoder(config.code_channels, code_stride) if config.reconstruction else None
        )
        supervised = self.stage_channels[-2:] if config.auxiliary else ()
        self.auxiliary = nn.ModuleList(nn.Conv2d(width, num_classes, 1) for width in supervised)
        self.register_buffer("mean_1311", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std_1311", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, rgb_B3HW: Tensor) -> Output:
        """Segment, encode and, if it can, reconstruct.

        Args:
            rgb_B3HW: uint8 or float RGB in 0..255, of any size; normalisation is the network's first layer.
        """
        height, width = rgb_B3HW.shape[-2:]
        features = self.features(rgb_B3HW)
        code_BKHW = features[-1]
        logits_BCHW = self.head(self.decoder(features))
        padded = (height + -height % self.stride, width + -width % self.stride)
        if tuple(logits_BCHW.shape[-2:]) != padded:
            logits_BCHW = F.interpolate(logits_BCHW, size=padded, mode="bilinear", align_corners=False)
        reconstruction_B3HW = None
        if self.reconstruction is not None:
            reconstruction_B3HW = self.reconstruction(code_BKHW)[..., :height, :width]
        if padded != (height, width):  # a crop that keeps everything would still cost the gradient a copy
            logits_BCHW = logits_BCHW[..., :height, :width]
        heads = self.auxiliary if self.training else ()
        auxiliary = tuple(head(stage_BCHW) for head, stage_BCHW in zip(heads, features[-2:], strict=False))
        return Output(logits_BCHW, code_BKHW, reconstruction_B3HW, auxiliary)

    def features(self, rgb_B3HW: Tensor) -> list[Tensor]:
        """The maps of every stage, from the normalised frame to the code; sides padded up to the stride."""
        height, width = rgb_B3HW.shape[-2:]
        normal_B3HW = (rgb_B3HW.to(self.mean_1311.dtype) - self.mean_1311) / self.std_1311
        # after normalisation zero is the mean colour: a neutral border
        normal_B3HW = F.pad(normal_B3HW, (0, -width % self.stride, 0, -height % self.stride))
        features = list(self.encoder(normal_B3HW))
        features[-1] = self.projection(features[-1])
        return features

    def encode(self, rgb_B3HW: Tensor) -> Tensor:
        """The code of a frame, float (B, K, H/stride, W/stride)."""
        return self.features(rgb_B3HW)[-1]


def build_network(num_classes: int, config: ModelConfig) -> SegmentationAutoencoder:
    """A network with fresh weights (torch's global generator decides them)."""
    return SegmentationAutoencoder(num_classes, config)
