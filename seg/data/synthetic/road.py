"""Sampling the road itself: its cross-section, markings and what is painted on it."""

import math
from dataclasses import dataclass, replace

from seg.data.synthetic import labels
from seg.data.synthetic.dice import Dice
from seg.data.synthetic.scene import RGB, Band, Lane, Line, Patch, Wave

PLACES = {"highway": 0.36, "rural": 0.2, "urban": 0.26, "suburb": 0.18}
_DASHES = ((3.0, 9.0), (3.0, 9.0), (3.0, 6.0), (6.0, 12.0), (4.0, 8.0), (2.0, 4.0), (4.0, 2.0), (3.0, 3.0), (6.0, 3.0))
_GRASS: tuple[RGB, ...] = ((92, 112, 58), (122, 128, 74), (168, 146, 96), (198, 168, 112), (108, 98, 70), (76, 98, 46))
_PAVING: tuple[RGB, ...] = ((150, 146, 140), (128, 122, 118), (172, 164, 152), (146, 116, 102), (108, 106, 106))
_OUT = 400.0


@dataclass(frozen=True, slots=True)
class Section:
    """The cross-section, right-hand traffic: edges of the own carriageway and its surroundings."""

    bands: tuple[Band, ...]
    lines: tuple[Line, ...]
    lanes: tuple[Lane, ...]
    left: float  # u where the ground stops being road on the left, median and far carriageway included
    right: float
    median: tuple[float, float] | None


def waves(dice: Dice, place: str) -> tuple[tuple[Wave, ...], tuple[Wave, ...]]:
    """Curvature and slope of the road along its length."""
    bend = {"highway": 1 / 700, "rural": 1 / 150, "urban": 1 / 500, "suburb": 1 / 220}[place] * dice.uniform(
        0, 1
    ) ** 1.5
    climb = {"highway": 0.025, "rural": 0.05, "urban": 0.02, "suburb": 0.03}[place] * dice.uniform(0, 1)
    curve = [Wave(bend, dice.uniform(220, 700), dice.uniform(0, 6.28))]
    curve.append(Wave(bend * 0.6, dice.uniform(110, 260), dice.uniform(0, 6.28)))
    slope = [Wave(climb, dice.uniform(160, 500), dice.uniform(0, 6.28))]
    slope.append(Wave(climb * 0.3, dice.uniform(70, 160), dice.uniform(0, 6.28)))
    return tuple(curve), tuple(slope)


def surface(dice: Dice) -> RGB:
    """Colour of the carriageway: dark fresh asphalt to pale concrete, slightly warm or bluish."""
    grey = dice.weighted({52.0: 1, 74.0: 2, 96.0: 3, 118.0: 3, 142.0: 2, 168.0: 1.2}) + dice.uniform(-11, 11)
    warm = dice.uniform(-0.06, 0.05)
    return grey * (1 + warm), grey * (1 + warm * 0.2), grey * (1 - warm)


def paint(dice: Dice, road: RGB, yellow: bool) -> RGB:
    """A marking's colour; always clearly brighter than the road it lies on."""
    level = dice.uniform(max(road[1] + 62, 150), 250)
    return (level, level * dice.uniform(0.72, 0.84), level * dice.uniform(0.2, 0.5)) if yellow else (level,) * 3


