"""Sampling a whole scene from (seed, index)."""

import math
from dataclasses import replace

from seg.data.synthetic import road
from seg.data.synthetic.dice import Dice
from seg.data.synthetic.models import MODELS
from seg.data.synthetic.scene import RGB, Frontage, Lane, Lens, Light, Scene, Style, Thing

_CAR_COLOURS: tuple[RGB, ...] = (
    (214, 214, 212), (236, 236, 234), (172, 174, 178), (120, 124, 130), (66, 68, 72), (28, 28, 32), (40, 44, 52),
    (134, 26, 30), (176, 34, 34), (38, 62, 112), (30, 42, 74), (70, 110, 150), (52, 78, 60), (150, 128, 96),
    (206, 150, 40), (196, 84, 36), (90, 30, 44),
)  # fmt: skip
_TRUCK_COLOURS: tuple[RGB, ...] = ((232, 232, 230), (206, 206, 204), (44, 78, 140), (176, 40, 36), (40, 110, 70), (220, 170, 40), (110, 114, 120))  # fmt: skip
_LEAVES: tuple[RGB, ...] = (
    (86, 112, 48),
    (62, 92, 42),
    (52, 76, 38),
    (112, 122, 60),
    (136, 122, 62),
    (74, 86, 50),
    (150, 104, 44),
)
_STEEL: tuple[RGB, ...] = (
    (150, 152, 152),
    (118, 122, 124),
    (76, 80, 80),
    (50, 54, 54),
    (36, 42, 40),
    (26, 28, 28),
    (60, 52, 46),
    (196, 194, 186),
    (226, 226, 222),
    (122, 96, 70),
)

_WEATHER = {"clear": 5, "fair": 4, "overcast": 4, "rain": 1.2, "fog": 0.8, "dusk": 1}

_PARKING = 3.6  # metres from the outer lane's middle to the kerb that leave room for a parked car


def sample_scene(seed: int, index: int, style: Style = "varied") -> Scene:
    """The scene with this (seed, index) in a style; a pure function."""
    dice = Dice(seed, index)
    plain = style == "motorway"
    place = "highway" if plain else dice.weighted(road.PLACES)
    lens = _one_lens(dice) if plain else _lens(dice, place)
    curvature, slope = road.waves(dice, place)
    tarmac = road.surface(dice)
    sec = road.section(dice, place, tarmac)
    if dice.chance(0.35):
        sec = road.mirror(sec)
    light = _daylight(dice) if plain else _light(dice, _WEATHER)
    leaves = dice.around(dice.pick(_LEAVES), 12)
    return Scene(
        key=(seed, index),
        place=place,
        lens=lens,
        speed=dice.uniform(22, 33) if place == "highway" else dice.uniform(7, 16),
        curvature=curvature,
        slope=slope,
        bands=sec.bands,
        lines=sec.lines,
        patches=road.patches(dice, place, tarmac, sec),
        lanes=sec.lanes,
        traffic=tuple(_traffic(dice, place, sec.lanes)),
        frontages=tuple(_frontages(dice, place, sec, leaves)),
        median=(sec.median[0] + sec.median[1]) / 2 if sec.median and dice.chance(0.85) else None,
        light=light,
        hills=dice.uniform(0.015, 0.13) if dice.chance(0.65) else 0.0,
        forest=dice.uniform(0.012, 0.02 + 0.1 * dice.unit()) if dice.chance(0.88) else 0.0,
        skyline_seed=dice.integer(0, 10**6),
        bonnet=dice.uniform(0.04, 0.16) if not plain and dice.chance(0.2) else 0.0,
        bonnet_colour=dice.around(dice.pick(_CAR_COLOURS), 10),
    )


def _lens(dice: Dice, place: str) -> Lens:
    return Lens(
        fov=math.radians(dice.uniform(42, 88)),
        horizon=dice.uniform(0.3, 0.62),
        height=dice.uniform(1.1, 1.8) if dice.chance(0.85) else dice.uniform(1.8, 2.8),
        offset=dice.uniform(-0.55, 0.55) if dice.chance(0.85) else dice.uniform(-1.8, 1.8),
        yaw=math.radians(dice.uniform(-3.5, 3.5) if place != "highway" else dice.uniform(-2, 2)),
    )


