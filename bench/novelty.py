"""Does novelty tell when the network fails? `python -m bench.novelty MODEL --data ~/data/camvid --video highway.mp4`.

Labelled frames of a CamVid split, as they are and under the conditions of `bench.conditions` in five levels. For each
level: mean IoU (`seg.metrics`), novelty, and AUROC of novelty against the clean frames: how often a frame of the level is
more novel than a clean one. The same for what users would try first as a score, 1 - mean maximum softmax probability
(Hendrycks and Gimpel, 2017). Spearman's rank correlation says whether novelty rises where mean IoU falls, over the levels
of a condition, 0 included, and over all. Frames from elsewhere, which have no labels here, are compared with the clean
ones too. The clean frames must not be those that novelty was calibrated on: leave those out with --exclude.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from sklearn.metrics import roc_auc_score

from bench.charts import Panel, Point, Scale, draw
from bench.conditions import CONDITIONS, LEVELS, degrade, torn, turned
from bench.pictures import PICTURES, no_road
from infer import Segmentation, Segmenter, open_source
from infer.watch import NOVEL_ABOVE
from seg.cli.tables import percent
from seg.config import PublishedData
from seg.data.base import LabelledData, Sample
from seg.data.images import read_rgb, write_png
from seg.data.open import open_data
from seg.data.synthetic import SyntheticScenes
from seg.errors import SegError
from seg.files import claim, sha256, write_text
from seg.metrics import PROTOCOL, Confusion
from seg.shipped import resolve_model

Picture = npt.NDArray[np.uint8]
STDERR = Console(stderr=True)
SCORES = {"novelty": "novelty", "doubt": "1 - confidence"}
SIZE = (360, 480)
"""Height and width of what is drawn: those of CamVid's frames."""


@dataclass
class Row:
    """Frames of one kind: at a level of a condition, or from one source.

    Attributes:
        name: the condition or source.
        level: of a graded condition; 0 for the clean frames, None for all else.
        novelty: of each frame.
        doubt: of each frame, 1 - mean confidence.
        confusion: against the labels; None where there are none.
    """

    name: str
    level: int | None = None
    confusion: Confusion | None = None
    novelty: list[float] = field(default_factory=list)
    doubt: list[float] = field(default_factory=list)

    def add(self, answer: Segmentation, label_HW: Picture | None = None) -> None:
        """One more frame."""
        assert answer.novelty is not None
        assert answer.confidence is not None
        self.novelty.append(answer.novelty)
        self.doubt.append(1 - float(answer.confidence.mean()) / 255)
        if label_HW is not None:
            assert self.confusion is not None
            self.confusion.update(label_HW, answer.classes)

    def figures(self, clean: Row, data: LabelledData) -> dict[str, Any]:
        """Everything about the row, ready for JSON; ratios in 0..1."""
        out: dict[str, Any] = {"name": self.name, "level": self.level, "frames": len(self.novelty)}
        if self.confusion is not None:
            out["mean_iou"] = self.confusion.report(data.label_sets).mean_iou
        out["novel"] = float(np.mean(np.array(self.novelty) > NOVEL_ABOVE))
        for score in SCORES:
            values = getattr(self, score)
            out[f"mean_{score}"] = float(np.mean(values))
            out[f"auroc_{score}"] = None if self is clean else auroc(getattr(clean, score), values)
        return out | {score: getattr(self, score) for score in SCORES}


