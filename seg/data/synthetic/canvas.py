"""The picture and its label map, painted by the same calls so that they cannot disagree."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.data.synthetic.camera import F64, View, cut_near
from seg.data.synthetic.scene import RGB, Light

U8 = NDArray[np.uint8]

KEEP = -1  # label argument: leave the labels as they are (shading, shadows, reflections)
_SUB = 4  # bits of sub-pixel precision
_LIMIT = 6000.0  # pixels; OpenCV's fixed-point coordinates overflow far outside the picture


def fixed_point(points_N2: F64) -> NDArray[np.int32]:
    """Pixels (column, row) as OpenCV's fixed-point numbers, kept within its range."""
    kept = np.minimum(np.maximum(points_N2, -_LIMIT), _LIMIT)
    fixed: NDArray[np.int32] = np.rint(kept * (1 << _SUB)).astype(np.int32)
    return fixed


class Canvas:
    """A picture (H, W, 3) uint8 RGB with a label map (H, W) uint8 of raw ids."""

    def __init__(self, view: View, light: Light) -> None:
        self.view = view
        self.light = light
        self.rgb: U8 = np.zeros((view.height, view.width, 3), np.uint8)
        self.label: U8 = np.zeros((view.height, view.width), np.uint8)
        ambient = 0.45 + 0.4 * (1 - light.direct)
        x, y, z = light.sun
        sun = light.direct * 0.75
        # Light on a face by where it looks; the sun's own height decides the top's.
        self.top = ambient + 0.15 + sun * max(y, 0.2)
        self.front = ambient + sun * max(-z, 0.0)  # faces that look back at the camera
        self.left = ambient + sun * max(-x, 0.0)
        self.right = ambient + sun * max(x, 0.0)

    def hazed(self, colour: RGB, z: float, gain: float = 1.0) -> tuple[int, int, int]:
        """`colour` under light `gain`, seen through z metres of air."""
        t = math.exp(-z / self.light.visibility)
        h = self.light.haze
        lit, air = gain * t, 1 - t
        return (
            min(int(colour[0] * lit + h[0] * air), 255),
            min(int(colour[1] * lit + h[1] * air), 255),
            min(int(colour[2] * lit + h[2] * air), 255),
        )

    def fill(self, points_N2: F64, colour: tuple[int, int, int], label: int, clip: int) -> None:
        """Fill a polygon given in pixels (column, row); nothing is drawn from row `clip` down."""
        self.fill_fixed(fixed_point(points_N2), colour, label, clip)

    def fill_fixed(self, fixed_N2: NDArray[np.int32], colour: tuple[int, int, int], label: int, clip: int) -> None:
        """`fill`, for points that went through `fixed_point` already."""
        polygon = [fixed_N2]
        cv2.fillPoly(self.rgb[:clip], polygon, colour, cv2.LINE_AA, _SUB)
        if label != KEEP:
            cv2.fillPoly(self.label[:clip], polygon, label, cv2.LINE_8, _SUB)

    def fill_many(self, polygons_MN2: F64, colour: tuple[int, int, int], clip: int) -> None:
        """Fill polygons that share a colour and do not overlap, picture only: windows on a wall."""
        fixed = fixed_point(polygons_MN2)
        cv2.fillPoly(self.rgb[:clip], list(fixed), colour, cv2.LINE_8, _SUB)

    def fill3d(self, points_N3: F64, colour: tuple[int, int, int], label: int, clip: int) -> None:
        """Fill a polygon given in camera coordinates; the part behind the camera is cut off."""
        seen = cut_near(points_N3)
        if len(seen) >= 3:
            self.fill(self.view.project(seen), colour, label, clip)

    def thin(self, points_N2: F64, colour: tuple[int, int, int], label: int, clip: int) -> None:
        """Fill a thin polygon with exact coverage: blended in the picture, labelled where at least half covered."""
        h, w = min(self.view.height, clip), self.view.width
        c0 = max(int(points_N2[:, 0].min()) - 1, 0)
        r0 = max(int(points_N2[:, 1].min()) - 1, 0)
        c1 = min(int(points_N2[:, 0].max()) + 2, w)
        r1 = min(int(points_N2[:, 1].max()) + 2, h)
        if c1 <= c0 or r1 <= r0:
            return
        mask = np.zeros(((r1 - r0) * 4, (c1 - c0) * 4), np.uint8)
        local = (points_N2 - (c0 - 0.5, r0 - 0.5)) * 4 - 0.5
        cv2.fillPoly(mask, [np.rint(local * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
        cover = cv2.resize(mask, (c1 - c0, r1 - r0), interpolation=cv2.INTER_AREA)
        self.blend(c0, r0, np.asarray(cover, np.uint8), colour, label)

    def blend(self, c0: int, r0: int, cover_HW: U8, colour: tuple[int, int, int], label: int) -> None:
        """Blend a colour in by coverage (0..255) at (column c0, row r0), inside the picture."""
        h, w = cover_HW.shape
        patch = self.rgb[r0 : r0 + h, c0 : c0 + w]
        alpha = cover_HW[..., None].astype(np.float32) / 255
        patch[...] = patch + (np.array(colour, np.float32) - patch) * alpha
        if label != KEEP:
            self.label[r0 : r0 + h, c0 : c0 + w][cover_HW >= 128] = label

    def column(self, x: float, width: float, top: float, foot: float, colours: tuple[RGB, RGB], label: int) -> None:
        """An upright bar centred on column `x`, lit colour on the left and the other on the right; exact coverage."""
        h, w = self.view.height, self.view.width
        r0, r1 = max(round(top), 0), min(round(foot), h)
        c0, c1 = max(math.floor(x - width / 2), 0), min(math.ceil(x + width / 2) + 1, w)
        if r1 <= r0 or c1 <= c0:
            return
        cols = np.arange(c0, c1)
        cover = np.minimum(cols + 0.5, x + width / 2) - np.maximum(cols - 0.5, x - width / 2)
        cover = np.clip(cover, 0, 1)
        mix = np.clip((cols - x) / max(width, 1e-3) + 0.5, 0, 1)[:, None]
        a, b = (np.array(c, np.float32) for c in colours)
        colour = a * (1 - mix) + b * mix
        patch = self.rgb[r0:r1, c0:c1]
        patch[...] = patch * (1 - cover[:, None]) + colour * cover[:, None]
        full = cols[cover >= 0.5]
        if not len(full) and width >= 0.5:
            full = cols[[int(cover.argmax())]]  # a bar one pixel wide that straddles two columns still has a label
        if label != KEEP and len(full):
            self.label[r0:r1, full[0] : full[-1] + 1] = label

    def sprite(
        self, light: U8, mask: U8, box: tuple[float, float, float, float], palette: U8, label: int, clip: int
    ) -> None:
        """Paste a sprite into the box (left, top, right, bottom); `palette` (256, 3) turns luminance into colour."""
        left, top, right, bottom = (round(v) for v in box)
        w, h = right - left, bottom - top
        c0, r0 = max(left, 0), max(top, 0)
        c1, r1 = min(right, self.view.width), min(bottom, self.view.height, clip)
        if w < 1 or h < 1 or c1 <= c0 or r1 <= r0:
            return
        sh, sw = light.shape  # sample only what is visible: a near tree can be larger than the picture
        affine = np.array([[sw / w, 0, (c0 - left + 0.5) * sw / w - 0.5], [0, sh / h, (r0 - top + 0.5) * sh / h - 0.5]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        shape = (c1 - c0, r1 - r0)
        shown = cv2.warpAffine(light, affine, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        cover = cv2.warpAffine(mask, affine, shape, flags=flags, borderMode=cv2.BORDER_CONSTANT)
        solid = cover >= 128
        patch = self.rgb[r0:r1, c0:c1]
        cv2.copyTo(palette[shown], solid.astype(np.uint8), patch)
        if label != KEEP:
            self.label[r0:r1, c0:c1][solid] = label
