"""A contact sheet of labelled frames: the quickest way to see that labels fit their frames."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from seg.classes import IGNORE
from seg.data.base import LabelledData, Sample
from seg.draw import grid, label, legend, overlay
from seg.errors import SegError
from seg.geometry import fit_map
from seg.labels import LabelSpace

WIDTH = 480
"""Width of each picture on the sheet, in pixels."""


def contact_sheet(data: LabelledData, count: int = 12, columns: int = 3) -> npt.NDArray[np.uint8] | None:
    """Frames from every source with their labels painted on, and a legend: uint8 RGB, or None if none can be read.

    Args:
        data: where the frames come from.
        count: how many to show, spread evenly within each source; every source shows at least one.
        columns: pictures in a row.
    """
    tiles: list[npt.NDArray[np.uint8]] = []
    values: set[int] = set()
    for index in _spread(data, count):
        try:
            sample = data.sample(index)
        except SegError:
            continue  # the audit has told of it
        values |= set(np.unique(sample.label_HW).tolist()) - {IGNORE}
        tiles.append(_tile(sample, data.space))
    if not tiles:
        return None
    shown = sorted(values)
    names = [data.space.name(value) for value in shown]
    return legend(grid(tiles, columns), names, data.space.palette_S3[shown])


def _spread(data: LabelledData, count: int) -> list[int]:
    indices: list[int] = []
    start = 0
    share = max(1, count // len(data.readers))
    for reader in data.readers:
        places = np.linspace(0, len(reader) - 1, num=min(share, len(reader)))
        indices += [start + int(place) for place in places]
        start += len(reader)
    return indices


def _tile(sample: Sample, space: LabelSpace) -> npt.NDArray[np.uint8]:
    height, width = sample.label_HW.shape
    size = (max(1, round(height * WIDTH / width)), WIDTH)
    small = cv2.resize(sample.frame_HWC, size[::-1], interpolation=cv2.INTER_AREA)
    painted = overlay(np.asarray(small, dtype=np.uint8), fit_map(sample.label_HW, size), space.palette_S3)
    return label(painted, f"{sample.dataset} {sample.name}")
