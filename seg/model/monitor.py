"""The monitor: how unlike normal frames a frame is, its code as one vector, and a hash of it, beside the class map.

It is fitted to a trained network's frozen codes (`train/calibrate.py`) and kept beside the network's weights, as
`monitor.safetensors` and `monitor.json`.

Shape suffixes: B batch, K code channels, D values of a frame's code (2K), F = D + 3 facts about a frame, Q quantiles, 3
colours, H and W height and width (of the frame, or of the code for a code), h and w those of a reconstruction.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor, nn

from seg.errors import SegError
from seg.files import atomic, claim, sha256, write_text
from seg.model.checkpoint import WEIGHTS, load_tensors, load_weights
from seg.model.reconstruction import ReconstructionDecoder
from seg.strict import Strict, parse

TENSORS = "monitor.safetensors"
META = "monitor.json"

BITS = 32
STOP = 4
"""How many times smaller than the frame its reconstruction is: enough to tell an error by, and cheap."""


COLOURS = 3


class Monitored(NamedTuple):
    """What the monitor answers about each frame.

    `novelty_B` float32 in 0..1: 0.99 = beyond 99 % of the held-out frames. `code_BD` float32: the frame's code as one
    vector, standardised on the training frames, so that its cosine compares frames. `hash_B` int64, 0..2**32 - 1: frames
    alike differ in few bits.
    """

    novelty_B: Tensor
    code_BD: Tensor
    hash_B: Tensor


class MonitorShape(Strict):
    """What decides the sizes of a monitor's tensors: `channels` K and `stride` of the network's code, the decoder's `width`,
    and how many `quantiles` its table has."""

    channels: int = Field(ge=1)
    stride: int = Field(gt=STOP)
    width: int = Field(ge=1)
    quantiles: int = Field(ge=2)

    @property
    def values(self) -> int:
        """D, the values of a frame's code."""
        return 2 * self.channels


class MonitorMeta(Strict):
    """What a monitor was fitted to, and how.

    Hashes are hex SHA-256: of the network's weights, of the monitor's tensors, and of the names and sizes of the frames.
    `size` (height, width) is the one that frames were seen at. `train` and `held_out` name the data, of which so many frames
    were drawn. `psnr` is of the reconstruction of held-out frames at 1/4 of their size, in dB; `distances` are quantiles of
    the held-out frames' distances, the raw score, by level.
    """

    version: Literal[1] = 1
    shape: MonitorShape
    weights_hash: str
    tensors_hash: str
    size: tuple[int, int]
    seed: int
    steps: int
    train: tuple[str, ...]
    train_frames: int
    train_hash: str
    held_out: tuple[str, ...]
    held_out_frames: int
    held_out_hash: str
    psnr: float
    distances: dict[str, float]
    versions: dict[str, str]


class Statistics(nn.Module):
    """The fitted numbers, float32 buffers that `Monitor` computes with; zeros until they are fitted or loaded.

    `mean_F` and `scale_F` standardise the facts about a frame; `whiten_FF` makes them uncorrelated, of variance 1.
    `hash_D32` is the projection whose signs are the hash. `distance_Q` are distances of held-out frames, ascending, and
    `level_Q` the shares of them that lie below; `tail` is how far outside the table the rest to 0 or 1 is halved.
    """

    mean_F: Tensor
    scale_F: Tensor
    whiten_FF: Tensor
    hash_D32: Tensor
    distance_Q: Tensor
    level_Q: Tensor
    tail: Tensor

    def __init__(self, shape: MonitorShape) -> None:
        super().__init__()
        facts, quantiles = shape.values + COLOURS, shape.quantiles
        for name, size in {
            "mean_F": (facts,),
            "scale_F": (facts,),
            "whiten_FF": (facts, facts),
            "hash_D32": (shape.values, BITS),
            "distance_Q": (quantiles,),
            "level_Q": (quantiles,),
            "tail": (),
        }.items():
            self.register_buffer(name, torch.zeros(size))


