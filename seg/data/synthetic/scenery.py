"""Drawing the scenery behind the kerb: trees, buildings, barriers, people."""

import numpy as np

from seg.data.synthetic import labels, textures
from seg.data.synthetic.camera import F64
from seg.data.synthetic.canvas import KEEP, U8, Canvas
from seg.data.synthetic.scene import RGB, Thing
from seg.data.synthetic.spot import Pose, Spot


def palette(canvas: Canvas, tint: RGB, z: float, gain: float = 1.0) -> U8:
    """Colours (256, 3) of a sprite's luminance under the scene's light and haze."""
    dark, bright = (canvas.hazed(tint, z, gain * k * (0.55 + 0.45 * canvas.top)) for k in (0.12, 2.0))
    ramp = np.linspace(0, 1, 256)[:, None]
    return np.asarray(np.array(dark) * (1 - ramp) + np.array(bright) * ramp, np.uint8)


def draw_tree(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    """A trunk and a sprite for the crown."""
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
    light, mask = textures.tree(t.variant, t.height * spot.scale)
    half = t.width / 2 * spot.scale
    box = (spot.col - half, spot.foot - t.height * spot.scale, spot.col + half, spot.foot - trunk * 0.7 * spot.scale)
    canvas.sprite(light, mask, box, palette(canvas, t.colour, spot.z), labels.TREE, clip)


def _along(canvas: Canvas, t: Thing, offsets: tuple[float, ...]) -> tuple[F64, F64, F64]:
    """Camera x, ground y and z at lateral offsets (from t.u, outwards) at the near and far end: (2, len)."""
    s = np.array([[t.s] * len(offsets), [t.s + t.length] * len(offsets)])
    u = np.array([[t.u + t.side * o for o in offsets]] * 2)
    x, y, z, _ = canvas.view.place(s, u)
    return x, y, z


def draw_building(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    """A house front along the street, its near end wall, roof and windows."""
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
    if near < 60:
        _bands(canvas, t, wall, mid, gain, clip)
    _windows(canvas, t, wall, gain, mid, clip)


def _bands(canvas: Canvas, t: Thing, wall_43: F64, z: float, gain: float, clip: int) -> None:
    """A shop front or plinth along the foot of the wall and a cornice along its top; picture only."""
    rise = wall_43[3] - wall_43[0]
    tone = (0.25, 0.5, 0.75, 1.18, 0.85)[t.variant % 5]
    for low, high, k in ((0.0, 3.0 / max(t.height, 3.0), tone), (0.96, 1.0, 1.25 if tone < 1 else 0.75)):
        points = np.array(
            [wall_43[0] + low * rise, wall_43[1] + low * rise, wall_43[1] + high * rise, wall_43[0] + high * rise]
        )
        canvas.fill3d(points, canvas.hazed(t.colour, z, (0.3 + 0.65 * gain) * k), KEEP, clip)


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
    for share, part in ((0.12, quads[::2]), (0.3, quads[1::2])):  # panes mirror different parts of the sky
        tint = tuple(a * 0.8 + b * share for a, b in zip(t.trim, sky, strict=True))
        canvas.fill_many(part, canvas.hazed((tint[0], tint[1], tint[2]), z, 0.35 + 0.65 * gain), clip)


def draw_bank(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    """One stretch of a rising verge, and the level ground behind its top edge."""
    x, y, z = _along(canvas, t, (0.0, t.width, t.width + 60.0))
    mid = max(float(z.mean()), 1.0)
    gain = 0.5 * canvas.top + 0.5 * (canvas.left if t.side > 0 else canvas.right)
    for k, tone, rise in ((1, 0.97, (t.height, t.height)), (0, 1.0, (0.0, t.height))):
        points = np.array(
            [
                (x[0, k], y[0, k] + rise[0], z[0, k]),
                (x[1, k], y[1, k] + rise[0], z[1, k]),
                (x[1, k + 1], y[1, k + 1] + rise[1], z[1, k + 1]),
                (x[0, k + 1], y[0, k + 1] + rise[1], z[0, k + 1]),
            ]
        )
        canvas.fill3d(points, canvas.hazed(t.colour, mid, gain * tone), labels.TERRAIN, clip)


# (from, to, tone) of each strip as shares of the height, by kind.
_STRIPS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "rail": ((0.45, 1.0, 0.95), (0.66, 0.78, 0.7)),
    "jersey": ((0.0, 1.0, 1.0), (0.88, 1.0, 1.2), (0.0, 0.35, 0.82)),
    "fence": ((0.0, 1.0, 0.9), (0.9, 1.0, 1.15)),
    "hedge": ((0.0, 1.0, 0.9), (0.8, 1.0, 1.2)),
    "wall": ((0.0, 1.0, 1.0), (0.9, 1.0, 1.2)),
}
BARRIERS = tuple(_STRIPS)


def draw_barrier(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    """One stretch of guard rail, concrete barrier, fence, hedge or wall."""
    x, y, z = (v[:, 0] for v in _along(canvas, t, (0.0,)))
    y = y + (pose[1] - y[0])  # a fence may stand on a bank
    name = BARRIERS[t.variant]
    mid = max(float(z.mean()), 1.0)
    gain = 0.35 + 0.65 * (canvas.left if t.side > 0 else canvas.right)
    label = labels.TREE if name == "hedge" else labels.BARRIER
    scale = canvas.view.focal / mid
    if name == "rail" and z[0] > 2 and scale > 6:
        spot = Spot(canvas, (float(x[0]), float(y[0]), float(z[0]), 0.0), clip)
        canvas.fill(spot.box(-0.06, 0.06, 0, t.height * 0.9), canvas.hazed(t.colour, mid, 0.6), label, clip)
    for low, high, tone in _STRIPS[name][: 3 if scale * t.height > 10 else 1]:
        points = np.array([x[0], 0.0, z[0], x[1], 0.0, z[1], x[1], 0.0, z[1], x[0], 0.0, z[0]]).reshape(4, 3)
        a, b = low * t.height, high * t.height
        points[:, 1] = y[0] + a, y[1] + a, y[1] + b, y[0] + b
        canvas.fill3d(points, canvas.hazed(t.colour, mid, gain * tone), label, clip)


def draw_person(canvas: Canvas, t: Thing, pose: Pose, clip: int) -> None:
    """Someone on foot or on a bicycle."""
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
