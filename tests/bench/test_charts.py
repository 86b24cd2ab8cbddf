"""The charts: every line is there in its own colour, and a scale is what it says."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from bench.charts import NINES, Panel, Point, draw, new


def pixels(picture, color):
    """Which are of a colour of matplotlib's."""
    return (picture == np.rint(255 * np.array(to_rgb(color)))).all(axis=2)


@pytest.mark.parametrize("scale", ["linear", "log", "nines"])
def test_a_name_has_one_colour_in_all_panels(scale):
    one = [Point(0.5, 70.0), Point(0.9, 30.0)]
    two = [Point(0.5, 70.0), Point(0.6, 60.0)]
    made = draw([Panel("a", "x", "y", {"one": one, "two": two}, scale), Panel("b", "x", "y", {"two": two}, scale)])
    half = made.shape[1] // 2
    assert pixels(made[:, :half], "C0").sum() > 300
    assert pixels(made[:, :half], "C1").sum() > 150
    assert pixels(made[: -made.shape[0] // 8, half:], "C0").sum() == 0  # below it stands the legend of both
    assert pixels(made[:, half:], "C1").sum() > 150


def test_nines_are_equally_far_from_each_other():
    def column(score):
        line = [Point(0.0, 0.0), Point(score, 1.0, (0.5, 1.5)), Point(0.9999, 0.0)]
        blue = pixels(draw([Panel("", "", "", {"": line}, "nines")]), "C0")
        return blue[: int(0.3 * len(blue))].any(axis=0).nonzero()[0].mean()  # where its bar reaches above the line

    first, second, third = map(column, NINES[2:5])
    assert third - second == pytest.approx(second - first, abs=3)


def test_panels_stand_side_by_side():
    assert len(new(3)[1]) == 3