def section(dice: Dice, place: str, road: RGB) -> Section:
    """The cross-section for right-hand traffic; `mirror` turns it into left-hand traffic."""
    width = dice.uniform(3.4, 3.8) if place == "highway" else dice.uniform(2.9, 3.6)
    oneway = place == "highway" or (place == "urban" and dice.chance(0.25))
    more = {"highway": (0, 3), "rural": (0, 0), "urban": (0, 1), "suburb": (0, 0)}[place]
    lefts, rights = dice.integer(*more), dice.integer(*more) if place != "urban" else dice.integer(0, 1)
    if lefts + rights > 4:
        rights = 1
    if place == "highway" and lefts + rights == 0:
        lefts = 1
    if place == "rural" and dice.chance(0.15):
        lefts = 1
    oncoming = 0 if oneway else (dice.integer(1, 2) if place == "urban" else 1)
    lanes = [Lane(k * width, 1, dice.uniform(-4, 5) if k else 0.0) for k in range(-lefts, rights + 1)]
    lanes += [Lane((-lefts - 1 - k) * width, -1, dice.uniform(-40, -20)) for k in range(oncoming)]
    far_left, centre, far_right = -(lefts + oncoming + 0.5) * width, -(lefts + 0.5) * width, (rights + 0.5) * width
    lines = _dividers(dice, road, width, lefts, rights, oncoming)
    if oncoming:
        lines += _centre(dice, road, centre)
    kerbed = place in ("urban", "suburb")
    lines += _edges(dice, road, far_left, far_right, place, oneway)
    shoulder = (dice.uniform(0.5, 2.8), dice.uniform(0.6, 3.4)) if not kerbed else (dice.uniform(0.2, 0.5),) * 2
    if place == "rural":
        shoulder = (dice.uniform(0.15, 0.9),) * 2
    if kerbed and dice.chance(0.45):
        shoulder = (shoulder[0] + dice.pick((0.0, 2.1)), shoulder[1] + 2.1)
    left, right = far_left - shoulder[0], far_right + shoulder[1]
    bands = _tracks(dice, lanes, left, right, road)
    median = None
    if place == "highway" and dice.chance(0.65):
        start = left
        bands, lanes, lines, left = _second(dice, bands, lanes, lines, left, width, road)
        median = (left, start)
        left = min(b.u0 for b in bands)
    bands = _ground(dice, place) + bands + _verges(dice, place, left, right)
    if median:
        bands += [Band(median[0], median[1], *_median_ground(dice))]
    return Section(tuple(bands), tuple(lines), tuple(lanes), left, right, median)


def _dividers(dice: Dice, road: RGB, width: float, lefts: int, rights: int, oncoming: int) -> list[Line]:
    dash, gap = dice.pick(_DASHES)
    thick, colour = dice.uniform(0.1, 0.2), paint(dice, road, dice.chance(0.04))
    phase, wear = dice.uniform(0, 12), dice.uniform(0, 1) ** 2 * 0.7
    ks = [k for k in range(-lefts - oncoming, rights) if not (oncoming and k == -lefts - 1)]
    return [Line((k + 0.5) * width, thick, dash, gap, phase, colour, wear) for k in ks]


def _centre(dice: Dice, road: RGB, u: float) -> list[Line]:
    colour = paint(dice, road, dice.chance(0.45))
    thick, wear = dice.uniform(0.1, 0.18), dice.uniform(0, 1) ** 2 * 0.6
    dash, gap = dice.pick(_DASHES)
    phase, half = dice.uniform(0, 12), thick / 2 + dice.uniform(0.05, 0.12)
    solid = Line(u, thick, 1.0, 0.0, 0.0, colour, wear)
    dashed = Line(u, thick, dash, gap, phase, colour, wear)
    style = dice.weighted({"dash": 5, "solid": 2, "double": 3, "left": 1, "right": 1, "none": 0.4})
    if style == "none":
        return []
    if style in ("dash", "solid"):
        return [dashed if style == "dash" else solid]
    left = dashed if style == "left" else solid
    right = dashed if style == "right" else solid
    return [replace(left, u=u - half), replace(right, u=u + half)]


