"""What a trained encoder looks for: its first filters, what excites each channel of its code, what each decodes to.

Shape suffixes: F filters, 3 colours, A angles, S spatial frequencies, K code channels, N kept places, 1 broadcast; B, H, W
and C as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from seg.draw import Picture
from seg.errors import SegError
from seg.model.autoencoder import Autoencoder

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BINS = 8
"""Bins of 22.5 degrees; the first is centred on horizontal."""
ANGLES, FREQUENCIES = 36, 12
ZERO = 1e-3
"""A code value nearer to 0 than this counts as zero, as in the figures of `seg pretrain`."""
REGION = 3
"""Width of a patch in code places, an odd number. What a place sees is wider, but weighs less away from it."""
AROUND = 9
"""Width in code places of what is decoded: wider than a patch, so that no border is in the picture."""
RAISE = 3.0
"""How far a channel is raised at most to be decoded, in its standard deviations."""

PAPER = (24, 24, 24)
"""The colour of what lies outside a frame, and of the page."""


@dataclass(frozen=True)
class Filters:
    """First-layer filters and how oriented each is; see `orientations`. `chance`: one random filter in 20 exceeds it."""

    weights_F3HW: Floats
    degrees_F: Floats
    selectivity_F: Floats
    chance: float

    @property
    def clear_F(self) -> npt.NDArray[np.bool_]:
        """Which filters have a clear orientation: clearer than that of 19 in 20 random filters of their size."""
        return np.asarray(self.selectivity_F > self.chance)

    @property
    def bins(self) -> list[int]:
        """The bins of `BINS` in which the filters with a clear orientation fall, sorted, each once."""
        places = np.floor(self.degrees_F[self.clear_F] / (180 / BINS) + 0.5).astype(int) % BINS
        return sorted(set(places.tolist()))


class Place(NamedTuple):
    """A value of a code channel: in which frame (a number from 0), at which row and column of the code."""

    value: float
    frame: int
    row: int
    column: int


@dataclass(frozen=True)
class Activity:
    """Each code channel over all frames: figures, and its highest place in each of the N frames that excite it most.

    `zeros_K` is the share of values within `ZERO` of 0; `stride` that of the code. `places_KN3` is frame, row, column;
    where there were fewer than N frames, `values_KN` is -inf.
    """

    stride: int
    frames: int
    mean_K: Floats
    deviation_K: Floats
    zeros_K: Floats
    lowest_K: Floats
    values_KN: Floats
    places_KN3: Integers

    def most_active(self, count: int) -> list[int]:
        """The channels whose values vary most (standard deviation): one stuck at a value, however high, tells nothing."""
        return [int(channel) for channel in np.argsort(-self.deviation_K, kind="stable")[:count]]

    def exciting(self, channel: int) -> list[Place]:
        """The places that excite a channel most, highest first, one a frame; none of its lowest value, such as a ReLU's 0."""
        pairs = zip(self.values_KN[channel].tolist(), self.places_KN3[channel].tolist(), strict=True)
        return [Place(value, *place) for value, place in pairs if value > self.lowest_K[channel]]


def first_filters(network: Autoencoder) -> Filters:
    """The filters of the encoder's first convolution (of its first branch, where a layer has several).

    Raises:
        SegError: if no convolution of the encoder sees the frame's three colours.
    """
    for module in network.encoder.modules():
        if isinstance(module, nn.Conv2d) and module.weight.shape[1] == 3 and module.groups == 1:
            weights_F3HW = module.weight.detach().double().cpu().numpy()
            degrees_F, selectivity_F = orientations(weights_F3HW)
            noise_F3HW = np.random.default_rng(0).standard_normal((1000, *weights_F3HW.shape[1:]))
            # a 1x1 filter has the same answer at all angles, but for rounding
            chance = max(1e-6, float(np.quantile(orientations(noise_F3HW)[1], 0.95)))
            return Filters(weights_F3HW, degrees_F, selectivity_F, chance)
    raise SegError("the encoder has no convolution over the frame's three colours, so there are no filters to draw")


def orientations(filters_F3HW: Floats) -> tuple[Floats, Floats]:
    """Preferred orientation of each filter in degrees (0..180), and how selective it is (0..1), from gratings.

    As electrophysiologists measure a neuron (De Valois et al., The orientation and direction selectivity of cells in
    macaque visual cortex, 1982), each filter is shown sine gratings of many angles and spatial frequencies; a cosine and a
    sine together give its answer at the best phase, the colours' answers add up as energy, and at each angle the best
    frequency counts. The mean of the answers as vectors at twice the angle has the preferred orientation as its direction,
    and 1 - circular variance as its length (Ringach et al., Orientation selectivity in macaque V1, 2002).

    Orientation is that of the bars: 0 is horizontal, 90 vertical, counted counter-clockwise as one sees the picture.
    """
    height, width = filters_F3HW.shape[2:]
    angle_A11 = (np.arange(ANGLES) * np.pi / ANGLES)[:, None, None, None]
    # in cycles a pixel: from half a cycle over the filter to the finest that pixels hold
    frequency_S11 = np.linspace(0.5 / max(height, width), 0.5, FREQUENCIES)[:, None, None]
    y_HW, x_HW = np.mgrid[:height, :width]
    # light changes across the bars; y points down
    across_ASHW = frequency_S11 * (x_HW * np.sin(angle_A11) + y_HW * np.cos(angle_A11))
    grating_ASHW = np.exp(2j * np.pi * across_ASHW)
    answer_F3AS = np.tensordot(filters_F3HW, grating_ASHW, axes=([2, 3], [2, 3]))
    tuning_FA = np.sqrt((np.abs(answer_F3AS) ** 2).sum(axis=1)).max(axis=-1)
    vector_F = (tuning_FA * np.exp(2j * angle_A11.reshape(1, -1))).sum(axis=1)
    total_F = np.maximum(tuning_FA.sum(axis=1), np.finfo(np.float64).tiny)  # a filter of zeros has no orientation
    return np.degrees(np.angle(vector_F)) / 2 % 180, np.abs(vector_F) / total_F


