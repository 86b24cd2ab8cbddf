"""The segmentation autoencoder: encoder -> stage features -> code -> {class logits, reconstructed frame}.

Shape suffixes: B batch, C classes, K code channels, 3 colours, H and W height and width (of the frame, or of the code for
a code), h and w those of the decoder's map, S pixels of a cell of it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from segmentation_models_pytorch.base.initialization import initialize_decoder
from torch import Tensor, nn

from seg.config import ModelConfig
from seg.errors import SegError
from seg.model.autoencoder import Autoencoder
from seg.model.decoders import DECODERS, ENCODER_STRIDE


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


class SegmentationAutoencoder(Autoencoder):
    """The autoencoder with a segmentation decoder; the reconstruction decoder is there where the config wants it.

    Args:
        num_classes: C.
        config: which encoder and decoder, the code's width, and whether it reconstructs.
    """

    def __init__(self, num_classes: int, config: ModelConfig) -> None:
        super().__init__(config, code_stride=ENCODER_STRIDE.get(config.decoder), reconstruct=config.reconstruction)
        try:
            decoder = DECODERS[config.decoder](self.stage_channels, self.depth, **config.decoder_options)
        except (TypeError, ValueError) as error:
            raise SegError(f"decoder_options of {config.decoder!r}: {error}") from None
        self.decoder = decoder.module
        self.cell = decoder.stride if decoder.cells else 1
        size = 1 if decoder.cells else 3
        self.head = nn.Conv2d(decoder.channels, num_classes * self.cell**2, size, padding=size // 2)
        initialize_decoder(self.decoder)
        supervised = self.stage_channels[-2:] if config.auxiliary else ()
        self.auxiliary = nn.ModuleList(nn.Conv2d(width, num_classes, 1) for width in supervised)

    def forward(self, rgb_B3HW: Tensor) -> Output:
        """Segment, encode and, if it can, reconstruct.

        Args:
            rgb_B3HW: uint8 or float RGB in 0..255, of any size; normalisation is the network's first layer.
        """
        height, width = rgb_B3HW.shape[-2:]
        features = self.features(rgb_B3HW)
        code_BKHW = features[-1]
        logits_BCHW = self.logits(features, (height, width))
        reconstruction_B3HW = self.reconstruct(code_BKHW, (height, width)) if self.reconstruction is not None else None
        heads = self.auxiliary if self.training else ()
        auxiliary = tuple(head(stage_BCHW) for head, stage_BCHW in zip(heads, features[-2:], strict=False))
        return Output(logits_BCHW, code_BKHW, reconstruction_B3HW, auxiliary)

    def logits(self, features: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Class logits of every pixel, (B, C, H, W), of the upper left `size` (height, width) of the padded frame."""
        return self.arrange(self.decode(features).flatten(1, 2), size)

    def decode(self, features: list[Tensor]) -> Tensor:
        """Class logits by cells, (B, C, S, h, w): each place answers for the S pixels of its cell, row by row.

        All cells together are the padded frame; of a decoder without cells each pixel is one (S = 1).

        Args:
            features: of `Autoencoder.features`.
        """
        logits_BNhw: Tensor = self.head(self.decoder(features))
        padded = tuple(side // self.cell for side in features[0].shape[-2:])
        if tuple(logits_BNhw.shape[-2:]) != padded:
            logits_BNhw = F.interpolate(logits_BNhw, size=padded, mode="bilinear", align_corners=False)
        cells_BCShw: Tensor = logits_BNhw.unflatten(1, (-1, self.cell**2))  # type: ignore[no-untyped-call]
        return cells_BCShw

    def arrange(self, cells_BNhw: Tensor, size: tuple[int, int]) -> Tensor:
        """The maps, (B, N / S, H, W) of `size` (height, width), whose cells stand in the channels, as `decode` makes them."""
        maps_BNHW = F.pixel_shuffle(cells_BNhw, self.cell) if self.cell > 1 else cells_BNhw
        if tuple(maps_BNHW.shape[-2:]) != size:  # a crop that keeps everything would still cost the gradient a copy
            maps_BNHW = maps_BNHW[..., : size[0], : size[1]]
        return maps_BNHW


def build_network(num_classes: int, config: ModelConfig) -> SegmentationAutoencoder:
    """A network with fresh weights (torch's global generator decides them)."""
    return SegmentationAutoencoder(num_classes, config)