def _edges(dice: Dice, road: RGB, left: float, right: float, place: str, oneway: bool) -> list[Line]:
    if not dice.chance({"highway": 0.97, "rural": 0.8, "urban": 0.4, "suburb": 0.35}[place]):
        return []
    thick, wear = dice.uniform(0.1, 0.22), dice.uniform(0, 1) ** 2 * 0.6
    white = paint(dice, road, False)
    other = paint(dice, road, oneway and dice.chance(0.5))
    inset = dice.uniform(-0.1, 0.15)
    lines = [Line(left + inset, thick, 1, 0, 0, other, wear), Line(right - inset, thick, 1, 0, 0, white, wear)]
    if place in ("urban", "suburb") and dice.chance(0.35):  # no-parking lines along the kerb
        yellow = paint(dice, road, True)
        lines = [Line(u, 0.08, 1, 0, 0, yellow, wear) for u in (left + 0.1, left + 0.32, right - 0.32, right - 0.1)]
    return lines


def _tracks(dice: Dice, lanes: list[Lane], left: float, right: float, road: RGB) -> list[Band]:
    """The carriageway; wheel tracks, oil stripes and re-laid lanes differ a little in tone."""
    grain, blotch = dice.uniform(0.02, 0.13), 0.005 + 0.07 * dice.unit() ** 1.5
    bands = [Band(left, right, labels.ROAD, road, grain, blotch)]
    track, oil = dice.uniform(-0.09, 0.06), dice.uniform(-0.1, 0.03)
    for lane in lanes:
        if dice.chance(0.25):
            tone = dice.uniform(0.85, 1.12)
            bands.append(_toned(Band(lane.u - 1.7, lane.u + 1.7, labels.ROAD, road, grain, blotch), tone))
        for off, half, change in ((-0.8, 0.3, track), (0.8, 0.3, track), (0.0, 0.35, oil)):
            band = Band(lane.u + off - half, lane.u + off + half, labels.ROAD, road, grain, blotch)
            bands.append(_toned(band, 1 + change))
    for _ in range(dice.integer(0, 3)):  # tar seams
        u = dice.uniform(left, right)
        bands.append(
            _toned(
                Band(u, u + dice.uniform(0.03, 0.08), labels.ROAD, road, grain, blotch), dice.pick((0.68, 0.75, 1.13))
            )
        )
    return bands


def _toned(band: Band, tone: float) -> Band:
    r, g, b = band.colour
    return replace(band, colour=(r * tone, g * tone, b * tone))


def _second(
    dice: Dice, bands: list[Band], lanes: list[Lane], lines: list[Line], left: float, width: float, road: RGB
) -> tuple[list[Band], list[Lane], list[Line], float]:
    """The far carriageway of a highway; returns the new lists and where the median starts on its far side."""
    gap = dice.weighted({dice.uniform(0.5, 1.2): 1.0, dice.uniform(3, 14): 1.0})
    count = dice.integer(2, 3)
    near = left - gap
    far = near - 1.0 - count * width - 2.0
    bands = [*bands, Band(far, near, labels.ROAD, road, 0.05, 0.04)]
    lanes = lanes + [Lane(near - 1.0 - (k + 0.5) * width, -1, dice.uniform(-60, -45)) for k in range(count)]
    line = lines[0]
    edges = [near - 1.0, near - 1.0 - count * width]
    lines = lines + [replace(line, u=u, dash=1.0, gap=0.0) for u in edges]
    lines += [replace(line, u=near - 1.0 - k * width, dash=3.0, gap=9.0) for k in range(1, count)]
    return bands, lanes, lines, near


def _median_ground(dice: Dice) -> tuple[int, RGB, float, float]:
    if dice.chance(0.5):
        return labels.TERRAIN, dice.around(dice.pick(_GRASS), 14), 0.22, 0.18
    return labels.PAVEMENT, dice.around(dice.pick(_PAVING), 10), 0.06, 0.06


def _ground(dice: Dice, place: str) -> list[Band]:
    if place == "urban" and dice.chance(0.8):
        return [Band(-_OUT, _OUT, labels.PAVEMENT, dice.around(dice.pick(_PAVING), 10), 0.07, 0.07)]
    colour = dice.around(dice.pick(_GRASS), 16)
    return [Band(-_OUT, _OUT, labels.TERRAIN, colour, dice.uniform(0.12, 0.3), dice.uniform(0.1, 0.25))]