def _one_lens(dice: Dice) -> Lens:
    """One car's camera, as it is mounted; only its place in the lane differs."""
    return Lens(
        fov=math.radians(58), horizon=0.42, height=1.4, offset=dice.uniform(-0.4, 0.4), yaw=dice.uniform(-0.01, 0.01)
    )


def vehicle(dice: Dice, s: float, lane: Lane, place: str) -> Thing:
    """A vehicle at s in a lane; cars mostly, trucks more often on highways."""
    heavy = 0.2 if place == "highway" else 0.1
    model = dice.weighted({m: (heavy if MODELS[m].heavy else 1.0) * MODELS[m].share for m in MODELS})
    spec = MODELS[model]
    scale = dice.uniform(0.93, 1.07)
    colour = dice.pick(_TRUCK_COLOURS if spec.heavy else _CAR_COLOURS)
    return Thing(
        kind="vehicle",
        s=s,
        u=lane.u + dice.uniform(-0.35, 0.35),
        width=spec.width * scale,
        height=spec.height * scale,
        length=spec.length * dice.uniform(0.9, 1.1),
        colour=dice.around(colour, 14),
        trim=dice.around((34, 38, 44), 40),
        variant=list(MODELS).index(model),
        side=lane.direction,
    )


def _traffic(dice: Dice, place: str, lanes: tuple[Lane, ...]) -> list[Thing]:
    found: list[Thing] = []
    density = dice.uniform(0.0, 1.0)
    for lane in lanes:
        s = dice.uniform(10, 45) if lane.u == 0 else dice.uniform(-4, 50)
        while s < 190:
            if dice.chance(0.25 + 0.6 * density):
                found.append(vehicle(dice, s, lane, place))
            s += dice.uniform(9, 60 - 34 * density)
    return found


def _frontages(dice: Dice, place: str, sec: road.Section, leaves: RGB) -> list[Frontage]:
    lamps = dice.chance({"highway": 0.5, "rural": 0.25, "urban": 0.85, "suburb": 0.8}[place])
    gap, height = dice.uniform(22, 48), dice.uniform(6, 11)
    colour, variant = dice.around(dice.pick(_STEEL), 12), dice.integer(0, 3)
    return [
        _frontage(
            dice,
            place,
            side,
            abs(edge),
            sec.lanes,
            leaves,
            (gap if lamps and (dice.chance(0.75) or variant == 0) else 0.0, height, colour, variant),
        )
        for side, edge in ((-1, sec.left), (1, sec.right))
    ]


def _frontage(
    dice: Dice,
    place: str,
    side: int,
    edge: float,
    lanes: tuple[Lane, ...],
    leaves: RGB,
    lamp: tuple[float, float, RGB, int],
) -> Frontage:
    """One side of the road; `lamp` is (gap, height, colour, variant) of the street lamps."""
    town = place in ("urban", "suburb")
    room = edge - max(lane.u * side for lane in lanes)
    built = {"urban": 0.85, "suburb": 0.5, "rural": 0.04, "highway": 0.05}[place]
    walls = {"urban": 0.25, "suburb": 0.5, "rural": 0.3, "highway": 0.75}[place]
    kinds = ("fence", "hedge", "wall", "fence") if town else ("rail", "rail", "jersey", "fence", "wall", "hedge")
    barrier = dice.pick(kinds) if dice.chance(walls) else ""
    bank = dice.uniform(0.4, 3.2) if not town and dice.chance(0.5) else 0.0
    near = edge + (dice.uniform(0.3, 1.5) if barrier in ("rail", "jersey") else dice.uniform(3, 9))
    return Frontage(
        side=side,
        edge=edge,
        line=edge + (dice.uniform(2.5, 6.5) if place == "urban" else dice.uniform(6, 16)),
        lamp_gap=lamp[0],
        lamp_phase=dice.uniform(0, 40),
        lamp_height=lamp[1],
        lamp_colour=lamp[2],
        lamp_variant=lamp[3],
        utility_gap=dice.uniform(28, 55) if not lamp[0] and dice.chance(0.6) else 0.0,
        signs=dice.uniform(0.2, 1.3),
        lights=dice.uniform(0, 0.7) if place == "urban" else 0.0,
        posts=dice.uniform(8, 30) if dice.chance(0.3 if place != "rural" else 0.6) else 0.0,
        trees=dice.uniform(0, 6) * dice.unit() if town else dice.uniform(0, 13) * dice.unit(),
        tree_kind=dice.integer(0, 3),
        tree_tint=leaves,
        buildings=built if dice.chance(0.9) else 0.2,
        barrier=barrier,
        barrier_u=near,
        people=dice.uniform(0, 2.0) if town else 0.02,
        bank=bank,
        bank_width=dice.uniform(3, 9),
        parked=(dice.uniform(0, 1) ** 2 if town else 0.03) if room > _PARKING else 0.0,
    )


