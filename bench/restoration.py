"""What an autoencoder restores on frames that it has not seen, and what it makes of frames of other kinds.

    seg pretrain configs/pretrain/restore.yaml --out runs/restore
    python -m bench.restoration runs/restore --data ~/data --picture docs/images/restoration.png --overwrite

One corruption at a time, at the strength in TASKS, drawn by the frame's number, so the same for every run. Figures are
means over CamVid's val frames. A restored frame is what `seg restore` makes (`infer.restorer.take`): the network's answer
(denoise), the answer where the frame is far from it (watermark), in the erased pixels alone (inpaint), its colour
(colourise). The colour error is the mean distance
in the plane of a* and b* of CIELAB; a grey picture's is the mean chroma of the frame.

The second table is of frames as they are (`bench/restoration_kinds.py`).
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from bench.restoration_kinds import Kind, Mask, Network, Picture, kinds, pictures, psnr
from infer.restorer import Task, take
from seg import draw
from seg.config import CorruptionConfig
from seg.data.base import LabelledData
from seg.data.images import write_png
from seg.errors import SegError
from seg.files import claim, write_text
from seg.geometry import fit_frame
from seg.model.autoencoder import Autoencoder
from seg.model.checkpoint import load_autoencoder
from seg.paths import expand
from train.corrupt import corrupt
from train.segmentation import shrink

TASKS: dict[Task, CorruptionConfig] = {
    "denoise": CorruptionConfig(noise=0.1),
    "inpaint": CorruptionConfig(blocks=0.15, block_size=24),
    "watermark": CorruptionConfig(watermark=1.0),
    "colourise": CorruptionConfig(grey=1.0),
}
"""The strengths: noise of 10 % of full scale; 15 % of the area erased in squares of 24; a watermark; no colour."""

GAIN = 3.0
"""Decibels that restoring is to gain."""

SHOWN = 2
"""Frames in the picture."""

TILE = 320
"""The width in pixels of a frame in the picture, at most."""


@dataclass(frozen=True)
class Row:
    """A figure of the corrupted frames and of the restored ones; `met` says whether a task is, in its first row."""

    task: str
    measured: str
    corrupted: float
    restored: float
    met: bool | None


def answers(network: Autoencoder) -> Network:
    """The autoencoder as a function of one frame."""

    @torch.inference_mode()
    def answer(rgb_HWC: Picture) -> Picture:
        rgb_13HW = torch.from_numpy(np.array(rgb_HWC)).permute(2, 0, 1)[None]
        made_3HW = network(rgb_13HW).frame_B3HW[0].clamp(0, 255).round().byte()
        return np.ascontiguousarray(made_3HW.permute(1, 2, 0).numpy())

    return answer


def lab(rgb_HWC: Picture) -> npt.NDArray[np.float32]:
    """L*, a* and b* of CIELAB (L* in 0..100), float32 (H, W, 3)."""
    return np.asarray(cv2.cvtColor(rgb_HWC.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), dtype=np.float32)


def colour_error(a_HWC: Picture, b_HWC: Picture) -> float:
    """The mean distance of two pictures' colours in the plane of a* and b*."""
    return float(np.linalg.norm(lab(a_HWC)[..., 1:] - lab(b_HWC)[..., 1:], axis=2).mean())


def damaged(rgb_HWC: Picture, task: Task, number: int) -> tuple[Picture, Mask]:
    """The frame as TASKS corrupts it, and which pixels were replaced, bool (H, W)."""
    rgb_13HW = torch.from_numpy(np.array(rgb_HWC)).permute(2, 0, 1)[None]
    out_13HW, changed_11HW = corrupt(rgb_13HW, TASKS[task], torch.Generator().manual_seed(number))
    return np.ascontiguousarray(out_13HW[0].permute(1, 2, 0).numpy()), changed_11HW[0, 0].numpy()


def restored(network: Network, corrupted_HWC: Picture, changed_HW: Mask, task: Task) -> Picture:
    """The corrupted frame with what the task takes of the network's answer."""
    return take(corrupted_HWC, network(corrupted_HWC), task, changed_HW if task == "inpaint" else None)


