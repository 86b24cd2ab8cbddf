"""Augmentation: a function of the seed, with frame and label moved by one and the same warp."""

import numpy as np
import pytest

from seg.config import AugmentConfig
from train.augment import Augment

PLAIN = {"color": 0, "blur": 0, "noise": 0, "weather": 0}
ALL = {"color": 1, "blur": 1, "noise": 1, "weather": 1}


def painted(height=90, width=130, block=15):
    """Blocks of labels 0..9, and a frame that shows each label as a grey of its own."""
    rows, columns = np.indices((height, width)) // block
    label = ((rows * 7 + columns * 3) % 10).astype(np.uint8)
    return np.repeat((20 + 20 * label)[..., None], 3, axis=2), label


def augment(**changes):
    return Augment(AugmentConfig(**{"crop": (64, 96), **changes}))


def test_the_same_seed_gives_the_same_pixels():
    frame, label = painted()
    frame = frame + np.random.default_rng(0).integers(0, 20, frame.shape, dtype=np.uint8)
    one, other = augment(**ALL), augment(**ALL)
    for seed in (3, 1, 2, 3):  # whatever came before
        for a, b in zip(one(frame, label, seed), augment(**ALL)(frame, label, seed), strict=True):
            np.testing.assert_array_equal(a, b)
    first, second = other(frame, label, 1), other(frame, label, 2)
    assert (first[0] != second[0]).any()
    assert (first[1] != second[1]).any()


@pytest.mark.parametrize("size", [(90, 130), (64, 96), (300, 200), (40, 50)])
@pytest.mark.parametrize("options", [PLAIN, ALL])
def test_size_and_values(size, options):
    frame, label = painted(*size)
    before = frame.copy(), label.copy()
    one = augment(**options, rotate=20)
    for seed in range(10):
        rgb, values = one(frame, label, seed)
        assert (rgb.shape, rgb.dtype) == ((64, 96, 3), np.uint8)
        assert (values.shape, values.dtype) == ((64, 96), np.uint8)
        assert set(np.unique(values)) <= {*range(10), 255}  # nothing between two labels
    np.testing.assert_array_equal(frame, before[0])
    np.testing.assert_array_equal(label, before[1])


@pytest.mark.parametrize("changes", [{}, {"rotate": 30}, {"flip": 1}, {"scale": (0.4, 0.5)}, {"scale": (3, 4)}])
def test_frame_and_label_stay_together(changes):
    """Away from the edges of the blocks, where bilinear mixes, the grey still tells the label."""
    frame, label = painted(block=30)
    one = augment(**PLAIN, **changes)
    for seed in range(12):
        rgb, values = one(frame, label, seed)
        known = values != 255
        # a pixel whose neighbours all carry its label
        padded = np.pad(values, 2, constant_values=254)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
        inner = known & (windows == values[..., None, None]).all((2, 3))
        assert inner.mean() > 0.02
        wrong = np.abs(rgb[..., 0].astype(int) - (20 + 20 * values.astype(int))) > 10
        assert not wrong[inner].any()


def test_nothing_asked_nothing_done():
    frame, label = painted(64, 96)
    rgb, values = augment(**PLAIN, scale=(1, 1), rotate=0, flip=0)(frame, label, 0)
    np.testing.assert_array_equal(rgb, frame)
    np.testing.assert_array_equal(values, label)


def test_a_flip_is_exact():
    frame, label = painted(64, 96)
    rgb, values = augment(**PLAIN, scale=(1, 1), rotate=0, flip=1)(frame, label, 0)
    np.testing.assert_array_equal(rgb, frame[:, ::-1])
    np.testing.assert_array_equal(values, label[:, ::-1])


def test_outside_is_ignored():
    frame, label = painted()
    _, values = augment(**PLAIN, scale=(0.5, 0.5), rotate=0, flip=0)(frame, label, 0)
    assert 0.5 < (values == 255).mean() < 0.9


def test_scale_and_flip_stay_in_range():
    one = augment(scale=(0.6, 1.8), rotate=0, flip=0.5)
    matrices = [one.matrix((90, 130), np.random.default_rng(seed)) for seed in range(400)]
    fill = max(64 / 90, 96 / 130)
    scales = np.array([np.sqrt(abs(np.linalg.det(m[:, :2]))) for m in matrices]) / fill
    assert 0.6 <= scales.min() < 0.65
    assert 1.7 < scales.max() <= 1.8
    assert abs(np.log(scales).mean() - np.log([0.6, 1.8]).mean()) < 0.05  # as much larger as smaller
    flipped = np.mean([np.linalg.det(m[:, :2]) < 0 for m in matrices])
    assert 0.4 < flipped < 0.6


def test_the_crop_sees_the_frame():
    """Where the frame is larger than the crop, nothing of the crop lies outside."""
    frame, label = painted()
    one = augment(**PLAIN, scale=(1.0, 1.8), rotate=0)
    assert all((one(frame, label, seed)[1] != 255).all() for seed in range(40))
