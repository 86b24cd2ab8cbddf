"""Losses on label maps of sets (contract 2 of the design). Shape suffixes: B batch, C classes, S label values.

A label value s stands for a set of classes. Its pixel's loss is the negative log of the summed probability of the set:
cross-entropy exactly for a set of one, zero for the full set. It is the marginal likelihood of a partial label
(Jin and Ghahramani, Learning with Multiple Labels, NIPS 2002).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg.classes import IGNORE
from seg.config import LossConfig
from seg.labels import LabelSpace


def set_cross_entropy(logits_BCHW: Tensor, labels_BHW: Tensor, member_SC: Tensor) -> Tensor:
    """Negative log of the summed probability of each pixel's set, float (B, H, W); 0 where the label is ignore.

    Args:
        logits_BCHW: float.
        labels_BHW: label values, uint8 or int64: 0..S-1, or 255 for ignore.
        member_SC: bool, whether class c is in set s; the first C rows are the single classes.
    """
    classes = logits_BCHW.shape[1]
    labels_BHW = labels_BHW.long()
    log_probability_BCHW = F.log_softmax(logits_BCHW.float(), dim=1)
    single_BHW = torch.where(labels_BHW < classes, labels_BHW, IGNORE)
    loss_BHW = F.nll_loss(log_probability_BCHW, single_BHW, ignore_index=IGNORE, reduction="none")
    # only the few larger sets need the sum, and only on the pixels that carry them
    for value in range(classes, len(member_SC)):
        mask_BHW = labels_BHW == value
        if mask_BHW.any():
            members_PM = log_probability_BCHW.movedim(1, -1)[mask_BHW][:, member_SC[value]]
            loss_BHW = loss_BHW.masked_scatter(mask_BHW, -torch.logsumexp(members_PM, dim=1))
    return loss_BHW


def known_targets(labels_BHW: Tensor, member_SC: Tensor) -> tuple[Tensor, Tensor]:
    """What a label says about each class: its target (float 0 or 1) and whether it says anything (float), (B, C, H, W).

    A class outside the pixel's set is known to be absent; the only member is known to be present; of several members
    none is known. Ignored pixels say nothing.
    """
    valid_BHW = labels_BHW != IGNORE
    index_BHW = torch.where(valid_BHW, labels_BHW.long(), 0)
    member_BCHW = member_SC[index_BHW].movedim(-1, 1)
    single_B1HW = (member_SC.sum(1) == 1)[index_BHW].unsqueeze(1)
    known_BCHW = (single_B1HW | ~member_BCHW) & valid_BHW.unsqueeze(1)
    return member_BCHW.float() * known_BCHW, known_BCHW.float()


def dice_loss(
    logits_BCHW: Tensor, labels_BHW: Tensor, member_SC: Tensor, sum_all: Callable[[Tensor], Tensor] = lambda own: own
) -> Tensor:
    """1 - Dice over the batch, the mean of the classes that the labels show (Milletari et al., V-Net, 2016).

    `sum_all` adds what other processes have of the batch to a sum, differentiably.
    """
    target_BCHW, known_BCHW = known_targets(labels_BHW, member_SC)
    probability_BCHW = logits_BCHW.float().softmax(1) * known_BCHW
    shown_C = target_BCHW.sum((0, 2, 3))
    sums_3C = torch.stack([(probability_BCHW * target_BCHW).sum((0, 2, 3)), probability_BCHW.sum((0, 2, 3)), shown_C])
    overlap_C, claimed_C, shown_C = sum_all(sums_3C)
    total_C = claimed_C + shown_C
    present_C = shown_C > 0
    if not present_C.any():
        return logits_BCHW.sum() * 0.0
    return (1 - 2 * overlap_C / total_C.clamp_min(1e-6))[present_C].mean()


def lovasz_loss(logits_BCHW: Tensor, labels_BHW: Tensor, member_SC: Tensor) -> Tensor:
    """Lovasz-softmax over the batch, the mean of the classes that the labels show (Berman et al., 2018)."""
    target_BCHW, known_BCHW = known_targets(labels_BHW, member_SC)
    probability_BCHW = logits_BCHW.float().softmax(1)
    losses = []
    for channel in range(logits_BCHW.shape[1]):
        known_BHW = known_BCHW[:, channel] > 0
        target_P = target_BCHW[:, channel][known_BHW]
        if target_P.sum() == 0:
            continue
        error_P = (target_P - probability_BCHW[:, channel][known_BHW]).abs()
        error_P, order_P = error_P.sort(descending=True)
        losses.append(torch.dot(error_P, _lovasz_gradient(target_P[order_P])))
    return torch.stack(losses).mean() if losses else logits_BCHW.sum() * 0.0


def _lovasz_gradient(sorted_P: Tensor) -> Tensor:
    """Gradient of the Lovasz extension of the Jaccard loss at errors sorted from large to small (algorithm 1)."""
    positives = sorted_P.sum()
    union_P = positives + (1 - sorted_P).cumsum(0)
    jaccard_P = 1 - (positives - sorted_P.cumsum(0)) / union_P
    return torch.cat([jaccard_P[:1], jaccard_P[1:] - jaccard_P[:-1]])


class SegmentationLoss(nn.Module):
    """Weighted set cross-entropy plus the configured region losses.

    Args:
        config: which losses, how strong.
        space: the label values.
        weight_S: float, the weight of each label value (see `value_weights`).
        sum_all: adds up over processes, differentiably, so that Dice is that of the whole batch.
    """

    member_SC: Tensor
    weight_S: Tensor

    def __init__(
        self,
        config: LossConfig,
        space: LabelSpace,
        weight_S: Tensor,
        sum_all: Callable[[Tensor], Tensor] = lambda own: own,
    ) -> None:
        super().__init__()
        self.sum_all = sum_all
        self.config = config
        self.register_buffer("member_SC", torch.from_numpy(space.member_SC), persistent=False)
        # one row more, so that ignore looks up a weight of 0
        padded = torch.zeros(IGNORE + 1)
        padded[: len(weight_S)] = weight_S
        self.register_buffer("weight_S", padded, persistent=False)

    def total_weight(self, labels_BHW: Tensor) -> Tensor:
        """The summed weight of the labelled pixels: what `forward`'s sum is divided by, over the whole batch."""
        return self.weight_S[labels_BHW.long()].sum()

    def forward(self, logits_BCHW: Tensor, labels_BHW: Tensor, total_weight: Tensor) -> Tensor:
        """The loss of a part of a batch whose whole weighs `total_weight`; the parts' losses add up to the batch's.

        Region losses are not sums over pixels: Dice is taken over this part in all processes, Lovasz over this part in
        this process, each weighted by the part's share of the whole.
        """
        weight_BHW = self.weight_S[labels_BHW.long()]
        loss_BHW = set_cross_entropy(logits_BCHW, labels_BHW, self.member_SC)
        if self.config.label_smoothing:
            uniform_BHW = -F.log_softmax(logits_BCHW.float(), dim=1).mean(1)
            loss_BHW = torch.lerp(loss_BHW, uniform_BHW, self.config.label_smoothing)
        total_weight = total_weight.clamp_min(1e-6)
        loss = (loss_BHW * weight_BHW).sum() / total_weight
        share = weight_BHW.sum() / total_weight
        step = self.config.region_step
        logits_BCHW, labels_BHW = logits_BCHW[..., ::step, ::step], labels_BHW[..., ::step, ::step]
        if self.config.dice:
            loss = loss + self.config.dice * share * dice_loss(logits_BCHW, labels_BHW, self.member_SC, self.sum_all)
        if self.config.lovasz:
            loss = loss + self.config.lovasz * share * lovasz_loss(logits_BCHW, labels_BHW, self.member_SC)
        return loss

    def auxiliary(self, logits: Sequence[Tensor], labels_BHW: Tensor, total_weight: Tensor) -> Tensor:
        """The weighted cross-entropy of coarser logits (B, C, h, w), each with the labels at its own size.

        That is the label at each coarse pixel's middle, and ignore where the network has padded the frame. It is scaled
        as if each coarse pixel stood for those of the frame that it covers, so parts add up here too.
        """
        loss = total_weight.new_zeros(())
        for logits_BCHW in logits:
            height, width = logits_BCHW.shape[-2:]
            # the padded frame's size by a power of two
            stride = 2 ** math.ceil(math.log2(max(labels_BHW.shape[1] / height, labels_BHW.shape[2] / width)))
            coarse_BHW = labels_BHW[:, stride // 2 :: stride, stride // 2 :: stride].long()
            missing = (0, width - coarse_BHW.shape[2], 0, height - coarse_BHW.shape[1])
            coarse_BHW = F.pad(coarse_BHW, missing, value=IGNORE)
            loss_BHW = set_cross_entropy(logits_BCHW, coarse_BHW, self.member_SC) * self.weight_S[coarse_BHW]
            loss = loss + stride**2 * loss_BHW.sum()
        return self.config.auxiliary * loss / total_weight.clamp_min(1e-6)


def value_weights(pixels_S: Tensor, space: LabelSpace, power: float) -> Tensor:
    """The weight of each label value from measured pixel counts: share^-power, scaled to a mean of 1 over pixels.

    A class's share counts a larger set's pixels in proportion to what is known of its members' shares; a larger set
    weighs what its members weigh on average over pixels, so that a rare member does not blow up a common set.
    """
    member_SC = torch.from_numpy(space.member_SC).double()
    classes = member_SC.shape[1]
    pixels_S = pixels_S.double()
    share_C = pixels_S[:classes] + 1.0  # a class that never stands alone keeps a tiny share, not an infinite weight
    spread_SC = member_SC[classes:] * share_C
    share_C = share_C + (spread_SC / spread_SC.sum(1, keepdim=True) * pixels_S[classes:, None]).sum(0)
    share_C = share_C / share_C.sum()
    # no class weighs more than one of a thousandth of the pixels would
    weight_C = share_C.clamp_min(1e-3) ** -power
    mixed_SC = member_SC * share_C
    weight_S = (mixed_SC / mixed_SC.sum(1, keepdim=True)) @ weight_C
    return (weight_S / ((weight_S * pixels_S).sum() / pixels_S.sum().clamp_min(1))).float()
