"""Vehicle bodies: side profiles, glass, wheels and lights, turned into polygon templates once."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from seg.data.synthetic.camera import F64

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A body. `profile` is (along, up) from rear bottom over the roof to front bottom, as shares of length and height.

    `panes` are the profile edges that are glass; `windows` is the side glazing in the same shares; `share` is how
    common the model is.
    """

    width: float
    height: float
    length: float
    profile: Points
    panes: tuple[int, ...]
    windows: tuple[Points, ...]
    share: float = 1.0
    heavy: bool = False
    wheel: float = 0.33


_SEDAN = (
    (0.0, 0.17), (0.0, 0.56), (0.02, 0.66), (0.13, 0.69), (0.27, 0.97), (0.38, 1.0), (0.54, 0.99), (0.73, 0.66),
    (0.97, 0.52), (1.0, 0.4), (1.0, 0.15),
)  # fmt: skip
_HATCH = (
    (0.0, 0.17), (0.0, 0.5), (0.02, 0.6), (0.08, 0.92), (0.16, 1.0), (0.52, 0.98), (0.74, 0.64), (0.97, 0.52),
    (1.0, 0.36), (1.0, 0.15),
)  # fmt: skip
_SUV = (
    (0.0, 0.2), (0.0, 0.5), (0.01, 0.62), (0.06, 0.95), (0.12, 1.0), (0.58, 0.99), (0.73, 0.67), (0.97, 0.6),
    (1.0, 0.5), (1.0, 0.18),
)  # fmt: skip
_VAN = ((0.0, 0.14), (0.0, 0.55), (0.0, 0.9), (0.03, 1.0), (0.72, 1.0), (0.87, 0.6), (0.99, 0.48), (1.0, 0.14))
_PICKUP = ((0.0, 0.26), (0.0, 0.6), (0.37, 0.6), (0.4, 0.97), (0.58, 0.98), (0.72, 0.64), (0.97, 0.58), (1.0, 0.22))
_BOX = ((0.0, 0.22), (0.0, 0.34), (0.0, 1.0), (0.74, 1.0), (0.76, 0.86), (0.97, 0.8), (1.0, 0.5), (1.0, 0.12))
_BUS = ((0.0, 0.1), (0.0, 0.5), (0.0, 0.86), (0.01, 1.0), (0.99, 1.0), (1.0, 0.86), (1.0, 0.45), (1.0, 0.1))

_SEDAN_SIDE = (
    ((0.2, 0.68), (0.3, 0.92), (0.46, 0.94), (0.46, 0.67)),
    ((0.48, 0.67), (0.48, 0.94), (0.55, 0.93), (0.7, 0.67)),
)
_HATCH_SIDE = (
    ((0.1, 0.64), (0.16, 0.92), (0.4, 0.93), (0.4, 0.64)),
    ((0.43, 0.64), (0.43, 0.93), (0.53, 0.92), (0.7, 0.64)),
)
_SUV_SIDE = (
    ((0.08, 0.64), (0.12, 0.92), (0.38, 0.93), (0.38, 0.65)),
    ((0.4, 0.65), (0.4, 0.93), (0.58, 0.92), (0.69, 0.66)),
)
_CAB = (((0.82, 0.52), (0.82, 0.74), (0.94, 0.72), (0.98, 0.52)),)

MODELS: dict[str, Model] = {
    "sedan": Model(1.82, 1.45, 4.6, _SEDAN, (3, 6), _SEDAN_SIDE, 3.0),
    "hatch": Model(1.76, 1.5, 4.0, _HATCH, (2, 5), _HATCH_SIDE, 3.0),
    "suv": Model(1.9, 1.72, 4.6, _SUV, (2, 5), _SUV_SIDE, 2.0, wheel=0.37),
    "van": Model(2.0, 2.3, 5.4, _VAN, (1, 4), (((0.66, 0.6), (0.66, 0.9), (0.74, 0.9), (0.84, 0.6)),), 0.9, wheel=0.36),
    "pickup": Model(
        1.95, 1.8, 5.4, _PICKUP, (2, 4), (((0.42, 0.64), (0.44, 0.92), (0.57, 0.92), (0.69, 0.64)),), 0.5, wheel=0.4
    ),
    "box": Model(2.45, 3.4, 8.0, _BOX, (5,), _CAB, 1.0, True, 0.48),
    "lorry": Model(2.5, 3.9, 14.0, _BOX, (5,), _CAB, 1.2, True, 0.5),
    "bus": Model(
        2.5, 3.1, 11.5, _BUS, (1, 5), (((0.03, 0.5), (0.03, 0.84), (0.9, 0.84), (0.9, 0.5)),), 0.8, True, 0.48
    ),
}
ORDER = tuple(MODELS.values())


@dataclass(frozen=True, slots=True)
class Part:
    """One polygon of a template: its points' range, what it is made of and the face it sits on.

    `face` is the number of the face (profile edge, or LEFT and RIGHT sides) whose visibility it shares; -1 always
    shows. `tilt` is 0 upright .. 1 level.
    """

    start: int
    stop: int
    material: str
    face: int
    tilt: float = 0.0


