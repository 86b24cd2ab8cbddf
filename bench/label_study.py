"""Two ways to spend a budget of labelled CamVid frames, trained alike and compared: what `few_labels` and `curated` share.

All runs of a study are the recipe of `configs/train/camvid-quick.yaml`, shortened to as many steps for each, with one
validation, after the last step, so nothing is chosen on val; the figures are that validation's (in bf16).
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bench import charts
from seg.classes import load_ontology
from seg.config import RunConfig, load_run_config
from seg.data.images import write_png
from seg.data.open import open_data
from seg.errors import SegError
from seg.files import claim, write_text
from seg.model.checkpoint import CheckpointMeta, load_meta
from seg.paths import configs

RECIPE = configs() / "train/camvid-quick.yaml"
SEEDS = (0, 1, 2)
EPOCHS = 10
"""Of as many samples as there are train frames, however many have labels: 450 steps of 8 for CamVid's 367."""

SHORT = ("optimizer.ema=0.99",)
"""What so short a run needs: weights averaged over the last tenth of it, not over all."""


class Point(NamedTuple):
    """Runs of one arm with one budget: how many frames had labels, and each seed's mean IoU on val in percent."""

    budget: int
    frames: int
    arm: str
    mean_iou: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.mean(self.mean_iou)


class Study(ABC):
    """The runs to compare: what they are, and what came of them.

    Args:
        root: CamVid's folder.
        runs: the folder of the run directories.

    Attributes:
        budgets: how much is labelled; what of is the study's matter.
        arms: the usual way, and the one that is to be better.
        data: the train frames.

    Raises:
        SegError: if the data set is not there.
    """

    budgets: tuple[int, ...]
    arms: tuple[str, str]

    def __init__(self, root: Path, runs: Path) -> None:
        self.runs = runs
        self._roots = [f"data.{split}.0.root={root}" for split in ("train", "val")]
        recipe = load_run_config(RECIPE, self._roots)
        self.data = open_data(recipe.data.train, load_ontology(recipe.ontology))

    @abstractmethod
    def labelled(self, budget: int, arm: str, seed: int) -> list[str]:
        """The names of the frames whose labels are used."""

    def start(self, arm: str) -> list[str]:
        """What an arm changes in the recipe besides its frames."""
        return []

    def run(self, budget: int, arm: str, seed: int) -> Path:
        """The directory of a run."""
        return self.runs / f"{budget}-{arm}-{seed}"

    def overrides(self, budget: int, arm: str, seed: int) -> list[str]:
        """What a run changes in the recipe, as on the command line."""
        changes = [*self._roots, *SHORT, f"epochs={EPOCHS}", f"epoch_size={len(self.data)}", f"val_every={EPOCHS}"]
        changes.append(f"seed={seed}")
        names = self.labelled(budget, arm, seed)
        if len(names) < len(self.data):
            changes.append(f"data.train.0.include={json.dumps(names)}")
        return changes + self.start(arm)

    def commands(self) -> list[str]:
        """A shell's lines: every run, those of one seed after another."""
        return [
            line("train", RECIPE, self.overrides(budget, arm, seed), self.run(budget, arm, seed))
            for seed, budget, arm in product(SEEDS, self.budgets, self.arms)
        ]

    def points(self) -> list[Point]:
        """What the finished runs reached; arms and budgets without any are left out.

        Raises:
            SegError: for a run that is another than its command makes.
        """
        points = []
        for budget, arm in product(self.budgets, self.arms):
            scores = [score for seed in SEEDS if (score := self._score(budget, arm, seed)) is not None]
            if scores:
                points.append(Point(budget, len(self.labelled(budget, arm, 0)), arm, tuple(scores)))
        return points

    def _score(self, budget: int, arm: str, seed: int) -> float | None:
        folder = self.run(budget, arm, seed) / "checkpoints" / "best"
        if not folder.is_dir():  # it is made by the only validation, after the last step
            return None
        meta = load_meta(folder)
        expected = load_run_config(RECIPE, self.overrides(budget, arm, seed))
        if not isinstance(meta, CheckpointMeta) or _comparable(meta.config) != _comparable(expected):
            raise SegError(
                f"{folder.parent.parent}: is not the run that --commands makes of this name; move it away, or name the "
                "folder of the runs and of the data as they were named then"
            )
        assert meta.report is not None
        assert meta.report.mean_iou is not None
        return 100 * meta.report.mean_iou

    def gain_at(self, points: Sequence[Point], budget: int) -> float | None:
        """Points of mean IoU that the second arm gained, mean against mean; None without runs of both arms."""
        usual, better = (
            next((point.mean for point in points if (point.budget, point.arm) == (budget, arm)), None)
            for arm in self.arms
        )
        return None if usual is None or better is None else better - usual

    def table(self, points: Sequence[Point]) -> str:
        """Markdown: a row a budget, in brackets the worst and the best seed."""
        lines = [f"| labelled frames | {' | '.join(self.arms)} | gain, points |", "|---|---|---|---|"]
        for budget in self.budgets:
            row = {point.arm: point for point in points if point.budget == budget}
            if not row:
                continue
            frames = next(iter(row.values())).frames
            share = round(100 * frames / len(self.data))
            cells = " | ".join(_cell(row.get(arm)) for arm in self.arms)
            gain = self.gain_at(points, budget)
            lines.append(f"| {frames} ({share} %) | {cells} | {'-' if gain is None else f'{gain:+.1f}'} |")
        return "\n".join(lines)


