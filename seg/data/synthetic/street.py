"""What stands along the road: objects of one chunk of road, sampled from the scene's frontages."""

from seg.data.synthetic.dice import Dice
from seg.data.synthetic.sample import vehicle
from seg.data.synthetic.scene import BANK_GAP, RGB, Frontage, Lane, Scene, Thing

CHUNK = 40.0  # metres of road per chunk

_WALLS: tuple[RGB, ...] = (
    (176, 152, 128), (198, 186, 164), (152, 96, 76), (132, 116, 104), (214, 208, 196), (120, 124, 128), (92, 82, 76), (206, 190, 140),
    (170, 164, 158), (148, 84, 66), (226, 222, 214), (108, 98, 92),
)  # fmt: skip
_SIGNS: tuple[RGB, ...] = ((196, 34, 36), (24, 78, 168), (232, 190, 40), (240, 240, 236), (28, 108, 70), (226, 120, 34))
_CLOTHES: tuple[RGB, ...] = ((40, 42, 54), (120, 40, 40), (70, 84, 110), (180, 176, 168), (52, 62, 46), (28, 28, 30))


def chunk(scene: Scene, number: int) -> list[Thing]:
    """Objects whose `s` lies in [number * CHUNK, (number + 1) * CHUNK); a pure function of (scene, number)."""
    dice = Dice(*scene.key, 7, number + 1000)
    found: list[Thing] = []
    for front in scene.frontages:
        start = number * CHUNK
        found += _lamps(dice, front, start)
        found += _posts(front, start)
        found += _signs(dice, scene, front, start)
        found += _trees(dice, front, start)
        found += _buildings(dice, scene, front, start)
        found += _barrier(dice, front, start)
        found += _bank(scene, front, start)
        found += _people(dice, scene, front, start)
    if scene.median is not None:
        found += _median(scene, scene.median, start)
    if scene.place == "highway" and dice.chance(0.12):
        found.append(
            Thing("gantry", start + dice.uniform(0, 30), 0.0, dice.uniform(12, 22), 6.2, 2.4, dice.pick(_SIGNS[1:5:3]))
        )
    return found


