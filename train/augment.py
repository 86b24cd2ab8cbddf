"""Augmentation on uint8 frames with albumentations: colour and sensor effects, and one warp for all geometry.

Crop, scale, rotation and flip are one affine map, applied once: the frame is resampled a single time (bilinear) and the
label a single time by nearest neighbour, 255 outside.
"""

from __future__ import annotations

from typing import Any

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt

from seg.classes import IGNORE
from seg.config import AugmentConfig

U8 = npt.NDArray[np.uint8]


class Augment:
    """Random geometry and colour, a pure function of the frame, the label and `seed`.

    Args:
        config: sizes and probabilities.
    """

    def __init__(self, config: AugmentConfig) -> None:
        self.config = config
        self._pixels = A.Compose(_pixel_effects(config))

    def __call__(self, rgb_HWC: U8, label_HW: U8, seed: int) -> tuple[U8, U8]:
        """A frame and label of the size `config.crop`; frame uint8 RGB, label uint8 label values."""
        generator = np.random.default_rng(seed)
        target_2 = rare_pixel(label_HW, generator) if generator.random() < self.config.focus else None
        matrix_23 = self.matrix(rgb_HWC.shape[:2], generator, target_2)
        frame, label = warp(rgb_HWC, label_HW, matrix_23, self.config.crop)
        self._pixels.set_random_seed(seed)
        return self._pixels(image=frame)["image"], label

    def matrix(
        self,
        size: tuple[int, int],
        generator: np.random.Generator,
        target_2: npt.NDArray[np.float64] | None = None,
    ) -> npt.NDArray[np.float64]:
        """A random affine map from frame to crop, float64 (2, 3), in OpenCV's pixel coordinates.

        At scale 1 the crop holds the whole frame along the tighter side; above 1 it is a window into the frame, that
        holds the pixel `target_2` (x, y) wherever the border lets it.
        """
        config = self.config
        (height, width), (out_height, out_width) = size, config.crop
        fill = max(out_height / height, out_width / width)
        low, high = config.scale
        scale = fill * float(np.exp(generator.uniform(np.log(low), np.log(high))))
        angle = np.deg2rad(generator.uniform(-config.rotate, config.rotate))
        flip = -1.0 if generator.random() < config.flip else 1.0
        linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear[:, 0] *= flip
        # the crop's centre looks at a random point of the frame, as far as the frame covers the crop
        slack = np.array([width - out_width / scale, height - out_height / scale])
        away = generator.uniform(-0.5, 0.5, 2)
        offset = away * np.abs(slack)
        if target_2 is not None:
            # not always in the middle, or the network would learn to look for rare things there
            aside = 0.6 * away * np.array([out_width, out_height]) / scale
            offset = np.clip(target_2 - np.array([width, height]) / 2 + aside, -np.abs(slack) / 2, np.abs(slack) / 2)
        looked_at = np.array([width, height]) / 2 + offset
        centre = np.array([out_width, out_height]) / 2
        # pixel centres are at whole coordinates: the frame's middle is (w - 1) / 2
        return np.column_stack([linear, (centre - 0.5) - linear @ (looked_at - 0.5)])


def warp(rgb_HWC: U8, label_HW: U8, matrix_23: npt.NDArray[np.float64], size: tuple[int, int]) -> tuple[U8, U8]:
    """Frame and label through one affine map, at `size` (height, width).

    The frame is mirrored at its border, the label ends there (255). Only the part of either that the map leads to is
    looked at: of a frame that is mapped from a file, the rest is never read.

    Args:
        rgb_HWC: uint8 RGB.
        label_HW: uint8 label values, of the frame's size.
        matrix_23: from pixels of the frame to pixels of the answer, float64, in OpenCV's coordinates.
        size: of the answer.
    """
    scale = np.sqrt(abs(np.linalg.det(matrix_23[:, :2])))
    # bilinear alone would skip pixels where the frame shrinks: average over what falls into one first
    sigma = 0.4 / scale if scale < 0.7 else 0.0
    inverse_23 = cv2.invertAffineTransform(matrix_23)
    columns, rows = _window(inverse_23, size, label_HW.shape, margin=2 + int(np.ceil(3 * sigma)))
    inverse_23[:, 2] -= columns.start, rows.start
    rgb_hwc, label_hw = rgb_HWC[rows, columns], label_HW[rows, columns]
    if sigma:
        rgb_hwc = cv2.GaussianBlur(rgb_hwc, (0, 0), sigma)
    to_size = size[::-1]
    frame = cv2.warpAffine(
        rgb_hwc, inverse_23, to_size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101
    )
    label = cv2.warpAffine(
        label_hw,
        inverse_23,
        to_size,
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=IGNORE,
    )
    return np.asarray(frame, dtype=np.uint8), np.asarray(label, dtype=np.uint8)


