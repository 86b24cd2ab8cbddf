"""What `seg infer --smooth` is worth: flicker, mean IoU and time with it and without, on CamVid's val frames at 15 Hz.

    python -m bench.smooth camvid11 --data ~/data/camvid

Flicker is that of `seg.metrics.Flicker`. Time is processor time on one thread, of the network with all that is around it,
and of smoothing: the median over the frames.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import cv2

from infer.segmenter import Segmenter
from infer.smooth import TemporalFilter
from seg.config import PublishedData
from seg.data.open import open_data
from seg.errors import SegError
from seg.metrics import Confusion, Flicker
from seg.shipped import resolve_model

TARGETS = "flicker down by 25 % at least, mean IoU not lower, at most 30 % more time"


def measure(segmenter: Segmenter, root: Path) -> dict[str, tuple[float, float, float]]:
    """Flicker, mean IoU and ms a frame, of the frames one by one and smoothed."""
    data = open_data([PublishedData(kind="camvid", root=str(root), split="val")], segmenter.spec.as_ontology())
    size = segmenter.spec.size
    if segmenter.spec.profile != "frame" or size.kind != "fixed":
        raise SegError(f"{segmenter.spec.name}: expected a file of profile frame and of a fixed size")
    steady = TemporalFilter((size.height, size.width))
    kinds = ("frame by frame", "smoothed")
    flicker = {kind: Flicker() for kind in kinds}
    counts = {kind: Confusion(data.space) for kind in kinds}
    ms: dict[str, list[float]] = {kind: [] for kind in kinds}
    for index in range(len(data)):
        sample = data.sample(index)
        rgb_HWC, label_HW = sample.frame_HWC, sample.label_HW
        start = time.process_time()
        answer = segmenter(rgb_HWC)
        answered = time.process_time()
        assert answer.confidence is not None
        smoothed_HW, _ = steady(rgb_HWC, answer.classes, answer.confidence)
        ended = time.process_time()
        for kind, classes_HW, seconds in zip(
            kinds, (answer.classes, smoothed_HW), (answered - start, ended - start), strict=True
        ):
            flicker[kind].add(rgb_HWC, classes_HW)
            counts[kind].update(label_HW, classes_HW)
            ms[kind].append(1000 * seconds)
    found = {}
    for kind in kinds:
        share, mean_iou = flicker[kind].share, counts[kind].report(data.label_sets).mean_iou
        assert share is not None
        assert mean_iou is not None
        found[kind] = 100 * share, 100 * mean_iou, statistics.median(ms[kind])
    return found


def main() -> None:
    """Measure and print."""
    here = Path(os.environ["SEG_DATA"]) if "SEG_DATA" in os.environ else None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="an ONNX file of profile `frame` and fixed size, or a shipped network's name")
    parser.add_argument("--data", type=Path, default=here and here / "camvid", help="CamVid (camvid under SEG_DATA)")
    args = parser.parse_args()
    if args.data is None:
        parser.error("name CamVid's folder with --data, or SEG_DATA that holds it")
    cv2.setNumThreads(1)
    try:
        found = measure(Segmenter(resolve_model(args.model), threads=1), args.data)
    except SegError as error:
        raise SystemExit(f"error: {error}") from None
    print("| masks | flicker, % | mean IoU, % | ms a frame |\n|---|---|---|---|")
    for kind, (share, mean_iou, ms) in found.items():
        print(f"| {kind} | {share:.2f} | {mean_iou:.2f} | {ms:.1f} |")
    (before, after) = found.values()
    print(
        f"\nflicker {after[0] / before[0] - 1:+.0%}, mean IoU {after[1] - before[1]:+.2f} points, time "
        f"{after[2] / before[2] - 1:+.0%} (targets: {TARGETS})"
    )


if __name__ == "__main__":
    main()
