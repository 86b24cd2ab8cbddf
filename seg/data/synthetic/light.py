"""Sky and skyline, and what happens to light on its way through the lens and the sensor."""

import math

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from seg.data.synthetic import labels, textures
from seg.data.synthetic.canvas import KEEP, U8, Canvas
from seg.data.synthetic.dice import Dice
from seg.data.synthetic.scene import Light, Scene
from seg.data.synthetic.scenery import palette


def draw_sky(canvas: Canvas, scene: Scene) -> None:
    """Paint sky, clouds, hills and the distant tree line above the horizon."""
    view, light = canvas.view, scene.light
    rows = max(min(view.top + 2, view.height), 1)
    t = np.linspace(0, 1, rows, dtype=np.float32)[:, None] ** 1.4
    column = np.array(light.sky_top, np.float32) * (1 - t) + np.array(light.sky_low, np.float32) * t
    sky = np.broadcast_to(column[:, None], (rows, view.width, 3))
    turn = int((view.bearing * 1.2 + scene.skyline_seed % 97) * textures.SIDE / 2)
    if light.cloud > 0.03:
        r0, c0, half = scene.skyline_seed % textures.SIDE, turn % textures.SIDE, textures.SIDE // 2
        density = textures.clouds()[r0 : r0 + half, c0 : c0 + textures.SIDE]
        cover = cv2.resize(density, (view.width, rows), interpolation=cv2.INTER_LINEAR)
        cover = np.clip(cover * 0.5 + light.cloud - 0.45, 0, 0.9)[..., None]
        sky = sky + (np.float32(light.cloud_tint) - sky) * cover
    canvas.rgb[:rows] = np.clip(sky, 0, 255).astype(np.uint8)
    canvas.label[:rows] = labels.SKY
    canvas.rgb[rows:] = 120
    base = view.top + 1
    if scene.hills:
        _hills(canvas, scene, base, turn)
    if scene.forest:
        luma, mask = textures.forest()
        tall = max(scene.forest * view.height, 2.0)
        shift = turn * 2 % 1024
        luma, mask = np.roll(luma, -shift, 1), np.roll(mask, -shift, 1)
        share = max(int(1024 * min(view.width / (tall * 16), 1.0)), 16)
        far = scene.light.visibility * 0.35
        colours = palette(canvas, scene.frontages[0].tree_tint, min(far, 320.0))
        box = (0.0, base - tall, float(view.width), float(base))
        canvas.sprite(
            np.ascontiguousarray(luma[:, :share]),
            np.ascontiguousarray(mask[:, :share]),
            box,
            colours,
            labels.TREE,
            view.height,
        )


def _hills(canvas: Canvas, scene: Scene, base: int, turn: int) -> None:
    view, dice = canvas.view, Dice(scene.skyline_seed, 5)
    x = np.arange(0, view.width + 8, 8, dtype=np.float64)
    angle = (x - view.cx) / view.focal + turn / textures.SIDE
    for layer in (1.0, 0.6):
        rise = np.full_like(x, 0.55)
        for k in (1, 2, 5, 11):
            rise += dice.uniform(0.1, 0.5) / k * np.sin(angle * k * 2.3 + dice.uniform(0, 6.3))
        top = base - np.clip(rise, 0.05, None) * scene.hills * view.height * layer
        points = np.concatenate([np.stack([x, top], 1), [(x[-1], base + 2), (0.0, base + 2)]])
        far = scene.light.visibility * (0.9 if layer == 1.0 else 0.55)
        canvas.fill(points, canvas.hazed(dice.around((84, 96, 92), 24), far, canvas.top), labels.TERRAIN, view.height)


