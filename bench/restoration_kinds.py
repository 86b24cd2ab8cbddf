"""How well frames of several kinds go through an autoencoder's code: the second table of `bench.restoration`.

Some pictures are harder than others for any code, so beside the network stands a code that has learned nothing and
holds as many numbers: the frame made smaller (by area) and large again (bicubic).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from seg.classes import load_ontology
from seg.config import ImageFrames
from seg.data.base import LabelledData
from seg.data.open import open_data
from seg.data.synthetic import SyntheticScenes
from seg.geometry import fit_frame
from seg.sources.open import open_source

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Network = Callable[[Picture], Picture]
"""A frame, or what is left of it, to the frame that is made from its code; both uint8 RGB of shape (H, W, 3)."""

SPREAD = 20
"""Frames of each kind, at most."""

VIDEO_STEP = 11
"""Of the motorway video every so many frames: 20 of 221."""


@dataclass(frozen=True)
class Kind:
    """Frames of one kind: how many, and the mean PSNR in dB by the network's code and by one that learned nothing."""

    kind: str
    frames: int
    network: float
    resized: float

    @property
    def gain(self) -> float:
        """Decibels that having learned is worth on these frames."""
        return self.network - self.resized


def kinds(network: Network, root: Path, size: tuple[int, int], numbers: float) -> list[Kind]:
    """The table; kinds whose files are not under `root` are left out.

    Args:
        network: an autoencoder.
        root: the folder that holds `camvid`, and perhaps `video/highway.mp4`, `carla/train` and `cityscapes_frames`.
        size: (height, width) that every frame is brought to.
        numbers: how many of them the network's code has for a pixel of the frame.
    """
    found = []
    for kind, frames in _sources(root, size):
        pairs = []
        for frame in frames:
            rgb_HWC = fit_frame(frame, size)
            pairs.append((psnr(network(rgb_HWC), rgb_HWC), psnr(resized(rgb_HWC, numbers), rgb_HWC)))
        if pairs:
            means = [statistics.mean(each) for each in zip(*pairs, strict=True)]
            found.append(Kind(kind, len(pairs), *means))
    return found


def resized(rgb_HWC: Picture, numbers: float) -> Picture:
    """The frame from a smaller one that holds `numbers` numbers, three a pixel, for each pixel of the frame."""
    height, width = rgb_HWC.shape[:2]
    scale = min(1.0, math.sqrt(numbers / 3))
    small_hwc = cv2.resize(
        rgb_HWC, (max(1, round(scale * width)), max(1, round(scale * height))), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.resize(small_hwc, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def psnr(a_HWC: Picture, b_HWC: Picture, mask_HW: Mask | None = None) -> float:
    """PSNR in dB, of the pixels of a mask if there is one; 100 at most."""
    error_HWC = (a_HWC.astype(np.float64) - b_HWC) / 255
    error_HWC = error_HWC if mask_HW is None else error_HWC[mask_HW]
    return -10 * math.log10(max(1e-10, float(np.square(error_HWC).mean())))


def pictures(folder: Path, *include: str) -> LabelledData:
    """The pictures in a folder, those whose names fit a pattern if one is given; SegError if there is none."""
    return open_data([ImageFrames(kind="images", root=str(folder), include=include)], load_ontology("drive"))


def _sources(root: Path, size: tuple[int, int]) -> Iterator[tuple[str, Iterator[Picture]]]:
    """Each kind with its frames, the first of them like those that were learned from."""
    train, val = pictures(root / "camvid/train"), pictures(root / "camvid/val")
    yield "CamVid train, learned from", _spread(train)
    yield "CamVid val, unseen", _spread(val)
    yield "CamVid val, upside down", (np.ascontiguousarray(frame[::-1]) for frame in _spread(val))
    if (root / "cityscapes_frames").is_dir():
        yield "Cityscapes", _spread(pictures(root / "cityscapes_frames"))
    if (root / "video/highway.mp4").is_file():
        yield "motorway video", _video(root / "video/highway.mp4")
    if (root / "carla/train").is_dir():
        yield "CARLA, simulated", _spread(pictures(root / "carla/train", "*_img"))
    scenes = SyntheticScenes(size, seed=0)
    yield "rendered scenes", (scenes.frame(number)[0] for number in range(SPREAD))
    random = np.random.default_rng(0)
    yield "uniform noise", (random.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(SPREAD))


def _spread(data: LabelledData) -> Iterator[Picture]:
    return (data.frame(index) for index in data.spread(SPREAD))


def _video(path: Path) -> Iterator[Picture]:
    with open_source(path) as source:
        for frame in islice(source, 0, SPREAD * VIDEO_STEP, VIDEO_STEP):
            yield frame.rgb_HWC
