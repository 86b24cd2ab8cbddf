"""From a config to everything that a run needs before its first step."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from seg.classes import IGNORE, Ontology, load_ontology
from seg.config import RunConfig
from seg.data.base import LabelledData
from seg.data.open import label_space, open_data
from seg.errors import SegError
from seg.files import write_text
from seg.model.checkpoint import CheckpointMeta, start_from
from seg.model.network import SegmentationAutoencoder, build_network
from seg.paths import expand
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


def prepare(config: RunConfig, run: RunDirectory, world: World, device: torch.device, *, fresh: bool = True) -> Parts:
    """Open the data, build the network and its loss.

    A network that is not `fresh` gets its weights from a checkpoint: those to start from need not be there any more.

    Raises:
        SegError: for data that are missing or a network that cannot be built.
    """
    ontology = load_ontology(config.ontology)
    space = label_space(config.data, ontology)
    train = open_data(config.data.train, ontology, space, config.data.cache)
    val = open_data(config.data.val, ontology, space)
    weighted = any(source.weight is not None for source in config.data.train)
    plan = BatchPlan(
        len(train),
        max(config.epoch_size or len(train), config.batch_size * world.size),
        config.batch_size * world.size,
        config.seed,
        train.weights() if weighted else None,
    )
    start = {} if fresh else {"init": None, "model": config.model.model_copy(update={"encoder_weights": None})}
    network = _network(config.model_copy(update=start), ontology, world, device)
    if world.is_main:
        measure_pixels(train, run, config)
    world.wait()
    weight_S = value_weights(measured_pixels(train, run, config), space, config.loss.weight_power)
    loss = SegmentationLoss(config.loss, space, weight_S, world.differentiable_sum)
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
        start_from(network, ontology, expand(config.init))
    if world.size > 1:
        synchronize_statistics(network, device)
    memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
    return network.to(device, memory_format=memory_format)  # type: ignore[call-overload,no-any-return]


def measure_pixels(data: LabelledData, run: RunDirectory, config: RunConfig) -> None:
    """Count the pixels of each label value over evenly spread frames, once a run, into the run directory."""
    if run.label_pixels.exists():
        return
    pixels = np.zeros(IGNORE + 1, dtype=np.int64)
    weights = data.weights() * len(data)
    console = Console(stderr=True)
    indices = data.spread(config.weight_frames)
    for index in track(indices, "measuring classes", console=console, disable=not console.is_terminal):
        label = data.sample(index).label_HW
        pixels += np.round(np.bincount(label.ravel(), minlength=IGNORE + 1) * weights[index]).astype(np.int64)
    run.root.mkdir(parents=True, exist_ok=True)
    names = [data.space.name(value) for value in range(len(data.space.sets))]
    write_text(run.label_pixels, json.dumps(dict(zip(names, pixels.tolist(), strict=False)), indent=1) + "\n")


def measured_pixels(data: LabelledData, run: RunDirectory, config: RunConfig) -> Tensor:
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
        raise SegError(f"none of {config.weight_frames} training frames has a labelled pixel; try `seg data check`")
    return torch.tensor([recorded[name] for name in names])


def sample_names(data: LabelledData, indices: list[int]) -> str:
    """The items' files, or names where they have none, for messages."""
    return ", ".join(
        " + ".join(map(str, data.files(index))) or f"{data.reader_of(index).dataset}/{data.name(index)}"
        for index in indices
    )
