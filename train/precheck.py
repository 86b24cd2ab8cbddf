"""What is looked at before the first step, so that no run ends hours later for what could be seen at once."""

from __future__ import annotations

from itertools import chain

import numpy as np

from seg.config import AugmentConfig
from seg.data.base import LabelledData
from seg.errors import SegError
from seg.metrics import Confusion

LOOKED_AT = 16
"""How many validation frames are read with their labels, evenly spread."""

SQUEEZE = 1.25
"""How much narrower or flatter than they are validation may show things, where training shows them as they are."""


def check_validation(val: LabelledData) -> None:
    """Read some validation frames with their labels, and as many more as it takes to find one to measure a network on.

    Raises:
        SegError: for a file that cannot be read, a label that nobody mapped, or frames on which any network is as good as
            any other.
    """
    confusion = Confusion(val.space)
    spread = val.spread(LOOKED_AT)
    others = (index for index in range(len(val)) if index not in spread)
    for place, index in enumerate(chain(spread, others), start=1):
        label_HW = val.sample(index).label_HW
        confusion.update(label_HW, np.zeros_like(label_HW))
        if place >= len(spread) and confusion.report(val.label_sets).mean_iou is not None:
            return
    raise SegError(
        "no pixel of the validation frames has a label that tells one class from the others, so no network could be "
        "measured on them; `seg data check` shows what the label files make of them"
    )


def unseen_scale(augment: AugmentConfig, frame: tuple[int, int], size: tuple[int, int]) -> str | None:
    """What to say where validation shows things as training never does, larger, smaller or squeezed; None where it does not.

    Args:
        augment: of the run.
        frame: (height, width) of a validation frame; training's are taken to be as large.
        size: (height, width) at which validation shows it to the network.
    """
    fill = max(augment.crop[0] / frame[0], augment.crop[1] / frame[1])
    low, high = (fill * bound for bound in augment.scale)

    def fits(size: tuple[int, int]) -> bool:
        tall, wide = size[0] / frame[0], size[1] / frame[1]
        within = 0.95 * low <= min(tall, wide) and max(tall, wide) <= 1.05 * high
        return within and max(tall, wide) <= SQUEEZE * min(tall, wide)

    if fits(size):
        return None
    usual = fill * min(max(1.0, augment.scale[0]), augment.scale[1])
    proposed = (8 * round(usual * frame[0] / 8), 8 * round(usual * frame[1] / 8))
    advice = f"; val_size=[{proposed[0]},{proposed[1]}] would fit" if fits(proposed) else ""
    return (
        f"validation shows frames of {frame[1]}x{frame[0]} as {size[1]}x{size[0]}, which training never does: there they are "
        f"{low:.2f} to {high:.2f} times their size (augment.crop, augment.scale) and keep their shape{advice}"
    )