@torch.inference_mode()
def observe(network: Autoencoder, frames: Iterable[Picture], keep: int) -> Activity:
    """Encode frames one after the other, and keep of each channel its figures and its `keep` most exciting places.

    Args:
        network: in evaluation mode, on the CPU.
        frames: uint8 RGB (H, W, 3), at the size that the network is to see.
        keep: N, at least 1.

    Raises:
        SegError: if there is no frame, or a code is not finite.
    """
    stride = network.stage_strides[-1]
    channels = network.projection.out_channels
    count, seen = 0, 0
    sums_3K = np.zeros((3, channels))
    lowest_K = np.full(channels, np.inf)
    values_KN, places_KN3 = np.full((channels, keep), -np.inf), np.zeros((channels, keep, 3), dtype=np.int64)
    for frame, rgb_HWC in enumerate(frames):
        code_KHW = network.encode(torch.tensor(rgb_HWC).permute(2, 0, 1)[None])[0].double().numpy()
        if not np.isfinite(code_KHW).all():
            raise SegError(f"the code of frame {frame} is not finite: the network's weights are damaged")
        # the frame is padded for the encoder: places whose centre lies in the padding show nothing
        rows, columns = (max(1, (side + stride // 2 - 1) // stride) for side in rgb_HWC.shape[:2])
        code_KP = code_KHW[:, :rows, :columns].reshape(channels, -1)
        sums_3K += code_KP.sum(1), (code_KP**2).sum(1), (np.abs(code_KP) < ZERO).sum(1)
        count, seen = count + code_KP.shape[1], frame + 1
        lowest_K = np.minimum(lowest_K, code_KP.min(1))
        best_K = code_KP.argmax(1)
        place_K3 = np.stack([np.full(channels, frame), *np.divmod(best_K, min(columns, code_KHW.shape[2]))], axis=1)
        values_KN = np.concatenate([values_KN, code_KP.max(1)[:, None]], axis=1)
        places_KN3 = np.concatenate([places_KN3, place_K3[:, None]], axis=1)
        order_KN = np.argsort(-values_KN, axis=1, kind="stable")[:, :keep]  # of equals, the earlier frame
        values_KN = np.take_along_axis(values_KN, order_KN, axis=1)
        places_KN3 = np.take_along_axis(places_KN3, order_KN[..., None], axis=1)
    if not seen:
        raise SegError("there are no frames to show the network")
    mean_K, square_K, zeros_K = sums_3K / count
    deviation_K = np.sqrt(np.maximum(square_K - mean_K**2, 0))
    return Activity(stride, seen, mean_K, deviation_K, zeros_K, lowest_K, values_KN, places_KN3)


def cut_patches(
    activity: Activity, channels: Sequence[int], read: Callable[[int], Picture]
) -> dict[int, list[Picture]]:
    """The patches of the frames that excite each channel most, highest first; each frame is read once more.

    Args:
        activity: from `observe`.
        channels: which to show.
        read: gives the frame of a number, as `observe` saw it.

    Returns:
        Of each channel, uint8 RGB pictures `REGION` code places wide, dark where they reach over the frame's border.
    """
    wanted = {channel: activity.exciting(channel) for channel in channels}
    cut: dict[Place, Picture] = {}
    for number in sorted({place.frame for places in wanted.values() for place in places}):
        rgb_HWC = read(number)
        here = {place for places in wanted.values() for place in places if place.frame == number}
        cut |= {place: _cut(rgb_HWC, place, activity.stride) for place in here}
    return {channel: [cut[place] for place in places] for channel, places in wanted.items()}


def _cut(rgb_HWC: Picture, place: Place, stride: int) -> Picture:
    side = REGION * stride
    patch_HWC = np.full((side, side, 3), PAPER, dtype=np.uint8)
    top, left = ((at - REGION // 2) * stride for at in (place.row, place.column))
    inside_HWC = rgb_HWC[max(0, top) : top + side, max(0, left) : left + side]
    y, x = max(0, -top), max(0, -left)
    patch_HWC[y : y + inside_HWC.shape[0], x : x + inside_HWC.shape[1]] = inside_HWC
    return patch_HWC


@torch.inference_mode()
def decode_channel(network: Autoencoder, activity: Activity, channel: int) -> Floats:
    """What a channel adds to the picture: the frame decoded with it raised at one place, less that of the mean code.

    It is raised by `RAISE` standard deviations, but never above the highest value that was seen.

    Returns:
        Signed differences of RGB in 0..255, (3, H, W), over the `REGION` places around the raised one.
    """
    side, middle, shown = AROUND * activity.stride, AROUND // 2, REGION * activity.stride
    code_2KHW = torch.tensor(activity.mean_K, dtype=torch.float32).view(1, -1, 1, 1).repeat(2, 1, AROUND, AROUND)
    raised = activity.mean_K[channel] + RAISE * activity.deviation_K[channel]
    code_2KHW[1, channel, middle, middle] = min(raised, activity.values_KN[channel, 0])
    mean_3HW, raised_3HW = network.reconstruct(code_2KHW, (side, side)).double().numpy()
    start = (side - shown) // 2
    return np.asarray((raised_3HW - mean_3HW)[:, start : start + shown, start : start + shown])
