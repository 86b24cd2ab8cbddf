"""A camera frame: the unit that flows from sources to sinks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture with its place in the stream.

    Attributes:
        rgb_HWC: uint8 RGB pixels.
        index: position in the stream, from 0.
        time_ns: presentation time in nanoseconds; index x period for sources without a clock.
        source: where it came from, for messages and statistics.
    """

    rgb_HWC: npt.NDArray[np.uint8]
    index: int
    time_ns: int
    source: str
