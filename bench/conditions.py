"""Frames as they look when something is wrong, in five levels: `python -m bench.conditions FRAME --sheet sheet.png`.

A condition is a pure function of the frame, the level and a seed. Level 0 is the frame itself; with one seed, a higher
level has the lower one's drops, blobs and noise, only more of them. Lengths go with the frame's height. Shape suffixes: H
and W height and width, C the three colours, uint8 RGB; `linear` pictures hold light instead of sRGB, float32 0..1.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from seg import draw
from seg.data.images import read_rgb, write_png
from seg.errors import SegError
from seg.files import claim
from seg.geometry import fit_frame

Picture = npt.NDArray[np.uint8]
Light = npt.NDArray[np.float32]

LEVELS = 5
GAMMA = 2.2
GREY_OF_LIGHT = np.rint(255 * (np.arange(65536) / 65535) ** (1 / GAMMA)).astype(np.uint8)  # a look-up is fast
HORIZON = 0.45  # of the height: where the road of a dashboard camera ends, within some percent


def degrade(rgb_HWC: Picture, condition: str, level: int, seed: int = 0) -> Picture:
    """The frame under a condition of CONDITIONS, as a new uint8 RGB array of its shape.

    Args:
        rgb_HWC: uint8 RGB.
        condition: a name of CONDITIONS.
        level: 0 (the frame itself) to LEVELS.
        seed: where drops, blobs and noise fall.
    """
    assert 0 <= level <= LEVELS
    if level == 0:
        return rgb_HWC.copy()
    return CONDITIONS[condition](rgb_HWC, level - 1, np.random.default_rng(seed))


def turned(pixels: Picture) -> Picture:
    """A camera that was mounted upside down; frames and label maps alike."""
    return np.ascontiguousarray(pixels[::-1, ::-1])


def torn(pixels: Picture, other: Picture) -> Picture:
    """The upper part of a frame, and below it another frame's, shifted sideways; frames and label maps alike."""
    height, width = pixels.shape[:2]
    cut = round(0.45 * height)
    return np.concatenate([pixels[:cut], np.roll(other[cut:], width // 3, axis=1)])


def fog(rgb_HWC: Picture, level: int, random: np.random.Generator) -> Picture:
    """Light lost with distance and replaced by the sky's (Koschmieder's law), thicker in some places.

    Distance goes as on a flat road: one over the rows below the horizon; above it, it is the farthest everywhere.
    """
    height, width = rgb_HWC.shape[:2]
    below_H = np.arange(height, dtype=np.float32) / height - HORIZON
    distance_H = 0.06 / np.maximum(below_H, 0.06)  # 1 at the horizon and above
    cloud_HW = 0.75 + 0.5 * _smooth((height, width), height / 3, random)
    left_HW1 = np.exp(-(0.2, 0.4, 0.8, 1.5, 3.0)[level] * distance_H[:, None] * cloud_HW)[..., None]
    return _picture(_light(rgb_HWC) * left_HW1 + np.float32((0.60, 0.62, 0.64)) * (1 - left_HW1))


def night(rgb_HWC: Picture, level: int, random: np.random.Generator) -> Picture:
    """Less and bluer light, so few photons that their noise shows, and the noise of reading them out."""
    light_HWC = _light(rgb_HWC) * (0.35, 0.14, 0.055, 0.022, 0.009)[level]
    light_HWC *= np.float32((0.85, 0.95, 1.15))
    noise_HWC = random.standard_normal(rgb_HWC.shape, dtype=np.float32)
    return _picture(light_HWC + noise_HWC * np.sqrt(light_HWC / 3000 + 1e-6))


def rain(rgb_HWC: Picture, level: int, random: np.random.Generator) -> Picture:
    """Drops on the lens: each shows the scene small, upside down and blurred, with a dark upper rim."""
    height, width = rgb_HWC.shape[:2]
    small_HWC = cv2.GaussianBlur(rgb_HWC, (0, 0), height / 60)
    out_HWC = cv2.GaussianBlur(rgb_HWC, (0, 0), (0.3, 0.5, 0.7, 1.0, 1.4)[level] * height / 360).astype(np.float32)
    drops = random.random((220, 4))[: (12, 30, 65, 120, 220)[level]]
    y_HW, x_HW = np.mgrid[:height, :width].astype(np.float32)
    for across, down, size, long in drops:
        radius = height * (0.012 + 0.06 * size**2)
        x, y = across * width, down * height
        rows = slice(max(0, int(y - 2 * radius)), int(y + 2 * radius) + 1)
        columns = slice(max(0, int(x - 2 * radius)), int(x + 2 * radius) + 1)
        dx, dy = x_HW[rows, columns] - x, (y_HW[rows, columns] - y) / (1 + 0.5 * long)
        far_hw = np.sqrt(dx**2 + dy**2) / radius
        # the drop is a lens: what it shows lies on the other side, and farther out at its rim
        map_x, map_y = x - 6 * dx * far_hw, y - 6 * dy * far_hw
        seen_hwC = cv2.remap(
            small_HWC, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT
        )
        shade_hw = 1.05 - 0.45 * far_hw**4 * (dy < 0) - 0.15 * far_hw**4
        cover_hw1 = np.clip((1.1 - far_hw) * 5, 0, 1)[..., None]
        out_HWC[rows, columns] += cover_hw1 * (seen_hwC * shade_hw[..., None] - out_HWC[rows, columns])
    return np.asarray(out_HWC.clip(0, 255), dtype=np.uint8)


def blocked(rgb_HWC: Picture, level: int, random: np.random.Generator) -> Picture:
    """Dirt on the lens, out of focus: dark blobs that grow from a tenth of the frame to nine tenths."""
    height, width = rgb_HWC.shape[:2]
    field_HW = _smooth((height, width), height / 7, random)
    edge = np.quantile(field_HW, 1 - (0.10, 0.25, 0.45, 0.68, 0.90)[level])
    cover_HW1 = np.clip((field_HW - edge) / 0.05 + 0.5, 0, 1)[..., None]
    dirt_HWC = (
        np.float32((0.014, 0.011, 0.008)) * (0.6 + 0.8 * _smooth((height, width), height / 30, random))[..., None]
    )
    return _picture(_light(rgb_HWC) * (1 - cover_HW1) + dirt_HWC * cover_HW1)


def defocus(rgb_HWC: Picture, level: int, random: np.random.Generator) -> Picture:
    """A lens out of focus: each point becomes a disc."""
    radius = (0.004, 0.008, 0.015, 0.026, 0.042)[level] * rgb_HWC.shape[0]
    reach = int(radius) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return _filtered(rgb_HWC, np.clip(radius + 0.5 - np.hypot(x, y), 0, 1))


def motion(rgb_HWC: Picture, level: int, random: np.random.Generator) -> Picture:
    """A camera that turned while the shutter was open: each point becomes a slanted line."""
    length = (0.015, 0.03, 0.055, 0.09, 0.14)[level] * rgb_HWC.shape[0]
    side = 2 * int(length / 2 + 1) + 1
    kernel = np.zeros((side, side), dtype=np.float32)
    half = length / 2 * np.array([np.cos(0.15), np.sin(0.15)])
    ends = np.rint(16 * np.array([side // 2 - half, side // 2 + half])).astype(int).tolist()
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, shift=4)
    return _filtered(rgb_HWC, kernel)


def noise(rgb_HWC: Picture, level: int, random: np.random.Generator) -> Picture:
    """A sensor's noise: Gaussian, the same everywhere."""
    noise_HWC = random.standard_normal(rgb_HWC.shape, dtype=np.float32)
    noisy_HWC = rgb_HWC + (5, 10, 16, 25, 45)[level] * noise_HWC
    return np.asarray(np.rint(noisy_HWC).clip(0, 255), dtype=np.uint8)


def overexposure(rgb_HWC: Picture, level: int, random: np.random.Generator) -> Picture:
    """Too much light: what is bright is clipped, and spills over around it."""
    light_HWC = _light(rgb_HWC) * (1.6, 2.6, 4.5, 8.0, 15.0)[level]
    spill_HWC = cv2.GaussianBlur(np.maximum(light_HWC - 1, 0), (0, 0), rgb_HWC.shape[0] / 25)
    return _picture(light_HWC + 0.15 * spill_HWC)


CONDITIONS: dict[str, Callable[[Picture, int, np.random.Generator], Picture]] = {
    "fog": fog,
    "night": night,
    "rain on the lens": rain,
    "blocked lens": blocked,
    "defocus": defocus,
    "motion blur": motion,
    "sensor noise": noise,
    "overexposure": overexposure,
}
"""The graded conditions by name; call them through `degrade`."""


def _light(rgb_HWC: Picture) -> Light:
    return np.asarray(cv2.LUT(rgb_HWC, ((np.arange(256) / 255) ** GAMMA).astype(np.float32)))


def _picture(light_HWC: npt.NDArray[np.floating]) -> Picture:
    return GREY_OF_LIGHT[(65535 * light_HWC.clip(0, 1)).astype(np.uint16)]


def _filtered(rgb_HWC: Picture, kernel: npt.NDArray[np.floating]) -> Picture:
    """Blurred as light is, not as sRGB: bright points stay bright."""
    kernel = np.asarray(kernel / kernel.sum(), dtype=np.float32)
    return _picture(cv2.filter2D(_light(rgb_HWC), -1, kernel, borderType=cv2.BORDER_REFLECT))


def _smooth(size: tuple[int, int], scale: float, random: np.random.Generator) -> Light:
    """A smooth random field, 0..1, with bumps of about `scale` pixels."""
    cells = (int(size[0] / scale) + 4, int(size[1] / scale) + 4)
    coarse = cv2.resize(random.random(cells, dtype=np.float32), (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    low, high = float(coarse.min()), float(coarse.max())
    return np.asarray((coarse - low) / (high - low), dtype=np.float32)


def contact_sheet(rgb_HWC: Picture, other_HWC: Picture, width: int = 320) -> Picture:
    """Every condition at every level, a row each; last the upside-down and the torn frame."""
    pictures = [
        draw.label(_thumbnail(degrade(rgb_HWC, name, level), width), f"{name} {level}")
        for name in CONDITIONS
        for level in range(1, LEVELS + 1)
    ]
    last = {"the frame": rgb_HWC, "upside down": turned(rgb_HWC), "torn": torn(rgb_HWC, other_HWC)}
    return draw.grid(pictures + [draw.label(_thumbnail(rgb, width), name) for name, rgb in last.items()], LEVELS)


def _thumbnail(rgb_HWC: Picture, width: int) -> Picture:
    height = round(width * rgb_HWC.shape[0] / rgb_HWC.shape[1])
    return np.asarray(cv2.resize(rgb_HWC, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def main() -> None:
    """Write the contact sheet of a frame."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frame", type=Path, help="a picture of a road")
    parser.add_argument("--other", type=Path, help="the frame that the torn one goes on with (default: mirrored)")
    parser.add_argument("--sheet", type=Path, default=Path("conditions.png"))
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    try:
        claim(args.sheet, overwrite=args.overwrite)
        rgb_HWC = read_rgb(args.frame)
        other = rgb_HWC[:, ::-1] if args.other is None else fit_frame(read_rgb(args.other), rgb_HWC.shape[:2])
    except SegError as error:
        raise SystemExit(f"error: {error}") from None
    write_png(args.sheet, contact_sheet(rgb_HWC, other))


if __name__ == "__main__":
    main()
