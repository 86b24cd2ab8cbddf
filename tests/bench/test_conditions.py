"""Conditions are pure functions that grow with their level; pictures that are no roads are varied."""

import cv2
import numpy as np
import pytest

from bench.conditions import CONDITIONS, LEVELS, contact_sheet, degrade, torn, turned
from bench.pictures import PICTURES, no_road

SIZE = (180, 240)


def scene(size=SIZE):
    """A sky, a road and posts, with a sensor's noise: there is something to lose everywhere."""
    height, width = size
    out = np.full((height, width, 3), (70, 110, 60), np.uint8)
    out[: height // 2] = (150, 180, 220)
    cv2.fillPoly(out, [np.array([(width // 2, height // 2), (width, height), (0, height)])], (95, 95, 100))
    for x in range(width // 10, width, width // 7):
        cv2.line(out, (x, height // 4), (x, height * 3 // 4), (235, 235, 225), max(1, width // 100))
    return (out + np.random.default_rng(0).normal(0, 4, out.shape)).clip(0, 255).astype(np.uint8)


def distance(a, b):
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize("name", CONDITIONS)
def test_level_0_is_the_frame_and_each_level_moves_further(name):
    frame = scene()
    before = frame.copy()
    levels = [degrade(frame, name, level, seed=3) for level in range(LEVELS + 1)]
    np.testing.assert_array_equal(frame, before)
    np.testing.assert_array_equal(levels[0], frame)
    assert all((level.dtype, level.shape) == (np.uint8, frame.shape) for level in levels)
    moved = [distance(level, frame) for level in levels]
    assert moved == sorted(set(moved))
    assert moved[-1] > 8


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_seed_says_it_all(name):
    frame = scene()
    once, again, other = (degrade(frame, name, 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any() == (name not in ("defocus", "motion blur", "overexposure"))


@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("size", [(360, 480), (49, 63)])
def test_any_size(name, size):
    assert degrade(scene(size), name, LEVELS).shape == (*size, 3)


def test_fog_takes_what_is_far_and_night_what_is_bright():
    frame = scene()
    foggy, dark = degrade(frame, "fog", 3), degrade(frame, "night", 3)
    far, near = (foggy[rows].std() / frame[rows].std() for rows in (slice(60, 88), slice(150, 180)))
    assert far < 0.7 * near
    assert dark.mean() < 0.4 * frame.mean()


def test_a_blocked_lens_hides_the_share_that_it_says():
    frame = np.full((180, 240, 3), 200, np.uint8)
    dark = [(degrade(frame, "blocked lens", level) < 100).mean() for level in range(1, LEVELS + 1)]
    np.testing.assert_allclose(dark, [0.10, 0.25, 0.45, 0.68, 0.90], atol=0.04)


@pytest.mark.parametrize("name", ["defocus", "motion blur"])
def test_blur_keeps_the_light(name):
    frame = np.zeros((90, 120, 3), np.uint8)
    frame[45, 60] = 255
    light = [((degrade(frame, name, level) / 255) ** 2.2).sum() / 3 for level in (1, 2)]
    np.testing.assert_allclose(light, 1, rtol=0.1)  # of one point


def test_frames_and_labels_are_turned_and_torn_alike():
    frame, other = scene(), scene()[:, ::-1]
    for change in (
        turned,
        lambda pixels: torn(pixels, other[..., : pixels.shape[2]] if pixels.ndim == 3 else other[..., 0]),
    ):
        np.testing.assert_array_equal(change(frame)[..., 0], change(frame[..., 0]))
    np.testing.assert_array_equal(turned(turned(frame)), frame)
    broken = torn(frame, other)
    np.testing.assert_array_equal(broken[:80], frame[:80])
    np.testing.assert_array_equal(np.sort(broken[120:], axis=1), np.sort(other[120:], axis=1))
    assert (broken[120:] != other[120:]).any()


def test_pictures_without_a_road_differ_from_each_other():
    drawn = {(name, seed): no_road(name, (120, 160), seed) for name in PICTURES for seed in (0, 1)}
    assert len(PICTURES) >= 12
    assert all((rgb.dtype, rgb.shape) == (np.uint8, (120, 160, 3)) for rgb in drawn.values())
    assert len({rgb.tobytes() for rgb in drawn.values()}) == 2 * len(PICTURES)
    np.testing.assert_array_equal(drawn["room", 1], no_road("room", (120, 160), 1))


def test_the_contact_sheet_has_every_level():
    sheet = contact_sheet(scene(), scene()[:, ::-1], width=80)
    rows, gap = len(CONDITIONS) + 1, 4
    assert sheet.shape == (rows * (60 + gap) - gap, LEVELS * (80 + gap) - gap, 3)
