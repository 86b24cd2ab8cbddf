"""ClassMix (Olsson et al., WACV 2021) within a labelled batch: half of one sample's classes are pasted onto another."""

from __future__ import annotations

import torch
from torch import Tensor

from seg.classes import IGNORE


def mix_classes(rgb_B3HW: Tensor, labels_BHW: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Paste, onto about `share` of the samples, the pixels of half of the label values of the sample before.

    Torch's global generator decides. Ignored pixels are never pasted.

    Args:
        rgb_B3HW: uint8.
        labels_BHW: uint8 label values, 255 for ignore.
        share: 0 to 1.
    """
    if share == 0:
        return rgb_B3HW, labels_BHW
    batch = len(labels_BHW)
    chosen_BV = (torch.rand(batch, IGNORE + 1) < 0.5) & (torch.rand(batch, 1) < share)
    chosen_BV[:, IGNORE] = False
    donor_rgb_B3HW, donor_BHW = rgb_B3HW.roll(1, 0), labels_BHW.roll(1, 0)
    flat_BP = donor_BHW.flatten(1).long()
    pasted_BHW = chosen_BV.to(labels_BHW.device).gather(1, flat_BP).view_as(donor_BHW)
    return (
        torch.where(pasted_BHW.unsqueeze(1), donor_rgb_B3HW, rgb_B3HW),
        torch.where(pasted_BHW, donor_BHW, labels_BHW),
    )
