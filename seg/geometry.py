"""How a frame reaches the network and a class map the frame's size: one protocol for evaluation and deployment."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from seg.spec import ModelSpec


def fit_frame(rgb_HWC: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The frame at `size` (height, width), bilinear; the same array where it has that size already."""
    if rgb_HWC.shape[:2] == size:
        return rgb_HWC
    return np.asarray(cv2.resize(rgb_HWC, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def feed(rgb_HWC: npt.NDArray[np.uint8], spec: ModelSpec) -> npt.NDArray[np.uint8 | np.float32]:
    """The input tensor that a file's contract asks for, of a frame that has the network's size."""
    if spec.inputs[0].layout == "NHWC":
        return np.ascontiguousarray(rgb_HWC)[None]
    low, high = spec.value_range
    mean_3, std_3 = np.array(spec.mean), np.array(spec.std)
    scale_3, shift_3 = (high - low) / 255 / std_3, (low - mean_3) / std_3
    order = slice(None, None, -1 if spec.color_order == "BGR" else 1)
    planes_3HW = np.ascontiguousarray(rgb_HWC.transpose(2, 0, 1)[order], dtype=np.float32)
    fed_3HW = planes_3HW * scale_3[order, None, None].astype(np.float32) + shift_3[order, None, None].astype(np.float32)
    return np.asarray(fed_3HW[None], dtype=np.float32)


def fit_map(map_HW: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A map of classes or confidences at `size` (height, width), by nearest neighbour: ids are never mixed."""
    if map_HW.shape == size:
        return map_HW
    columns_HW = np.take(map_HW, nearest(map_HW.shape[1], size[1]), axis=1)
    return np.take(columns_HW, nearest(map_HW.shape[0], size[0]), axis=0)


@lru_cache(maxsize=64)
def nearest(count: int, wanted: int) -> npt.NDArray[np.intp]:
    """For each of `wanted` pixels the one of `count` in which its centre lies; of two as near, the later one.

    In integers, because OpenCV's INTER_NEAREST_EXACT takes other pixels in version 5 than in 4 where centres fall on
    borders, as from 360 to 540.
    """
    return (2 * np.arange(wanted) + 1) * count // (2 * wanted)