class Monitor(nn.Module):
    """Novelty, code and hash of a frame, from the network's code of it and the frame itself.

    The facts about a frame are the mean and the standard deviation of each code channel over its places, and the
    logarithm of the error with which a small decoder makes the frame from its code, in each colour (the reconstruction
    error, at 1/4 of the size). How far they lie together from those of the training frames is one Mahalanobis distance (Lee
    et al., A simple unified framework for detecting out-of-distribution samples and adversarial attacks, 2018): an error
    too small for its code counts like one too large. A table of held-out frames' distances makes it a share.

    Args:
        shape: the sizes of its tensors.
    """

    words_322: Tensor

    def __init__(self, shape: MonitorShape) -> None:
        super().__init__()
        self.shape = shape
        # upsampling all channels of the code would cost more than all the rest: a 1x1 convolution comes first
        self.squeeze = nn.Conv2d(shape.channels, shape.width, 1)
        self.decoder = ReconstructionDecoder(shape.width, shape.stride, shape.width, STOP)
        self.statistics = Statistics(shape)
        powers_32 = 2.0 ** (torch.arange(BITS) % 16)
        low_32 = torch.arange(BITS) < 16
        self.register_buffer("words_322", torch.stack([powers_32 * low_32, powers_32 * ~low_32], 1), persistent=False)

    def forward(self, code_BKHW: Tensor, rgb_B3HW: Tensor) -> Monitored:
        """Judge frames.

        Args:
            code_BKHW: what the network makes of them.
            rgb_B3HW: the frames, uint8 or float RGB in 0..255, at least 4 pixels high and wide.
        """
        facts_BF = self.facts(code_BKHW, rgb_B3HW)
        code_BD = facts_BF[:, :-COLOURS]
        return Monitored(self.score(self.distance(facts_BF)), code_BD, self.hash(code_BD))

    def encode(self, code_BKHW: Tensor) -> tuple[Tensor, Tensor]:
        """Code and hash alone, as `Monitored` has them, without what only novelty takes."""
        fitted = self.statistics
        code_BD = (describe(code_BKHW) - fitted.mean_F[:-COLOURS]) / fitted.scale_F[:-COLOURS]
        return code_BD, self.hash(code_BD)

    def facts(self, code_BKHW: Tensor, rgb_B3HW: Tensor) -> Tensor:
        """What is known of frames, standardised, float32 (B, F): mean and deviation of each channel, error of each colour."""
        picture_B3hw = shrink(rgb_B3HW)
        made_B3hw = self.reconstruct(code_BKHW, picture_B3hw.shape[-2:])
        facts_BF = torch.cat([describe(code_BKHW), log_error(made_B3hw, picture_B3hw)], 1)
        return (facts_BF - self.statistics.mean_F) / self.statistics.scale_F

    def reconstruct(self, code_BKHW: Tensor, size: tuple[int, ...]) -> Tensor:
        """What the decoder makes of codes: float RGB in 0..255, (B, 3, h, w), cut to `size` (h, w)."""
        picture_B3hw: Tensor = self.decoder(self.squeeze(code_BKHW))
        return picture_B3hw[..., : size[0], : size[1]]

    def distance(self, facts_BF: Tensor) -> Tensor:
        """The logarithm of the squared Mahalanobis distance of standardised facts, per fact: float32 (B,)."""
        return (facts_BF @ self.statistics.whiten_FF).square().mean(1).clamp_min(1e-6).log()

    def score(self, distance_B: Tensor) -> Tensor:
        """The share of held-out frames that are nearer, float32 (B,) in 0..1, rising strictly with the distance.

        Linear between the table's entries. Outside, the rest to 0 or 1 falls as the reciprocal of the distance to the
        table, so that frames beyond all held-out ones keep their order.
        """
        fitted = self.statistics
        low, high = fitted.distance_Q[:-1], fitted.distance_Q[1:]
        share_BQ = ((distance_B[:, None] - low) / (high - low).clamp_min(1e-6)).clamp(0.0, 1.0)
        within_B = (share_BQ * (fitted.level_Q[1:] - fitted.level_Q[:-1])).sum(1)
        below_B = fitted.level_Q[0] / (1.0 + (fitted.distance_Q[0] - distance_B).relu() / fitted.tail)
        above_B = (distance_B - fitted.distance_Q[-1]).relu()
        above_B = (1.0 - fitted.level_Q[-1]) * above_B / (fitted.tail + above_B)
        return (below_B + within_B + above_B).clamp(0.0, 1.0)

    def project(self, code_BD: Tensor) -> Tensor:
        """The values whose signs are the bits of the hash, float32 (B, 32)."""
        return code_BD @ self.statistics.hash_D32

    def hash(self, code_BD: Tensor) -> Tensor:
        """32 bits, the first the lowest, as int64 (B,) in 0..2**32 - 1."""
        bits_B32 = (self.project(code_BD) > 0).float()
        # two words of 16 bits, exact in float32: runtimes sum integers as floats (OpenVINO), and 32 bits would be rounded
        words_B2 = (bits_B32 @ self.words_322).to(torch.int64)
        return words_B2[:, 0] + words_B2[:, 1] * 2**16


