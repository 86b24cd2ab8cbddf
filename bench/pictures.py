"""Pictures that are no roads, drawn by code: `python -m bench.pictures --sheet sheet.png`.

Rooms and things, pages and screens, patterns and noise, each a pure function of size and seed. Those that a camera would
see have its vignette, blur and noise. Shape suffixes: H and W height and width, C the three colours, uint8 RGB.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from seg import draw
from seg.data.images import write_png
from seg.errors import SegError
from seg.files import claim

Picture = npt.NDArray[np.uint8]
Size = tuple[int, int]
Dice = np.random.Generator

WORDS = ["the", "house", "of", "many", "rooms", "has", "a", "door", "for", "each", "and", "one", "lamp", "since", "May"]


def no_road(name: str, size: Size = (360, 480), seed: int = 0) -> Picture:
    """A picture of PICTURES by its name, uint8 RGB of the size (height, width), at least 120 pixels each."""
    assert min(size) >= 120
    return PICTURES[name](size, np.random.default_rng([seed, *name.encode()]))


def room(size: Size, dice: Dice) -> Picture:
    """A corner of a room: walls, floor, a window, and furniture made of boxes."""
    out, (height, width) = _plain(size, _color(dice, 120, 220)), size
    floor = round(height * dice.uniform(0.6, 0.72))
    corner = round(width * dice.uniform(0.25, 0.7))
    tint = _color(dice, 90, 190)
    left = [(0, 0), (corner, round(height * 0.1)), (corner, floor), (0, floor + height // 6)]
    _polygon(out, left, tuple(round(0.8 * value) for value in out[0, 0].tolist()))
    ground = [(0, floor + height // 6), (corner, floor), (width, floor + height // 10), (width, height), (0, height)]
    _polygon(out, ground, tint)
    x, y = corner + (width - corner) // 4, height // 6
    cv2.rectangle(out, (x, y), (x + width // 6, y + height // 4), (225, 238, 250), cv2.FILLED)
    cv2.rectangle(out, (x, y), (x + width // 6, y + height // 4), (245, 245, 240), max(2, width // 80))
    cv2.line(out, (x + width // 12, y), (x + width // 12, y + height // 4), (245, 245, 240), max(1, width // 120))
    for _ in range(4):
        wide, tall = round(width * dice.uniform(0.1, 0.28)), round(height * dice.uniform(0.12, 0.4))
        x, y = int(dice.integers(0, width - wide)), floor + round(height * dice.uniform(0.02, 0.25))
        _box(out, (x, y), (wide, tall), round(0.25 * wide), _color(dice, 40, 200))
    return _shot(out, dice)


def corridor(size: Size, dice: Dice) -> Picture:
    """A corridor indoors: doors on both sides, lamps along the ceiling."""
    height, width = size
    out = _plain(size, _color(dice, 150, 215))
    far = (round(width * dice.uniform(0.4, 0.6)), round(height * dice.uniform(0.42, 0.52)))
    corners = [(0, 0), (width, 0), (width, height), (0, height)]

    def toward(point: tuple[float, float], share: float) -> tuple[int, int]:
        return (round(point[0] + share * (far[0] - point[0])), round(point[1] + share * (far[1] - point[1])))

    ends = [toward(corner, 0.82) for corner in corners]
    _polygon(out, [corners[0], corners[1], ends[1], ends[0]], (226, 226, 220))
    _polygon(out, [corners[3], corners[2], ends[2], ends[3]], _color(dice, 70, 150))
    cv2.rectangle(out, ends[0], ends[2], _color(dice, 100, 170), cv2.FILLED)
    door = _color(dice, 50, 150)
    for side in (0, width):
        for start in (0.08, 0.38, 0.6):
            base, top = (side, 0.96 * height), (side, 0.22 * height)
            pieces = [toward(base, start), toward(base, start + 0.14), toward(top, start + 0.14), toward(top, start)]
            _polygon(out, pieces, door)
    for start in (0.15, 0.42, 0.63):
        lamp = [toward((width * x, 0), start + d) for x, d in ((0.4, 0), (0.6, 0), (0.6, 0.1), (0.4, 0.1))]
        _polygon(out, lamp, (255, 255, 250))
    return _shot(out, dice)


def bookshelf(size: Size, dice: Dice) -> Picture:
    """Four boards of books."""
    out, (height, width) = _plain(size, (58, 40, 26)), size
    for board in range(4):
        bottom, x = (board + 1) * height // 4 - height // 40, 0
        while x < width:
            wide = int(dice.integers(width // 60, width // 20))
            top = bottom - round(height * dice.uniform(0.14, 0.21))
            color = _color(dice, 20, 220)
            cv2.rectangle(out, (x, top), (x + wide - 2, bottom), color, cv2.FILLED)
            cv2.line(out, (x, top + height // 30), (x + wide - 2, top + height // 30), (230, 220, 180), 1)
            x += wide
        cv2.rectangle(out, (0, bottom), (width, bottom + height // 40), (120, 84, 50), cv2.FILLED)
    return _shot(out, dice)


def desk(size: Size, dice: Dice) -> Picture:
    """A table from above, with sheets, boxes and cups."""
    out, (height, width) = _plain(size, _color(dice, 90, 170)), size
    for line in range(0, height, max(3, height // 40)):
        cv2.line(out, (0, line), (width, line + height // 60), _near(out[0, 0], dice, 9), 2)
    for _ in range(7):
        centre = (float(dice.uniform(0, width)), float(dice.uniform(0, height)))
        sides = (width * float(dice.uniform(0.08, 0.3)), height * float(dice.uniform(0.1, 0.35)))
        angle, color = float(dice.uniform(0, 90)), _color(dice, 30, 250)
        for shift, paint in ((height // 50, (30, 26, 22)), (0, color)):
            rectangle = ((centre[0] + shift, centre[1] + shift), sides, angle)
            _polygon(out, np.rint(cv2.boxPoints(rectangle)).astype(int).tolist(), paint)
    for _ in range(3):
        at = (int(dice.integers(0, width)), int(dice.integers(0, height)))
        cv2.circle(out, at, height // 11, (245, 243, 238), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(out, at, height // 14, (70, 40, 20), cv2.FILLED, cv2.LINE_AA)
    return _shot(out, dice)


def bricks(size: Size, dice: Dice) -> Picture:
    """A brick wall from near."""
    out, (height, width) = _plain(size, (176, 170, 160)), size
    rows = int(dice.integers(8, 22))
    tall, wide, base = height // rows, 2 * width // rows, np.array((158, 74, 54)) + dice.integers(-30, 31)
    for row in range(rows + 2):
        for column in range(-1, rows // 2 + 3):
            x, y = column * wide + (row % 2) * wide // 2, row * tall
            x_to, y_to = x + wide - wide // 14 - 1, y + tall - tall // 7 - 1
            cv2.rectangle(out, (x, y), (x_to, y_to), _near(base, dice, 28), cv2.FILLED)
    return _shot(out, dice)


def tiles(size: Size, dice: Dice) -> Picture:
    """A tiled floor of two colours, seen at a slant."""
    height, width = size
    two = np.array([_color(dice, 20, 110), _color(dice, 150, 250)], dtype=np.uint8)
    y, x = np.mgrid[:12, :12]
    board = cv2.resize(two[(x + y) % 2], None, fx=40, fy=40, interpolation=cv2.INTER_NEAREST)
    source = np.array([(0, 0), (480, 0), (480, 480), (0, 480)], dtype=np.float32)
    target = np.array([(0.1, -0.2), (1.1, 0.05), (1.5, 1.2), (-0.7, 1.1)], dtype=np.float32) * (width, height)
    warp = cv2.getPerspectiveTransform(source, target.astype(np.float32))
    return _shot(np.asarray(cv2.warpPerspective(board, warp, (width, height)), dtype=np.uint8), dice)


def checkerboard(size: Size, dice: Dice) -> Picture:
    """Squares of two colours."""
    y, x = np.indices(size) // int(dice.integers(size[0] // 20, size[0] // 6))
    return np.array([_color(dice, 0, 120), _color(dice, 140, 255)], dtype=np.uint8)[(x + y) % 2]


def stripes(size: Size, dice: Dice) -> Picture:
    """Slanted stripes of four colours."""
    y, x = np.indices(size)
    slope, wide = dice.uniform(-1.5, 1.5), size[0] / dice.uniform(8, 30)
    colors = np.array([_color(dice, 0, 255) for _ in range(4)], dtype=np.uint8)
    return colors[((x + slope * y) // wide).astype(int) % 4]


def linear_gradient(size: Size, dice: Dice) -> Picture:
    """One colour going over into another."""
    y, x = np.indices(size)
    angle = dice.uniform(0, 2 * np.pi)
    along = np.cos(angle) * x / size[1] + np.sin(angle) * y / size[0]
    return _between(along, dice)


def radial_gradient(size: Size, dice: Dice) -> Picture:
    """A glow around a point."""
    y, x = np.indices(size)
    centre = dice.uniform(0.2, 0.8, 2)
    return _between(np.hypot(x / size[1] - centre[0], y / size[0] - centre[1]), dice)


def one_color(size: Size, dice: Dice) -> Picture:
    """A lens cap, or a wall: one colour, with a camera's noise."""
    return _shot(_plain(size, _color(dice, 0, 255)), dice)


