"""The page of `seg inspect`: what `seg.model.inspection` found, as one picture.

Shape suffixes: those of `seg.model.inspection`.
"""

from __future__ import annotations

import cv2
import numpy as np

from seg.draw import Picture, grid
from seg.model.inspection import BINS, PAPER, RAISE, Activity, Filters, Floats

_INK = (255, 255, 255)
_TILE, _FILTER, _LINE, _TEXT, _GAP, _WIDTH = 96, 54, 20, 150, 4, 850
"""Pixels: a patch's side, a filter's, a line of text, the width of a row's text, between pictures, the least width."""


def draw_page(
    title: str,
    filters: Filters,
    activity: Activity,
    patches: dict[int, list[Picture]],
    decoded: dict[int, Floats],
) -> Picture:
    """One page, uint8 RGB: the filters by orientation (those without a clear one last), then a row for each channel.

    Args:
        title: the first line, ASCII.
        filters: from `first_filters`.
        activity: from `observe`.
        patches: what to show of each channel, in this order; no channel has more than `activity` kept.
        decoded: what each channel decodes to; empty where the network has no reconstruction decoder.
    """
    around_F = (filters.degrees_F + 90 / BINS) % 180  # 179 degrees stand beside 0, in one bin
    order = np.lexsort((around_F, ~filters.clear_F)).tolist()
    tiles = [_filter_tile(filters, number) for number in order]
    slots = activity.values_KN.shape[1]
    width = max(_WIDTH, _TEXT + (slots + bool(decoded)) * (_TILE + _GAP))
    shown = (
        f"{len(patches)} of {len(activity.mean_K)} code channels: the patches of {activity.frames} frames that excite "
    )
    shown += "each most" + (f", and what it decodes to (raised by up to {RAISE:g} sd)" if decoded else "")
    rows = [
        _strip(width, title),
        _strip(width, f"First-layer filters, orientation in degrees: {describe(filters)}"),
        grid(tiles, (width + _GAP) // (tiles[0].shape[1] + _GAP), _GAP),
        _strip(width, shown),
        *(_channel_row(activity, channel, some, decoded.get(channel)) for channel, some in patches.items()),
    ]
    page = np.full((sum(row.shape[0] + _GAP for row in rows), width, 3), PAPER, dtype=np.uint8)
    top = 0
    for row in rows:
        page[top : top + row.shape[0], : row.shape[1]] = row
        top += row.shape[0] + _GAP
    return page


def describe(filters: Filters) -> str:
    """How many filters have a clear orientation, and in how many bins, in a line."""
    clear, count = int(filters.clear_F.sum()), len(filters.clear_F)
    return f"{clear} of {count} ({clear / count:.0%}, chance 5%) are clear, in {len(filters.bins)} of {BINS} bins"


def signed_picture(values_3HW: Floats) -> Picture:
    """Signed values as uint8 RGB (H, W, 3): grey is 0, the largest magnitude reaches the end of the scale."""
    largest = max(float(np.abs(values_3HW).max()), np.finfo(np.float64).tiny)
    return np.asarray((128 + 127 * values_3HW / largest).round(), dtype=np.uint8).transpose(1, 2, 0)


def _filter_tile(filters: Filters, number: int) -> Picture:
    picture = _enlarged(signed_picture(filters.weights_F3HW[number]), _FILTER)
    text = f"{filters.degrees_F[number]:.0f}" if filters.clear_F[number] else "-"
    return np.concatenate([picture, _strip(picture.shape[1], text)])


def _channel_row(activity: Activity, channel: int, patches: list[Picture], decoded: Floats | None) -> Picture:
    texts = [
        f"channel {channel}",
        f"mean {activity.mean_K[channel]:.3g}",
        f"zero {activity.zeros_K[channel]:.1%}",
        "" if decoded is None else f"decodes to +-{np.abs(decoded).max():.0f}",
    ]
    words = np.concatenate([_strip(_TEXT - _GAP, text) for text in texts])
    blank = np.full((_TILE, _TILE, 3), PAPER, dtype=np.uint8)
    tiles = [_enlarged(patch, _TILE) for patch in patches]
    tiles += [blank] * (activity.values_KN.shape[1] - len(tiles))
    if decoded is not None:
        tiles.append(_enlarged(signed_picture(decoded), _TILE))
    pictures = grid(tiles, len(tiles), _GAP)
    row = np.full((max(words.shape[0], pictures.shape[0]), _TEXT + pictures.shape[1], 3), PAPER, dtype=np.uint8)
    row[: words.shape[0], : words.shape[1]] = words
    row[: pictures.shape[0], _TEXT:] = pictures
    return row


def _enlarged(picture_HWC: Picture, side: int) -> Picture:
    """By nearest neighbour and a whole factor, to about `side` pixels."""
    factor = max(1, side // max(picture_HWC.shape[:2]))
    return picture_HWC.repeat(factor, axis=0).repeat(factor, axis=1)


def _strip(width: int, text: str) -> Picture:
    strip = np.full((_LINE, width, 3), PAPER, dtype=np.uint8)
    cv2.putText(strip, text, (3, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
    return strip
