"""Entropy coding of a frame's quantised code: integers to few bytes and back, exactly.

What a value may be is told from its neighbours that both sides know already, as in lossless image coding (Weinberger et al.,
The LOCO-I lossless image compression algorithm, 2000): a mean from the values to the left and above, a spread from how far off
those were and from how far off the channel was so far. So nothing about the channels has to be sent. Mean and spread choose a
quantised Laplace distribution, and a range coder turns each value into -log2 of its probability bits (the library constriction;
Bamler, Understanding Entropy Coding With Asymmetric Numeral Systems, 2022).

Both sides must choose the same distributions, whatever their machines: all of the choice is integer arithmetic, and spreads
are of a fixed list.

Shape suffixes: K code channels, H and W height and width of the code, N values.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.errors import SegError

Integers = npt.NDArray[np.int64]

LARGEST = 2**31 - 1
"""Values are in -LARGEST..LARGEST."""

ESCAPE = 255
"""A value at least this far from what is expected of it is sent as this, and then by how much it is farther."""

DIGIT, DIGITS = 4096, 3
"""That is sent in digits of this base, so many of them: enough for any difference of two values and their weighted sums."""

EIGHTH = 8
"""Means and differences from them are counted in eighths."""

WEIGHT = 3
"""What is known of a channel beforehand counts as much as so many places of it."""

SPREADS = np.array([digit * 2**power for power in range(22) for digit in (8, 10, 12, 14)], dtype=np.int64)
"""The spreads of Laplace distributions in 256ths: four an octave."""

LEAST = 13
"""Added to each spread, in 256ths: where all neighbours were met exactly, the next value may still differ."""


def pack(values_KHW: npt.NDArray[np.integer], expected_K: npt.NDArray[np.integer]) -> bytes:
    """The values as bytes.

    Args:
        values_KHW: in -LARGEST..LARGEST.
        expected_K: how far each channel's values are expected to be from 0, in eighths, 0..LARGEST: a rough guess will do.
    """
    assert values_KHW.size == 0 or np.abs(values_KHW).max() <= LARGEST
    stream = _constriction()
    encoder = stream.queue.RangeEncoder()
    laplace, uniform = _models(stream)
    values_HWK = np.ascontiguousarray(values_KHW.transpose(1, 2, 0)).astype(np.int64)

    def code(row: int, column: int, whole_K: Integers, parameters: Any) -> Integers:
        values_K: Integers = values_HWK[row, column]
        difference_K = values_K - whole_K
        sent_K = difference_K.clip(-ESCAPE, ESCAPE)
        encoder.encode(sent_K.astype(np.int32), laplace, *parameters)
        farther_N = np.abs(difference_K - sent_K)[np.abs(sent_K) == ESCAPE]
        if farther_N.size:
            digits_ND = farther_N[:, None] // DIGIT ** np.arange(DIGITS) % DIGIT
            encoder.encode(digits_ND.astype(np.int32).ravel(), uniform)
        return values_K

    _visit(values_KHW.shape, expected_K, code)
    return bytes(encoder.get_compressed().astype("<u4").tobytes())


def unpack(data: bytes, shape: tuple[int, int, int], expected_K: npt.NDArray[np.integer]) -> Integers:
    """The values that `pack` was given, int64 of `shape` (K, H, W).

    Args:
        data: what `pack` answered.
        shape: (K, H, W).
        expected_K: as `pack` was given it.

    Raises:
        SegError: if the data cannot be what `pack` made. Most damage makes other values, unnoticed: check a sum of them.
    """
    if len(data) % 4:
        raise SegError(f"expected whole words of 4 bytes, got {len(data)} bytes")
    stream = _constriction()
    decoder = stream.queue.RangeDecoder(np.frombuffer(data, dtype="<u4").astype(np.uint32))
    laplace, uniform = _models(stream)
    values_HWK = np.zeros((*shape[1:], shape[0]), dtype=np.int64)

    def code(row: int, column: int, whole_K: Integers, parameters: Any) -> Integers:
        sent_K = decoder.decode(laplace, *parameters).astype(np.int64)
        escaped_K = np.abs(sent_K) == ESCAPE
        if escaped_K.any():
            digits_ND = decoder.decode(uniform, DIGITS * int(escaped_K.sum())).astype(np.int64).reshape(-1, DIGITS)
            sent_K[escaped_K] += np.sign(sent_K[escaped_K]) * (digits_ND * DIGIT ** np.arange(DIGITS)).sum(axis=1)
        # values that no `pack` was given would grow without end from one place to the next
        values_HWK[row, column] = (whole_K + sent_K).clip(-LARGEST, LARGEST)
        return np.asarray(values_HWK[row, column])

    try:
        _visit(shape, expected_K, code)
    except AssertionError as error:  # constriction's way to refuse data
        raise SegError(f"the range coder cannot read the data ({error})") from None
    return values_HWK.transpose(2, 0, 1)


def _visit(
    shape: tuple[int, ...],
    expected_K: npt.NDArray[np.integer],
    code: Callable[[int, int, Integers, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]], Integers],
) -> None:
    """Go over all places, row by row, all channels of a place at once; the same for both sides.

    `code` is given row, column, the whole part of the mean (K,), and the Laplace distributions' parameters: means of the
    difference from it (0 to 7/8) and spreads. It answers with the values there (K,).
    """
    channels, height, width = shape
    # of each place the values, and how far they were from their means in eighths
    known_HW2K = np.zeros((height, width, 2, channels), dtype=np.int64)
    seen, total_K = WEIGHT, WEIGHT * expected_K.astype(np.int64)
    for row in range(height):
        for column in range(width):
            west, north, northwest, northeast = _around(known_HW2K, row, column)
            # 0.9 of the neighbours' mean: values tend towards 0, the mean of frames seen in training
            mean_K = (3 * west[0] + 3 * north[0] - northwest[0] + northeast[0]) * 6 // 5
            near_K = 2 * west[1] + 2 * north[1] + northwest[1] + northeast[1]
            # a quarter from the neighbours (a sum of 6), the rest from all places so far; eighths are 32 256ths
            spread_K = 32 * near_K // 24 + 24 * total_K // seen + LEAST
            spread_K = SPREADS[np.searchsorted(SPREADS, spread_K, side="right") - 1]
            whole_K = mean_K // EIGHTH
            parameters = (mean_K % EIGHTH) / EIGHTH, spread_K / 256
            values_K = code(row, column, whole_K, parameters)
            error_K = np.abs(values_K * EIGHTH - mean_K)
            known_HW2K[row, column] = values_K, error_K
            total_K += error_K
            seen += 1


def _around(known_HW2K: Integers, row: int, column: int) -> tuple[Integers, Integers, Integers, Integers]:
    """What is known to the left, above, above to the left and above to the right; over a border, what is nearest."""
    if row == 0:
        west = known_HW2K[0, max(0, column - 1)]  # at the first place of all, zeros
        return west, west, west, west
    north = known_HW2K[row - 1, column]
    west = known_HW2K[row, column - 1] if column else north
    northwest = known_HW2K[row - 1, column - 1] if column else north
    northeast = known_HW2K[row - 1, column + 1] if column + 1 < known_HW2K.shape[1] else north
    return west, north, northwest, northeast


def _models(stream: ModuleType) -> tuple[Any, Any]:
    """The family of Laplace distributions, and the one of digits."""
    return stream.model.QuantizedLaplace(-ESCAPE, ESCAPE), stream.model.Uniform(DIGIT)


def _constriction() -> ModuleType:
    try:
        import constriction
    except ImportError:
        raise SegError(
            "constriction is not installed, which coding frames needs; install segmentation-autoencoder[codes]"
        ) from None
    stream: ModuleType = constriction.stream
    return stream
