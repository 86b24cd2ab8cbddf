"""Lane markings on real roads: a network against the hand-labelled frames of `bench/highway` or `bench/streets`.

python -m bench.lanes MODEL.onnx --video highway.mp4 --overlay out/lanes.png --json out/lanes.json
python -m bench.lanes MODEL.onnx --streets ~/data/camvid

The network answers full frames, as `seg infer` runs it: resized to its own size, the class map brought back by nearest
neighbour. IoU is that of one confusion matrix over all frames, at the frames' size. Precision, recall and F1 forgive
some pixels (`seg.boundary`), 3 on the motorway (960x540) and 2 on the streets (480x360), their counts summed over the
frames. Unsure pixels (255) are left out of all.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from bench.lane_labels import REFERENCES, Key, Reference
from infer import Segmenter
from seg import draw
from seg.boundary import Matches, match
from seg.classes import IGNORE, Ontology, load_ontology
from seg.cli.tables import percent
from seg.data.images import read_label, write_png
from seg.errors import SegError
from seg.files import claim, sha256, write_text
from seg.labels import LabelSpace, load_label_set
from seg.metrics import PROTOCOL, Confusion
from seg.shipped import resolve_model

RIGHT, FALSE, MISSED, UNSURE = (40, 200, 80), (255, 60, 60), (60, 120, 255), (150, 150, 150)
"""Colours of the overlay, RGB: lane that both say, that only the network says, that only the label says, left out."""

Picture = npt.NDArray[np.uint8]
Predict = Callable[[Picture], Picture]


@dataclass(frozen=True)
class Figures:
    """Lane figures of one frame, or of all."""

    confusion: Confusion
    matches: Matches

    def row(self) -> dict[str, float | int | None]:
        """The figures by name; ratios in 0..1, None where there is nothing to divide by."""
        lane = self.confusion.report().units["lane"]
        return {
            "iou": lane.iou,
            "precision": self.matches.precision,
            "recall": self.matches.recall,
            "f1": self.matches.f1,
            "label_pixels": lane.label_pixels,
            "predicted_pixels": self.matches.predicted,
        }


class Comparison:
    """The labels of a reference in the label space of `drive`, and how a class map compares with them."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.outlines = reference.outlines()
        self.ontology = load_ontology("drive")
        self.lane = self.ontology.id_of("lane")
        label_set = load_label_set(reference.folder / "labels.yaml", self.ontology)
        self.space = LabelSpace(self.ontology, [label_set])
        self._encode = self.space.encoder(label_set)

    def label(self, key: Key) -> Picture:
        """The label values of a frame, uint8 (H, W)."""
        path = self.reference.label_path(key)
        return self._encode(read_label(path), path)

    def figures(self, label_HW: Picture, classes_HW: Picture) -> Figures:
        """One frame's figures. SegError if the shapes differ."""
        confusion = Confusion(self.space)
        confusion.update(label_HW, classes_HW)
        predicted_HW, labelled_HW, unsure_HW = classes_HW == self.lane, label_HW == self.lane, label_HW == IGNORE
        return Figures(confusion, match(predicted_HW, labelled_HW, self.reference.tolerance, unsure_HW))

    def picture(self, rgb_HWC: Picture, label_HW: Picture, classes_HW: Picture) -> Picture:
        """The lower half of the frame with lane pixels painted: right, false, missed and left out."""
        predicted_HW, labelled_HW = classes_HW == self.lane, label_HW == self.lane
        kinds_HW = np.full(label_HW.shape, IGNORE, dtype=np.uint8)
        kinds_HW[label_HW == IGNORE] = 3
        kinds_HW[predicted_HW & labelled_HW] = 0
        kinds_HW[predicted_HW & ~labelled_HW & (label_HW != IGNORE)] = 1
        kinds_HW[labelled_HW & ~predicted_HW] = 2
        colors_C3 = np.array([RIGHT, FALSE, MISSED, UNSURE], dtype=np.uint8)
        half = slice(rgb_HWC.shape[0] // 2, None)
        return draw.overlay(rgb_HWC[half], kinds_HW[half], colors_C3, alpha=0.8)


def measure(
    predict: Predict, source: Path, comparison: Comparison
) -> tuple[dict[Key, Figures], Figures, list[Picture]]:
    """Figures of every labelled frame and of all together, and a picture of each.

    Args:
        predict: uint8 RGB (H, W, 3) to class ids of `drive`, uint8 (H, W).
        source: the video, or CamVid's root.
        comparison: the labels to compare with.

    Raises:
        SegError: if the frames are not those of the labels.
    """
    each: dict[Key, Figures] = {}
    total = Figures(Confusion(comparison.space), Matches())
    pictures = []
    for key, rgb_HWC in comparison.reference.frames(source, comparison.outlines):
        label_HW, classes_HW = comparison.label(key), predict(rgb_HWC)
        each[key] = comparison.figures(label_HW, classes_HW)
        total.confusion.merge(each[key].confusion)
        total = Figures(total.confusion, total.matches + each[key].matches)
        pictures.append(draw.label(comparison.picture(rgb_HWC, label_HW, classes_HW), f"frame {key}"))
    return each, total, pictures


def check_ontology(model: Path, ontology: Ontology, expected: Ontology) -> None:
    """SegError unless the network answers the classes of `expected`."""
    if ontology.names != expected.names:
        raise SegError(
            f"{model}: expected a network of the ontology {expected.name!r} ({', '.join(expected.names)}), "
            f"this one answers {', '.join(ontology.names)}"
        )


def print_table(each: dict[Key, Figures], total: Figures, title: str, tolerance: int) -> None:
    """The figures in percent, a row a frame; the line below it says what is forgiven."""
    table = Table(title=title)
    columns = ("IoU", "precision", "recall", "F1", "lane pixels", "predicted")
    for name in ("frame", *columns):
        table.add_column(name, justify="right")
    for name, figures in [*((str(key), one) for key, one in each.items()), ("all", total)]:
        row = figures.row()
        ratios = [percent(row[key]) for key in ("iou", "precision", "recall", "f1")]
        table.add_row(name, *ratios, f"{row['label_pixels']:,}", f"{row['predicted_pixels']:,}")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(f"precision, recall and F1 within {tolerance} pixels; IoU without tolerance, in percent", style="dim")


def main() -> None:
    """Measure one ONNX file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="an exported network of the ontology drive, or the name of a shipped one")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--video", type=Path, help="the motorway (this is the default: video/highway.mp4 under SEG_DATA)"
    )
    where.add_argument(
        "--streets", nargs="?", const="", metavar="CAMVID_ROOT", help="the streets; no root: camvid under SEG_DATA"
    )
    parser.add_argument("--json", type=Path, help="write the figures, those of each frame included")
    parser.add_argument("--overlay", type=Path, help="write a PNG: green right, red false, blue missed, grey unsure")
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    reference = REFERENCES["highway" if args.streets is None else "streets"]
    given = Path(args.streets) if args.streets else args.video
    try:
        for path in (args.json, args.overlay):
            if path is not None:
                claim(path, overwrite=args.overwrite)
        model, comparison = resolve_model(args.model), Comparison(reference)
        segmenter = Segmenter(model)
        check_ontology(model, segmenter.spec.as_ontology(), comparison.ontology)
        source = reference.source(given)
        each, total, pictures = measure(lambda rgb_HWC: segmenter(rgb_HWC).classes, source, comparison)
        files = {path.name: sha256(path) for path in reference.files(source, comparison.outlines)}
    except SegError as error:
        raise SystemExit(f"error: {error}") from None
    title = f"lane markings: {model.name} on {len(each)} frames of {source.name}"
    print_table(each, total, title, reference.tolerance)
    if args.json is not None:
        figures: dict[str, Any] = {
            "model": model.name,
            "model_sha256": sha256(model),
            "reference": reference.folder.name,
            "frames_sha256": files,
            "protocol": PROTOCOL,
            "tolerance_pixels": reference.tolerance,
            "total": total.row(),
            "frames": {str(key): one.row() for key, one in each.items()},
        }
        write_text(args.json, json.dumps(figures, indent=1) + "\n")
    if args.overlay is not None:
        write_png(args.overlay, draw.grid(pictures, columns=2))


if __name__ == "__main__":
    main()
