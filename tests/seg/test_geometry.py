"""The way of class maps back to the frame: by the nearest centre, to the pixel the same wherever it runs."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg.geometry import fit_map, nearest

sides = st.integers(1, 3000)


@given(sides, sides)
def test_a_pixel_comes_from_where_its_centre_lies(count, wanted):
    """Centre (i + 1/2) / wanted lies in [s, s + 1) / count; in integers, without rounding."""
    index = np.arange(wanted)
    source = nearest(count, wanted)
    assert (2 * wanted * source <= (2 * index + 1) * count).all()
    assert ((2 * index + 1) * count < 2 * wanted * (source + 1)).all()


@pytest.mark.parametrize("size", [(720, 1280), (1080, 1920), (1024, 2048), (180, 240)])
def test_it_is_opencvs_where_no_centre_falls_on_a_border(size):
    map_HW = np.random.default_rng(0).integers(0, 11, (360, 480), dtype=np.uint8)
    expected = cv2.resize(map_HW, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    np.testing.assert_array_equal(fit_map(map_HW, size), expected)


def test_of_two_as_near_the_later_one():
    assert nearest(360, 540)[:6].tolist() == [0, 1, 1, 2, 3, 3]


def test_a_map_of_that_size_is_not_copied():
    map_HW = np.zeros((3, 5), np.uint8)
    assert fit_map(map_HW, (3, 5)) is map_HW
