"""Frames as codes beside JPEG at the same bytes: `python -m bench.compression RUN --data ~/data/camvid --plot out/rate.png`.

RUN is one of `seg pretrain`, or of `seg train` with a reconstruction decoder; its codes must have been measured on its training
frames (the first `seg compress` does). Frames are those of CamVid's val split, evenly spread. Bytes are those of whole files,
headers included. JPEG is OpenCV's (baseline, colour at half size, Huffman tables optimised), of each frame at the highest
quality of 1 to 100 whose file is no larger than that of the code; where quality 1 is larger, that stands, and is counted.
PSNR and SSIM (`train.likeness`) are means over frames, at the frames' own size. For a run of `seg train`: mean IoU over the
frames against their labels of the class map from the received code, and of that which the same network makes of the JPEG
picture and of the frame.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track

from bench.charts import Panel, Point, draw
from seg.cli.tables import percent
from seg.config import PublishedData
from seg.data.base import LabelledData
from seg.data.images import write_png
from seg.data.open import open_data
from seg.errors import SegError
from seg.files import claim, write_text
from seg.metrics import PROTOCOL, Confusion
from seg.model.checkpoint import PretrainMeta, load_trained
from seg.model.coding import FrameCoder, load_coder
from seg.model.network import SegmentationAutoencoder
from train.evaluate import network_predictor
from train.likeness import psnr, ssim

Picture = npt.NDArray[np.uint8]
STEPS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
QUALITIES = range(1, 101)


@dataclass
class Side:
    """One way of keeping frames, at one step: what each frame's file was like, and its class maps against the labels."""

    confusion: Confusion | None
    bytes: list[int] = field(default_factory=list)
    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)
    larger: int = 0

    def add(self, size: int, made_HWC: Picture, rgb_HWC: Picture) -> None:
        """Count a frame: its file's size, the frame made of it, and the frame."""
        made_13HW, rgb_13HW = (torch.tensor(picture).permute(2, 0, 1)[None] for picture in (made_HWC, rgb_HWC))
        self.bytes.append(size)
        self.psnr.append(float(psnr(made_13HW, rgb_13HW)))
        self.ssim.append(float(ssim(made_13HW / 255, rgb_13HW / 255)))

    def row(self, label_sets: Any) -> dict[str, float | None]:
        """The figures: means over frames, and mean IoU."""
        means = {name: statistics.mean(getattr(self, name)) for name in ("bytes", "psnr", "ssim")}
        extra = {"quality": statistics.mean(self.quality), "larger": self.larger} if self.quality else {}
        mean_iou = None if self.confusion is None else self.confusion.report(label_sets).mean_iou
        return {**means, **extra, "mean_iou": mean_iou}


def jpegs(rgb_HWC: Picture) -> list[npt.NDArray[np.uint8]]:
    """The frame's JPEG files at each of `QUALITIES`."""
    bgr_HWC = cv2.cvtColor(rgb_HWC, cv2.COLOR_RGB2BGR)
    flags = [cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_QUALITY]
    return [cv2.imencode(".jpg", bgr_HWC, [*flags, quality])[1] for quality in QUALITIES]


def fitting(files: Sequence[npt.NDArray[np.uint8]], most: int) -> int | None:
    """Which of the files is the last that has at most `most` bytes; None where none has."""
    return max((place for place, file in enumerate(files) if file.size <= most), default=None)


