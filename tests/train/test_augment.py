"""Augmentation: a function of the seed, with frame and label moved by one and the same warp."""

import albumentations as A
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg.config import AugmentConfig
from train.augment import Augment, Fog, rare_pixel, warp

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


def whole(frame, label, matrix, size):
    """The same warp by looking at all of frame and label."""
    height, width = size
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if scale < 0.7:
        frame = cv2.GaussianBlur(frame, (0, 0), 0.4 / scale)
    seen = cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    values = cv2.warpAffine(label, matrix, (width, height), flags=cv2.INTER_NEAREST, borderValue=255)
    return seen, values


@pytest.mark.parametrize("size", [(90, 130), (300, 401), (40, 50), (30, 300)])
@pytest.mark.parametrize("changes", [{}, {"rotate": 45}, {"scale": (0.3, 0.5)}, {"scale": (2, 4), "rotate": 10}])
def test_the_window_gives_what_the_whole_frame_gives(size, changes):
    """Up to a grey level: coordinates are rounded to 1/1000 of a pixel or so, and differently in a window."""
    random = np.random.default_rng(0)
    frame = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    label = random.integers(0, 20, size, dtype=np.uint8)
    one = augment(**PLAIN, **changes)
    for seed in range(30):
        matrix = one.matrix(size, np.random.default_rng(seed))
        rgb, values = warp(frame, label, matrix, (64, 96))
        expected, expected_values = whole(frame, label, matrix, (64, 96))
        assert np.abs(rgb.astype(int) - expected).max() <= 1
        # at most a column or row whose coordinates are halfway between two pixels
        assert (values != expected_values).mean() <= 1 / 64


class Watched(np.ndarray):
    """A frame that remembers which parts of it were asked for."""

    def __getitem__(self, key):
        self.asked = key
        return np.asarray(self)[key]


def test_only_the_window_is_looked_at():
    frame, label = (part.view(Watched) for part in painted(400, 600))
    matrix = np.array([[1.0, 0, -200], [0, 1, -100]])
    rgb, _ = warp(frame, label, matrix, (64, 96))
    np.testing.assert_array_equal(rgb, np.asarray(frame)[100:164, 200:296])
    for part in (frame, label):
        rows, columns = part.asked
        assert 95 <= rows.start <= 100
        assert 164 <= rows.stop <= 170
        assert 195 <= columns.start <= 200
        assert 296 <= columns.stop <= 302


def test_read_only_views_of_files_will_do(tmp_path):
    frame, label = painted()
    expected = augment(**ALL)(frame, label, 5)
    views = []
    for name, array in (("frame", frame), ("label", label)):
        np.save(tmp_path / f"{name}.npy", array)
        views.append(np.asarray(np.load(tmp_path / f"{name}.npy", mmap_mode="r")))
    for ours, theirs in zip(augment(**ALL)(*views, 5), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_fog_lightens_and_blurs_and_follows_the_seed():
    frame, _ = painted()
    fog = A.Compose([Fog(p=1.0)])
    seen = []
    for seed in (1, 2, 1):
        fog.set_random_seed(seed)
        seen.append(fog(image=frame)["image"])
    np.testing.assert_array_equal(seen[0], seen[2])
    assert (seen[0] != seen[1]).any()
    for foggy in seen:
        assert (foggy.shape, foggy.dtype) == (frame.shape, np.uint8)
        assert frame.mean() + 1 < foggy.mean() < frame.mean() + 30
        assert 0.7 < foggy.std() / frame.std() < 1
        assert foggy.max() <= 255 * 0.25 + frame.max() * 0.75 + 1


# extents of a frame, where a pixel stands in it, extents of the crop, scale
interiors = st.floats(0.0, 1.0, exclude_max=True)
sides = st.tuples(st.integers(20, 400), st.integers(20, 400))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    sides,
    st.tuples(interiors, interiors),
    st.tuples(st.integers(16, 128), st.integers(16, 128)),
    st.floats(0.5, 4.0),
    st.integers(0, 1000),
)
def test_a_window_holds_the_pixel_that_it_is_to_look_at(size, place, crop, scale, seed):
    one = augment(crop=crop, scale=(scale, scale), rotate=0)
    target = np.floor(np.array(size[::-1]) * place)
    x, y = one.matrix(size, np.random.default_rng(seed), target) @ [*target, 1.0]
    assert -0.5 - 1e-6 <= x <= crop[1] - 0.5 + 1e-6
    assert -0.5 - 1e-6 <= y <= crop[0] - 0.5 + 1e-6


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.tuples(st.floats(0.35, 0.65), st.floats(0.35, 0.65)), st.floats(2.0, 4.0), st.integers(0, 1000))
def test_and_so_does_a_turned_one_inside_the_frame(place, scale, seed):
    one = augment(scale=(scale, scale), rotate=15)
    target = np.floor(np.array([401, 300]) * place)
    x, y = one.matrix((300, 401), np.random.default_rng(seed), target) @ [*target, 1.0]
    assert -0.5 <= x <= 95.5
    assert -0.5 <= y <= 63.5


