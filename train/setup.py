"""From a config to everything that a run needs before its first step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from seg.classes import Ontology, load_ontology
from seg.config import EncoderConfig, LoopConfig, ModelConfig, PretrainConfig, RunConfig
from seg.data.base import LabelledData
from seg.data.open import label_space, open_data
from seg.errors import SegError
from seg.labels import LabelSpace
from seg.model.autoencoder import Autoencoder
from seg.model.checkpoint import (
    CheckpointMeta,
    MisfitError,
    PretrainMeta,
    find_checkpoint,
    load_autoencoder,
    load_meta,
    load_weights,
    start_from,
)
from seg.model.network import SegmentationAutoencoder, build_network
from seg.model.unfold import start_from_file
from seg.paths import configs, expand
from seg.shipped import resolve_model
from seg.spec import Origin
from seg.strict import nearest
from train.distributed import World, synchronize_statistics
from train.losses import SegmentationLoss, value_weights
from train.origins import origins_of, origins_of_encoder
from train.pixels import measure_pixels, measured_pixels
from train.plan import BatchPlan
from train.precheck import check_validation, unseen_scale
from train.precision import has_bfloat16
from train.reconstruction import ReconstructionTask
from train.run import RunDirectory, config_hash, data_hash, data_names, versions
from train.segmentation import SegmentationTask
from train.state import State
from train.task import Setting, Task

MEASURED = 32
"""How many training frames the norms of an exported network are measured on, at most."""

AnyRun = RunConfig | PretrainConfig
Model = TypeVar("Model", bound=EncoderConfig)


@dataclass
class Parts:
    """A run's fixed parts and its state. `meta` is written into every checkpoint; `notes` are said once, at the start."""

    config: AnyRun
    train: LabelledData
    val: LabelledData
    plan: BatchPlan
    state: State
    task: Task
    device: torch.device
    world: World
    meta: CheckpointMeta | PretrainMeta
    notes: tuple[str, ...] = ()

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


def prepare(config: AnyRun, run: RunDirectory, world: World, device: torch.device, *, fresh: bool = True) -> Parts:
    """Open the data, build the network and its task.

    A network that is not `fresh` gets its weights from a checkpoint: those to start from need not be there any more.

    Raises:
        SegError: for data that are missing or a network that cannot be built.
    """
    ontology = load_ontology(config.ontology)
    if world.size > 1:  # videos are decoded once, into the cache: by one process
        world.main_does(lambda: label_space(config.data, ontology))
    space = label_space(config.data, ontology)
    train = open_data(config.data.train, ontology, space, config.data.cache)
    val = open_data(config.data.val, ontology, space, config.data.cache)
    weighted = any(source.weight is not None for source in config.data.train)
    plan = BatchPlan(
        len(train),
        max(config.epoch_size or len(train), config.batch_size * world.size),
        config.batch_size * world.size,
        config.seed,
        train.weights() if weighted else None,
    )
    ground = Ground(ontology, space, train, val, run, world, device)
    torch.manual_seed(config.seed)
    make = _segmentation if isinstance(config, RunConfig) else _reconstruction
    task, meta = make(config, ground, fresh)  # type: ignore[arg-type]
    notes = _notes(config, ground, meta.size)
    return Parts(config, train, val, plan, State(task.network, config.optimizer), task, device, world, meta, notes)


def _notes(config: AnyRun, ground: Ground, size: tuple[int, int]) -> tuple[str, ...]:
    """What whoever starts the run had better know."""
    notes = []
    if config.precision == "bf16" and not has_bfloat16(ground.device):
        notes.append(f"{ground.device} has no bfloat16: computing in float32")
    if isinstance(config, RunConfig):
        notes.append(unseen_scale(config.augment, ground.frame, size))
    return tuple(note for note in notes if note)


@dataclass(frozen=True)
class Ground:
    """What a task is built on."""

    ontology: Ontology
    space: LabelSpace
    train: LabelledData
    val: LabelledData
    run: RunDirectory
    world: World
    device: torch.device

    @cached_property
    def frame(self) -> tuple[int, int]:
        """(height, width) of the first validation frame."""
        first = self.val.frame(0)
        return first.shape[0], first.shape[1]

    def setting(self, config: AnyRun) -> Setting:
        """Where the task works; `size` is that of the first frame unless the config says it."""
        frame = self.frame  # read wherever the size comes from: what cannot be read is found here
        return Setting(self.val, config.val_size or frame, self.device, self.world)

    def about(self, config: AnyRun, size: tuple[int, int]) -> dict[str, Any]:
        """What every checkpoint's meta says."""
        return {
            "run": self.run.root.resolve().name,
            "config": config,
            "steps": 0,
            "size": size,
            "data": data_names(self.train),
            "data_hash": data_hash(self.train),
            "config_hash": config_hash(config),
            "versions": versions(),
        }


