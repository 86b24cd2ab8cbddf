"""Where things on the road appear in the picture: the pinhole camera on a curved, hilly road.

Camera axes: x right, y up (0 is the road under the camera), z forward, metres. Pixel centres lie on whole numbers.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seg.data.synthetic.scene import Scene, Wave

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

NEAR = 0.7  # metres; what lies nearer is cut off
FAR = 420.0
_STEPS = np.concatenate([np.linspace(-24.0, 0.0, 7), np.geomspace(0.6, FAR, 260)])
_MAX_HEADING = 1.15  # radians: further round a bend the road would turn back on itself


def _integral(waves: Sequence[Wave], s: F64) -> F64:
    """Integral of the sum of `waves` from 0 to each `s`, in closed form."""
    total = np.zeros_like(s)
    for w in waves:
        k = 2 * math.pi / w.length
        total += w.amplitude / k * (math.cos(w.phase) - np.cos(k * s + w.phase))
    return total


def _sum(waves: Sequence[Wave], s: float) -> float:
    return sum(w.amplitude * math.sin(2 * math.pi * s / w.length + w.phase) for w in waves)


class View:
    """The road as seen from one camera position; turns road coordinates into pixels.

    Args:
        scene: the scene.
        size: (height, width) in pixels.
        s0: position of the camera along the road, metres.
        bounce: extra pitch, as a share of the picture's height (suspension).
    """

    def __init__(self, scene: Scene, size: tuple[int, int], s0: float = 0.0, bounce: float = 0.0) -> None:
        self.height, self.width = size
        lens = scene.lens
        self.s0 = s0
        self.focal = self.width / 2 / math.tan(lens.fov / 2)
        self.cx = (self.width - 1) / 2
        self.cy = (lens.horizon + bounce) * self.height
        self.eye = lens.height
        start = np.array([s0])
        self.bearing = float(_integral(scene.curvature, start)[0])
        s = _STEPS
        heading = _integral(scene.curvature, s + s0) - self.bearing + lens.yaw
        heading = np.clip(heading, -_MAX_HEADING, _MAX_HEADING)
        slope = _slope(scene.slope, s + s0) - _sum(scene.slope, s0)
        ds = np.diff(s)
        mid = (heading[1:] + heading[:-1]) / 2
        x = np.concatenate([[0.0], np.cumsum(np.sin(mid) * ds)])
        z = np.concatenate([[0.0], np.cumsum(np.cos(mid) * ds)])
        y = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) / 2 * ds)])
        self.s = s
        self.x = x - np.interp(0.0, s, x) - lens.offset
        self.z = z - np.interp(0.0, s, z)
        self.y = y - np.interp(0.0, s, y)
        self.heading = heading
        self._rows()

    def _rows(self) -> None:
        """Which stretch of road each picture row shows; a crest hides what lies behind it."""
        ahead = self.z > 0.5
        z, s = self.z[ahead], self.s[ahead]
        row = self.cy + self.focal * (self.eye - self.y[ahead]) / z
        self.crest = np.minimum.accumulate(row)
        self.crest_s = s
        self.horizon = max(math.ceil(self.crest[-1] - 0.5), 0)
        rows = np.arange(min(self.horizon, self.height - 2), self.height, dtype=np.float64)
        self.top = int(rows[0])
        self.row_s = np.interp(rows, self.crest[::-1], s[::-1])
        self.row_z = np.interp(self.row_s, self.s, self.z)
        self.row_x = np.interp(self.row_s, self.s, self.x)
        self.row_cos = np.cos(np.interp(self.row_s, self.s, self.heading))

    def place(self, s: F64, u: F64) -> tuple[F64, F64, F64, F64]:
        """Road coordinates (N,) to camera x, y, z and heading (N,); `s` is absolute."""
        rel = s - self.s0
        heading = np.interp(rel, self.s, self.heading)
        x = np.interp(rel, self.s, self.x) + u / np.cos(heading)
        return x, np.interp(rel, self.s, self.y), np.interp(rel, self.s, self.z), heading

    def project(self, points_N3: F64) -> F64:
        """Camera points (N, 3) with z >= NEAR to pixels (N, 2) as column, row."""
        out = np.empty((len(points_N3), 2))
        scale = self.focal / points_N3[:, 2]
        out[:, 0] = self.cx + points_N3[:, 0] * scale
        out[:, 1] = self.cy + (self.eye - points_N3[:, 1]) * scale
        return out

    def clip_rows(self, s: F64) -> NDArray[np.int64]:
        """First row (N,) that nearer ground hides from something standing at absolute `s` (N,)."""
        rel = s - self.s0
        hidden = np.interp(rel - 1.0, self.crest_s, self.crest)
        z, y = np.interp(rel, self.s, self.z), np.interp(rel, self.s, self.y)
        ground = self.cy + self.focal * (self.eye - y) / np.maximum(z, NEAR)
        return np.where(ground <= hidden + 1.5, self.height, np.maximum(hidden + 0.5, 0)).astype(np.int64)


def _slope(waves: Sequence[Wave], s: F64) -> F64:
    total = np.zeros_like(s)
    for w in waves:
        total += w.amplitude * np.sin(2 * math.pi / w.length * s + w.phase)
    return total


def cut_near(points_N3: F64) -> F64:
    """The part of a polygon (N, 3) in front of the near plane (M, 3); M may be 0."""
    z = points_N3[:, 2]
    if z.min() >= NEAR:
        return points_N3
    out: list[F64] = []
    for i in range(len(points_N3)):
        a, b = points_N3[i - 1], points_N3[i]
        if (a[2] < NEAR) != (b[2] < NEAR):
            out.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
        if b[2] >= NEAR:
            out.append(b)
    return np.array(out).reshape(-1, 3)