def _cell(point: Point | None) -> str:
    if point is None:
        return "-"
    scores = point.mean_iou
    return f"{point.mean:.1f} ({min(scores):.1f}-{max(scores):.1f}, {len(scores)} seeds)"


def _comparable(config: RunConfig) -> RunConfig:
    """The config without what only says where a run was computed."""
    data = config.data.model_copy(update={"cache": None})
    return config.model_copy(update={"data": data, "device": "auto", "workers": 0})


def line(command: str, config: Path, overrides: Sequence[str], run: Path) -> str:
    """A shell's line that trains a run, or goes on with it."""
    path = str(Path("configs") / config.relative_to(configs()))
    return shlex.join(["seg", command, path, *overrides, "--out", str(run), "--resume"])


def parser(about: str | None, runs: str) -> argparse.ArgumentParser:
    """The options that the studies share."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--runs", type=Path, default=Path(runs), help="where the runs are, or are to be")
    made.add_argument("--data", default="${SEG_DATA}/camvid", help="CamVid's root (default: camvid under SEG_DATA)")
    made.add_argument("--commands", action="store_true", help="print the commands and do nothing")
    made.add_argument("--plot", type=Path, help="write the picture, a PNG")
    made.add_argument("--json", type=Path, help="write the figures")
    made.add_argument("--overwrite", action="store_true")
    return made


def claim_outputs(args: argparse.Namespace) -> None:
    """SegError where a picture or figures are to be written over, and nobody said so."""
    for path in (args.plot, args.json):
        if path is not None and not args.commands:
            claim(path, overwrite=args.overwrite)


def conclude(study: Study, args: argparse.Namespace) -> list[Point]:
    """Print the commands, or the table of what they left, and write what was asked for; the points, none of commands."""
    if args.commands:
        print("\n".join(study.commands()))
        return []
    points = study.points()
    if not points:
        raise SegError(f"{study.runs}: none of the runs has ended there; --commands prints how to make them")
    print(study.table(points))
    missing = len(study.budgets) * len(study.arms) * len(SEEDS) - sum(len(point.mean_iou) for point in points)
    if missing:
        print(f"\n{missing} runs are missing")
    if args.plot is not None:
        write_png(args.plot, plot(study, points))
    if args.json is not None:
        write_text(args.json, json.dumps([point._asdict() for point in points], indent=1) + "\n")
    return points


def plot(study: Study, points: Sequence[Point]) -> npt.NDArray[np.uint8]:
    """A line an arm through the means, with bars from the worst seed to the best, uint8 RGB."""
    lines = {
        arm: [
            charts.Point(point.frames, point.mean, (min(point.mean_iou), max(point.mean_iou)))
            for point in points
            if point.arm == arm
        ]
        for arm in study.arms
    }
    frames = sorted({point.frames for point in points})
    seeds = min(len(point.mean_iou) for point in points)
    title = f"CamVid val, {seeds} seeds, {EPOCHS} epochs"
    return charts.draw([charts.Panel(title, "labelled train frames", "mean IoU, %", lines, "log", frames)])
