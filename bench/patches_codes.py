"""What the penalties make of a code, by the task of `seg pretrain` itself on small patches.

The network is `Autoencoder` with the encoder `dilated`, thin: a patch of 16x16 pixels, 768 numbers, has one place of 64
channels for a code. Shape suffixes: B batch, N patches, 3 colours, K code channels, H and W height and width.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.patches_data import Finding, Patches
from seg.classes import load_ontology
from seg.config import SyntheticData, load_pretrain_config
from seg.data.open import open_data
from seg.model.autoencoder import Autoencoder
from seg.paths import configs
from train.batches import Batch
from train.distributed import World
from train.penalties import contractive_penalty, drop_channels
from train.reconstruction import ReconstructionTask
from train.schedule import factor
from train.state import State, set_rate
from train.task import Setting

NETWORK = (
    "model={encoder: dilated, encoder_options: {channels: [16, 16, 32, 64], blocks: [1, 1], dilations: [1]}, "
    "code_channels: 64, reconstruction_width: 64}"
)
PLAIN = ("corruption={}", "loss={squared: 1.0}", "precision=float32")
"""Nothing is to be undone: the code is all that differs between two trainings."""

STEPS = 400
BATCH = 128
RHO = 0.05
JUDGED = 64
"""Held-out patches whose Jacobian is computed."""


def learn(patches: Patches, *overrides: str, steps: int = STEPS) -> Autoencoder:
    """Train on patches as `configs/pretrain/camvid.yaml` says, but for `overrides`, the small network and `PLAIN`.

    Args:
        patches: to learn from.
        overrides: `key=value`, as on the command line.
        steps: of `BATCH` patches.
    """
    config = load_pretrain_config(configs() / "pretrain/camvid.yaml", [NETWORK, *PLAIN, *overrides])
    torch.manual_seed(0)
    network = Autoencoder(config.model).train()
    # it is not validated here: any frames will do
    frames = open_data([SyntheticData(kind="synthetic", count=1)], load_ontology(config.ontology))
    side = patches.train_N3SS.shape[-1]
    task = ReconstructionTask(network, config, Setting(frames, (side, side), torch.device("cpu"), World()))
    state = State(network, config.optimizer)
    rate = factor(config.optimizer, steps)
    for step, rgb_B3HW in enumerate(_batches(patches.train_N3SS, steps)):
        (part,) = task.parts(Batch(rgb_B3HW, torch.zeros(0), []), 1)
        set_rate(state.optimizer, config.optimizer.lr * rate(step))
        task(*part).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.optimizer.clip)
        state.optimizer.step()
        state.optimizer.zero_grad()
    return network.eval()


def _batches(patches_N3HW: Tensor, steps: int) -> Iterator[Tensor]:
    for _ in range(steps):
        yield patches_N3HW[torch.randint(len(patches_N3HW), (BATCH,))]


@torch.inference_mode()
def codes_of(network: Autoencoder, patches_N3HW: Tensor) -> Tensor:
    """The codes of patches, float (N, K, H, W)."""
    return torch.cat([network.encode(part) for part in patches_N3HW.split(512)])


@torch.inference_mode()
def error_of(network: Autoencoder, patches_N3HW: Tensor, codes_NKHW: Tensor) -> float:
    """The mean squared error, on pixels in 0..1, of what a network makes of codes."""
    pairs = zip(patches_N3HW.split(512), codes_NKHW.split(512), strict=True)
    errors = [
        F.mse_loss(network.reconstruct(code, patch.shape[-2:]) / 255, patch.float() / 255, reduction="sum")
        for patch, code in pairs
    ]
    return float(torch.stack(errors).sum()) / patches_N3HW.numel()


def decibels(error: float) -> float:
    """PSNR of a mean squared error on pixels in 0..1."""
    return -10 * math.log10(error)


def sparse(patches: Patches) -> Finding:
    """Kullback-Leibler brings sigmoid codes to an activity of rho; L1 zeroes ever more of a ReLU code."""
    held = patches.held_N3SS
    rows, activities = [], []
    for weight in (0.0, 0.1):
        network = learn(patches, "model.code_activation=sigmoid", f"penalty={{kl: {weight}, rho: {RHO}}}")
        code_NKHW = codes_of(network, held)
        activities.append(float(code_NKHW.mean()))
        rows.append(["sigmoid", f"KL {weight:g}", activities[-1], "", decibels(error_of(network, held, code_NKHW))])
    zeros = []
    for weight in (0.0, 0.001, 0.01, 0.1):
        network = learn(patches, "model.code_activation=relu", f"penalty={{l1: {weight}}}")
        code_NKHW = codes_of(network, held)
        zeros.append(float((code_NKHW == 0).float().mean()))
        error = error_of(network, held, code_NKHW)
        rows.append(["ReLU", f"L1 {weight:g}", float(code_NKHW.mean()), zeros[-1], decibels(error)])
    rising = all(low < high for low, high in itertools.pairwise(zeros))
    met = abs(activities[1] / RHO - 1) < 0.2 and rising
    figure = f"activity {activities[1]:.4f} for rho {RHO:g} ({activities[0]:.2f} without); zeros {_list(zeros)}"
    columns = ["code", "penalty", "mean activity", "share of zeros", "held-out PSNR, dB"]
    return Finding("KL and L1: sparse codes", figure, "within 20 % of rho; rising", met, columns, rows)


def contractive(patches: Patches) -> Finding:
    """The exact Jacobian falls with the penalty's weight, and the estimate that training uses is right about it.

    A code may be moved less by being smaller, which a decoder that normalises undoes; so the norm is also given over
    the code's own variance.
    """
    held = patches.held_N3SS
    unit_N3HW = held[:JUDGED].float() / 255
    rows, norms = [], []
    for weight in (0.0, 1e-6, 1e-5, 1e-4):
        network = learn(patches, f"penalty={{contractive: {weight}}}")
        code_NKHW = codes_of(network, held)
        norms.append(exact_norm(network, unit_N3HW))
        estimate = contractive_penalty(
            lambda unit, network=network: network.encode(255 * unit),
            unit_N3HW,
            100,
            torch.Generator().manual_seed(0),
        )
        variance = float(code_NKHW.var(0).sum())
        error = error_of(network, held, code_NKHW)
        rows.append([weight, norms[-1], float(estimate.detach()) / norms[-1], norms[-1] / variance, decibels(error)])
    falling = all(high > low for high, low in itertools.pairwise(norms))
    columns = ["weight", "squared norm of the Jacobian", "estimate over it", "norm over the code's variance"]
    figure = f"squared norm {_list(norms)}"
    return Finding(
        "contractive: the code moves less", figure, "falling", falling, [*columns, "held-out PSNR, dB"], rows
    )


def exact_norm(network: Autoencoder, unit_N3HW: Tensor) -> float:
    """The squared Frobenius norm of d code / d patch, patches in 0..1, by torch's Jacobian: the mean over patches."""

    def encode(unit_3HW: Tensor) -> Tensor:
        return network.encode(255 * unit_3HW[None]).flatten()

    jacobians = torch.func.vmap(torch.func.jacrev(encode), chunk_size=8)(unit_N3HW)
    return float(jacobians.detach().square().sum()) / len(unit_N3HW)


def dropout(patches: Patches) -> Finding:
    """A code that was trained with channels dropped says what it says in several of them."""
    held = patches.held_N3SS
    rows, ratios = [], []
    for share in (0.0, 0.2):
        network = learn(patches, f"penalty={{dropout: {share}}}")
        code_NKHW = codes_of(network, held)
        whole = error_of(network, held, code_NKHW)
        # the same channels for both networks
        zeroed = error_of(network, held, drop_channels(code_NKHW, 0.2, torch.Generator().manual_seed(0)))
        ratios.append(zeroed / whole)
        rows.append([f"dropout {share:g}", whole, zeroed, ratios[-1]])
    errors = [float(row[2]) for row in rows]
    figure = f"error {errors[1]:.4f} with, {errors[0]:.4f} without ({errors[1] / errors[0]:.2f} of it)"
    columns = ["trained with", "squared error", "20 % of channels zeroed", "ratio"]
    met = errors[1] < errors[0] and ratios[1] < ratios[0]
    return Finding("dropout: redundant codes", figure, "less error with 20 % zeroed", met, columns, rows)


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