def auroc(normal: Sequence[float], strange: Sequence[float]) -> float:
    """How often a strange frame has the higher score, ties counted half; 0.5 is chance."""
    truth = [0] * len(normal) + [1] * len(strange)
    return float(roc_auc_score(truth, [*normal, *strange]))


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Rank correlation of Spearman (1904), ties with their mean rank; None where either never changes."""
    ranks = [_ranks(np.asarray(values)) for values in (a, b)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return np.asarray((last - (counts - 1) / 2)[group], dtype=np.float64)


def variants(sample: Sample, other: Sample, seed: int) -> Iterator[tuple[str, int | None, Picture, Picture]]:
    """A labelled frame as it is and under every condition: condition, level, frame, label."""
    rgb_HWC, label_HW = sample.frame_HWC, sample.label_HW
    yield "clean", 0, rgb_HWC, label_HW
    for name in CONDITIONS:
        for level in range(1, LEVELS + 1):
            yield name, level, degrade(rgb_HWC, name, level, seed), label_HW
    yield "upside down", None, turned(rgb_HWC), turned(label_HW)
    yield "torn frame", None, torn(rgb_HWC, other.frame_HWC), torn(label_HW, other.label_HW)


def measure(segmenter: Segmenter, data: LabelledData, count: int) -> list[Row]:
    """Every condition on `count` frames, evenly spread; the clean row comes first."""
    chosen = spread(len(data), count)
    rows: dict[tuple[str, int | None], Row] = {}
    for place, index in enumerate(track(chosen, "conditions", console=STDERR, transient=True)):
        other = data.sample(chosen[(place + len(chosen) // 2) % len(chosen)])
        for name, level, rgb_HWC, label_HW in variants(data.sample(index), other, index):
            row = rows.setdefault((name, level), Row(name, level, Confusion(data.space)))
            row.add(segmenter(rgb_HWC), label_HW)
    return list(rows.values())


def measure_elsewhere(segmenter: Segmenter, frames: dict[str, Iterable[Picture]]) -> list[Row]:
    """A row for each source of frames that has any."""
    rows = []
    for name, pictures in frames.items():
        row = Row(name)
        for rgb_HWC in track(pictures, name, console=STDERR, transient=True):
            row.add(segmenter(rgb_HWC))
        rows += [row] if row.novelty else []
    return rows


def elsewhere(video: Path | None, carla: Path | None, count: int) -> dict[str, Iterable[Picture]]:
    """Frames that are not CamVid's, `count` of each source, or all where it has fewer."""
    scenes, kinds = SyntheticScenes(SIZE, seed=11), list(PICTURES)
    found: dict[str, Iterable[Picture]] = {}
    if video is not None:
        found["motorway (highway.mp4)"] = _frames(video, count)
    if carla is not None:
        found["CARLA"] = [read_rgb(path) for path in sorted(carla.glob("train/*/*_img.*"))[:count]]
    found["rendered scenes"] = (scenes.frame(index)[0] for index in range(count))
    drawn = max(count, len(kinds))
    found["no roads"] = (no_road(kinds[index % len(kinds)], SIZE, index) for index in range(drawn))
    return found


def _frames(video: Path, count: int) -> Iterator[Picture]:
    with open_source(video) as source:
        wanted = set(spread(source.count or count, count))
        yield from (frame.rgb_HWC for frame in source if frame.index in wanted)


def spread(length: int, count: int) -> list[int]:
    """`count` of the numbers below `length`, evenly spread; all of them where there are fewer."""
    return sorted(set(np.linspace(0, length - 1, min(count, length)).round().astype(int).tolist()))


