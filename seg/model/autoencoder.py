"""The autoencoder: frame -> encoder -> code -> frame. What `seg pretrain` trains, and what segmentation builds on.

Shape suffixes: B batch, K code channels, 3 colours, 1 broadcast, H and W height and width (of the frame, or of the code
for a code).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg.config import EncoderConfig
from seg.errors import SegError
from seg.model.encoder import build_encoder
from seg.model.reconstruction import ReconstructionDecoder

# the channel statistics of ImageNet (RGB, 0..255), which pretrained encoders expect
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)

ACTIVATIONS = {"linear": nn.Identity, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}


class Reconstruction(NamedTuple):
    """What the autoencoder answers: `code_BKHW` float, at 1/stride; `frame_B3HW` float RGB 0..255, at the frame's size."""

    code_BKHW: Tensor
    frame_B3HW: Tensor


class Autoencoder(nn.Module):
    """An encoder, a 1x1 projection to the code, and the decoder that makes the frame from the code alone.

    Args:
        config: which encoder, and the code's width and activation.
        code_stride: how many times smaller than the frame the code is, 16 or 32; None for what the encoder's depth makes.
        reconstruct: whether the reconstruction decoder is there.

    Attributes:
        stage_channels: channels of every stage, from the frame (3) to the code (K).
        stage_strides: how many times smaller than the frame each stage is.
        stride: what the padded frame's sides are multiples of.
    """

    mean_1311: Tensor
    std_1311: Tensor

    def __init__(self, config: EncoderConfig, *, code_stride: int | None = None, reconstruct: bool = True) -> None:
        super().__init__()
        options = dict(config.encoder_options)
        depth = options.pop("depth", 4 if config.encoder == "dilated" else 5)
        if not isinstance(depth, int) or not 3 <= depth <= 5:
            raise SegError(f"encoder_options.depth: expected 3 to 5 stages, got {depth!r}")
        self.encoder = build_encoder(
            config.encoder,
            depth=depth,
            output_stride=32 if code_stride is None else min(code_stride, 2**depth),
            weights=config.encoder_weights,
            **options,
        )
        code_stride = min(code_stride or 2**depth, 2**depth)
        channels: list[int] = list(self.encoder.out_channels)  # type: ignore[arg-type]
        self.projection = nn.Conv2d(channels[-1], config.code_channels, 1)
        self.activation = ACTIVATIONS[config.code_activation]()
        self.stage_channels: tuple[int, ...] = (*channels[:-1], config.code_channels)
        self.stage_strides: tuple[int, ...] = (*(2**stage for stage in range(depth)), code_stride)
        self.depth = depth
        self.stride = 2**depth
        self.reconstruction = (
            ReconstructionDecoder(
                config.code_channels, code_stride, config.reconstruction_width, subpixel=config.reconstruction_subpixel
            )
            if reconstruct
            else None
        )
        self.register_buffer("mean_1311", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std_1311", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, rgb_B3HW: Tensor) -> tuple[Any, ...]:
        """Encode and reconstruct uint8 or float RGB frames in 0..255, of any size: a `Reconstruction`."""
        code_BKHW = self.encode(rgb_B3HW)
        return Reconstruction(code_BKHW, self.reconstruct(code_BKHW, rgb_B3HW.shape[-2:]))

    def features(self, rgb_B3HW: Tensor) -> list[Tensor]:
        """The maps of every stage, from the normalised frame to the code; sides padded up to the stride."""
        height, width = rgb_B3HW.shape[-2:]
        normal_B3HW = (rgb_B3HW.to(self.mean_1311.dtype) - self.mean_1311) / self.std_1311
        # after normalisation zero is the mean colour: a neutral border
        normal_B3HW = F.pad(normal_B3HW, (0, -width % self.stride, 0, -height % self.stride))
        features = list(self.encoder(normal_B3HW))
        features[-1] = self.activation(self.projection(features[-1]))
        return features

    def encode(self, rgb_B3HW: Tensor) -> Tensor:
        """The code of a frame, float (B, K, H/stride, W/stride)."""
        return self.features(rgb_B3HW)[-1]

    def reconstruct(self, code_BKHW: Tensor, size: tuple[int, ...]) -> Tensor:
        """The frame of (height, width) `size` that a code describes, float RGB 0..255."""
        assert self.reconstruction is not None
        frame_B3HW: Tensor = self.reconstruction(code_BKHW)
        return frame_B3HW[..., : size[0], : size[1]]
