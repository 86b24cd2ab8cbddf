"""How well thin things are found when a few pixels of displacement are forgiven.

On a line of three pixels, one pixel of displacement halves the IoU. So lane markings are also measured with a tolerance,
as edges are: a predicted pixel is right if the label has one within the tolerance, and a labelled pixel is found if the
prediction has one. Distances are Euclidean, between pixel centres. The two counts are divided by two different totals,
so they are kept apart, and summed over frames before any ratio is formed.

The measure is that of boundary detection (Martin, Fowlkes, Malik, 2004; the boundary F of DAVIS, Perazzi et al., 2016),
with distances in place of their one-to-one matching, and on whole masks in place of outlines.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from seg.errors import SegError

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Matches:
    """Pixels of two masks that lie near each other; sums over frames are sums of these.

    Attributes:
        right: predicted pixels that have a labelled one within the tolerance.
        predicted: all predicted pixels.
        found: labelled pixels that have a predicted one within the tolerance.
        labelled: all labelled pixels.
    """

    right: int = 0
    predicted: int = 0
    found: int = 0
    labelled: int = 0

    def __add__(self, other: Matches) -> Matches:
        return Matches(
            self.right + other.right,
            self.predicted + other.predicted,
            self.found + other.found,
            self.labelled + other.labelled,
        )

    @property
    def precision(self) -> float | None:
        """Share of the predicted pixels that are right; None if there are none."""
        return self.right / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """Share of the labelled pixels that are found; None if there are none."""
        return self.found / self.labelled if self.labelled else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the two; 0 if only one mask is empty, None if both are."""
        precision, recall = self.precision, self.recall
        if precision is None and recall is None:
            return None
        return 2 * precision * recall / (precision + recall) if precision and recall else 0.0


def match(predicted_HW: Mask, labelled_HW: Mask, tolerance: float, ignored_HW: Mask | None = None) -> Matches:
    """Count which pixels of two masks lie within `tolerance` pixels of the other.

    Args:
        predicted_HW: bool, where the prediction says so.
        labelled_HW: bool of the same shape, where the label says so.
        tolerance: the largest distance that is forgiven, in pixels, at least 0.
        ignored_HW: bool, where the label says nothing: pixels there are not counted, though a predicted one there may
            be what finds a labelled pixel beside it.

    Raises:
        SegError: if the masks are not bool arrays (H, W) of one shape, or the tolerance is negative.
    """
    if ignored_HW is None:
        ignored_HW = np.zeros_like(labelled_HW)
    for name, mask in (("prediction", predicted_HW), ("label", labelled_HW), ("ignored pixels", ignored_HW)):
        if mask.dtype != np.bool_ or mask.ndim != 2 or mask.shape != labelled_HW.shape:
            raise SegError(
                f"{name}: expected a bool mask of the label's shape {labelled_HW.shape}, got {mask.dtype} {mask.shape}"
            )
    if not tolerance >= 0:
        raise SegError(f"expected a tolerance of at least 0 pixels, got {tolerance}")
    counted_HW = predicted_HW & ~ignored_HW
    wanted_HW = labelled_HW & ~ignored_HW
    return Matches(
        right=int((counted_HW & _within(wanted_HW, tolerance)).sum()),
        predicted=int(counted_HW.sum()),
        found=int((wanted_HW & _within(predicted_HW, tolerance)).sum()),
        labelled=int(wanted_HW.sum()),
    )


def _within(mask_HW: Mask, tolerance: float) -> Mask:
    """The pixels at most `tolerance` pixels from one of the mask's."""
    if not mask_HW.any():  # a distance to nothing is not defined
        return np.zeros_like(mask_HW)
    distance_HW = cv2.distanceTransform((~mask_HW).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # squares are whole numbers below the frame's size: rounding them undoes the float32 of the root
    return np.asarray(np.rint(distance_HW.astype(np.float64) ** 2) <= tolerance**2)