def restoration(network: Network, frames: LabelledData, indices: list[int], size: tuple[int, int]) -> list[Row]:
    """The first table: of each task, the figures of the corrupted frames beside those of the restored ones.

    Args:
        network: an autoencoder.
        frames: to corrupt.
        indices: which of them.
        size: (height, width) that they are brought to.
    """
    rows = []
    for task in TASKS:
        found: dict[str, list[list[float]]] = {}
        for index in indices:
            rgb_HWC = fit_frame(frames.frame(index), size)
            corrupted_HWC, changed_HW = damaged(rgb_HWC, task, index)
            both = corrupted_HWC, restored(network, corrupted_HWC, changed_HW, task)
            for measured, pair in _figures(task, rgb_HWC, both, changed_HW):
                found.setdefault(measured, []).append(pair)
        for number, (measured, pairs) in enumerate(found.items()):
            before, after = (statistics.mean(each) for each in zip(*pairs, strict=True))
            met = after < before if task == "colourise" else after - before >= GAIN
            rows.append(Row(task, measured, before, after, met if number == 0 else None))
    return rows


def _figures(
    task: str, rgb_HWC: Picture, both: tuple[Picture, Picture], changed_HW: Mask
) -> Iterator[tuple[str, list[float]]]:
    """What is measured of a frame before and after; the first is what the task is judged by."""
    if task == "colourise":
        yield "colour error", [colour_error(each, rgb_HWC) for each in both]
    if task == "inpaint":
        yield "PSNR of the erased pixels, dB", [psnr(each, rgb_HWC, changed_HW) for each in both]
    yield "PSNR, dB", [psnr(each, rgb_HWC) for each in both]
    if task == "watermark":
        yield "PSNR under the watermark, dB", [psnr(each, rgb_HWC, changed_HW) for each in both]


def picture(network: Network, frames: LabelledData, size: tuple[int, int]) -> Picture:
    """A row a task; for each of SHOWN frames the corrupted one, the restored one and the frame."""
    tiles = []
    for task in TASKS:
        for index in frames.spread(SHOWN):
            rgb_HWC = fit_frame(frames.frame(index), size)
            corrupted_HWC, changed_HW = damaged(rgb_HWC, task, index)
            answer_HWC = restored(network, corrupted_HWC, changed_HW, task)
            first, second, third = (shrink(each, TILE) for each in (corrupted_HWC, answer_HWC, rgb_HWC))
            tiles += [draw.label(first, task), draw.label(second, "restored"), third]
    return draw.grid(tiles, 3 * SHOWN)


def table(rows: list[Row], found: list[Kind]) -> str:
    """Both tables in Markdown."""
    lines = ["| task | measured | corrupted | restored | change | met |", "|---|---|---|---|---|---|"]
    for row in rows:
        met = "" if row.met is None else "yes" if row.met else "NO"
        cells = f"{row.corrupted:.2f} | {row.restored:.2f} | {row.restored - row.corrupted:+.2f} | {met}"
        lines.append(f"| {row.task} | {row.measured} | {cells} |")
    lines += ["", "| frames | number | PSNR, dB | by resizing, dB | gain, dB |", "|---|---|---|---|---|"]
    for kind in found:
        lines.append(f"| {kind.kind} | {kind.frames} | {kind.network:.2f} | {kind.resized:.2f} | {kind.gain:+.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure one run; exit with 1 if a task misses its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run directory of `seg pretrain`")
    parser.add_argument("--data", default="${SEG_DATA}", help="the folder that holds camvid (default: SEG_DATA)")
    parser.add_argument("--frames", type=int, default=101, help="of CamVid's val, evenly spread")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--picture", type=Path, help="write a PNG: corrupted, restored, frame")
    parser.add_argument("--json", type=Path, help="write the figures")
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    try:
        for path in (args.picture, args.json):
            if path is not None:
                claim(path, overwrite=args.overwrite)
        autoencoder, meta = load_autoencoder(args.run)
        root = expand(args.data)
        frames = pictures(root / "camvid/val")
        network = answers(autoencoder)
        rows = restoration(network, frames, frames.spread(args.frames), meta.size)
        numbers = meta.config.model.code_channels / autoencoder.stage_strides[-1] ** 2
        found = kinds(network, root, meta.size, numbers)
    except SegError as error:
        raise SystemExit(f"error: {error}") from None
    learned = meta.config.corruption.model_dump(exclude_defaults=True)
    print(f"{args.run}: {meta.steps} steps, learned from {learned}; {numbers:.3f} numbers of code a pixel\n")
    print(table(rows, found))
    if args.picture is not None:
        write_png(args.picture, picture(network, frames, meta.size))
    if args.json is not None:
        figures = {
            "run": meta.run,
            "steps": meta.steps,
            "learned": learned,
            "tasks": [asdict(row) for row in rows],
            "kinds": [asdict(kind) | {"gain": kind.gain} for kind in found],
        }
        write_text(args.json, json.dumps(figures, indent=1) + "\n")
    if not all(row.met for row in rows if row.met is not None):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
