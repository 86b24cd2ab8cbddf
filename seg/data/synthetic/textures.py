"""Noise and sprites, made once per process and the same in every process."""

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.data.synthetic.dice import Dice

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

SIDE = 512
SPRITE = 128


def _octaves(rng: np.random.Generator, side: int, first: int, last: int, fall: float) -> F32:
    """Tileable noise (side, side): octaves of wrapped random grids, zero mean, unit deviation."""
    total = np.zeros((side, side), np.float32)
    gain, cells = 1.0, first
    while cells <= last:
        grid = rng.standard_normal((cells, cells)).astype(np.float32)
        wrapped = np.pad(grid, 2, mode="wrap")
        scale = side // cells
        big = cv2.resize(wrapped, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        total += gain * big[2 * scale : 2 * scale + side, 2 * scale : 2 * scale + side]
        gain *= fall
        cells *= 2
    total -= total.mean()
    return np.ascontiguousarray(total / total.std(), dtype=np.float32)


@cache
def grain() -> F32:
    """Fine texture (SIDE, SIDE), zero mean and unit deviation: gravel, grass, asphalt."""
    return _octaves(np.random.default_rng(11), SIDE, 64, 512, 0.9)


@cache
def blotch() -> F32:
    """Coarse texture (SIDE, SIDE), zero mean and unit deviation: stains, patches of grass, foliage shadows."""
    return _octaves(np.random.default_rng(12), SIDE, 8, 128, 0.65)


@cache
def clouds() -> F32:
    """Cloud density (SIDE * 3 / 2, SIDE * 2), zero mean and unit deviation, repeated so that any window is a slice."""
    tile = _octaves(np.random.default_rng(13), SIDE, 4, 256, 0.6)
    return np.tile(tile, (2, 2))[: SIDE * 3 // 2]


@cache
def sensor_noise() -> NDArray[np.int8]:
    """Gaussian noise (SIDE * 2, SIDE * 4, 3) with deviation 24, slightly correlated between neighbours."""
    rng = np.random.default_rng(14)
    noise = rng.standard_normal((SIDE * 2, SIDE * 4, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (3, 3), 0.6)
    mixed = 0.6 * noise + 1.2 * soft
    bank: NDArray[np.int8] = np.clip(mixed / mixed.std() * 24, -127, 127).astype(np.int8)
    return bank


@cache
def trees() -> tuple[tuple[tuple[U8, U8], ...], ...]:
    """Crowns as (luminance, mask) pairs at SPRITE, SPRITE / 2 .. SPRITE / 16 pixels: 0-7 round, 8-11 conifer, 12-17 bare, 18-23 bush."""
    kinds = ["round"] * 8 + ["conifer"] * 4 + ["bare"] * 6 + ["bush"] * 6
    full = [_bare(Dice(21, i)) if kind == "bare" else _crown(Dice(21, i), kind) for i, kind in enumerate(kinds)]
    return tuple(tuple((_half(light, k), _half(mask, k)) for k in range(5)) for light, mask in full)


def tree(variant: int, height: float) -> tuple[U8, U8]:
    """Crown number `variant` at the smallest stored size that is not below `height` pixels by much."""
    sizes = trees()[variant]
    return sizes[min(max(int(math.log2(SPRITE / max(height, 1.0)) + 0.3), 0), len(sizes) - 1)]


def _half(sprite: U8, times: int) -> U8:
    side = SPRITE >> times
    return np.asarray(cv2.resize(sprite, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _crown(dice: Dice, kind: str) -> tuple[U8, U8]:
    density = np.zeros((SPRITE, SPRITE), np.float32)
    shine = np.zeros((SPRITE, SPRITE), np.float32)
    count = {"round": 34, "conifer": 40, "bush": 26}[kind]
    for _ in range(count):
        x, y = dice.uniform(-1, 1), dice.uniform(-1, 1)
        if kind == "round" and x * x + y * y > 1:
            continue
        if kind == "conifer":
            x *= 0.12 + 0.4 * (y + 1)
        if kind == "bush":
            y = 1 - (1 - y) * (1 - 0.6 * x * x)
        radius = dice.uniform(0.12, 0.3) * SPRITE / 2
        centre = (int(SPRITE / 2 * (1 + 0.72 * x)), int(SPRITE / 2 * (1 + 0.72 * y)))
        cv2.circle(density, centre, int(radius), 1.0, -1)
        cv2.circle(shine, (centre[0], int(centre[1] - radius * 0.4)), int(radius * 0.7), dice.uniform(0.3, 1), -1)
    noise = np.roll(blotch(), (dice.integer(0, 511), dice.integer(0, 511)), (0, 1))[:SPRITE, :SPRITE]
    fine = np.roll(grain(), (dice.integer(0, 511), dice.integer(0, 511)), (0, 1))[:SPRITE, :SPRITE]
    soft = cv2.GaussianBlur(density, (0, 0), 3)
    mask = (soft + 0.16 * fine + 0.1 * noise > 0.5).astype(np.uint8) * 255
    light = 0.5 + 0.35 * (cv2.GaussianBlur(shine, (0, 0), 3) - 0.4) + 0.13 * fine + 0.1 * noise
    light += np.linspace(0.14, -0.16, SPRITE, dtype=np.float32)[:, None]
    return np.clip(light * 255, 8, 255).astype(np.uint8), mask


def _bare(dice: Dice) -> tuple[U8, U8]:
    mask = np.zeros((SPRITE, SPRITE), np.uint8)
    stack = [(SPRITE / 2, float(SPRITE), -1.57, 30.0, 5.0)]
    while stack:
        x, y, angle, length, thick = stack.pop()
        x2, y2 = x + np.cos(angle) * length, y + np.sin(angle) * length
        cv2.line(mask, (int(x), int(y)), (int(x2), int(y2)), 255, max(int(thick), 1))
        if thick < 0.9:
            continue
        for turn in (-1, 0, 1):
            spread = angle + turn * dice.uniform(0.25, 0.6) + dice.uniform(-0.15, 0.15)
            stack.append((x2, y2, spread, length * dice.uniform(0.62, 0.86), thick * 0.62))
    light = 90 + 40 * grain()[:SPRITE, :SPRITE]
    return np.clip(light, 20, 220).astype(np.uint8), mask


@cache
def forest() -> tuple[U8, U8]:
    """A strip of distant trees as (luminance, mask), each (64, 1024), that tiles sideways."""
    rng = np.random.default_rng(31)
    wave = np.zeros(1024, np.float32)
    x = np.arange(1024) * (2 * np.pi / 1024)
    for k in (2, 3, 5, 9, 14, 23, 41, 67, 110):
        wave += (rng.uniform(0.4, 1) / k**0.6 * np.sin(k * x + rng.uniform(0, 6.3))).astype(np.float32)
    top = 26 - 9 * wave / np.abs(wave).max() * 2
    fine = np.tile(grain()[:64], (1, 2))
    mask = (np.arange(64)[:, None] + 3 * fine > top[None, :]).astype(np.uint8) * 255
    light = 120 + 30 * fine + 26 * np.tile(blotch()[:64], (1, 2)) + np.linspace(30, -30, 64)[:, None]
    return np.clip(light, 20, 240).astype(np.uint8), mask
