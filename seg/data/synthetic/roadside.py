"""Drawing street furniture: lamps, posts, signs, signals, gantries; and the table of all drawing functions."""

from collections.abc import Callable

import numpy as np

from seg.data.synthetic import labels
from seg.data.synthetic.canvas import KEEP, Canvas
from seg.data.synthetic.scene import RGB, Thing
from seg.data.synthetic.scenery import draw_bank, draw_barrier, draw_building, draw_person, draw_tree
from seg.data.synthetic.spot import Pose, Spot
from seg.data.synthetic.vehicles import draw_vehicle


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
    if not spot.pole(t.width, t.height, ((142, 146, 148), (70, 72, 74), (206, 206, 202), (40, 42, 44))[t.variant]):
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


DRAW: dict[str, Callable[[Canvas, Thing, Pose, int], None]] = {
    "vehicle": draw_vehicle,
    "lamp": _lamp,
    "utility": _utility,
    "post": _post,
    "sign": _sign,
    "signal": _signal,
    "gantry": _gantry,
    "billboard": _billboard,
    "bank": draw_bank,
    "tree": draw_tree,
    "building": draw_building,
    "barrier": draw_barrier,
    "person": draw_person,
    "cyclist": draw_person,
}
