"""Corruptions that a pretrained autoencoder has to undo, on batches of uint8 RGB frames.

A denoising autoencoder (Vincent et al., 2010) sees the corrupted frame and is asked for the whole one. Shape suffixes: B
batch, 3 colours, H and W height and width of a frame, h and w of a stamp (the picture of a watermark, before it is laid
over a frame). All random numbers are drawn on the CPU and all arithmetic is on integers, so that a result does not depend
on the device of the frames.
"""

from __future__ import annotations

import string

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seg.config import CorruptionConfig

U8 = npt.NDArray[np.uint8]

KINDS = ("grey", "watermark", "blocks", "pixels", "noise")
ERASED = 128  # the middle of the scale: no information, whatever was there
LUMA = (9798, 19235, 3735)  # 0.299, 0.587 and 0.114 (Rec. 601) in shares of 2^15, as OpenCV has them
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)
ALPHABETS = (
    string.ascii_uppercase,
    string.ascii_lowercase,
    string.ascii_letters + string.digits,
    string.digits + "-:/.",
)
REPEATED = 0.4  # the share of watermarks that cover the whole frame
ROUND = 48  # corners of what passes for a circle


def corrupt(rgb_B3HW: Tensor, config: CorruptionConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Frames with what `config` does to them: grey, then watermark, blocks, pixels and noise; or one of these, `alone`.

    A pure function of the frames, the config and the generator's state; the frames given are left as they are. What is
    erased becomes 128 in all three channels (noise comes after it). Blocks are the cells of a grid at a random offset,
    so they do not overlap, and those at the border may be cut by it: the erased area is the one nearest to the share that
    whole cells make, at least one cell.

    Args:
        rgb_B3HW: uint8 RGB, on any device, in any memory format.
        config: shares and strengths.
        generator: on the CPU.

    Returns:
        The corrupted frames, uint8 RGB (B, 3, H, W) on the device and in the memory format of the frames; and which
        pixels were replaced, in part or whole, by a watermark, a block or a dropped pixel (not by grey or noise), bool
        (B, 1, H, W) on that device.
    """
    assert rgb_B3HW.dtype == torch.uint8
    assert rgb_B3HW.ndim == 4
    assert rgb_B3HW.shape[1] == 3
    assert generator.device.type == "cpu"
    out_B3HW = rgb_B3HW.clone()  # written in place from here on, which keeps the memory format
    if not config.alone:
        return out_B3HW, _corrupt(out_B3HW, config, generator)
    kinds = [kind for kind in KINDS if getattr(config, kind)]
    kind_B = torch.randint(max(1, len(kinds)), (len(rgb_B3HW),), generator=generator)
    changed_B1HW = torch.zeros_like(rgb_B3HW[:, :1], dtype=torch.bool)
    for number, kind in enumerate(kinds):
        chosen_N = (kind_B == number).nonzero().flatten().to(rgb_B3HW.device)
        if not len(chosen_N):
            continue
        others = dict.fromkeys(set(KINDS) - {kind}, 0.0)
        part_N3HW = rgb_B3HW[chosen_N]
        changed_B1HW[chosen_N] = _corrupt(part_N3HW, config.model_copy(update=others), generator)
        out_B3HW[chosen_N] = part_N3HW
    return out_B3HW, changed_B1HW


def _corrupt(out_B3HW: Tensor, config: CorruptionConfig, generator: torch.Generator) -> Tensor:
    """All that is configured, in place; which pixels were replaced, bool (B, 1, H, W)."""
    batch, _, height, width = out_B3HW.shape
    changed_B1HW = torch.zeros(batch, 1, height, width, dtype=torch.bool, device=out_B3HW.device)
    if config.grey:
        _take_colour(out_B3HW, config.grey, generator)
    if config.watermark:
        changed_B1HW |= _lay_watermarks(out_B3HW, config.watermark, generator)
    if config.blocks:
        masks = [_blocks((height, width), config.block_size, config.blocks, generator) for _ in range(batch)]
        changed_B1HW |= _erase(out_B3HW, torch.stack(masks).unsqueeze(1))
    if config.pixels:
        changed_B1HW |= _erase(out_B3HW, torch.rand(batch, 1, height, width, generator=generator) < config.pixels)
    if config.noise:
        _add_noise(out_B3HW, config.noise, generator)
    return changed_B1HW


def _take_colour(out_B3HW: Tensor, share: float, generator: torch.Generator) -> None:
    chosen = _chosen(len(out_B3HW), share, generator).to(out_B3HW.device)
    red, green, blue = out_B3HW[chosen].int().unbind(1)
    luma_NHW = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue + (1 << 14)) >> 15
    out_B3HW[chosen] = luma_NHW.to(torch.uint8).unsqueeze(1).expand(-1, 3, -1, -1)


def _erase(out_B3HW: Tensor, mask_B1HW: Tensor) -> Tensor:
    mask_B1HW = mask_B1HW.to(out_B3HW.device)
    out_B3HW.masked_fill_(mask_B1HW, ERASED)
    return mask_B1HW


def _blocks(size: tuple[int, int], side: int, share: float, generator: torch.Generator) -> Tensor:
    """Which pixels to erase, bool (H, W): cells of a grid, in random order, until their area is nearest to the share."""
    height, width = size
    above, left = torch.randint(side, (2,), generator=generator)
    row_H = (torch.arange(height) + above) // side
    column_W = (torch.arange(width) + left) // side
    area_RC = torch.outer(row_H.bincount(), column_W.bincount())  # less than side^2 where the border cuts a cell
    order = torch.randperm(area_RC.numel(), generator=generator)
    erased = area_RC.flatten()[order].cumsum(0).double()
    count = int((erased - share * height * width).abs().argmin()) + 1
    chosen = torch.zeros(area_RC.numel(), dtype=torch.bool)
    chosen[order[:count]] = True
    return chosen.view_as(area_RC)[row_H][:, column_W]


def _add_noise(out_B3HW: Tensor, sigma: float, generator: torch.Generator) -> None:
    noise_B3HW = torch.randn(out_B3HW.shape, generator=generator).mul_(255 * sigma).round_().to(torch.int16)
    out_B3HW.copy_((out_B3HW.to(torch.int16) + noise_B3HW.to(out_B3HW.device)).clamp_(0, 255))


def _chosen(batch: int, share: float, generator: torch.Generator) -> Tensor:
    """The indices of the frames that something happens to, int64, each drawn with probability `share`."""
    return (torch.rand(batch, generator=generator) < share).nonzero().flatten()


def _lay_watermarks(out_B3HW: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Text or a logo over some frames, in place; which pixels have some of it, bool (B, 1, H, W)."""
    batch, _, height, width = out_B3HW.shape
    chosen = _chosen(batch, share, generator)
    numpys = np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=generator)))
    alpha_B1HW = torch.zeros(batch, 1, height, width, dtype=torch.uint8)
    tint_B311 = torch.zeros(batch, 3, 1, 1, dtype=torch.int32)
    for frame in chosen.tolist():
        coverage_HW = _watermark((height, width), numpys)
        alpha_HW = np.rint(coverage_HW * numpys.uniform(0.4, 1.0)).astype(np.uint8)
        alpha_B1HW[frame, 0] = torch.from_numpy(alpha_HW)
        tint_B311[frame, :, 0, 0] = torch.tensor(_tint(numpys))
    chosen, alpha_B1HW = chosen.to(out_B3HW.device), alpha_B1HW.to(out_B3HW.device)
    alpha_N1HW, tint_N311 = alpha_B1HW[chosen].int(), tint_B311.to(out_B3HW.device)[chosen]
    blended_N3HW = (out_B3HW[chosen] * (255 - alpha_N1HW) + tint_N311 * alpha_N1HW + 127) // 255
    out_B3HW[chosen] = blended_N3HW.to(torch.uint8)
    return alpha_B1HW > 0


