"""How often each label value occurs: counted once a run, so that class weights are the same after a resume."""

from __future__ import annotations

import json

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from seg.classes import IGNORE
from seg.data.base import LabelledData, evenly
from seg.errors import SegError
from seg.files import write_text
from train.run import RunDirectory

LEAST = 16
"""How many frames of a source are looked at, however small its share; of `frames` in all where those are fewer."""


def measure_pixels(data: LabelledData, run: RunDirectory, frames: int) -> None:
    """Count the pixels of each label value as training meets them, once a run, into the run directory.

    Of about `frames` frames each source gives its share, evenly spread over it. A source with fewer frames than that
    gives each once; those then count for more, so that no source's size stands in for its weight. A large frame counts
    no more than a small one, because training cuts windows of one size out of either.
    """
    if run.label_pixels.exists():
        return
    pixels = np.zeros(IGNORE + 1, dtype=np.float64)
    seen = 0
    console = Console(stderr=True)
    chosen = _by_source(data, frames)
    for index, weight in track(chosen, "measuring classes", console=console, disable=not console.is_terminal):
        label = data.sample(index).label_HW
        pixels += np.bincount(label.ravel(), minlength=IGNORE + 1) * (weight / label.size)
        seen += label.size
    run.root.mkdir(parents=True, exist_ok=True)
    names = [data.space.name(value) for value in range(len(data.space.sets))]
    # rounded up: a class that is there is never counted as absent
    counts = np.ceil((pixels * seen).round(6)).astype(np.int64).tolist()
    write_text(run.label_pixels, json.dumps(dict(zip(names, counts, strict=False)), indent=1) + "\n")


def _by_source(data: LabelledData, frames: int) -> list[tuple[int, float]]:
    """Items to look at, with weights that give each source its share and sum to 1."""
    chosen = []
    start = 0
    for reader, share in zip(data.readers, data.shares(), strict=True):
        places = evenly(len(reader), max(min(LEAST, frames), round(share * frames)))
        chosen += [(start + place, share / len(places)) for place in places]
        start += len(reader)
    return chosen


def measured_pixels(data: LabelledData, run: RunDirectory) -> Tensor:
    """What `measure_pixels` counted, int64, one number a label value.

    Raises:
        SegError: if the label values are others by now, or no pixel has a label.
    """
    file = run.label_pixels
    names = [data.space.name(value) for value in range(len(data.space.sets))]
    recorded = json.loads(file.read_text(encoding="utf-8"))
    if list(recorded) != names:
        raise SegError(
            f"{file}: the run started with the label values {', '.join(recorded)}; now they are {', '.join(names)}. "
            "A label file or the ontology has changed: start a new run"
        )
    if not any(recorded.values()):
        raise SegError("none of the training frames that were counted has a labelled pixel; try `seg data check`")
    return torch.tensor([recorded[name] for name in names])
