"""How a frame reaches the network's size and a class map the frame's: one protocol for evaluation and deployment."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt


def fit_frame(rgb_HWC: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The frame at `size` (height, width), bilinear; the same array where it has that size already."""
    if rgb_HWC.shape[:2] == size:
        return rgb_HWC
    return np.asarray(cv2.resize(rgb_HWC, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def fit_map(map_HW: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A map of classes or confidences at `size` (height, width), by nearest neighbour: ids are never mixed."""
    if map_HW.shape == size:
        return map_HW
    return np.asarray(cv2.resize(map_HW, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)
