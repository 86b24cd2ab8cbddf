"""From a config to everything that a run needs before its first step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seg.classes import IGNORE, Ontology, load_ontology
from seg.config import RunConfig
from seg.data.base import LabelledData
from seg.data.open import label_space, open_data
from seg.errors import SegError
from seg.files import write_text
from seg.model.checkpoint import CheckpointMeta, start_from
from seg.model.network import SegmentationAutoencoder, build_network
from seg.strict import nearest
from train.distributed import World, synchronize_statistics
from train.losses import SegmentationLoss, value_weights
from train.plan import BatchPlan
from train.run import RunDirectory, config_hash, data_hash, data_names, versions
from train.state import State


@dataclass
class Parts:
    """A run's fixed parts and its state. `meta` is written into every checkpoint."""

    config: RunConfig
    ontology: Ontology
    train: LabelledData
    val: LabelledData
    plan: BatchPlan
    state: State
    loss: SegmentationLoss
    device: torch.device
    world: World
    meta: CheckpointMeta

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.config.epochs * self.plan.steps_per_epoch


def choose_device(name: str) -> torch.device:
    """The device of a config: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        SegError: if a GPU was asked for and is not there; never a quiet fall back.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name != "cpu" and not name.startswith("cuda"):
        raise SegError(f"device: expected auto, cpu or cuda, got {name!r}")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise SegError(f"device {name!r} was asked for and torch finds no CUDA GPU; use device=cpu or device=auto")
    known = ["cpu", "cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if name not in known:
        raise SegError(f"device {name!r} is not there; {nearest(name, known)}")
    return torch.device(name)


def prepare(config: RunConfig, run: RunDirectory, world: World, device: torch.device) -> Parts:
    """Open the data, build the network and its loss.

    Raises:
        SegError: for data that are missing or a network that cannot be built.
    """
    ontology = load_ontology(config.ontology)
    space = label_space(config.data, ontology)
    train = open_data(config.data.train, ontology, space)
    val = open_data(config.data.val, ontology, space)
    weighted = any(source.weight is not None for source in config.data.train)
    plan = BatchPlan(
        len(train),
        max(config.epoch_size or len(train), config.batch_size * world.size),
        config.batch_size * world.size,
        config.seed,
        train.weights() if weighted else None,
    )
    network = _network(config, ontology, world, device)
    pixels_S = measured_pixels(train, run, config)
    loss = SegmentationLoss(config.loss, space, value_weights(pixels_S, space, config.loss.weight_power))
    first = val.frame(0)
    meta = CheckpointMeta(
        run=run.root.name,
        ontology=ontology,
        config=config,
        steps=0,
        size=config.val_size or (first.shape[0], first.shape[1]),
        data=data_names(train),
        data_hash=data_hash(train),
        config_hash=config_hash(config),
        versions=versions(),
    )
    return Parts(
        config, ontology, train, val, plan, State(network, config.optimizer), loss.to(device), device, world, meta
    )


def _network(config: RunConfig, ontology: Ontology, world: World, device: torch.device) -> SegmentationAutoencoder:
    torch.manual_seed(config.seed)
    network = build_network(len(ontology), config.model)
    if config.init is not None:
        start_from(network, ontology, Path(config.init))
    if world.size > 1:
        synchronize_statistics(network, device)
    memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
    return network.to(device, memory_format=memory_format)  # type: ignore[call-overload,no-any-return]


def measured_pixels(data: LabelledData, run: RunDirectory, config: RunConfig) -> Tensor:
    """Pixels of each label value, int64, over evenly spread frames; measured once a run."""
    file = run.label_pixels
    names = [data.space.name(value) for value in range(len(data.space.sets))]
    if not file.exists():
        count = min(len(data), config.weight_frames)
        pixels = np.zeros(IGNORE + 1, dtype=np.int64)
        weights = data.weights() * len(data)
        for position in range(count):
            index = position * len(data) // count
            label = data.sample(index).label_HW
            pixels += np.round(np.bincount(label.ravel(), minlength=IGNORE + 1) * weights[index]).astype(np.int64)
        run.root.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(dict(zip(names, pixels.tolist(), strict=False)), indent=1) + "\n")
    recorded = json.loads(file.read_text(encoding="utf-8"))
    if list(recorded) != names:
        raise SegError(
            f"{file}: the run started with the label values {', '.join(recorded)}; now they are {', '.join(names)}. "
            "A label file or the ontology has changed: start a new run"
        )
    if not any(recorded.values()):
        raise SegError(f"none of {config.weight_frames} training frames has a labelled pixel; try `seg data check`")
    return torch.tensor([recorded[name] for name in names])


def sample_names(data: LabelledData, indices: list[int]) -> str:
    """The items' files, or names where they have none, for messages."""
    return ", ".join(
        " + ".join(map(str, data.files(index))) or f"{data.reader_of(index).dataset}/{data.name(index)}"
        for index in indices
    )