def _tint(numpys: np.random.Generator) -> list[int]:
    """An RGB colour; half of them white, black or grey, as most watermarks are."""
    if numpys.random() < 0.5:
        return [int(numpys.choice([255, 255, 0, 192]))] * 3
    return [int(value) for value in numpys.integers(0, 256, 3)]


def _watermark(size: tuple[int, int], numpys: np.random.Generator) -> U8:
    """What share of each pixel a watermark covers, in 0..255, uint8 of `size` (height, width)."""
    repeated = numpys.random() < REPEATED
    shrink = 0.5 if repeated else 1.0
    draw = _text if numpys.random() < 0.6 else _logo
    stamp_hw = draw((shrink * size[0], shrink * size[1]), numpys)
    return _tiled(stamp_hw, size, numpys) if repeated else _placed(stamp_hw, size, numpys)


def _placed(stamp_hw: U8, size: tuple[int, int], numpys: np.random.Generator) -> U8:
    """The stamp once, anywhere in a frame of `size`; what does not fit is cut off."""
    stamp_hw = stamp_hw[: size[0], : size[1]]
    height, width = stamp_hw.shape
    top = int(numpys.integers(size[0] - height + 1))
    left = int(numpys.integers(size[1] - width + 1))
    coverage_HW = np.zeros(size, dtype=np.uint8)
    coverage_HW[top : top + height, left : left + width] = stamp_hw
    return coverage_HW