def _verges(dice: Dice, place: str, left: float, right: float) -> list[Band]:
    bands: list[Band] = []
    if place in ("urban", "suburb"):
        paving, stone = dice.around(dice.pick(_PAVING), 10), dice.around((158, 154, 148), 22)
        wide, kerb, grain = dice.uniform(1.6, 5.0), dice.uniform(0.14, 0.3), dice.uniform(0.03, 0.1)
        for edge, out in ((left, -1), (right, 1)):
            for a, b, colour in ((0.0, wide, paving), (0.0, kerb, stone)):
                u0, u1 = sorted((edge + out * a, edge + out * b))
                bands.append(Band(u0, u1, labels.PAVEMENT, colour, grain, 0.06))
    else:
        dirt = dice.around((142, 126, 104), 24)
        for edge, out in ((left, -1), (right, 1)):
            u0, u1 = sorted((edge, edge + out * dice.uniform(0.1, 1.6)))
            bands.append(Band(u0, u1, labels.TERRAIN, dirt, 0.2, 0.12))
    return bands


def patches(dice: Dice, place: str, road: RGB, sec: Section) -> tuple[Patch, ...]:
    """Crossings, stop lines, arrows, repairs and joints."""
    found: list[Patch] = []
    white = paint(dice, road, False)
    left, right = min(lane.u for lane in sec.lanes) - 1.7, sec.right - 0.3
    own_left = min(lane.u for lane in sec.lanes if lane.direction == 1) - 1.6
    if place in ("urban", "suburb") and dice.chance(0.35):
        s = dice.uniform(8, 45)
        found.append(Patch("crosswalk", s, 160.0, left, right, dice.uniform(2.5, 4), white, dice.uniform(0.4, 0.7)))
        if dice.chance(0.6):
            found.append(Patch("stop", s - 1.6, 160.0, own_left, right, 0.4, white, 1.0))
    if place != "rural" and dice.chance(0.3):
        s, period = dice.uniform(6, 50), dice.uniform(40, 90)
        chosen = [lane.u for lane in sec.lanes if lane.direction == 1 and dice.chance(0.7)]
        long = dice.uniform(3.5, 6)
        found += [Patch("arrow", s, period, u - 0.4, u + 0.4, long, white, 1.0) for u in chosen]
    for _ in range(dice.integer(0, 3)):
        u, tone = dice.uniform(left, right), dice.uniform(-0.22, 0.14)
        length, wide = dice.uniform(1, 14), dice.uniform(0.6, 2.6)
        found.append(Patch("repair", dice.uniform(0, 60), dice.uniform(45, 120), u, u + wide, length, road, tone))
    if dice.chance(0.3):
        gap, tone = dice.uniform(4, 16), dice.uniform(-0.3, 0.2)
        found.append(Patch("repair", 0.0, gap, sec.left, sec.right, 0.06, road, tone))
    if place in ("urban", "suburb") and dice.chance(0.6):
        u = dice.uniform(-1, 1)
        found.append(Patch("repair", dice.uniform(4, 20), dice.uniform(18, 40), u, u + 0.65, 0.65, road, -0.4))
    return tuple(found)


def mirror(sec: Section) -> Section:
    """The same cross-section for left-hand traffic."""
    return Section(
        tuple(replace(b, u0=-b.u1, u1=-b.u0) for b in sec.bands),
        tuple(replace(line, u=-line.u) for line in sec.lines),
        tuple(replace(lane, u=-lane.u) for lane in sec.lanes),
        -sec.right,
        -sec.left,
        (-sec.median[1], -sec.median[0]) if sec.median else None,
    )


assert math.isclose(sum(PLACES.values()), 1.0)
