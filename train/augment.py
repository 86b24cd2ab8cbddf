"""Augmentation on uint8 frames with albumentations: colour and sensor effects, and one warp for all geometry.

Crop, scale, rotation and flip are one affine map, applied once: the frame is resampled a single time (bilinear) and the
label a single time by nearest neighbour, 255 outside.
"""

from __future__ import annotations

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
        matrix_23 = self.matrix(rgb_HWC.shape[:2], generator)
        height, width = self.config.crop
        scale = np.sqrt(abs(np.linalg.det(matrix_23[:, :2])))
        if scale < 0.7:  # bilinear alone would skip pixels: average over what falls into one first
            rgb_HWC = cv2.GaussianBlur(rgb_HWC, (0, 0), 0.4 / scale)
        frame = cv2.warpAffine(
            rgb_HWC, matrix_23, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        label = cv2.warpAffine(
            label_HW,
            matrix_23,
            (width, height),
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=IGNORE,
        )
        self._pixels.set_random_seed(seed)
        return self._pixels(image=frame)["image"], np.asarray(label, dtype=np.uint8)

    def matrix(self, size: tuple[int, int], generator: np.random.Generator) -> npt.NDArray[np.float64]:
        """A random affine map from frame to crop, float64 (2, 3), in OpenCV's pixel coordinates.

        At scale 1 the crop holds the whole frame along the tighter side; above 1 it is a window into the frame.
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
        looked_at = np.array([width, height]) / 2 + generator.uniform(-0.5, 0.5, 2) * np.abs(slack)
        centre = np.array([out_width, out_height]) / 2
        # pixel centres are at whole coordinates: the frame's middle is (w - 1) / 2
        offset = (centre - 0.5) - linear @ (looked_at - 0.5)
        return np.column_stack([linear, offset])


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
        A.OneOf([A.RandomShadow(p=1.0), A.RandomFog(fog_coef_range=(0.1, 0.4), p=1.0)], p=config.weather),
        A.OneOf([A.GaussianBlur(sigma_limit=(0.3, 1.5), p=1.0), A.MotionBlur((3, 7), p=1.0)], p=config.blur),
        A.OneOf([A.GaussNoise(std_range=(0.01, 0.06), p=1.0), A.ISONoise(p=1.0)], p=config.noise),
    ]