def _tiled(stamp_hw: U8, size: tuple[int, int], numpys: np.random.Generator) -> U8:
    """The stamp again and again, in diagonal rows all over a frame of `size`."""
    gap_2 = (numpys.uniform(0.3, 1.5, 2) * stamp_hw.shape[0]).astype(int) + 1
    tile_hw = np.pad(stamp_hw, [(0, int(gap)) for gap in gap_2])
    angle = np.deg2rad(numpys.uniform(15, 45) * numpys.choice([-1, 1]))
    start_2 = numpys.uniform(0, 1, 2) * tile_hw.shape[::-1]
    matrix_23 = np.array([[np.cos(angle), -np.sin(angle), start_2[0]], [np.sin(angle), np.cos(angle), start_2[1]]])
    coverage_HW = cv2.warpAffine(
        tile_hw,
        matrix_23,
        size[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,  # from a pixel of the frame to one of the tile,
        borderMode=cv2.BORDER_WRAP,  # which goes on for ever
    )
    return np.asarray(coverage_HW, dtype=np.uint8)


def _text(size: tuple[float, float], numpys: np.random.Generator) -> U8:
    """One to three words of random characters, for a frame of `size` (height, width)."""
    alphabet = list(ALPHABETS[numpys.integers(len(ALPHABETS))])
    lengths = numpys.integers(2, 9, numpys.integers(1, 4))
    text = " ".join("".join(numpys.choice(alphabet, length)) for length in lengths)
    font = int(numpys.choice(FONTS))
    (width, height), _ = cv2.getTextSize(text, font, 1.0, 1)
    scale = float(min(numpys.uniform(0.05, 0.2) * size[0] / height, numpys.uniform(0.3, 0.9) * size[1] / width))
    thickness = max(1, round(numpys.uniform(1, 3) * scale))
    (width, height), below = cv2.getTextSize(text, font, scale, thickness)
    edge = thickness + 1  # strokes reach over the box
    stamp_hw = np.zeros((height + below + 2 * edge, width + 2 * edge), dtype=np.uint8)
    cv2.putText(stamp_hw, text, (edge, edge + height), font, scale, 255, thickness, cv2.LINE_AA)
    return stamp_hw


def _logo(size: tuple[float, float], numpys: np.random.Generator) -> U8:
    """One to three shapes within each other, each cut out of the one around it: rings, stars, polygons, badges."""
    side = max(8, round(numpys.uniform(0.2, 0.5) * min(size)))
    stamp_hw = np.zeros((side, side), dtype=np.uint8)
    radius = side / 2 - 1
    for layer in range(numpys.integers(1, 4)):
        corners = int(numpys.choice([3, 4, 5, 6, 8, ROUND, ROUND, ROUND]))
        # the middle of an edge lies on it for a polygon, and further in for a star
        dent = float(np.cos(np.pi / corners))
        if corners != ROUND and numpys.random() < 0.5:
            dent *= numpys.uniform(0.4, 0.7)
        angles = np.pi * np.arange(2 * corners) / corners + numpys.uniform(0, 2 * np.pi)
        reach = radius * np.where(np.arange(2 * corners) % 2, dent, 1.0)
        outline = side / 2 - 0.5 + reach[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
        fixed_point = np.rint(16 * outline).astype(np.int32)
        cv2.fillPoly(stamp_hw, [fixed_point], 0 if layer % 2 else 255, cv2.LINE_AA, shift=4)
        radius *= numpys.uniform(0.5, 0.8)
    return stamp_hw