def describe(code_BKHW: Tensor) -> Tensor:
    """A frame's code as one vector, (B, 2K): the mean of each channel over its places, then the standard deviation."""
    mean_BK11 = code_BKHW.mean((2, 3), keepdim=True)
    deviation_BK = (code_BKHW - mean_BK11).square().mean((2, 3)).sqrt()
    return torch.cat([mean_BK11.flatten(1), deviation_BK], 1)


def log_error(made_B3hw: Tensor, picture_B3hw: Tensor) -> Tensor:
    """The logarithm of the mean squared error in each colour, of values in 0..1: float32 (B, 3); pictures in 0..255."""
    return ((made_B3hw - picture_B3hw) / 255.0).square().mean((2, 3)).clamp_min(1e-6).log()


def shrink(rgb_B3HW: Tensor) -> Tensor:
    """Frames at 1/4 of their size, averaged over areas; a rest of fewer than 4 rows or columns is left out."""
    return F.avg_pool2d(rgb_B3HW.float(), STOP)


def claim_monitor(folder: Path, *, overwrite: bool) -> None:
    """Check that a monitor may be written into a checkpoint's folder. SegError if not; see `claim`."""
    claim(folder / META, overwrite=overwrite)


def save_monitor(folder: Path, monitor: Monitor, **about: object) -> MonitorMeta:
    """Write a monitor beside the weights that it was fitted to; a kill at any moment leaves one that is whole, or refused.

    Args:
        folder: the checkpoint's.
        monitor: the fitted one.
        about: the fields of `MonitorMeta` but for shape and hashes of weights and tensors.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in monitor.state_dict().items()}
    with atomic(folder / TENSORS) as temporary:
        save_file(tensors, temporary)
    hashes = {"weights_hash": sha256(folder / WEIGHTS), "tensors_hash": sha256(folder / TENSORS)}
    meta = MonitorMeta.model_validate({"shape": monitor.shape, **hashes, **about})
    write_text(folder / META, meta.model_dump_json(indent=1) + "\n")
    return meta


def load_monitor(folder: Path) -> Monitor | None:
    """The monitor of a checkpoint folder, in evaluation mode on the CPU; None where there is none.

    Raises:
        SegError: if it is damaged, or was fitted to other weights than those beside it.
    """
    path = folder / META
    if not path.is_file():
        return None
    again = "run `seg calibrate` again, with --overwrite"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SegError(f"{path}: cannot be read ({error}); {again}") from None
    meta = parse(MonitorMeta, data, path)
    if meta.weights_hash != sha256(folder / WEIGHTS):
        raise SegError(f"{path}: was fitted to other weights than the {WEIGHTS} beside it; {again}")
    if not (folder / TENSORS).is_file() or meta.tensors_hash != sha256(folder / TENSORS):
        raise SegError(f"{path}: the {TENSORS} beside it is missing, damaged or of another monitor; {again}")
    monitor = Monitor(meta.shape)
    load_weights(monitor, load_tensors(folder / TENSORS), str(folder / TENSORS))
    return monitor.eval()
