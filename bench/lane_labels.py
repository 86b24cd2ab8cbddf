"""Hand-made lane labels: draws `bench/highway/*.png` and `bench/streets/*.png` from their outlines and the frames.

python -m bench.lane_labels highway --frames highway.mp4 --check
python -m bench.lane_labels streets --frames ~/data/camvid --proofs out/proofs

The README.md in each folder says what its labels mean and how the outlines were made.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field

from infer import open_source
from seg.classes import IGNORE
from seg.data.images import read_label, read_rgb, write_png
from seg.draw import overlay
from seg.errors import SegError
from seg.files import atomic
from seg.strict import Strict, parse, read_yaml

OTHER, LANE = 0, 1
PALETTE_C3 = np.array([[0, 0, 0], [255, 221, 51]], dtype=np.uint8)
RING = 3.0  # pixels around an outline that show the bare asphalt

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Node = tuple[float, float, float]
Line = tuple[Node, ...]
Key = int | str
"""A frame's number in its video (the first is 0), or a picture's file name without suffix."""


class FrameOutlines(Strict):
    """Outlines of one frame: polylines of nodes [x, y, width] in pixels, pixel centres at whole numbers, ends round.

    `lane` holds paint with some asphalt around it; `unsure` what is left out of every count.
    """

    lane: tuple[Line, ...] = Field(min_length=1)
    unsure: tuple[Line, ...] = ()


class Outlines(Strict):
    """The outlines of all frames of a reference, and the frames' size (height, width)."""

    size: tuple[int, int]
    frames: dict[Key, FrameOutlines] = Field(min_length=1)


@dataclass(frozen=True)
class Reference:
    """A set of hand-labelled frames, either of one video or of CamVid's val split.

    Attributes:
        folder: where the labels and their outlines are.
        home: the place of the video, or of CamVid's root, under `SEG_DATA`.
        option: the option of `bench.lanes` that names that place (of `bench.lane_labels`: --frames).
        tolerance: pixels of displacement that precision, recall and F1 forgive.
        proofs: parts to enlarge for the eye: name, rows, columns, zoom.
    """

    folder: Path
    home: str
    option: str
    tolerance: int
    proofs: tuple[tuple[str, slice, slice, int], ...]

    @property
    def of_video(self) -> bool:
        """Whether the frames are those of a video; else they are picture files."""
        return self.home.endswith(".mp4")

    def outlines(self) -> Outlines:
        """The outlines; SegError if they are missing or not of the schema."""
        path = self.folder / "outlines.yaml"
        return parse(Outlines, read_yaml(path), path)

    def label_path(self, key: Key) -> Path:
        """The label picture of a frame."""
        return self.folder / (f"{key:03d}.png" if isinstance(key, int) else f"{key}.png")

    def source(self, given: Path | None) -> Path:
        """The video or the root that was named, or the one under `SEG_DATA`; SegError if there is neither."""
        if given is not None:
            return given
        if "SEG_DATA" not in os.environ:
            how = f"give {self.option} or --frames PATH"
            raise SegError(f"which frames? {how}, or set SEG_DATA to the folder that holds {self.home}")
        return Path(os.environ["SEG_DATA"]) / self.home

    def files(self, source: Path, outlines: Outlines) -> list[Path]:
        """The files that hold the outlined frames: the video, or a picture for each outline, in their order.

        Raises:
            SegError: if a picture is missing.
        """
        return [source] if self.of_video else [_picture(source / "val", key) for key in outlines.frames]

    def frames(self, source: Path, outlines: Outlines) -> Iterator[tuple[Key, Picture]]:
        """The outlined frames with their keys, uint8 RGB (H, W, 3).

        Raises:
            SegError: if the frames are of another size than the outlines, or one of them is missing.
        """
        if self.of_video:
            yield from _video_frames(source, outlines)
            return
        for key, path in zip(outlines.frames, self.files(source, outlines), strict=True):
            rgb_HWC = read_rgb(path)
            _check_size(path, rgb_HWC.shape[:2], outlines)
            yield key, rgb_HWC