@dataclass(frozen=True, slots=True)
class Template:
    """Points (P, 3) as shares of half width, height and length (across, up, along from the middle), and parts."""

    points: F64
    under: tuple[Part, ...]
    faces: tuple[Part, ...]
    trim: tuple[Part, ...]
    sides: tuple[Part, ...]
    side_trim: tuple[Part, ...]


LEFT, RIGHT = 100, 101
_RING = np.linspace(0, 2 * np.pi, 12, endpoint=False)


class _Builder:
    def __init__(self, narrow: float) -> None:
        self.narrow = narrow  # share of the width that the roof lacks against the waist
        self.points: list[tuple[float, float, float]] = []

    def add(self, points: list[tuple[float, float, float]], material: str, face: int, tilt: float = 0.0) -> Part:
        start = len(self.points)
        for across, up, along in points:
            self.points.append((across * (1 - self.narrow * max(up - 0.6, 0.0) / 0.4), up, along - 0.5))
        return Part(start, len(self.points), material, face, tilt)

    def quad(
        self, a: tuple[float, float], b: tuple[float, float], width: tuple[float, float]
    ) -> list[tuple[float, float, float]]:
        """A strip across the body between profile points a and b; wound to look outwards."""
        lo, hi = width
        return [(hi, a[1], a[0]), (lo, a[1], a[0]), (lo, b[1], b[0]), (hi, b[1], b[0])]


def _mix(a: tuple[float, float], b: tuple[float, float], t: float) -> tuple[float, float]:
    return a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t


def _ends(build: _Builder, m: Model) -> list[Part]:
    """Lights, bumpers and plates on both ends."""
    trim: list[Part] = []
    last = len(m.profile) - 2
    low, high = (0.16, 0.22) if m.heavy else (0.42, 0.55)
    foot = m.profile[0][1]
    for face, along, lamp, sign in ((0, 0.0, "tail", 1), (last, 1.0, "head", -1)):
        marks = [((0.66, 0.96), (low, high), lamp), ((-0.96, -0.66), (low, high), lamp)]
        marks += [((-0.98, 0.98), (foot, foot + 0.1), "trim"), ((-0.2, 0.2), (low - 0.13, low - 0.05), "plate")]
        if m.heavy and sign > 0:  # the doors' gap and a stripe
            marks += [((-0.01, 0.01), (0.36, 0.95), "trim"), ((-0.97, 0.97), (0.3, 0.33), "tail")]
        for (a, b), (u0, u1), material in marks:
            up = (u0, u1) if sign > 0 else (u1, u0)
            trim.append(build.add(build.quad((along, up[0]), (along, up[1]), (a, b)), material, face))
    return trim


@cache
def template(variant: int) -> Template:
    """The polygons of model number `variant`."""
    m = ORDER[variant]
    build = _Builder(0.0 if m.heavy else 0.07 if m.height > 2 else 0.17)
    p = m.profile
    belly = ((0.06, p[0][1] + 0.03), (0.94, p[0][1] + 0.03))
    under = [build.add(build.quad((at, 0.05), (at, up), (-0.9, 0.9)), "dark", -1) for at, up in belly]
    faces, trim = [], []
    for i in range(len(p) - 1):
        run, rise = abs(p[i + 1][0] - p[i][0]) * m.length, abs(p[i + 1][1] - p[i][1]) * m.height
        material = "low" if max(p[i][1], p[i + 1][1]) < 0.58 else "paint"
        faces.append(build.add(build.quad(p[i], p[i + 1], (-1, 1)), material, i, run / (run + rise + 1e-6)))
        if i in m.panes:
            a, b = _mix(p[i], p[i + 1], 0.1), _mix(p[i], p[i + 1], 0.9)
            trim.append(build.add(build.quad(a, b, (-0.87, 0.87)), "glass", i))
            rear = p[i + 1][1] > p[i][1]
            c, d = (_mix(a, b, 0.55), b) if rear else (a, _mix(a, b, 0.4))
            trim.append(build.add(build.quad(c, d, (-0.87, 0.6)), "mirror", i))
    trim += _ends(build, m)
    sides, side_trim = [], []
    for face, across in ((LEFT, -1.0), (RIGHT, 1.0)):
        outline = [(across, up, along) for along, up in (p[::-1] if face == LEFT else p)]
        sides.append(build.add(outline, "paint", face))
        side_trim += [build.add([(across, up, along) for along, up in w], "glass", face) for w in m.windows]
        for at in (0.2, 0.8) if m.length < 7 else (0.12, 0.22, 0.84):
            for size, material in ((m.wheel, "tyre"), (m.wheel * 0.55, "hub")):
                ring = [
                    (across, (m.wheel + np.sin(a) * size) / m.height, at + np.cos(a) * size / m.length) for a in _RING
                ]
                side_trim.append(build.add(ring, material, face))
    return Template(np.array(build.points), tuple(under), tuple(faces), tuple(trim), tuple(sides), tuple(side_trim))
