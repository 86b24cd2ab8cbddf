"""A camera that has frozen: each frame by itself looks like any other, but it repeats the one before it, again and again.

A live camera never repeats itself: even a parked one has its sensor's noise. Compare raw frames, or nearly so: an encoder
drops the noise of a scene in which nothing moves, and of such a video nobody can tell a still scene from a frozen camera.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

RUN = 10
"""How many repeats in a row make a camera frozen. A film at 12 frames/s that is played at 60 repeats four at most."""

REPEATED = 0.05
"""The mean absolute difference, in grey levels, up to which a frame repeats the one before: one value in twenty is off by
one. Measured: 2.5 and more between frames of `highway.mp4`, 0.18 for a still scene with noise of 0.3 grey levels, under
0.03 for one picture sent again and again through H.264."""

_ROWS = 48


class FrozenCamera:
    """Called with a camera's frames one after the other; says of each whether the camera is frozen.

    Looks at 48 rows of pixels: whole rows are read fast, and noise is in all of them.
    """

    def __init__(self) -> None:
        self._rows: npt.NDArray[np.uint8] | None = None
        self._repeats = 0
        self._forgives = False

    def __call__(self, rgb_HWC: npt.NDArray[np.uint8]) -> bool:
        """True from the RUN-th repeat on, until the picture changes.

        One change between repeats is passed over once the camera is frozen: a frozen picture that is coded anew, at a key
        frame, differs from its last copy. So the first frame after a freeze counts to it as well.

        Args:
            rgb_HWC: uint8 RGB. A frame of another size repeats nothing.
        """
        step = max(1, rgb_HWC.shape[0] // _ROWS)
        rows, before = rgb_HWC[step // 2 :: step].copy(), self._rows  # a copy: some cameras fill one buffer again
        self._rows = rows
        if before is not None and before.shape == rows.shape and _difference(before, rows) <= REPEATED:
            self._repeats += 1
            self._forgives = self._repeats >= RUN
        elif self._forgives:
            self._forgives = False
        else:
            self._repeats = 0
        return self._repeats >= RUN


def _difference(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    return float(cv2.norm(a, b, cv2.NORM_L1)) / a.size