BENCH = Path(__file__).parent
REFERENCES = {
    "highway": Reference(
        folder=BENCH / "highway",
        home="video/highway.mp4",
        option="--video",
        tolerance=3,
        proofs=(
            ("left", slice(305, 420), slice(0, 300), 6),
            ("middle", slice(305, 420), slice(290, 590), 6),
            ("near", slice(390, 540), slice(0, 960), 2),
        ),
    ),
    "streets": Reference(
        folder=BENCH / "streets",
        home="camvid",
        option="--streets",
        tolerance=2,
        proofs=(("left", slice(185, 360), slice(0, 240), 4), ("right", slice(185, 360), slice(240, 480), 4)),
    ),
}


def _picture(folder: Path, key: Key) -> Path:
    for suffix in (".jpg", ".png"):
        if (path := folder / f"{key}{suffix}").is_file():
            return path
    raise SegError(f"{folder}: no {key}.jpg and no {key}.png; expected the 480x360 release of CamVid, val/ in its root")


def _check_size(path: Path, size: tuple[int, ...] | None, outlines: Outlines) -> None:
    if size != outlines.size:
        raise SegError(f"{path}: frames are {size} (height, width); the labels are of {outlines.size}")


def _video_frames(video: Path, outlines: Outlines) -> Iterator[tuple[Key, Picture]]:
    left = set(outlines.frames)
    with open_source(video) as source:
        _check_size(video, source.size, outlines)
        for frame in source:
            if frame.index in left:
                yield frame.index, frame.rgb_HWC
                left.remove(frame.index)
            if not left:
                return
    raise SegError(
        f"{video}: ended without frames {sorted(left, key=str)}; expected the video that the labels were drawn on"
    )


def draw_label(rgb_HWC: Picture, outlines: FrameOutlines) -> Picture:
    """The label map of a frame, uint8 (H, W): 1 paint, 255 unsure, 0 everything else.

    Paint is what is at least half as bright as the marking's middle, seen from the asphalt beside it.

    Raises:
        SegError: if an outline shows no asphalt around it, or nothing brighter than that in it.
    """
    luma_HW = cv2.cvtColor(rgb_HWC, cv2.COLOR_RGB2GRAY).astype(np.float64)
    label_HW = np.full(luma_HW.shape, OTHER, dtype=np.uint8)
    covered_HW = np.zeros(luma_HW.shape, dtype=np.bool_)
    for line in outlines.unsure:
        for start, end in _segments(line):
            window, outside, _ = _around(luma_HW.shape, start, end)
            label_HW[window][outside <= 0] = IGNORE
            covered_HW[window] |= outside <= 0
    for line in outlines.lane:
        for start, end in _segments(line):
            window, outside, _ = _around(luma_HW.shape, start, end)
            covered_HW[window] |= outside <= 0
    for line in outlines.lane:
        paint_HW = np.zeros(luma_HW.shape, dtype=np.bool_)
        for start, end in _segments(line):
            window, outside, along = _around(luma_HW.shape, start, end)
            paint_HW[window] |= _paint(luma_HW[window], outside, along, covered_HW[window])
        label_HW[_largest_piece(paint_HW)] = LANE
    return label_HW


def _segments(line: Line) -> list[tuple[Node, Node]]:
    return list(pairwise(line)) or [(line[0], line[0])]


