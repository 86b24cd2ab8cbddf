"""How often each label value occurs: counted once a run, so that class weights are the same after a resume."""

from __future__ import annotations

import json

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from seg.classes import IGNORE
from seg.data.base import LabelledData
from seg.errors import SegError
from seg.files import write_text
from train.run import RunDirectory


def measure_pixels(data: LabelledData, run: RunDirectory, frames: int) -> None:
    """Count the pixels of each label value over `frames` evenly spread frames, once a run, into the run directory."""
    if run.label_pixels.exists():
        return
    pixels = np.zeros(IGNORE + 1, dtype=np.int64)
    weights = data.weights() * len(data)
    console = Console(stderr=True)
    indices = data.spread(frames)
    for index in track(indices, "measuring classes", console=console, disable=not console.is_terminal):
        label = data.sample(index).label_HW
        pixels += np.round(np.bincount(label.ravel(), minlength=IGNORE + 1) * weights[index]).astype(np.int64)
    run.root.mkdir(parents=True, exist_ok=True)
    names = [data.space.name(value) for value in range(len(data.space.sets))]
    write_text(run.label_pixels, json.dumps(dict(zip(names, pixels.tolist(), strict=False)), indent=1) + "\n")


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
