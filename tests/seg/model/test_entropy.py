"""Integers to few bytes and back: exactly, for whatever is given, and near to what theory allows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seg.errors import SegError
from seg.model.entropy import ESCAPE, LARGEST, pack, unpack

EDGES = [edge + near for edge in (0, ESCAPE, -ESCAPE, 4096, 2**24, 2**30) for near in (-1, 0, 1)] + [LARGEST, -LARGEST]
values = st.one_of(st.integers(-3, 3), st.sampled_from(EDGES), st.integers(-LARGEST, LARGEST))
shapes = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))
many = settings(max_examples=100, deadline=None, derandomize=True)


def there_and_back(values_KHW, expected_K):
    data = pack(values_KHW, expected_K)
    np.testing.assert_array_equal(unpack(data, values_KHW.shape, expected_K), values_KHW)
    return data


@st.composite
def codes(draw):
    """Integers, some of their channels all alike, and an expectation that need not fit them."""
    shape = draw(shapes)
    made_KHW = draw(arrays(np.int64, shape, elements=values, fill=st.integers(-1, 1)))
    for channel in draw(st.sets(st.integers(0, shape[0] - 1))):
        made_KHW[channel] = draw(values)
    return made_KHW, draw(arrays(np.int64, shape[0], elements=st.one_of(st.integers(0, 40), st.just(LARGEST))))


@many
@given(codes())
def test_what_is_unpacked_is_what_was_packed(code):
    there_and_back(*code)


@many
@given(shapes, st.binary(max_size=60))
def test_other_data_are_integers_or_refused(shape, data):
    try:
        found_KHW = unpack(data, shape, np.zeros(shape[0], dtype=np.int64))
    except SegError:
        return
    assert found_KHW.shape == shape
    assert np.abs(found_KHW).max() <= LARGEST


def test_the_format_stays_as_it_is():
    made_KHW = np.array([[[0, 1, -2], [300, 4, 0]], [[7, 7, 7], [7, 7, 7]]])
    assert there_and_back(made_KHW, np.array([8, 50])).hex() == "ad5474b4e9726a6464b3016f6ed6db09"


def test_zeros_cost_nothing():
    assert len(there_and_back(np.zeros((128, 23, 30), dtype=np.int64), np.zeros(128, dtype=np.int64))) <= 8


@pytest.mark.parametrize("spread", [0.3, 2.0, 30.0])
def test_independent_values_cost_their_entropy(spread):
    generator = np.random.default_rng(0)
    made_KHW = np.rint(generator.laplace(0, spread, (16, 30, 40))).astype(np.int64)
    at_N = np.arange(-2000, 2001)
    below_N = np.where(at_N < 0.5, 0.5 * np.exp((at_N - 0.5).clip(max=0) / spread), 0)
    below_N = np.where(at_N >= 0.5, 1 - 0.5 * np.exp(-(at_N - 0.5).clip(min=0) / spread), below_N)
    share_N = np.diff(below_N)
    bits = -(share_N[share_N > 0] * np.log2(share_N[share_N > 0])).sum() * made_KHW.size
    cost = 8 * len(there_and_back(made_KHW, np.full(16, round(8 * spread))))
    # the neighbours, which tell nothing here, are asked in vain
    assert 0.98 * bits < cost < 1.3 * bits


def test_what_neighbours_tell_is_not_paid_for():
    noise_KHW = np.random.default_rng(0).normal(size=(8, 46, 54))
    kernel = np.ones(15) / 15
    smooth_KHW = np.apply_along_axis(np.convolve, 2, np.apply_along_axis(np.convolve, 1, noise_KHW, kernel), kernel)
    made_KHW = np.rint(8 * smooth_KHW / smooth_KHW.std()).astype(np.int64)
    mixed_KHW = np.random.default_rng(1).permuted(made_KHW.reshape(8, -1), axis=1).reshape(made_KHW.shape)
    expected_K = np.full(8, 64)
    assert len(there_and_back(made_KHW, expected_K)) < 0.7 * len(there_and_back(mixed_KHW, expected_K))


def test_a_wrong_expectation_costs_little():
    made_KHW = np.rint(np.random.default_rng(0).laplace(0, 3, (8, 30, 40))).astype(np.int64)
    right, wrong = (len(there_and_back(made_KHW, np.full(8, guess))) for guess in (24, 4000))
    assert right < wrong < 1.1 * right


def test_data_that_are_no_words():
    with pytest.raises(SegError, match="words of 4 bytes, got 5"):
        unpack(b"12345", (1, 1, 1), np.zeros(1, dtype=np.int64))