def _around(
    shape: tuple[int, ...], start: Node, end: Node
) -> tuple[tuple[slice, slice], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The window of a segment, and in it each pixel's distance to the outline (<= 0 inside) and place along the axis.

    Both are in pixels; the place runs from 0 to the segment's length, and is clipped to that.
    """
    (x0, y0, w0), (x1, y1, w1) = start, end
    reach = max(w0, w1) / 2 + RING + 1
    # an outline beside the frame has an empty window
    top, left = max(0, int(min(y0, y1) - reach)), max(0, int(min(x0, x1) - reach))
    bottom = max(top, min(shape[0], int(max(y0, y1) + reach) + 2))
    right = max(left, min(shape[1], int(max(x0, x1) + reach) + 2))
    y, x = np.mgrid[top:bottom, left:right].astype(np.float64)
    length = float(np.hypot(x1 - x0, y1 - y0))
    unit_x, unit_y = ((x1 - x0) / length, (y1 - y0) / length) if length else (1.0, 0.0)
    along = np.clip((x - x0) * unit_x + (y - y0) * unit_y, 0, length)
    distance = np.hypot(x - x0 - along * unit_x, y - y0 - along * unit_y)
    width = w0 + (w1 - w0) * (along / length if length else 0.0)
    return (slice(top, bottom), slice(left, right)), distance - width / 2, along


def _paint(
    luma: npt.NDArray[np.float64], outside: npt.NDArray[np.float64], along: npt.NDArray[np.float64], covered: Mask
) -> Mask:
    """The pixels of one segment that are nearer to the paint's brightness than to the asphalt's."""
    inside, ring = outside <= 0, (outside > 0) & (outside <= RING) & ~covered
    place = np.rint(along).astype(int)
    middles = [luma[inside & (place == at)].max() for at in np.unique(place[inside])]
    if not middles or not ring.any() or np.median(middles) <= np.median(luma[ring]):
        raise SegError("an outline with no asphalt left around it, or no brighter paint in it; outline it anew")
    return np.asarray(inside & (luma >= (np.median(luma[ring]) + np.median(middles)) / 2))


def _largest_piece(mask_HW: Mask) -> Mask:
    """The largest connected piece: a marking is one, and specks beside it are not paint."""
    _, pieces_HW, stats, _ = cv2.connectedComponentsWithStats(mask_HW.astype(np.uint8))
    return np.asarray(pieces_HW == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA]))


def write_label(path: Path, label_HW: Picture) -> None:
    """Write a label map as an index PNG with a palette to look at: black, yellow, and grey for unsure."""
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[: len(PALETTE_C3)] = PALETTE_C3
    palette[IGNORE] = 128
    picture = Image.fromarray(label_HW)
    picture.putpalette(palette.tobytes())
    with atomic(path) as temporary:
        picture.save(temporary, format="PNG", optimize=True)


def proof(rgb_HWC: Picture, label_HW: Picture, rows: slice, columns: slice, zoom: int) -> Picture:
    """A part of the frame, enlarged, above itself with paint in yellow and unsure pixels in red: for the eye."""
    part = rgb_HWC[rows, columns]
    colors_C3 = np.array([[0, 0, 0], [255, 221, 51], [255, 0, 0]], dtype=np.uint8)
    label = np.where(label_HW == IGNORE, 2, label_HW)[rows, columns].astype(np.uint8)
    pair = np.concatenate([part, overlay(part, label, colors_C3, alpha=0.6, skip=(OTHER,))])
    return np.repeat(np.repeat(pair, zoom, axis=0), zoom, axis=1)


def main() -> None:
    """Draw every label of a reference, or with --check say which differ from those that are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", choices=sorted(REFERENCES))
    parser.add_argument("--frames", type=Path, help="the video, or CamVid's root; default: where it is under SEG_DATA")
    parser.add_argument("--proofs", type=Path, help="a folder for enlarged overlays")
    parser.add_argument("--check", action="store_true", help="compare with the labels that are there, write none")
    args = parser.parse_args()
    reference: Reference = REFERENCES[args.reference]
    different = []
    try:
        outlines = reference.outlines()
        for key, rgb_HWC in reference.frames(reference.source(args.frames), outlines):
            label_HW, path = draw_label(rgb_HWC, outlines.frames[key]), reference.label_path(key)
            print(f"{path.stem}: {(label_HW == LANE).sum():5d} lane, {(label_HW == IGNORE).sum():5d} unsure pixels")
            if not args.check:
                write_label(path, label_HW)
            elif not np.array_equal(label_HW, read_label(path)):
                different.append(path.name)
            if args.proofs:
                args.proofs.mkdir(parents=True, exist_ok=True)
                for name, rows, columns, zoom in reference.proofs:
                    picture = proof(rgb_HWC, label_HW, rows, columns, zoom)
                    write_png(args.proofs / f"{path.stem}-{name}.png", picture)
    except SegError as error:
        raise SystemExit(f"error: {error}") from None
    if different:
        raise SystemExit(f"these labels are not what the outlines draw: {', '.join(different)}")


if __name__ == "__main__":
    main()
