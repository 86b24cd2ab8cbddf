"""What pretraining without labels is worth where labels are few: CamVid, with and without, three seeds each.

    python -m bench.few_labels --commands --runs runs/few > few.sh
    sh few.sh
    python -m bench.few_labels --runs runs/few --plot docs/images/few-labels.png --overwrite

Both arms are the recipe of `configs/train/camvid-quick.yaml` with as many steps and the same labelled frames, which are
spread evenly over the train frames in the order of their names. They differ in where the encoder and its code begin:
at random weights, or at those of one run of `configs/pretrain/camvid.yaml`, which saw all train frames and no label.
There is one validation, after the last step, so nothing is chosen on val; the figures are that validation's (in bf16).
The commands go on where they were stopped.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from bench.few_labels_plot import draw
from seg.classes import load_ontology
from seg.config import RunConfig, load_run_config
from seg.data.images import write_png
from seg.data.open import open_data
from seg.errors import SegError
from seg.files import claim, write_text
from seg.model.checkpoint import CheckpointMeta, load_meta
from seg.paths import configs, expand

RECIPE = configs() / "train/camvid-quick.yaml"
PRETRAINING = configs() / "pretrain/camvid.yaml"
SHARES = (10, 25, 100)
"""Percent of the train frames whose labels are used."""

ARMS = ("scratch", "pretrained")
SEEDS = (0, 1, 2)
EPOCHS = 40
"""Of as many samples as there are train frames, whatever the share: 1,800 steps of 8 for CamVid's 367."""

TARGET = 3.0
"""Points of mean IoU that pretraining is to gain at the smallest share."""


class Point(NamedTuple):
    """Runs of one arm at one share: how many frames had labels, and each seed's mean IoU on val in percent."""

    share: int
    frames: int
    arm: str
    mean_iou: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.mean(self.mean_iou)


class Study:
    """The runs to compare: what they are, and what came of them.

    Args:
        root: CamVid's folder.
        runs: the folder of the run directories.

    Raises:
        SegError: if the data set is not there.
    """

    def __init__(self, root: Path, runs: Path) -> None:
        self.runs = runs
        self._roots = [f"data.{split}.0.root={root}" for split in ("train", "val")]
        recipe = load_run_config(RECIPE, self._roots)
        self._data = open_data(recipe.data.train, load_ontology(recipe.ontology))

    def labelled(self, share: int) -> list[str]:
        """The names of the frames whose labels are used."""
        data = self._data
        return [data.name(index) for index in data.spread(round(share * len(data) / 100))]

    def run(self, share: int, arm: str, seed: int) -> Path:
        """The directory of a run."""
        return self.runs / f"{share}-{arm}-{seed}"

    def overrides(self, share: int, arm: str, seed: int) -> list[str]:
        """What a run changes in the recipe, as on the command line."""
        changes = [*self._roots, f"epochs={EPOCHS}", f"epoch_size={len(self._data)}", f"val_every={EPOCHS}"]
        changes.append(f"seed={seed}")
        if share < 100:
            changes.append(f"data.train.0.include={json.dumps(self.labelled(share))}")
        if arm == "pretrained":
            changes.append(f"init={self.runs / 'pretrained'}")
        return changes

    def commands(self) -> list[str]:
        """The pretraining, then every run, those of one seed after another: a shell's lines."""
        roots = [f"data.train.0.root={self._train_frames()}", f"data.val.0.root={self._train_frames('val')}"]
        lines = [_line("pretrain", PRETRAINING, roots, self.runs / "pretrained")]
        for seed, share, arm in product(SEEDS, SHARES, ARMS):
            lines.append(_line("train", RECIPE, self.overrides(share, arm, seed), self.run(share, arm, seed)))
        return lines

    def _train_frames(self, split: str = "train") -> Path:
        return self._data.files(0)[0].parent.parent / split

    def points(self) -> list[Point]:
        """What the finished runs reached; arms and shares without any are left out.

        Raises:
            SegError: for a run that is another than its command makes.
        """
        points = []
        for share, arm in product(SHARES, ARMS):
            scores = [score for seed in SEEDS if (score := self._score(share, arm, seed)) is not None]
            if scores:
                points.append(Point(share, len(self.labelled(share)), arm, tuple(scores)))
        return points

    def _score(self, share: int, arm: str, seed: int) -> float | None:
        folder = self.run(share, arm, seed) / "checkpoints" / "best"
        if not folder.is_dir():  # it is made by the only validation, after the last step
            return None
        meta = load_meta(folder)
        expected = load_run_config(RECIPE, self.overrides(share, arm, seed))
        if not isinstance(meta, CheckpointMeta) or _comparable(meta.config) != _comparable(expected):
            raise SegError(
                f"{folder.parent.parent}: is not the run that --commands makes of this name; move it away, or name the "
                "folder of the runs and of the data as they were named then"
            )
        assert meta.report is not None
        assert meta.report.mean_iou is not None
        return 100 * meta.report.mean_iou


