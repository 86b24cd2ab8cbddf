"""Where an upright object stands in the picture, and the poles and bars that make it up."""

import numpy as np

from seg.data.synthetic import labels
from seg.data.synthetic.camera import F64
from seg.data.synthetic.canvas import Canvas
from seg.data.synthetic.scene import RGB

Pose = tuple[float, float, float, float]

_THIN_RANGE = 35.0  # metres; a nearer pole is drawn at least _THIN pixels wide, so that it is there to be found
_THIN = 2.4
_SPECK = 1.1  # pixels; a pole further away and thinner than this is not drawn
_SHORT = 4.0  # pixels; a lower pole is not drawn


class Spot:
    """Where an object stands, in pixels: column, row of its foot, pixels per metre."""

    def __init__(self, canvas: Canvas, pose: Pose, clip: int) -> None:
        self.canvas, self.clip = canvas, clip
        self.x, self.y, self.z, _ = pose
        self.scale = canvas.view.focal / self.z
        self.col = canvas.view.cx + self.x * self.scale
        self.foot = canvas.view.cy + (canvas.view.eye - self.y) * self.scale

    def box(self, x0: float, x1: float, y0: float, y1: float) -> F64:
        """A rectangle facing the camera, metres from the foot, as pixels (4, 2)."""
        a, b = self.col + x0 * self.scale, self.col + x1 * self.scale
        c, d = self.foot - y0 * self.scale, self.foot - y1 * self.scale
        return np.array([(a, c), (b, c), (b, d), (a, d)])

    def pole(self, width: float, height: float, colour: RGB, base: float = 0.0) -> bool:
        """An upright pole; False if it is too thin to see and was left out."""
        wide = width * self.scale
        if (height - base) * self.scale < _SHORT:
            return False
        if self.z < _THIN_RANGE:
            wide = max(wide, _THIN)
        elif wide < _SPECK:
            return False
        canvas = self.canvas
        sunny = canvas.left > canvas.right
        colours = [
            canvas.hazed(colour, self.z, 0.4 + 0.6 * side * k)
            for side, k in ((canvas.left, 1.15 if sunny else 0.75), (canvas.right, 0.75 if sunny else 1.15))
        ]
        top, foot = self.foot - height * self.scale, self.foot - base * self.scale
        canvas.column(self.col, wide, top, min(foot, self.clip), (colours[0], colours[1]), labels.POLE)
        return True

    def bar(self, x0: float, y0: float, x1: float, y1: float, thick: float, colour: RGB) -> None:
        """A thin bar between two points (metres from the foot), labelled pole."""
        a = np.array([self.col + x0 * self.scale, self.foot - y0 * self.scale])
        b = np.array([self.col + x1 * self.scale, self.foot - y1 * self.scale])
        wide = thick * self.scale
        if wide < 0.8 * _SPECK:
            return
        along = (b - a) / max(float(np.hypot(*(b - a))), 1e-6)
        out = np.array([-along[1], along[0]]) * max(wide, 1.6) / 2
        points = np.array([a + out, b + out, b - out, a - out])
        self.canvas.thin(points, self.canvas.hazed(colour, self.z, self.canvas.front), labels.POLE, self.clip)
