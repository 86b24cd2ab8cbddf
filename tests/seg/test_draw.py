"""Pictures for people: exact colours, untouched inputs, untouched pixels."""

import os

import numpy as np
import pytest

from seg.draw import colorize, grid, label, legend, overlay
from seg.errors import SegError

PALETTE_C3 = np.array([[0, 0, 0], [200, 100, 50], [10, 20, 250]], dtype=np.uint8)


def _scene():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (37, 53, 3), dtype=np.uint8)
    classes = rng.integers(0, 3, (37, 53), dtype=np.uint8)
    classes[:5] = 255
    return rgb, classes


def test_colours_are_exact():
    _, classes = _scene()
    picture = colorize(classes, PALETTE_C3)
    expected = np.vstack([PALETTE_C3, np.zeros((253, 3), np.uint8)])[classes]
    np.testing.assert_array_equal(picture, expected)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_overlay_is_the_weighted_mean(alpha):
    rgb, classes = _scene()
    before = rgb.copy()
    picture = overlay(rgb, classes, PALETTE_C3, alpha)
    expected = rgb * (1 - alpha) + colorize(classes, PALETTE_C3) * alpha
    inside = classes != 255
    assert np.abs(picture[inside] - expected[inside]).max() <= 0.51
    np.testing.assert_array_equal(rgb, before)
    assert picture.dtype == np.uint8


def test_ignored_and_skipped_pixels_stay_unpainted():
    rgb, classes = _scene()
    classes[-1] = 7  # an id without a colour
    picture = overlay(rgb, classes, PALETTE_C3, 0.5, skip=(0,))
    bare = np.isin(classes, [0, 7, 255])
    np.testing.assert_array_equal(picture[bare], rgb[bare])
    assert (picture[~bare] != rgb[~bare]).any()


def test_views_that_are_not_contiguous():
    rgb, classes = _scene()
    a = overlay(rgb[:, ::-1], classes[:, ::-1], PALETTE_C3)
    np.testing.assert_array_equal(a, overlay(rgb, classes, PALETTE_C3)[:, ::-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r, c: overlay(r, c[1:], PALETTE_C3), "size"),
        (lambda r, c: overlay(r, c, PALETTE_C3, alpha=2), "alpha"),
        (lambda r, c: colorize(c.astype(np.int64), PALETTE_C3), "uint8"),
        (lambda r, c: grid([], 2), "pictures"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(SegError, match=message):
        change(*_scene())


def test_grid_places_pictures_row_by_row():
    pictures = [np.full((4, 6, 3), value, np.uint8) for value in (1, 2, 3)]
    sheet = grid(pictures, columns=2, gap=2)
    assert sheet.shape == (10, 14, 3)
    assert (sheet[:4, 8:] == 2).all()
    assert (sheet[6:, :6] == 3).all()


def test_legend_and_label_keep_the_picture():
    rgb = np.full((60, 160, 3), 90, np.uint8)
    with_legend = legend(rgb, ["background", "road", "vehicle"], PALETTE_C3)
    np.testing.assert_array_equal(with_legend[:60], rgb)
    assert with_legend.shape[0] > 60
    for color in PALETTE_C3[1:]:
        assert (with_legend[60:] == color).all(axis=-1).any()
    labelled = label(rgb, "frame 7")
    assert labelled.shape == rgb.shape
    assert (labelled[-20:] == rgb[-20:]).all()
    assert (labelled[:12, :12] != 90).any()


def test_text_that_has_no_letters_in_the_font_is_written_with_question_marks():
    frame = np.zeros((40, 200, 3), np.uint8)
    for text, same in ((os.fsdecode(b"caf\xe9.png"), "caf?.png"), ("\u8def.png", "?.png")):
        np.testing.assert_array_equal(label(frame, text), label(frame, same))