def correlations(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Spearman between falling mean IoU and each rising score, by condition and over all; the clean level is in each."""
    groups = {name: [row for row in rows if row["level"] == 0 or row["name"] == name] for name in CONDITIONS}
    groups["all"] = [row for row in rows if row["level"] is not None]
    return {
        name: {
            score: spearman([-row["mean_iou"] for row in group], [row[f"mean_{score}"] for row in group])
            for score in SCORES
        }
        for name, group in groups.items()
    }


def table(figures: dict[str, Any]) -> str:
    """Both tables in Markdown: the graded conditions, and all else."""
    rows, ranks = figures["rows"], figures["spearman"]
    clean = rows[0]
    head = ["condition", "mean IoU, %", "novelty", "AUROC of novelty", "AUROC of 1 - confidence"]
    lines = [_line([*head, "Spearman of novelty", "Spearman of 1 - confidence"]), _line(["---"] * 7)]
    for name in CONDITIONS:
        levels = [row for row in rows if row["name"] == name]
        cells = [" / ".join(f"{100 * row['mean_iou']:.0f}" for row in levels)]
        cells += [" / ".join(f"{row[key]:.2f}" for row in levels) for key in ("mean_novelty", *_aurocs())]
        lines.append(_line([name, *cells, *(_rank(ranks[name][score]) for score in SCORES)]))
    lines.append(_line(["all levels", *[""] * 4, *(_rank(ranks["all"][score]) for score in SCORES)]))
    lines.append(f"\nLevels 1 / 2 / 3 / 4 / 5 of {clean['frames']} frames; mean IoU of the clean ones is "
                 f"{percent(clean['mean_iou'])} %, their novelty {clean['mean_novelty']:.2f}.\n")  # fmt: skip
    lines += [_line(["frames", "how many", "mean IoU, %", f"novel (above {NOVEL_ABOVE}), %", "novelty", *head[3:]])]
    lines += [_line(["---"] * 7)]
    for row in rows:
        if row["level"]:
            continue
        iou = percent(row["mean_iou"]) if "mean_iou" in row else "-"
        cells = [row["name"], str(row["frames"]), iou, percent(row["novel"]), f"{row['mean_novelty']:.2f}"]
        lines.append(_line([*cells, *(_rank(row[key], 3) for key in _aurocs())]))
    return "\n".join(lines)


def _aurocs() -> list[str]:
    return [f"auroc_{score}" for score in SCORES]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _rank(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def plot(figures: dict[str, Any]) -> Picture:
    """Mean IoU against the mean of each score, a line through the levels of each condition."""
    rows = [row for row in figures["rows"] if row["level"] is not None]
    panels = []
    for score, title in SCORES.items():
        lines = {
            name: [
                Point(row[f"mean_{score}"], 100 * row["mean_iou"])
                for row in rows
                if row["level"] == 0 or row["name"] == name
            ]
            for name in CONDITIONS
        }
        title = f"{title}: Spearman {_rank(figures['spearman']['all'][score])}"
        scale: Scale = "nines" if score == "novelty" else "linear"
        up = f"mean IoU, % ({figures['model']}, {figures['data']})"
        panels.append(Panel(title, "mean over the frames, a point a level", up, lines, scale))
    return draw(panels)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The figures that the arguments ask for.

    Raises:
        SegError: for a file without novelty or confidence, or data that are not there.
    """
    path = resolve_model(args.model)
    segmenter = Segmenter(path, threads=args.threads)
    names = {output.name for output in segmenter.spec.outputs}
    if not {"novelty", "confidence"} <= names:
        raise SegError(f"{path}: answers no novelty; run `seg calibrate` on its run, then `seg export` again")
    source = PublishedData(kind="camvid", root=str(args.data), split=args.split, exclude=tuple(args.exclude))
    data = open_data([source], segmenter.spec.as_ontology())
    rows = measure(segmenter, data, args.frames)
    rows += measure_elsewhere(segmenter, elsewhere(args.video, args.carla, args.frames))
    found = [row.figures(rows[0], data) for row in rows]
    return {
        "model": path.name,
        "sha256": sha256(path),
        "data": f"CamVid {args.split}",
        "excluded": args.exclude,
        "protocol": PROTOCOL,
        "spearman": correlations(found),
        "rows": found,
    }


def main() -> None:
    """Measure one ONNX file; print the tables."""
    here = Path(os.environ["SEG_DATA"]) if "SEG_DATA" in os.environ else None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="an exported network with novelty")
    parser.add_argument("--data", type=Path, default=here and here / "camvid", help="CamVid (camvid under SEG_DATA)")
    parser.add_argument("--split", default="val")
    parser.add_argument("--exclude", nargs="*", default=[], metavar="PATTERN", help="names of frames to leave out")
    parser.add_argument("--video", type=Path, default=here and here / "video/highway.mp4", help="a drive elsewhere")
    parser.add_argument("--carla", type=Path, default=here and here / "carla", help="CarlaScapes")
    parser.add_argument("--frames", type=int, default=50, help="how many of each, evenly spread [50]")
    parser.add_argument("--threads", type=int, help="CPU threads of the network")
    parser.add_argument("--json", type=Path, help="write the figures, those of each frame included")
    parser.add_argument("--plot", type=Path, help="write mean IoU against both scores as a PNG")
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    if args.data is None or args.frames < 2:
        parser.error("name CamVid's folder with --data, or SEG_DATA that holds it; and at least two --frames")
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