def _line(command: str, config: Path, overrides: Sequence[str], run: Path) -> str:
    return shlex.join(
        [
            "seg",
            command,
            str(Path("configs") / config.relative_to(configs())),
            *overrides,
            "--out",
            str(run),
            "--resume",
        ]
    )


def _comparable(config: RunConfig) -> RunConfig:
    """The config without what only says where a run was computed."""
    return config.model_copy(update={"device": "auto", "workers": 0})


def gain_at(points: Sequence[Point], share: int) -> float | None:
    """Points of mean IoU that pretraining gained at a share, mean against mean; None without runs of both arms."""
    means = {point.arm: point.mean for point in points if point.share == share}
    return means["pretrained"] - means["scratch"] if len(means) == len(ARMS) else None


def table(points: Sequence[Point]) -> str:
    """Markdown: a row a share, in brackets the worst and the best seed."""
    lines = ["| labelled frames | from scratch | pretrained | gain, points |", "|---|---|---|---|"]
    for share in SHARES:
        row = {point.arm: point for point in points if point.share == share}
        if not row:
            continue
        cells = [_cell(row.get(arm)) for arm in ARMS]
        gain = gain_at(points, share)
        frames = next(iter(row.values())).frames
        lines.append(f"| {frames} ({share} %) | {' | '.join(cells)} | {'-' if gain is None else f'{gain:+.1f}'} |")
    return "\n".join(lines)


def _cell(point: Point | None) -> str:
    if point is None:
        return "-"
    scores = point.mean_iou
    return f"{point.mean:.1f} ({min(scores):.1f}-{max(scores):.1f}, {len(scores)} seeds)"


def main() -> None:
    """Print the commands, or the table of what they left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/few"), help="where the runs are, or are to be")
    parser.add_argument("--data", default="${SEG_DATA}/camvid", help="CamVid's root (default: camvid under SEG_DATA)")
    parser.add_argument("--commands", action="store_true", help="print the commands and do nothing")
    parser.add_argument("--plot", type=Path, help="write the picture, a PNG")
    parser.add_argument("--json", type=Path, help="write the figures")
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    try:
        for path in (args.plot, args.json):
            if path is not None and not args.commands:
                claim(path, overwrite=args.overwrite)
        study = Study(expand(args.data), args.runs)
        if args.commands:
            print("\n".join(study.commands()))
            return
        points = study.points()
        if not points:
            raise SegError(f"{args.runs}: none of the runs has ended there; --commands prints how to make them")
    except SegError as error:
        raise SystemExit(f"error: {error}") from None
    print(table(points))
    missing = len(SHARES) * len(ARMS) * len(SEEDS) - sum(len(point.mean_iou) for point in points)
    gain = gain_at(points, SHARES[0])
    if missing:
        print(f"\n{missing} runs are missing")
    if gain is not None:
        print(f"\npretraining at {SHARES[0]} %: {gain:+.1f} points (target: {TARGET:+g} at least)")
    if args.plot is not None:
        lines = {arm: [(point.frames, point.mean_iou) for point in points if point.arm == arm] for arm in ARMS}
        write_png(args.plot, draw(lines, "CamVid val, mean IoU in %", "labelled train frames (logarithmic)"))
    if args.json is not None:
        write_text(args.json, json.dumps([point._asdict() for point in points], indent=1) + "\n")


if __name__ == "__main__":
    main()