def measure(coder: FrameCoder, data: LabelledData, indices: Sequence[int], steps: Sequence[float]) -> dict[str, Any]:
    """The figures of each step, code and JPEG, over the frames `indices` of `data`."""
    network = coder.network
    predict: Callable[[Picture], Picture] | None = None
    if isinstance(network, SegmentationAutoencoder):
        predict = network_predictor(network, coder.size, torch.device("cpu"))

    def confusion() -> Confusion | None:
        return Confusion(data.space) if predict is not None else None

    sides = {step: (Side(confusion()), Side(confusion())) for step in steps}
    whole = confusion()
    for index in track(indices, "frames", console=Console(stderr=True), transient=True):
        sample = data.sample(index)
        rgb_HWC, label_HW, files = sample.frame_HWC, sample.label_HW, jpegs(sample.frame_HWC)
        if whole is not None and predict is not None:
            whole.update(label_HW, predict(rgb_HWC))
        for step, (code, jpeg) in sides.items():
            file = coder.encode(rgb_HWC, step)
            received = coder.decode(file)
            code.add(len(file), received.frame_HWC, rgb_HWC)
            place = fitting(files, len(file))
            jpeg.larger += place is None
            place = place or 0
            jpeg.quality.append(QUALITIES[place])
            bgr_HWC = cv2.imdecode(files[place], cv2.IMREAD_COLOR)
            picture_HWC = np.asarray(cv2.cvtColor(bgr_HWC, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            jpeg.add(files[place].size, picture_HWC, rgb_HWC)
            if code.confusion is not None and jpeg.confusion is not None and predict is not None:
                code.confusion.update(label_HW, coder.classes(received))
                jpeg.confusion.update(label_HW, predict(picture_HWC))
    sets = data.label_sets
    return {
        "frames": len(indices),
        "mean_iou_of_frames": None if whole is None else whole.report(sets).mean_iou,
        "rows": [
            {"step": step, "code": code.row(sets), "jpeg": jpeg.row(sets)} for step, (code, jpeg) in sides.items()
        ],
    }


def table(figures: dict[str, Any]) -> str:
    """The figures in Markdown."""
    classes = figures["mean_iou_of_frames"] is not None
    head = ["step", "bytes", "PSNR, dB", "SSIM", "JPEG: bytes", "quality", "PSNR, dB", "SSIM"]
    head += ["mIoU from the code, %", "from the JPEG, %"] if classes else []
    lines = [head, ["---"] * len(head)]
    notes = []
    for row in figures["rows"]:
        code, jpeg = row["code"], row["jpeg"]
        cells = [f"{row['step']:g}"]
        cells += [f"{code['bytes']:,.0f}", f"{code['psnr']:.2f}", f"{code['ssim']:.3f}"]
        cells += [f"{jpeg['bytes']:,.0f}{'*' if jpeg['larger'] else ''}", f"{jpeg['quality']:.0f}"]
        cells += [f"{jpeg['psnr']:.2f}", f"{jpeg['ssim']:.3f}"]
        cells += [percent(code["mean_iou"]), percent(jpeg["mean_iou"])] if classes else []
        if jpeg["larger"]:
            notes.append(f"step {row['step']:g}: {jpeg['larger']} of {figures['frames']} frames")
        lines.append(cells)
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
    text += f"\n{figures['run']}, {figures['frames']} frames of CamVid val."
    if classes:
        text += f" Mean IoU of the network on the frames themselves: {percent(figures['mean_iou_of_frames'])} %."
    if notes:
        text += f"\n* JPEG cannot be as small, its quality 1 is larger: {', '.join(notes)}."
    return text


def plot(figures: dict[str, Any]) -> Picture:
    """PSNR against bytes, and for a run that knows classes mean IoU against bytes."""

    def line(side: str, figure: str, scale: float = 1.0) -> list[Point]:
        return [Point(row[side]["bytes"], scale * row[side][figure]) for row in figures["rows"]]

    lines = {"PSNR, dB": {"code": line("code", "psnr"), "JPEG": line("jpeg", "psnr")}}
    if (best := figures["mean_iou_of_frames"]) is not None:
        ends = [figures["rows"][place]["code"]["bytes"] for place in (0, -1)]
        lines["mean IoU, %"] = {
            "code": line("code", "mean_iou", 100),
            "JPEG": line("jpeg", "mean_iou", 100),
            "the frames themselves": [Point(size, 100 * best) for size in ends],
        }
    title = f"{figures['run']}, {figures['frames']} frames of CamVid val"
    return draw([Panel(title, "bytes a frame", up, panel, "log") for up, panel in lines.items()])


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The figures of one run."""
    _, meta = load_trained(args.run)
    source = PublishedData(kind="camvid", root=str(args.data), split="val")
    data = open_data([source], meta.ontology)
    kind = "pretrain" if isinstance(meta, PretrainMeta) else "train"
    figures = measure(load_coder(args.run), data, data.spread(args.frames), sorted(args.steps))
    return {"run": meta.run, "kind": kind, "steps_trained": meta.steps, "protocol": PROTOCOL, **figures}


def main() -> None:
    """Measure one run; print the table."""
    here = Path(os.environ["SEG_DATA"]) if "SEG_DATA" in os.environ else None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run or checkpoint with a reconstruction decoder")
    parser.add_argument("--data", type=Path, default=here and here / "camvid", help="CamVid (camvid under SEG_DATA)")
    parser.add_argument("--frames", type=int, default=101, help="how many, evenly spread [all 101]")
    parser.add_argument("--steps", type=float, nargs="+", default=STEPS, help="of `seg compress`")
    parser.add_argument("--json", type=Path, help="write the figures")
    parser.add_argument("--plot", type=Path, help="write PSNR, and mean IoU, against bytes as a PNG")
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    if args.data is None or args.frames < 1:
        parser.error("name CamVid's folder with --data, or SEG_DATA that holds it; and at least one of --frames")
    try:
        for path in (args.json, args.plot):
            if path is not None:
                claim(path, overwrite=args.overwrite)
        figures = run(args)
    except SegError as error:
        raise SystemExit(f"error: {error}") from None
    print(table(figures))
    if args.json is not None:
        write_text(args.json, json.dumps(figures, indent=1) + "\n")
    if args.plot is not None:
        write_png(args.plot, plot(figures))


if __name__ == "__main__":
    main()