def page(size: Size, dice: Dice) -> Picture:
    """A printed page."""
    return _text(_plain(size, (250, 249, 244)), dice, lambda: (25, 25, 30))


def terminal(size: Size, dice: Dice) -> Picture:
    """A screen of code on black."""
    return _text(_plain(size, (18, 20, 26)), dice, lambda: _color(dice, 110, 250))


def chart(size: Size, dice: Dice) -> Picture:
    """A slide with a bar chart."""
    out, (height, width) = _plain(size, (255, 255, 255)), size
    cv2.putText(
        out, " ".join(WORDS[:5]), (width // 12, height // 8), cv2.FONT_HERSHEY_DUPLEX, width / 700, (40,) * 3, 1
    )
    for number in range(8):
        x = width // 12 + number * width // 10
        top = round(height * dice.uniform(0.2, 0.8))
        cv2.rectangle(out, (x, top), (x + width // 14, height * 9 // 10), _color(dice, 30, 230), cv2.FILLED)
    cv2.line(out, (width // 14, height * 9 // 10), (width * 9 // 10, height * 9 // 10), (0, 0, 0), 2)
    return out


def white_noise(size: Size, dice: Dice) -> Picture:
    """Every value of every pixel drawn alone."""
    return dice.integers(0, 256, (*size, 3), dtype=np.uint8)


def clouds(size: Size, dice: Dice) -> Picture:
    """Smooth random colours."""
    coarse = dice.integers(0, 256, (int(dice.integers(4, 14)), int(dice.integers(4, 14)), 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def keyboard(size: Size, dice: Dice) -> Picture:
    """Keys of a keyboard."""
    out, (height, width) = _plain(size, (28, 28, 30)), size
    side = width // 13
    for row in range(height // side + 1):
        for column in range(-1, 14):
            x, y = column * side + row * side // 3 % side, row * side
            color = _near(np.array((205, 205, 200)), dice, 12)
            cv2.rectangle(out, (x + 3, y + 3), (x + side - 4, y + side - 4), color, cv2.FILLED)
            letter = chr(65 + int(dice.integers(26)))
            cv2.putText(
                out, letter, (x + side // 4, y + side * 2 // 3), cv2.FONT_HERSHEY_SIMPLEX, side / 60, (40,) * 3, 1
            )
    return _shot(out, dice)


KINDS = (room, corridor, bookshelf, desk, bricks, tiles, checkerboard, stripes, linear_gradient, radial_gradient)
KINDS += (one_color, page, terminal, chart, white_noise, clouds, keyboard)
PICTURES: dict[str, Callable[[Size, Dice], Picture]] = {kind.__name__.replace("_", " "): kind for kind in KINDS}
"""Every kind of picture by name; call them through `no_road`."""


def _color(dice: Dice, low: int, high: int) -> tuple[int, int, int]:
    """A random colour of values in `low` .. `high`, from grey to saturated."""
    color = dice.uniform(low, high, 3)
    red, green, blue = np.rint(color.mean() + dice.uniform(0.1, 1) * (color - color.mean())).astype(int).tolist()
    return red, green, blue


def _near(color: npt.NDArray[np.integer], dice: Dice, spread: int) -> tuple[int, ...]:
    """The colour, a little lighter or darker."""
    return tuple((color.astype(int) + dice.integers(-spread, spread + 1)).clip(0, 255).tolist())


def _plain(size: Size, color: tuple[int, int, int]) -> Picture:
    return np.full((*size, 3), color, dtype=np.uint8)


def _polygon(out: Picture, points: list[tuple[int, int]], color: tuple[int, ...]) -> None:
    cv2.fillPoly(out, [np.array(points, dtype=np.int32)], color, cv2.LINE_AA)


def _box(out: Picture, foot: tuple[int, int], sides: tuple[int, int], depth: int, color: tuple[int, int, int]) -> None:
    """A piece of furniture: front, lit top and dark side."""
    (x, y), (wide, tall) = foot, sides
    lit, dark = (tuple(min(255, round(share * value)) for value in color) for share in (1.3, 0.6))
    _polygon(out, [(x, y), (x + wide, y), (x + wide, y - tall), (x, y - tall)], color)
    top = [(x, y - tall), (x + wide, y - tall), (x + wide + depth, y - tall - depth), (x + depth, y - tall - depth)]
    _polygon(out, top, lit)
    side = [(x + wide, y), (x + wide + depth, y - depth), (x + wide + depth, y - tall - depth), (x + wide, y - tall)]
    _polygon(out, side, dark)


def _text(out: Picture, dice: Dice, ink: Callable[[], tuple[int, ...]]) -> Picture:
    height, width = out.shape[:2]
    scale = width / 1100
    for line in range(height // 20, height, max(9, round(30 * scale))):
        words = " ".join(dice.choice(WORDS, int(dice.integers(3, 14))))
        cv2.putText(out, words, (width // 16, line), cv2.FONT_HERSHEY_SIMPLEX, scale, ink(), 1, cv2.LINE_AA)
    return out


def _between(along: npt.NDArray[np.floating], dice: Dice) -> Picture:
    """Two colours, mixed by where a number lies between its least and its largest."""
    share = ((along - along.min()) / np.ptp(along))[..., None]
    return np.rint(np.array(_color(dice, 0, 255)) * (1 - share) + np.array(_color(dice, 0, 255)) * share).astype(
        np.uint8
    )


def _shot(rgb_HWC: Picture, dice: Dice) -> Picture:
    """As a camera takes it: darker corners, a little blur, a little noise."""
    height, width = rgb_HWC.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    soft = cv2.GaussianBlur(rgb_HWC, (0, 0), max(0.4, height / 600)) * (1 - 0.14 * (x**2 + y**2))[..., None]
    return np.rint((soft + dice.normal(0, 2, rgb_HWC.shape)).clip(0, 255)).astype(np.uint8)


def main() -> None:
    """Write a contact sheet of all kinds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sheet", type=Path, default=Path("pictures.png"))
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    try:
        claim(args.sheet, overwrite=args.overwrite)
    except SegError as error:
        raise SystemExit(f"error: {error}") from None
    sheet = [draw.label(no_road(name, (240, 320), seed), name) for name in PICTURES for seed in (0, 1)]
    write_png(args.sheet, draw.grid(sheet, columns=6))


if __name__ == "__main__":
    main()
