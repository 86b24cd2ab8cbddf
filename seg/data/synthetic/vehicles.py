"""Drawing vehicles: a template of polygons, projected at once and shaded face by face."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.data.synthetic import labels
from seg.data.synthetic.camera import F64, NEAR, cut_near
from seg.data.synthetic.canvas import KEEP, Canvas, fixed_point
from seg.data.synthetic.models import LEFT, Part, Template, template
from seg.data.synthetic.scene import RGB, Thing

Pose = tuple[float, float, float, float]

_COLOURS: dict[str, RGB] = {
    "glass": (44, 54, 62),
    "tyre": (24, 24, 26),
    "hub": (122, 124, 128),
    "tail": (176, 26, 24),
    "head": (238, 238, 224),
    "plate": (226, 222, 196),
    "dark": (26, 26, 28),
}
_COARSE = 6.0  # pixels of height from which a vehicle gets glass
_DETAIL = 10.0  # pixels of height from which it also gets lights and wheels


class _Body:
    """One vehicle's polygons in pixels."""

    def __init__(self, canvas: Canvas, thing: Thing, pose: Pose, clip: int) -> None:
        self.canvas, self.thing, self.clip = canvas, thing, clip
        self.shape: Template = template(thing.variant)
        self.z = max(pose[2], 1.0)
        self.camera = to_camera(thing, pose, self.shape.points)
        self.whole = bool(self.camera[:, 2].min() >= NEAR)
        if self.whole:  # the usual case: everything projected and rounded at once
            self.fixed = fixed_point(canvas.view.project(self.camera))

    def outline(self, part: Part) -> NDArray[np.int32] | None:
        """The part's pixels (N, 2), fixed point, if it faces the camera, else None."""
        if self.whole:
            pixels = self.fixed[part.start : part.stop]
        else:
            points = cut_near(self.camera[part.start : part.stop])
            if len(points) < 3:
                return None
            pixels = fixed_point(self.canvas.view.project(points))
        return pixels if _faces_us(pixels) else None

    def gain(self, part: Part) -> float:
        """Light on the part's face."""
        canvas = self.canvas
        if part.face >= LEFT:
            outward = canvas.left if (part.face == LEFT) == (self.thing.side > 0) else canvas.right
            return 0.3 + 0.65 * outward
        return canvas.front * (1 - part.tilt) * (0.82 if part.material == "low" else 1.0) + canvas.top * part.tilt

    def colour(self, part: Part) -> RGB:
        """The part's own colour."""
        if part.material in ("paint", "low"):
            return self.thing.colour
        if part.material == "trim":
            return self.thing.trim
        if part.material == "mirror":  # glass that mirrors the sky
            sky = self.canvas.light.sky_low
            return 28 + sky[0] * 0.3, 34 + sky[1] * 0.3, 38 + sky[2] * 0.3
        return _COLOURS[part.material]

    def draw(self, part: Part, pixels: NDArray[np.int32] | None, label: int) -> None:
        """Fill one part."""
        if pixels is not None:
            rgb = self.canvas.hazed(self.colour(part), self.z, self.gain(part))
            self.canvas.fill_fixed(pixels, rgb, label, self.clip)


def to_camera(thing: Thing, pose: Pose, points_N3: F64) -> F64:
    """Template points (shares of half width, height, length) to camera axes, metres."""
    x, y, z, heading = pose
    cos, sin = math.cos(heading), math.sin(heading)
    right, along = points_N3[:, 0] * (thing.width / 2 * thing.side), points_N3[:, 2] * (thing.length * thing.side)
    out = np.empty_like(points_N3)
    out[:, 0] = x + right * cos + along * sin
    out[:, 1] = y + points_N3[:, 1] * thing.height
    out[:, 2] = z - right * sin + along * cos
    return out


def _faces_us(pixels_N2: NDArray[np.int32]) -> bool:
    """True if the polygon's winding says that its outside is towards the camera."""
    total = 0
    points = pixels_N2.tolist()
    x0, y0 = points[-1]
    for x, y in points:
        total += x0 * y - y0 * x
        x0, y0 = x, y
    return total > 0


def draw_vehicle(canvas: Canvas, thing: Thing, pose: Pose, clip: int) -> None:
    """Draw a vehicle with its ground shadow, glass, lights and wheels."""
    tall = canvas.view.focal / max(pose[2], 1.0) * thing.height
    if tall < 3:
        return
    if tall > 6:
        _shadow(canvas, thing, pose, clip)
    body = _Body(canvas, thing, pose, clip)
    shape = body.shape
    if body.whole:
        for part in shape.under:
            body.draw(part, body.outline(part), labels.VEHICLE)
    z = body.camera[:, 2]
    order = sorted(shape.faces, key=lambda part: -float(z[part.start] + z[part.start + 2]))
    seen = set()
    for part in (*order, *shape.sides):
        pixels = body.outline(part)
        if pixels is not None:
            seen.add(part.face)
            body.draw(part, pixels, labels.VEHICLE)
    for part in shape.trim if tall > _COARSE else ():
        if part.face in seen and (tall > _DETAIL or part.material == "glass"):
            body.draw(part, body.outline(part), KEEP)
    for part in shape.side_trim if tall > _DETAIL else ():
        if part.face in seen:
            body.draw(part, body.outline(part), labels.VEHICLE if part.material == "tyre" else KEEP)


_CORNERS = np.array([(-1.04, 0.0, -0.52), (1.04, 0.0, -0.52), (1.04, 0.0, 0.52), (-1.04, 0.0, 0.52)])


def _shadow(canvas: Canvas, thing: Thing, pose: Pose, clip: int) -> None:
    """Darken the ground under the vehicle and away from the sun; picture only."""
    light, view = canvas.light, canvas.view
    reach = -light.sun[0] / max(light.sun[1], 0.35) * thing.height * 0.8 * min(light.direct * 1.5, 1)
    points = to_camera(thing, pose, _CORNERS)
    points[:, 0] += np.where((points[:, 0] > pose[0]) == (reach > 0), reach, 0.0)
    seen = cut_near(points)
    if len(seen) < 3:
        return
    pixels = view.project(seen)
    low, high = pixels.min(0), pixels.max(0)
    c0, r0 = max(int(low[0]), 0), max(int(low[1]), 0)
    c1, r1 = min(int(high[0]) + 2, view.width), min(int(high[1]) + 2, view.height, clip)
    if c1 <= c0 or r1 <= r0:
        return
    patch = canvas.rgb[r0:r1, c0:c1]
    dark = patch.copy()
    fixed = np.rint(np.clip(pixels - (c0, r0), -6000, 6000) * 16).astype(np.int32)
    mask = np.zeros(patch.shape[:2], np.uint8)
    cv2.fillPoly(mask, [fixed], 1, cv2.LINE_8, 4)
    cv2.convertScaleAbs(patch, dark, 0.62 - 0.25 * light.direct)
    cv2.copyTo(dark, mask, patch)