def test_a_looked_at_pixel_is_not_always_in_the_middle():
    one = augment(scale=(3, 3), rotate=0)
    target = np.array([200.0, 150.0])
    seen = np.array(
        [one.matrix((300, 401), np.random.default_rng(seed), target) @ [*target, 1.0] for seed in range(200)]
    )
    assert (np.ptp(seen, axis=0) > 0.5 * np.array([96, 64])).all()
    np.testing.assert_allclose(seen.mean(axis=0), [47.5, 31.5], atol=6)


def test_focus_shows_what_is_rare():
    frame, label = np.zeros((300, 400, 3), np.uint8), np.zeros((300, 400), np.uint8)
    label[40:52, 320:332] = 7  # a thousandth of the frame
    shown = {}
    for focus in (0.0, 0.5, 1.0):
        one = augment(**PLAIN, scale=(3, 4), focus=focus)
        shown[focus] = np.mean([(one(frame, label, seed)[1] == 7).any() for seed in range(200)])
    # beside the windows that look there for it, one in two of those that focus, some see it by chance
    assert shown[0.0] < 0.2
    assert 0.2 < shown[0.5] < 0.4
    assert 0.45 < shown[1.0] < 0.65


def test_rare_pixels_are_drawn_evenly_over_values():
    label = np.full((60, 80), 3, np.uint8)
    label[:2] = 255
    label[10:12, 5:9] = 0
    label[50, 70] = 18
    generator = np.random.default_rng(0)
    drawn = np.array([rare_pixel(label, generator) for _ in range(600)]).astype(int)
    values, counts = np.unique(label[drawn[:, 1], drawn[:, 0]], return_counts=True)
    assert values.tolist() == [0, 3, 18]
    np.testing.assert_allclose(counts / 600, 1 / 3, atol=0.06)
    # and evenly over a value's pixels
    assert len({(x, y) for x, y in drawn if label[y, x] == 0}) == 8


def test_of_ignored_pixels_none_is_drawn():
    assert rare_pixel(np.full((60, 80), 255, np.uint8), np.random.default_rng(0)) is None
    frame, _ = painted()
    nothing = np.full(frame.shape[:2], 255, np.uint8)
    assert (augment(focus=1.0)(frame, nothing, 0)[1] == 255).all()


@pytest.mark.parametrize("size", [(513, 700), (1024, 2048)])
def test_of_a_large_map_a_pixel_of_the_value_is_drawn(size):
    random = np.random.default_rng(0)
    label = np.where(random.random(size) < 0.01, random.integers(0, 4, size), 255).astype(np.uint8)
    seen = set()
    for _ in range(40):
        x, y = rare_pixel(label, random)
        assert (x, y) == (int(x), int(y))
        seen.add(int(label[int(y), int(x)]))
    assert seen == {0, 1, 2, 3}