def _segmentation(config: RunConfig, ground: Ground, fresh: bool) -> tuple[SegmentationTask, CheckpointMeta]:
    ontology, space, world = ground.ontology, ground.space, ground.world
    network = build_network(len(ontology), config.model if fresh else _from_nowhere(config.model))
    origins = origins_of_encoder(config.model.encoder_weights) if fresh else ()
    if config.init is not None and fresh:
        origins = _start(network, config, ground)
        if config.freeze_norms:
            _check_norms(network)
    _place(network, config, ground)
    if fresh:
        world.main_does(lambda: check_validation(ground.val))
    world.main_does(lambda: measure_pixels(ground.train, ground.run, config.weight_frames))
    weight_S = value_weights(measured_pixels(ground.train, ground.run), space, config.loss.weight_power)
    loss = SegmentationLoss(config.loss, space, weight_S, world.differentiable_sum)
    setting = ground.setting(config)
    task = SegmentationTask(network, config, ontology, loss, setting)
    labels = tuple(label_set.table() for label_set in (*ground.train.label_sets, *ground.val.label_sets))
    return task, CheckpointMeta(ontology=ontology, origins=origins, labels=labels, **ground.about(config, setting.size))


def _start(network: SegmentationAutoencoder, config: RunConfig, ground: Ground) -> tuple[Origin, ...]:
    """Weights from a run, a checkpoint, an exported file or a shipped network; what they were made from."""
    init, model, ontology, train = config.init, config.model, ground.ontology, ground.train
    assert init is not None
    try:
        path = resolve_model(expand(init))
    except SegError as error:
        raise SegError(f"init: {error}; expected a run, a checkpoint, an exported file or a shipped network") from None
    recipe = configs() / "train" / f"{path.name}.yaml"
    if not path.exists() and recipe.is_file():
        raise SegError(
            f"init: {path}: no such run; it is of {recipe.name}, which comes first: train that, or name another start, such as "
            "a shipped network"
        )
    if path.suffix == ".onnx":
        start_from_file(network, ontology, path, (train.frame(index) for index in train.drawn(MEASURED)))
    else:
        folder = find_checkpoint(path)
        try:
            start_from(network, ontology, folder)
        except MisfitError as error:
            raise SegError(f"init: {error}{_other_model(folder, model)}") from None
    return origins_of(path)


def _other_model(path: Path, model: ModelConfig) -> str:
    """What the run to start from says of its network otherwise than `model`, for a message."""
    theirs = load_meta(path).config.model
    shared = sorted(set(type(theirs).model_fields) & set(type(model).model_fields) - {"encoder_weights"})
    other = [
        f"model.{key}: {getattr(theirs, key)} there, {getattr(model, key)} here"
        for key in shared
        if getattr(theirs, key) != getattr(model, key)
    ]
    return f" ({'; '.join(other)})" if other else ""


def _check_norms(network: nn.Module) -> None:
    """SegError where a norm is fresh: frozen, it would never normalise."""
    for name, norm in network.named_modules():
        if isinstance(norm, _BatchNorm) and norm.running_mean is not None and not norm.running_mean.any():
            raise SegError(
                f"freeze_norms: {name} has no statistics to keep, because init brings none for it; leave freeze_norms out, or "
                "start from a run of this whole network"
            )


def _reconstruction(config: PretrainConfig, ground: Ground, fresh: bool) -> tuple[ReconstructionTask, PretrainMeta]:
    network = Autoencoder(config.model if fresh else _from_nowhere(config.model))
    origins = origins_of_encoder(config.model.encoder_weights) if fresh else ()
    if config.init is not None and fresh:
        load_weights(network, load_autoencoder(expand(config.init))[0].state_dict(), config.init)
        origins = origins_of(expand(config.init))
    _place(network, config, ground)
    setting = ground.setting(config)
    return ReconstructionTask(network, config, setting), PretrainMeta(
        origins=origins, **ground.about(config, setting.size)
    )


def _from_nowhere(model: Model) -> Model:
    """The network without the encoder weights to start from."""
    return model.model_copy(update={"encoder_weights": None})


def _place(network: nn.Module, config: LoopConfig, ground: Ground) -> None:
    if ground.world.size > 1:
        synchronize_statistics(network, ground.device)
    memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
    network.to(ground.device, memory_format=memory_format)  # type: ignore[call-overload]


def sample_names(data: LabelledData, indices: list[int]) -> str:
    """The items' files, or names where they have none, for messages."""
    return ", ".join(_sample_name(data, index) for index in indices)


def _sample_name(data: LabelledData, index: int) -> str:
    reader, inner = data.locate(index)
    if not reader.has_labels:
        return reader.origin(inner)
    return " + ".join(map(str, data.files(index))) or f"{reader.dataset}/{data.name(index)}"