def _daylight(dice: Dice) -> Light:
    """A clear or fair day, well exposed, through a good lens."""
    return replace(
        _light(dice, {"clear": 1.0, "fair": 1.0}),
        exposure=dice.uniform(0.95, 1.15),
        gamma=1.0,
        saturation=1.0,
        blur=0.4,
        noise=dice.uniform(0.5, 2.0),
        vignette=0.0,
        flare=0.0,
    )


def _light(dice: Dice, weathers: dict[str, float]) -> Light:
    weather = dice.weighted(weathers)
    high = dice.uniform(0.25, 1.2) if weather != "dusk" else dice.uniform(0.08, 0.25)
    turn = dice.uniform(-math.pi, math.pi)
    sun = (math.cos(high) * math.sin(turn), math.sin(high), math.cos(high) * math.cos(turn))
    blue, pale = dice.around((92, 142, 206), 34), dice.around((186, 208, 232), 24)
    grey = dice.around((196, 200, 206), 26)
    grey = (grey[0] * 0.97, grey[1], grey[2] * 1.02)
    warm = dice.around((228, 178, 140), 26)
    dull = weather in ("overcast", "rain", "fog")
    low = {"dusk": warm}.get(weather, grey if dull else pale)
    mix = dice.uniform(-0.09, 0.09)
    harsh = weather != "dusk" and dice.chance(0.22)  # a dark street under a sky burnt white
    return Light(
        sky_top=grey if dull else dice.around((74, 84, 120), 20) if weather == "dusk" else blue,
        sky_low=low,
        cloud={"clear": 0.1, "fair": 1.0, "dusk": 0.6}.get(weather, 0.3) * dice.uniform(0, 1.2),
        cloud_tint=dice.uniform(200, 252) if weather != "dusk" else dice.uniform(120, 200),
        haze=(low[0] * 0.93, low[1] * 0.95, low[2] * 0.97),
        visibility=dice.uniform(60, 170) if weather == "fog" else dice.uniform(260, 1600),
        sun=sun,
        direct=dice.uniform(0.0, 0.15) if dull else dice.uniform(0.45, 0.95),
        shade=0.0 if dull else dice.weighted({0.0: 1.2, dice.uniform(0.1, 0.7): 1.0}),
        wet=dice.uniform(0.3, 0.9) if weather == "rain" else 0.0,
        exposure=(dice.uniform(0.6, 1.0) if weather == "dusk" else dice.uniform(0.8, 1.4)) * (1.25 if harsh else 1.0),
        gamma=dice.uniform(0.7, 1.2) * (1.45 if harsh else 1.0),
        tint=(1 + mix, 1 + dice.uniform(-0.03, 0.03), 1 - mix),
        saturation=dice.uniform(0.45, 1.35),
        blur=dice.uniform(0.3, 1.0) if dice.chance(0.85) else dice.uniform(1.0, 1.6),
        noise=dice.uniform(0.5, 4) if dice.chance(0.85) else dice.uniform(4, 9),
        vignette=dice.uniform(0, 0.35) if dice.chance(0.5) else 0.0,
        rain=dice.uniform(0.2, 1) if weather == "rain" else 0.0,
        flare=dice.uniform(0.05, 0.3) if dice.chance(0.15) else 0.0,
    )
