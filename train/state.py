"""What changes during a run, and how it is written to a checkpoint and read back exactly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import timm.optim.muon
import torch
from timm.optim.muon import Muon, zeropower_via_newtonschulz
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from seg.config import OptimizerConfig
from seg.errors import SegError
from seg.model.checkpoint import (
    META,
    WEIGHTS,
    CheckpointMeta,
    Meta,
    PretrainMeta,
    load_meta,
    load_tensors,
    load_weights,
    save_checkpoint,
)
from train.ema import MovingAverage
from train.precision import has_bfloat16


@dataclass
class Progress:
    """How far a run has come: optimiser steps done, epochs validated, and the best score so far with its epoch.

    `loss_sum` is of the `loss_steps` steps since the last validation.
    """

    step: int = 0
    validated: int = 0
    best: float = -1.0
    best_epoch: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0


class State:
    """Network, its moving average, optimiser and progress."""

    def __init__(self, network: nn.Module, config: OptimizerConfig) -> None:
        self.network = network
        self.average = MovingAverage(network, config.ema)
        self.optimizer = _optimizer(network, config)
        self.progress = Progress()

    def save(self, folder: Path, meta: Meta) -> None:
        """Write a checkpoint to resume from; its `weights` are the average's, the ones to use."""
        tensors = {
            "weights": dict(self.average.network.state_dict()),
            "trained": dict(self.network.state_dict()),
            "optimizer": dict(self._optimizer_tensors()),
        }
        save_checkpoint(folder, meta, tensors, asdict(self.progress))

    def save_weights(self, folder: Path, meta: Meta) -> None:
        """Write the averaged network alone."""
        save_checkpoint(folder, meta, {"weights": dict(self.average.network.state_dict())})

    def load(self, folder: Path) -> CheckpointMeta | PretrainMeta:
        """Go back to what `save` wrote, bit for bit.

        Raises:
            SegError: if the checkpoint is damaged or of another network.
        """
        load_weights(self.average.network, load_tensors(folder / WEIGHTS), str(folder))
        load_weights(self.network, load_tensors(folder / "trained.safetensors"), str(folder))
        moments = load_tensors(folder / "optimizer.safetensors")
        for name, parameter in self.network.named_parameters():
            own = {key.partition("/")[0]: value for key, value in moments.items() if key.partition("/")[2] == name}
            if own:  # none before the first step
                self.optimizer.state[parameter] = {key: _beside(parameter, value) for key, value in own.items()}
        try:
            self.progress = Progress(**json.loads((folder / "state.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise SegError(f"{folder}: cannot be resumed from ({error}); use checkpoints/last of a run") from None
        return load_meta(folder)

    def _optimizer_tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                yield f"{key}/{name}", torch.as_tensor(value)  # Muon keeps a flag among its moments


def _beside(parameter: Tensor, value: Tensor) -> Tensor | bool:
    """A moment on its parameter's device and in its memory layout: the fused AdamW pairs them by place in memory."""
    if value.dtype == torch.bool:
        return bool(value)
    if value.shape != parameter.shape:  # the count of steps
        return value.to(parameter.device)
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _optimizer(network: nn.Module, config: OptimizerConfig) -> Optimizer:
    groups = _groups(network, config.weight_decay)
    if config.kind == "adamw":
        return AdamW(groups, lr=config.lr, fused=True)
    device = next(network.parameters()).device
    return (Muon if has_bfloat16(device) else _Float32Muon)(groups, lr=config.lr, nesterov=True)


class _Float32Muon(Muon):
    """Muon that orthogonalises in float32, for processors on which timm's bfloat16 takes half of a training step."""

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """As of every optimiser."""
        # timm's function has an argument for it, its class has not
        timm.optim.muon.zeropower_via_newtonschulz = partial(zeropower_via_newtonschulz, dtype=torch.float32)
        try:
            return super().step(closure)
        finally:
            timm.optim.muon.zeropower_via_newtonschulz = zeropower_via_newtonschulz


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay the filters, not the biases and the scales of norms (He et al., Bag of Tricks, 2019)."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def checkpoint_to_resume(last: Path) -> Path | None:
    """The whole checkpoint under `last` or, after a kill between its two renames, the one before; None without any."""
    for folder in (last, last.with_name(f".{last.name}.old")):
        if (folder / META).is_file():
            return folder
    return None


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
