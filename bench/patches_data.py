"""Patches of real frames for `bench.patches`, and what a measurement of one claim answers.

Shape suffixes: N patches, 3 colours, S the side of a patch, D numbers of a patch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seg.classes import IGNORE, load_ontology
from seg.config import PublishedData
from seg.data.open import open_data

SIDE = 16
"""Pixels of a patch's side, a multiple of the stride of the network that codes it."""

PER_FRAME = 60
"""Patches cut from each frame: 22,020 of CamVid's train frames, 6,060 of its val frames."""


@dataclass(frozen=True)
class Patches:
    """Square patches of frames to learn from and of other, held-out frames.

    Attributes:
        train_N3SS: uint8 RGB.
        held_N3SS: uint8 RGB.
        train_class_N: int64, the class of each patch's centre pixel, 255 where nobody said.
        held_class_N: the same of the held-out ones.
    """

    train_N3SS: Tensor
    held_N3SS: Tensor
    train_class_N: Tensor
    held_class_N: Tensor


@dataclass(frozen=True)
class Finding:
    """What was measured about one claim.

    Attributes:
        claim: in a few words.
        figure: the figure that decides, as text.
        target: what it should be, as text.
        met: whether it is.
        columns: of the table behind the figure.
        rows: of that table.
    """

    claim: str
    figure: str
    target: str
    met: bool
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float]]

    def markdown(self) -> str:
        """The table behind the figure, and the row for a table of claims."""
        lines = [self.columns, ["---"] * len(self.columns), *([_text(cell) for cell in row] for row in self.rows)]
        row = [self.claim, self.figure, self.target, "yes" if self.met else "NO"]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n| {' | '.join(row)} |\n"

    def record(self) -> Mapping[str, object]:
        """All of it, for JSON."""
        table = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {
            "claim": self.claim,
            "figure": self.figure,
            "target": self.target,
            "met": self.met,
            "table": table,
        }


def _text(cell: str | float) -> str:
    return cell if isinstance(cell, str) else f"{cell:.4g}"


def cut(root: Path) -> Patches:
    """`PER_FRAME` patches at random places of each frame of CamVid; train frames to learn from, val frames held out.

    Raises:
        SegError: if the data set is not under `root`.
    """
    ontology = load_ontology("camvid11")
    parts: list[Tensor] = []
    for seed, split in enumerate(("train", "val")):
        data = open_data([PublishedData(kind="camvid", root=str(root), split=split)], ontology)
        random = np.random.default_rng(seed)
        patches, classes = [], []
        for index in range(len(data)):
            sample = data.sample(index)
            height, width = sample.label_HW.shape
            rows, columns = random.integers(0, (height - SIDE + 1, width - SIDE + 1), (PER_FRAME, 2)).T
            for row, column in zip(rows, columns, strict=True):
                patches.append(sample.frame_HWC[row : row + SIDE, column : column + SIDE])
                classes.append(sample.label_HW[row + SIDE // 2, column + SIDE // 2])
        parts += [torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2), torch.tensor(np.stack(classes)).long()]
    train_N3SS, train_class_N, held_N3SS, held_class_N = parts
    return Patches(train_N3SS, held_N3SS, train_class_N, held_class_N)


def centre(patches_N3SS: Tensor, side: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The middle `side` x `side` pixels of each patch as a row of numbers in 0..1, (N, D)."""
    start = (patches_N3SS.shape[-1] - side) // 2
    middle = slice(start, start + side)
    return patches_N3SS[..., middle, middle].flatten(1).to(dtype) / 255


def labelled(numbers_ND: Tensor, class_N: Tensor) -> tuple[Tensor, Tensor]:
    """The rows whose class is known, and their classes."""
    known_N = class_N != IGNORE
    return numbers_ND[known_N], class_N[known_N]