def draw_bonnet(canvas: Canvas, scene: Scene) -> None:
    """The own car's bonnet along the bottom edge."""
    h, w = canvas.view.height, canvas.view.width
    x = np.linspace(-0.05, 1.05, 24)
    dice = Dice(scene.skyline_seed, 6)
    flat = dice.uniform(0.35, 1.2)
    rise = scene.bonnet * h * (1 - flat * np.abs(x - dice.uniform(0.45, 0.55)) ** 2)
    points = np.concatenate([np.stack([x * w, h - rise], 1), [(1.1 * w, h + 3.0), (-0.1 * w, h + 3.0)]])
    canvas.fill(points, canvas.hazed(scene.bonnet_colour, 0.0, 0.45 * canvas.top), labels.EGO_VEHICLE, h)
    shine = np.concatenate([np.stack([x * w, h - rise * 0.93], 1), np.stack([x * w, h - rise * 0.72], 1)[::-1]])
    canvas.fill(shine, canvas.hazed(scene.bonnet_colour, 30.0, 0.8), KEEP, h)


def _curve(light: Light) -> U8:
    """The sensor's response per channel as a table (256, 1, 3): exposure, white balance, gamma, soft shoulder."""
    x = np.arange(256, dtype=np.float32)[:, None] / 255 * light.exposure * np.array(light.tint, np.float32)
    x = np.where(x > 0.75, 0.75 + 0.25 * (1 - np.exp(-(x - 0.75) / 0.25)), x)
    table: U8 = np.clip(255 * np.power(x, light.gamma), 0, 255).astype(np.uint8)
    return table[:, None, :]


def expose(rgb_HW3: U8, scene: Scene, dice: Dice) -> U8:
    """The finished picture as the sensor delivers it; `dice` decides this frame's noise."""
    light = scene.light
    h, w = rgb_HW3.shape[:2]
    out: MatLike = rgb_HW3
    if light.rain:
        out = _rain(out, light, dice)
    sigma = light.blur * w / 512
    if sigma > 0.25:
        out = cv2.GaussianBlur(out, (0, 0) if sigma > 1 else (3, 3) if sigma < 0.6 else (5, 5), sigma)
    if abs(light.saturation - 1) > 0.05:
        s = light.saturation
        grey = np.array([0.299, 0.587, 0.114], np.float32) * (1 - s)
        out = cv2.transform(out, np.eye(3, dtype=np.float32) * s + grey[None, :])
    out = cv2.LUT(out, _curve(light))
    if light.vignette or light.flare:
        out = cv2.multiply(out, _falloff(light, h, w), dtype=cv2.CV_8U)
    if light.flare:
        out = cv2.addWeighted(out, 1 - light.flare, np.full_like(out, 235), light.flare, 0)
    return _noise(out, light.noise, dice)


def _noise(rgb_HW3: MatLike, sigma: float, dice: Dice) -> U8:
    bank = textures.sensor_noise()
    h, w = rgb_HW3.shape[:2]
    y, x = (dice.integer(0, max(side - need, 0)) for side, need in zip(bank.shape[:2], (h, w), strict=True))
    piece = bank[y : y + h, x : x + w]
    if piece.shape[:2] != (h, w):  # a picture larger than the bank
        piece = np.tile(bank, (math.ceil(h / bank.shape[0]), math.ceil(w / bank.shape[1]), 1))[:h, :w]
    return np.asarray(cv2.addWeighted(rgb_HW3, 1.0, piece, sigma / 24, 0, dtype=cv2.CV_8U), np.uint8)


def _falloff(light: Light, h: int, w: int) -> NDArray[np.float32]:
    y, x = np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)[None, :]
    fall = (1 - light.vignette * (x * x + y * y) / 2).astype(np.float32)
    return np.repeat(fall[..., None], 3, 2)


def _rain(rgb_HW3: MatLike, light: Light, dice: Dice) -> MatLike:
    """Short bright streaks, a few dozen."""
    out = rgb_HW3.copy()
    h, w = out.shape[:2]
    lean = dice.uniform(-0.15, 0.15)
    for _ in range(int(60 * light.rain)):
        x, y, length = dice.uniform(0, w), dice.uniform(0, h), dice.uniform(0.03, 0.09) * h
        colour = tuple(0.7 * v for v in light.sky_low)
        cv2.line(out, (int(x), int(y)), (int(x + lean * length), int(y + length)), colour, 1, cv2.LINE_AA)
    return cv2.addWeighted(out, 0.45, rgb_HW3, 0.55, 0)
