"""Drawing what stands along the road: poles, signs, trees, buildings, barriers, people."""

from collections.abc import Callable

import numpy as np

from seg.data.synthetic import labels, textures
from seg.data.synthetic.camera import F64, cut_near
from seg.data.synthetic.canvas import KEEP, U8, Canvas
from seg.data.synthetic.scene import RGB, Thing
from seg.data.synthetic.vehicles import draw_vehicle

Pose = tuple[float, float, float, float]

_THIN_RANGE = 45.0  # metres; a nearer pole is drawn at least _THIN pixels wide, so that it is there to be found
_THIN = 1.15
_SPECK = 0.6  # pixels; a pole further away and thinner than this is not drawn


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
        if wide < _SPECK * 0.8:
            return
        along = (b - a) / max(float(np.hypot(*(b - a))), 1e-6)
        out = np.array([-along[1], along[0]]) * max(wide, 1.1) / 2
        points = np.array([a + out, b + out, b - out, a - out])
        self.canvas.thin(points, self.canvas.hazed(colour, self.z, self.canvas.front), labels.POLE, self.clip)


def _lamp(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    spot = Spot(canvas, pose, clip)
    if not spot.pole(t.width, t.height, t.colour):
        return
    arm = -t.side * t.length
    rise = t.height + (0.1, 0.5, 0.9, 0.0)[t.variant]
    spot.bar(0, t.height - 0.05, arm * 0.4, rise - 0.1, t.width * 0.7, t.colour)
    spot.bar(arm * 0.4, rise - 0.1, arm, rise, t.width * 0.6, t.colour)
    if t.variant == 0:
        spot.bar(0, t.height - 0.05, -arm, rise, t.width * 0.6, t.colour)
    head = canvas.hazed((92, 94, 96), spot.z, canvas.front)
    canvas.fill(
        spot.box(arm - 0.4, arm + 0.4, rise - 0.12, rise + 0.12), head, labels.POLE if spot.scale > 8 else KEEP, clip
    )


def _utility(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    spot = Spot(canvas, pose, clip)
    if spot.pole(t.width, t.height, t.colour):
        spot.bar(-t.length, t.height - 0.7, t.length, t.height - 0.7, 0.13, t.colour)


def _post(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    spot = Spot(canvas, pose, clip)
    if spot.z < 35 and t.height * spot.scale > 4:
        spot.pole(t.width, t.height, t.colour)


def _sign(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    spot = Spot(canvas, pose, clip)
    if not spot.pole(t.width, t.height, (142, 146, 148)):
        return
    half, y = t.length / 2, t.height - t.length / 2
    ring = (64, 4, 3, 4)[t.variant]
    turn = (0.0, np.pi / 4, np.pi / 2, 0.0)[t.variant]
    size = half * (1.0, 1.41, 1.15, 1.1)[t.variant]
    angles = np.linspace(0, 2 * np.pi, min(ring, 16), endpoint=False) + turn
    unit = np.stack([np.cos(angles), np.sin(angles)], 1)
    centre = np.array([spot.col, spot.foot - y * spot.scale])
    for shrink, colour in (
        (1.0, t.colour),
        (0.72, (238.0, 238.0, 234.0) if t.colour[0] > 150 > t.colour[1] else t.colour),
    ):
        points = centre + unit * (size * shrink * spot.scale, -size * shrink * spot.scale)
        canvas.fill(points, canvas.hazed(colour, spot.z, 0.35 + 0.65 * canvas.front), labels.SIGN, clip)
    if spot.scale * t.length > 10:
        canvas.fill(
            spot.box(-half * 0.4, half * 0.4, y - half * 0.15, y + half * 0.15),
            canvas.hazed((30, 30, 34), spot.z),
            KEEP,
            clip,
        )


def _signal(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    spot = Spot(canvas, pose, clip)
    if not spot.pole(t.width, t.height, t.colour):
        return
    at = -t.side * t.length
    if t.length:
        spot.bar(0, t.height - 0.1, at, t.height - 0.1, 0.14, t.colour)
    for x, y in {(at, t.height - 0.5), (0.0, 2.9)}:
        canvas.fill(
            spot.box(x - 0.17, x + 0.17, y - 0.5, y + 0.5), canvas.hazed((26, 28, 28), spot.z), labels.SIGN, clip
        )
        lit: RGB = ((255, 60, 40), (255, 190, 60), (60, 240, 150))[t.variant]
        c = y + 0.33 - 0.33 * t.variant
        canvas.fill(spot.box(x - 0.11, x + 0.11, c - 0.11, c + 0.11), canvas.hazed(lit, spot.z, 1.2), KEEP, clip)


def _gantry(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    spot = Spot(canvas, pose, clip)
    steel: RGB = (128, 132, 134)
    for x in (-t.width / 2, t.width / 2):
        spot.col += x * spot.scale
        spot.pole(0.4, t.height, steel)
        spot.col -= x * spot.scale
    spot.bar(-t.width / 2, t.height, t.width / 2, t.height, 0.5, steel)
    for k in (-0.25, 0.22):
        x, y = k * t.width, t.height + 0.3
        canvas.fill(
            spot.box(x - 2.4, x + 2.4, y - 1.4, y + 1.2),
            canvas.hazed((236, 236, 236), spot.z, canvas.front),
            labels.SIGN,
            clip,
        )
        canvas.fill(
            spot.box(x - 2.3, x + 2.3, y - 1.3, y + 1.1),
            canvas.hazed(t.colour, spot.z, canvas.front),
            labels.SIGN,
            clip,
        )
        canvas.fill(
            spot.box(x - 1.5, x + 1.2, y - 0.1, y + 0.2),
            canvas.hazed((236, 236, 236), spot.z, canvas.front),
            KEEP,
            clip,
        )


def _billboard(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    spot = Spot(canvas, pose, clip)
    spot.pole(t.width, t.height, (140, 142, 144))
    half, y = t.length / 2, t.height
    canvas.fill(
        spot.box(-half, half, y, y + half * 0.8), canvas.hazed((84, 84, 86), spot.z, canvas.front), labels.SIGN, clip
    )
    canvas.fill(
        spot.box(-half * 0.96, half * 0.96, y + 0.2, y + half * 0.76),
        canvas.hazed(t.colour, spot.z, canvas.front),
        KEEP,
        clip,
    )


def palette(canvas: Canvas, tint: RGB, z: float, gain: float = 1.0) -> U8:
    """Colours (256, 3) of a sprite's luminance under the scene's light and haze."""
    dark, bright = (canvas.hazed(tint, z, gain * k * (0.55 + 0.45 * canvas.top)) for k in (0.12, 2.0))
    ramp = np.linspace(0, 1, 256)[:, None]
    return np.asarray(np.array(dark) * (1 - ramp) + np.array(bright) * ramp, np.uint8)


def _tree(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    spot = Spot(canvas, pose, clip)
    if t.height * spot.scale < 3:
        return
    bush, bare = t.variant >= 18, 12 <= t.variant < 18
    trunk = 0.0 if bush or bare else t.height * 0.25
    if trunk and t.length * spot.scale > 0.7:
        canvas.fill(
            spot.box(-t.length / 2, t.length / 2, 0, trunk * 1.5),
            canvas.hazed(t.trim, spot.z, canvas.front),
            labels.TREE,
            clip,
        )
    light, mask = textures.trees()[t.variant]
    half = t.width / 2 * spot.scale
    box = (spot.col - half, spot.foot - t.height * spot.scale, spot.col + half, spot.foot - trunk * 0.7 * spot.scale)
    canvas.sprite(light, mask, box, palette(canvas, t.colour, spot.z), labels.TREE, clip)


def _along(canvas: Canvas, t: Thing, offsets: tuple[float, ...]) -> tuple[F64, F64, F64]:
    """Camera x, ground y and z at lateral offsets (from t.u, outwards) at the near and far end: (2, len)."""
    s = np.array([[t.s] * len(offsets), [t.s + t.length] * len(offsets)])
    u = np.array([[t.u + t.side * o for o in offsets]] * 2)
    x, y, z, _ = canvas.view.place(s, u)
    return x, y, z


def _building(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    x, y, z = _along(canvas, t, (0.0, t.width))
    low = y.min() - 0.5
    wall = np.array(
        [
            (x[0, 0], low, z[0, 0]),
            (x[1, 0], low, z[1, 0]),
            (x[1, 0], low + t.height, z[1, 0]),
            (x[0, 0], low + t.height, z[0, 0]),
        ]
    )
    end = np.array(
        [
            (x[0, 0], low, z[0, 0]),
            (x[0, 1], low, z[0, 1]),
            (x[0, 1], low + t.height, z[0, 1]),
            (x[0, 0], low + t.height, z[0, 0]),
        ]
    )
    gain = canvas.left if t.side > 0 else canvas.right
    near, mid = max(float(z[0].min()), 1.0), max(float(z.mean()), 1.0)
    if t.variant % 3 == 0:  # a pitched roof over the end wall
        ridge = (end[2] + end[3]) / 2 + (0, t.height * 0.35, 0)
        back = (wall[2] + (wall[2] - wall[1]) * 0 + ridge - end[3]) if t.side else ridge
        roof = np.array([wall[3], wall[2], back, ridge])
        canvas.fill3d(
            roof,
            canvas.hazed((112, 72, 60) if t.variant % 2 else (82, 80, 82), mid, 0.5 + 0.5 * canvas.top),
            labels.BUILDING,
            clip,
        )
        end = np.array([end[0], end[1], end[2], ridge, end[3]])
    canvas.fill3d(end, canvas.hazed(t.colour, near, 0.3 + 0.65 * canvas.front), labels.BUILDING, clip)
    canvas.fill3d(wall, canvas.hazed(t.colour, mid, 0.3 + 0.65 * gain), labels.BUILDING, clip)
    _windows(canvas, t, wall, gain, mid, clip)


def _windows(canvas: Canvas, t: Thing, wall_43: F64, gain: float, z: float, clip: int) -> None:
    """Rows of windows and a shop front on the wall along the street."""
    floors = max(int(t.height / (2.9 + t.variant % 4 * 0.2)), 1)
    axes = max(int(t.length / (1.8 + t.variant % 5 * 0.5)), 1)
    if canvas.view.focal / z * 1.0 < 2:
        return
    wide, tall = 0.3 + t.variant % 7 * 0.06, 0.42 + t.variant % 3 * 0.1
    a, f = np.meshgrid((np.arange(axes) + 0.5 - wide / 2) / axes, (np.arange(floors) + 0.3) / floors)
    a0, f0 = a.ravel(), f.ravel()
    corners = [(a0, f0), (a0 + wide / axes, f0), (a0 + wide / axes, f0 + tall / floors), (a0, f0 + tall / floors)]
    base, run, rise = wall_43[0], wall_43[1] - wall_43[0], wall_43[3] - wall_43[0]
    points = np.stack([base + p[:, None] * run + q[:, None] * rise for p, q in corners], 1)
    points = points[points[..., 2].min(1) > 1.2]
    if not len(points):
        return
    quads = canvas.view.project(points.reshape(-1, 3)).reshape(-1, 4, 2)
    sky = canvas.light.sky_low
    tint = (t.trim[0] * 0.8 + sky[0] * 0.15, t.trim[1] * 0.8 + sky[1] * 0.15, t.trim[2] * 0.8 + sky[2] * 0.15)
    canvas.fill_many(quads, canvas.hazed(tint, z, 0.35 + 0.65 * gain), clip)


def _barrier(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    x, y, z = _along(canvas, t, (0.0,))
    x, y, z = x[:, 0], y[:, 0], z[:, 0]
    name = ("rail", "jersey", "fence", "hedge", "wall")[t.variant]
    low = t.height * 0.45 if name == "rail" else 0.0
    mid = max(float(z.mean()), 1.0)
    gain = canvas.left if t.side > 0 else canvas.right
    label = labels.TREE if name == "hedge" else labels.BARRIER

    def strip(a: float, b: float, tone: float) -> None:
        quad = np.array(
            [(x[0], y[0] + a, z[0]), (x[1], y[1] + a, z[1]), (x[1], y[1] + b, z[1]), (x[0], y[0] + b, z[0])]
        )
        canvas.fill3d(quad, canvas.hazed(t.colour, mid, (0.35 + 0.65 * gain) * tone), label, clip)

    if name == "rail":
        seen = cut_near(np.array([(x[0], y[0], z[0])]))
        if z[0] > 2:
            spot = Spot(canvas, (float(seen[0, 0]), float(seen[0, 1]), float(z[0]), 0.0), clip)
            canvas.fill(spot.box(-0.06, 0.06, 0, t.height * 0.9), canvas.hazed(t.colour, mid, 0.6), label, clip)
        strip(low, t.height, 0.95)
        strip(low + (t.height - low) * 0.4, low + (t.height - low) * 0.6, 0.7)
    else:
        strip(low, t.height, 1.0 if int(t.s / 5) % 2 or name == "jersey" else 0.95)
        strip(t.height * 0.88, t.height, 1.2)
        if name == "jersey":
            strip(0, t.height * 0.35, 0.82)


def _person(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    spot = Spot(canvas, pose, clip)
    h = t.height
    if h * spot.scale < 5:
        return
    label = labels.CYCLIST if t.kind == "cyclist" else labels.PEDESTRIAN
    gain = 0.4 + 0.6 * canvas.front
    if label == labels.CYCLIST:
        canvas.fill(spot.box(-0.08, 0.08, 0, 0.75), canvas.hazed((30, 30, 32), spot.z), label, clip)
    for x0, x1, y0, y1, colour in (
        (-0.2, -0.02, 0.0, 0.5 * h, t.trim),
        (0.03, 0.2, 0.04, 0.5 * h, t.trim),
        (-0.25, 0.25, 0.46 * h, 0.84 * h, t.colour),
        (-0.1, 0.1, 0.84 * h, h, (176.0, 136.0, 112.0)),
    ):
        canvas.fill(spot.box(x0, x1, y0, y1), canvas.hazed(colour, spot.z, gain), label, clip)


DRAW: dict[str, Callable[[Canvas, Thing, Pose, int], None]] = {
    "vehicle": draw_vehicle,
    "lamp": _lamp,
    "utility": _utility,
    "post": _post,
    "sign": _sign,
    "signal": _signal,
    "gantry": _gantry,
    "billboard": _billboard,
    "tree": _tree,
    "building": _building,
    "barrier": _barrier,
    "person": _person,
    "cyclist": _person,
}
