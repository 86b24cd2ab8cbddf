"""A frame as a file: its code along the axes of `seg/model/axes.py`, rounded, and coded by `seg/model/entropy.py`; and back to
the frame and its class map.

The axes are measured once a run and kept beside its weights, in `coding.safetensors`; the receiver needs both. A file is a
header, what `pack` made, and a checksum; all of its numbers are little-endian.

Shape suffixes: 1 one frame, K code channels, C classes, 3 colours, H and W height and width (of the frame, or of the code for a
code).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seg.draw import Picture
from seg.errors import SegError
from seg.files import sha256
from seg.geometry import fit_frame, fit_map
from seg.model.autoencoder import Autoencoder
from seg.model.axes import Axes, encode, load_axes, measure_axes, save_axes
from seg.model.checkpoint import WEIGHTS, find_checkpoint, load_trained
from seg.model.entropy import Integers, pack, unpack
from seg.model.network import SegmentationAutoencoder

AXES = "coding.safetensors"

MAGIC, VERSION = b"sgfc", 1
HEADER = struct.Struct("<4sB8sHHHHHfI")
"""Magic, version, the model's identity; height and width of the frame; channels, rows and columns of the code; the step; a
CRC-32 of the integers."""

CHECK = struct.Struct("<I")
"""The file's end: a CRC-32 of all before it."""

STEPS = 0.1, 100.0
"""The finest step and the coarsest."""

LONGEST = 0xFFFF
"""Side of the largest frame in pixels."""

CODE_ALONE = 0.5
"""Weight of the class probabilities that are told from the code alone."""


class Received(NamedTuple):
    """What a file tells: the code float32 (1, K, H, W), and the frame made of it, uint8 RGB (H, W, 3) at its own size."""

    code_1KHW: Tensor
    frame_HWC: Picture