def _window(
    inverse_23: npt.NDArray[np.float64], size: tuple[int, int], frame: tuple[int, ...], margin: int
) -> tuple[slice, slice]:
    """The columns and rows of the frame that `size` looks at, and `margin` pixels around them.

    Where that goes over a border it holds the border itself and all that is mirrored there, so that the border of the
    window is the frame's.
    """
    height, width = size
    corners_24 = inverse_23[:, :2] @ np.array([[0, width, 0, width], [0, 0, height, height]]) + inverse_23[:, 2:]
    lows = np.floor(corners_24.min(axis=1)).astype(int) - margin
    highs = np.ceil(corners_24.max(axis=1)).astype(int) + margin
    spans = []
    for low, high, length in zip(lows.tolist(), highs.tolist(), frame[1::-1], strict=True):
        last = length - 1
        first_seen = min(low, 2 * last - high) if high > last else low
        last_seen = max(high, -low) if low < 0 else high
        spans.append(slice(max(first_seen, 0), min(last_seen, last) + 1))
    return spans[0], spans[1]


class Fog(A.ImageOnlyTransform):
    """A white veil in soft patches over a blurred frame.

    RandomFog looks like it, but draws thousands of circles: at a probability of 0.05 it took longer than all else here.
    """

    def get_params(self) -> dict[str, Any]:
        """`veil_hw`: the veil's opacity on a coarse grid, float32 in [0, 0.25]."""
        density = self.py_random.uniform(0.05, 0.25)
        return {"veil_hw": (density * self.random_generator.random((4, 6)) ** 2).astype(np.float32)}

    def apply(self, img: U8, veil_hw: npt.NDArray[np.float32], **_: Any) -> U8:
        """The frame, uint8 RGB (H, W, 3), in fog."""
        height, width = img.shape[:2]
        veil_HW = cv2.resize(veil_hw, (width, height), interpolation=cv2.INTER_LINEAR)
        blurred = cv2.GaussianBlur(img, (0, 0), min(height, width) / 180)
        return np.asarray(cv2.blendLinear(blurred, np.full_like(img, 255), 1 - veil_HW, veil_HW), dtype=np.uint8)


def rare_pixel(label_HW: U8, generator: np.random.Generator) -> npt.NDArray[np.float64] | None:
    """A pixel (x, y) of a label value that is drawn evenly from those in the map; None if it holds none but ignore."""
    step = max(1, min(label_HW.shape) // 256)  # of a large map a coarser one will do
    coarse_hw = label_HW[::step, ::step]
    values = np.flatnonzero(np.bincount(coarse_hw.ravel(), minlength=IGNORE + 1)[:IGNORE])
    if not len(values):
        return None
    rows, columns = np.nonzero(coarse_hw == generator.choice(values))
    place = generator.integers(len(rows))
    return np.array([columns[place], rows[place]]) * float(step)


def _pixel_effects(config: AugmentConfig) -> list[A.BasicTransform | A.BaseCompose]:
    return [
        A.OneOf(
            [
                A.ColorJitter(
                    brightness=(0.6, 1.5), contrast=(0.6, 1.5), saturation=(0.5, 1.6), hue=(-0.04, 0.04), p=1.0
                ),
                A.RandomGamma(gamma_limit=(60, 160), p=1.0),
                A.RGBShift(25, 25, 25, p=1.0),
            ],
            p=config.color,
        ),
        A.OneOf([A.RandomShadow(p=1.0), Fog(p=1.0)], p=config.weather),
        A.OneOf([A.GaussianBlur(sigma_limit=(0.3, 1.5), p=1.0), A.MotionBlur((3, 7), p=1.0)], p=config.blur),
        A.OneOf([A.GaussNoise(std_range=(0.01, 0.06), p=1.0), A.ISONoise(p=1.0)], p=config.noise),
    ]