def _grid(start: float, gap: float, phase: float) -> list[float]:
    if gap <= 0:
        return []
    first = start + (phase - start) % gap
    return [first + k * gap for k in range(int((start + CHUNK - first) // gap) + 1) if first + k * gap < start + CHUNK]


def _lamps(dice: Dice, f: Frontage, start: float) -> list[Thing]:
    thick = 0.16 + 0.06 * (f.lamp_variant % 3)
    found = [
        Thing(
            "lamp",
            s,
            f.side * (f.edge + 0.7),
            thick,
            f.lamp_height,
            1.4 + f.lamp_variant * 0.6,
            f.lamp_colour,
            variant=f.lamp_variant,
            side=f.side,
        )
        for s in _grid(start, f.lamp_gap, f.lamp_phase)
    ]
    wood = dice.around((108, 88, 70), 12)
    found += [
        Thing("utility", s, f.side * (f.edge + 4.0), 0.28, 9.0, 1.1, wood, side=f.side)
        for s in _grid(start, f.utility_gap, f.lamp_phase)
    ]
    return found


def _posts(f: Frontage, start: float) -> list[Thing]:
    urban = f.posts < 12
    height, width = (0.9, 0.13) if urban else (1.05, 0.12)
    colour: RGB = (70, 70, 72) if urban else (232, 232, 228)
    return [
        Thing("post", s, f.side * (f.edge + 0.45), width, height, 0.0, colour, side=f.side)
        for s in _grid(start, f.posts, 3.0)
    ]


def _signs(dice: Dice, scene: Scene, f: Frontage, start: float) -> list[Thing]:
    found: list[Thing] = []
    count = int(f.signs) + dice.chance(f.signs % 1)
    big = scene.place == "highway"
    for _ in range(count):
        size = dice.uniform(0.8, 2.2) if big else dice.uniform(0.5, 0.9)
        u = f.side * (f.edge + (dice.uniform(1, 4) if big else dice.uniform(0.4, 1.2)))
        height, variant = dice.uniform(2.2, 3.4), dice.integer(0, 3)
        thick = dice.uniform(0.09, 0.16)
        found.append(
            Thing(
                "sign",
                start + dice.uniform(0, CHUNK),
                u,
                thick,
                height,
                size,
                dice.around(dice.pick(_SIGNS), 8),
                variant=variant,
                side=f.side,
            )
        )
    return found + _overhead(dice, f, start, big)


def _overhead(dice: Dice, f: Frontage, start: float, big: bool) -> list[Thing]:
    """Traffic lights and billboards."""
    found: list[Thing] = []
    if dice.chance(f.lights):
        arm = dice.uniform(2.5, 6) if dice.chance(0.4) else 0.0
        steel = dice.around((86, 90, 88), 30)
        found.append(
            Thing(
                "signal",
                start + dice.uniform(4, CHUNK),
                f.side * (f.edge + 0.6),
                0.16,
                5.6 if arm else 3.2,
                arm,
                steel,
                variant=dice.integer(0, 2),
                side=f.side,
            )
        )
    if dice.chance(0.06 if big else 0.02):
        found.append(
            Thing(
                "billboard",
                start + dice.uniform(0, CHUNK),
                f.side * (f.edge + dice.uniform(5, 12)),
                0.6,
                dice.uniform(6, 12),
                dice.uniform(5, 12),
                dice.around((170, 150, 130), 40),
                side=f.side,
            )
        )
    return found


def _trees(dice: Dice, f: Frontage, start: float) -> list[Thing]:
    found: list[Thing] = []
    count = int(f.trees) + dice.chance(f.trees % 1)
    for _ in range(count):
        kind = f.tree_kind if dice.chance(0.75) else dice.integer(0, 3)
        sprite = (dice.integer(0, 7), dice.integer(8, 11), dice.integer(12, 17), dice.integer(18, 23))[kind]
        bush = kind == 3
        height = dice.uniform(1, 3.5) if bush else dice.uniform(4, 14)
        width = height * (
            dice.uniform(1.1, 2.2) if bush else dice.uniform(0.5, 0.7) if kind == 1 else dice.uniform(0.6, 1.0)
        )
        u = f.side * (f.edge + width * 0.3 + 1.0 + dice.uniform(0.5, 22) * dice.unit() ** 0.7)
        tint = f.tree_tint if kind != 2 else (96, 84, 74)
        found.append(
            Thing(
                "tree",
                start + dice.uniform(0, CHUNK),
                u,
                width,
                height,
                dice.uniform(0.2, 0.45),
                dice.around(tint, 16),
                dice.around((78, 66, 54), 16),
                sprite,
                f.side,
            )
        )
    return found


def _buildings(dice: Dice, scene: Scene, f: Frontage, start: float) -> list[Thing]:
    found: list[Thing] = []
    at = start
    tall = dice.uniform(9, 20) if scene.place == "urban" else dice.uniform(5, 9)
    while at < start + CHUNK - 5 and f.buildings > 0.02:
        length = min(dice.uniform(8, 24), start + CHUNK - at)
        if dice.chance(f.buildings):
            back = dice.uniform(0, 1.5) if scene.place == "urban" else dice.uniform(0, 8)
            gap = 0.0 if scene.place == "urban" and dice.chance(0.8) else dice.uniform(1, 4)
            wall = dice.around(dice.pick(_WALLS), 14)
            glass = dice.around((58, 66, 76), 34)
            height = tall * dice.uniform(0.75, 1.3)
            found.append(
                Thing(
                    "building",
                    at,
                    f.side * (f.line + back),
                    dice.uniform(8, 14),
                    height,
                    max(length - gap, 4),
                    wall,
                    glass,
                    dice.integer(0, 999),
                    f.side,
                )
            )
        at += length
    return found


BARRIER_LOOKS: dict[str, tuple[float, RGB]] = {
    "rail": (0.75, (158, 162, 164)),
    "jersey": (0.9, (168, 164, 156)),
    "fence": (1.8, (120, 116, 106)),
    "hedge": (1.6, (66, 86, 44)),
    "wall": (1.7, (150, 132, 114)),
}


def _barrier(dice: Dice, f: Frontage, start: float) -> list[Thing]:
    if not f.barrier:
        return []
    height, colour = BARRIER_LOOKS[f.barrier]
    kinds = list(BARRIER_LOOKS)
    steady = Dice(int(f.lamp_phase * 1000), f.side + 1)  # one look along the whole road
    height, colour = height * steady.uniform(0.8, 1.25), steady.around(colour, 18)
    return [
        Thing(
            "barrier",
            start + k * 8.0,
            f.side * f.barrier_u,
            0.3,
            height,
            8.0,
            colour,
            variant=kinds.index(f.barrier),
            side=f.side,
        )
        for k in range(int(CHUNK / 8))
    ]


def _median(scene: Scene, u: float, start: float) -> list[Thing]:
    """The barrier between the carriageways, and at times lamps with two arms on it."""
    steady = Dice(*scene.key, 3)
    name, side = steady.pick(("rail", "jersey", "hedge")), 1 if u > 0 else -1
    height, colour = BARRIER_LOOKS[name]
    height, colour = height * steady.uniform(0.8, 1.3), steady.around(colour, 18)
    variant, count = list(BARRIER_LOOKS).index(name), int(CHUNK / 8)
    found = [
        Thing("barrier", start + k * 8.0, u, 0.3, height, 8.0, colour, variant=variant, side=side) for k in range(count)
    ]
    gap = steady.uniform(28, 50) if steady.chance(0.4) else 0.0
    tall, steel = steady.uniform(8, 12), steady.around((140, 142, 142), 30)
    found += [Thing("lamp", s, u, 0.22, tall, 2.2, steel, side=side) for s in _grid(start, gap, 5.0)]
    return found


def _bank(scene: Scene, f: Frontage, start: float) -> list[Thing]:
    """The verge's slope, a stretch at a time; coloured as the ground that it rises from."""
    if not f.bank:
        return []
    ground = scene.bands[0].colour
    u = f.side * (f.edge + BANK_GAP)
    return [
        Thing("bank", start + k * 10.0, u, f.bank_width, f.bank, 10.0, ground, side=f.side)
        for k in range(int(CHUNK / 10))
    ]


def _people(dice: Dice, scene: Scene, f: Frontage, start: float) -> list[Thing]:
    found: list[Thing] = []
    while dice.chance(f.people / (1 + f.people)):
        kind = "person" if dice.chance(0.8) else "cyclist"
        u = f.edge + dice.uniform(0.4, 3) if kind == "person" else f.edge - dice.uniform(0.4, 1)
        found.append(
            Thing(
                kind,
                start + dice.uniform(0, CHUNK),
                f.side * u,
                0.5,
                dice.uniform(1.55, 1.9),
                0.4,
                dice.around(dice.pick(_CLOTHES), 20),
                dice.around(dice.pick(_CLOTHES), 20),
                side=f.side,
            )
        )
    for k in range(6):
        if dice.chance(f.parked * 0.8):
            lane = Lane(f.side * (f.edge - 0.95), 1 if f.side > 0 or dice.chance(0.5) else -1, 0.0)
            found.append(vehicle(dice, start + 3 + k * 6.6, lane, "parked"))
    return found