class FrameCoder:
    """Frames to files and back, by one trained network.

    Args:
        network: with a reconstruction decoder, in evaluation mode, on the CPU.
        size: (height, width) that it sees frames at.
        axes: of its codes.
        identity: 8 bytes that tell this network with these axes from others.
    """

    def __init__(self, network: Autoencoder, size: tuple[int, int], axes: Axes, identity: bytes) -> None:
        assert network.reconstruction is not None
        self.network, self.size, self.axes, self.identity = network, size, axes, identity
        rows, columns = ((side + -side % network.stride) // network.stage_strides[-1] for side in size)
        self.shape = (network.projection.out_channels, rows, columns)

    def encode(self, rgb_HWC: Picture, step: float) -> bytes:
        """The file of a frame.

        Args:
            rgb_HWC: uint8 RGB of any size; the network sees it stretched to its own.
            step: how coarsely the code is rounded: that alone puts an error of about so many grey levels into the frame,
                less where the code has nothing to round. Within `STEPS`.

        Raises:
            SegError: for another step, a frame of more than `LONGEST` pixels a side, or a code that is not finite.
        """
        check_step(step)
        height, width = rgb_HWC.shape[:2]
        if max(height, width) > LONGEST:
            raise SegError(f"expected a frame of at most {LONGEST} pixels a side, got {width}x{height}")
        step = float(np.float32(step))  # as the receiver reads it
        values_KHW = self.axes.quantise(encode(self.network, fit_frame(rgb_HWC, self.size)), step)
        assert values_KHW.shape == self.shape
        header = HEADER.pack(MAGIC, VERSION, self.identity, height, width, *self.shape, step, _checksum(values_KHW))
        data = header + pack(values_KHW, self.axes.expected_K(step))
        return data + CHECK.pack(zlib.crc32(data))

    @torch.inference_mode()
    def decode(self, data: bytes, name: object = "the file") -> Received:
        """What a file of `encode` tells; `name` is what messages call it.

        Raises:
            SegError: if it is no such file, is cut short or damaged, or another model made it.
        """
        identity, size, shape, step, checksum = _read_header(data, name)
        if identity != self.identity:
            raise SegError(
                f"{name}: was made by another model ({identity.hex()}, expected {self.identity.hex()}); give the run that "
                f"made it, with the same weights and the same {AXES}"
            )
        if shape != self.shape or not step > 0:
            raise SegError(f"{name}: holds a code of {shape} in steps of {step:g}, expected one of {self.shape}")
        values_KHW = unpack(data[HEADER.size : -CHECK.size], self.shape, self.axes.expected_K(step))
        if _checksum(values_KHW) != checksum:
            raise SegError(
                f"{name}: is whole, but what is read is not what was written; another version of constriction made it, "
                "or another kind of processor: decompress it there"
            )
        code_1KHW = self.axes.restore(values_KHW, step)
        rgb_3HW = self.network.reconstruct(code_1KHW, self.size)[0].clamp(0, 255).round().byte()
        return Received(code_1KHW, fit_frame(rgb_3HW.permute(1, 2, 0).contiguous().numpy(), size))

    @torch.inference_mode()
    def classes(self, received: Received) -> Picture:
        """The class map that a file tells, uint8 (H, W) at the frame's size; for a network that segments.

        The segmentation decoder sees the received code, and as the encoder's finer stages those of the received frame. Where
        the network was trained with auxiliary classifiers, what the last one tells from the code alone counts half as much.
        With the network of configs/train/camvid-quick.yaml, on every tenth frame of CamVid val, blurred to 25, 23 and 21 dB
        for a received one, this gave mean IoU of 75, 71 and 67 %; the decoder alone 75, 71 and 65, the classifier alone 68,
        the network on the blurred frame 74, 58 and 31, and on the sharp one 76.
        """
        network = self.network
        assert isinstance(network, SegmentationAutoencoder)
        features = network.features(torch.tensor(fit_frame(received.frame_HWC, self.size)).permute(2, 0, 1)[None])
        features[-1] = received.code_1KHW
        padded = (features[0].shape[-2], features[0].shape[-1])
        chances_1CHW = _chances(network.logits(features, padded), padded)
        if len(network.auxiliary):
            chances_1CHW += CODE_ALONE * _chances(network.auxiliary[-1](received.code_1KHW), padded)
        classes_HW = chances_1CHW[0, :, : self.size[0], : self.size[1]].argmax(0).byte().numpy()
        return fit_map(classes_HW, (received.frame_HWC.shape[0], received.frame_HWC.shape[1]))


def check_step(step: float) -> None:
    """SegError unless the step is within `STEPS`."""
    if not STEPS[0] <= step <= STEPS[1]:
        raise SegError(f"step: expected {STEPS[0]:g} (fine) to {STEPS[1]:g} (coarse), got {step:g}")


def is_prepared(run: Path) -> bool:
    """Whether the axes of a run's or checkpoint's codes were measured. SegError where there is no checkpoint."""
    return (find_checkpoint(run) / AXES).is_file()


def prepare(run: Path, frames: Iterable[Picture]) -> Path:
    """Measure the axes of a run's or checkpoint's codes on frames of any size, and keep them beside its weights.

    Returns:
        The file.

    Raises:
        SegError: as `load_coder` and `measure_axes`.
    """
    network, size = _load(run)
    path = find_checkpoint(run) / AXES
    save_axes(path, measure_axes(network, (fit_frame(rgb_HWC, size) for rgb_HWC in frames)))
    return path


def load_coder(run: Path) -> FrameCoder:
    """The coder of a run or checkpoint of `seg pretrain`, or of `seg train` with a reconstruction decoder.

    Raises:
        SegError: if it has no such decoder, was not prepared, or is damaged.
    """
    network, size = _load(run)
    folder = find_checkpoint(run)
    path = folder / AXES
    if not path.is_file():
        raise SegError(
            f"{path}: is not there; the first `seg compress` of a run makes it, and who decompresses needs it"
        )
    axes = load_axes(path, network.projection.out_channels)
    both = bytes.fromhex(sha256(folder / WEIGHTS) + sha256(path))
    return FrameCoder(network, size, axes, hashlib.sha256(both).digest()[:8])


def _load(run: Path) -> tuple[Autoencoder, tuple[int, int]]:
    """The network and the size it sees frames at; SegError if it does not reconstruct."""
    network, meta = load_trained(run)
    if network.reconstruction is None:
        raise SegError(
            f"{run}: has no reconstruction decoder, so no frame can be made of its codes; give a run of `seg pretrain`, "
            "or of `seg train` with model.reconstruction: true"
        )
    return network, meta.size


def _chances(logits_1CHW: Tensor, size: tuple[int, int]) -> Tensor:
    """The classes' probabilities at `size`."""
    return F.interpolate(logits_1CHW, size=size, mode="bilinear", align_corners=False).softmax(1)


def _read_header(data: bytes, name: object) -> tuple[bytes, tuple[int, int], tuple[int, int, int], float, int]:
    """Identity, the frame's size, the code's shape, step and checksum of the integers, of a file that is whole."""
    if data[:4] != MAGIC or len(data) == 4:
        raise SegError(f"{name}: is no frame's code; expected a file that `seg compress` made")
    if data[4] != VERSION:
        raise SegError(f"{name}: is of version {data[4]} of the format, expected {VERSION}; compress the frame anew")
    body, end = data[: -CHECK.size], data[-CHECK.size :]
    if len(body) < HEADER.size or CHECK.unpack(end)[0] != zlib.crc32(body):
        raise SegError(f"{name}: is cut short or damaged, its checksum is wrong; fetch or make it again")
    _, _, identity, height, width, channels, rows, columns, step, checksum = HEADER.unpack_from(body)
    return identity, (height, width), (channels, rows, columns), step, checksum


def _checksum(values_KHW: Integers) -> int:
    return zlib.crc32(np.ascontiguousarray(values_KHW).astype("<i4").tobytes())
