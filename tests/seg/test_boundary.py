"""The tolerant figures equal a search over all pairs of pixels, and what follows from their definition holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg.boundary import Matches, match
from seg.errors import SegError

TOLERANCES = st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.0, 4.3])


@st.composite
def masks(draw: st.DrawFn, count: int, largest: int = 9) -> list[np.ndarray]:
    """So many masks of one size, sparse ones and empty ones among them."""
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return [rng.random((height, width)) < draw(st.sampled_from([0.0, 0.03, 0.1, 0.5, 1.0])) for _ in range(count)]


def slow_match(predicted: np.ndarray, labelled: np.ndarray, tolerance: float, ignored: np.ndarray) -> Matches:
    """Every pair of pixels, in plain Python."""

    def points(mask: np.ndarray) -> list[tuple[int, int]]:
        return [(y, x) for y in range(mask.shape[0]) for x in range(mask.shape[1]) if mask[y, x]]

    def near(point: tuple[int, int], others: list[tuple[int, int]]) -> bool:
        return any((point[0] - y) ** 2 + (point[1] - x) ** 2 <= tolerance**2 for y, x in others)

    predictions = points(predicted)
    counted = [point for point in predictions if not ignored[point]]
    wanted = [point for point in points(labelled) if not ignored[point]]
    return Matches(
        right=sum(near(point, wanted) for point in counted),
        predicted=len(counted),
        found=sum(near(point, predictions) for point in wanted),
        labelled=len(wanted),
    )


@given(masks(3), TOLERANCES)
@settings(max_examples=200, deadline=None)
def test_counts_equal_a_search_over_all_pairs(three: list[np.ndarray], tolerance: float) -> None:
    predicted, labelled, ignored = three
    assert match(predicted, labelled, tolerance, ignored) == slow_match(predicted, labelled, tolerance, ignored)


@given(masks(1), TOLERANCES)
@settings(max_examples=50, deadline=None)
def test_a_mask_agrees_with_itself(one: list[np.ndarray], tolerance: float) -> None:
    (mask,) = one
    found = match(mask, mask, tolerance)
    assert found.f1 == (1.0 if mask.any() else None)
    assert found.right == found.predicted == found.found == found.labelled == mask.sum()


@given(masks(1), st.integers(-3, 3), st.integers(-3, 3))
@settings(max_examples=100, deadline=None)
def test_a_shift_within_the_tolerance_costs_nothing(one: list[np.ndarray], down: int, right: int) -> None:
    mask = np.pad(one[0], 3)
    mask[3, 3] = True
    shifted = np.roll(mask, (down, right), axis=(0, 1))
    assert match(shifted, mask, float(np.hypot(down, right)) + 1e-9).f1 == 1.0


@pytest.mark.parametrize(("shift", "f1"), [((0, 3), 1.0), ((3, 0), 1.0), ((2, 2), 1.0), ((0, 4), 0.0), ((3, 1), 0.0)])
def test_the_tolerance_is_a_circle(shift: tuple[int, int], f1: float) -> None:
    label = np.zeros((11, 11), dtype=np.bool_)
    label[5, 5] = True
    assert match(np.roll(label, shift, axis=(0, 1)), label, 3).f1 == f1


@given(masks(2), TOLERANCES)
@settings(max_examples=100, deadline=None)
def test_swapping_the_masks_swaps_precision_and_recall(two: list[np.ndarray], tolerance: float) -> None:
    there, back = match(*two, tolerance), match(*reversed(two), tolerance)
    assert (there.precision, there.recall) == (back.recall, back.precision)
    assert there.f1 == (None if back.f1 is None else pytest.approx(back.f1))


@given(masks(2), masks(2), TOLERANCES)
@settings(max_examples=50, deadline=None)
def test_frames_add_up_to_frames_far_apart(first: list[np.ndarray], second: list[np.ndarray], tolerance: float) -> None:
    """Two frames counted one after the other are one frame that holds both, too far apart to meet."""
    both = [np.zeros((40, 9), dtype=np.bool_) for _ in range(2)]
    for whole, upper, lower in zip(both, first, second, strict=True):
        whole[: upper.shape[0], : upper.shape[1]] = upper
        whole[40 - lower.shape[0] :, : lower.shape[1]] = lower
    assert match(*first, tolerance) + match(*second, tolerance) == match(*both, tolerance)


def test_empty_masks() -> None:
    empty, full = np.zeros((3, 4), dtype=np.bool_), np.ones((3, 4), dtype=np.bool_)
    assert match(empty, empty, 3).f1 is None
    assert match(empty, full, 3).f1 == match(full, empty, 3).f1 == 0.0
    assert match(full, full, 3, ignored_HW=full) == Matches()


def test_what_cannot_be_compared_is_refused() -> None:
    mask = np.zeros((3, 4), dtype=np.bool_)
    with pytest.raises(SegError, match="prediction: expected a bool mask"):
        match(np.zeros((3, 4), dtype=np.uint8), mask, 3)
    with pytest.raises(SegError, match=r"prediction: expected a bool mask .* got bool \(4, 3\)"):
        match(mask.T, mask, 3)
    with pytest.raises(SegError, match="at least 0"):
        match(mask, mask, -1)
