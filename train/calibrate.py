"""Fitting the monitor to a trained network's frozen codes: decoder, statistics and hash on training frames, the score on
held-out ones.

Shape suffixes: N frames, K code channels, D values of a frame's code, F facts about a frame, 3 colours, H and W height and
width of a code, h and w those of a reconstruction; 32 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from seg.config import ImageFrames
from seg.data.base import LabelledData
from seg.data.open import open_data
from seg.errors import SegError
from seg.geometry import fit_frame
from seg.model.autoencoder import Autoencoder
from seg.model.checkpoint import CheckpointMeta, find_checkpoint, load_network
from seg.model.monitor import (
    COLOURS,
    STOP,
    Monitor,
    MonitorMeta,
    MonitorShape,
    claim_monitor,
    describe,
    log_error,
    save_monitor,
    shrink,
)
from train.codes import Floats, fit_hash, shrunk_covariance, whitening
from train.likeness import psnr
from train.run import data_hash, data_names, versions
from train.setup import choose_device

Track = Callable[[Sequence[int], str], Iterable[int]]

FRAMES = 400
"""At most so many training frames are looked at, and at most so many held-out ones."""
FEWEST = 20
"""Held-out frames below which their ranks say nothing."""
QUANTILES = 101

WIDTH = 32
"""Channels of the decoder: the whole monitor then costs about 5 % of a frame of camvid11."""
PLACES = 32
"""It is trained on cuts of at most so many places of a code in height and width."""
BATCH = 8
RATE = 4e-3
DECAY = 1e-2


def _untold(items: Sequence[int], _: str) -> Iterable[int]:
    return items


def calibrate(
    run: Path,
    *,
    frames: Path | None = None,
    steps: int = 300,
    device: str = "auto",
    overwrite: bool = False,
    track: Track = _untold,
) -> MonitorMeta:
    """Fit a monitor to a run's best network, whose weights stay as they are, and write it beside them.

    Training frames, not augmented, train the decoder and make the statistics and the hash; held-out frames make the
    score. The same run, data and machine make the same monitor.

    Args:
        run: a run directory or checkpoint of `seg train`.
        frames: a folder of held-out pictures; None for the run's validation frames.
        steps: of training the decoder, at least 1.
        device: where it is computed: auto, cpu, cuda.
        overwrite: whether a monitor that is there may be replaced.
        track: shows progress over the items that it is given, under a name.

    Raises:
        SegError: for a run of `seg pretrain`, data that cannot be read, too few held-out frames, or a monitor that is there.
    """
    folder = find_checkpoint(run)
    network, meta = load_network(run)
    claim_monitor(folder, overwrite=overwrite)
    where = choose_device(device)
    train, held_out = _open(run, meta, frames)
    network.to(where)
    seed = meta.config.seed
    cuts = _encode(network, train, meta.size, seed, track)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        shape = MonitorShape(
            channels=network.stage_channels[-1], stride=network.stage_strides[-1], width=WIDTH, quantiles=QUANTILES
        )
        monitor = Monitor(shape).to(where)
        fit_decoder(monitor, cuts, steps, seed, track)
    fit_statistics(monitor, torch.cat([cuts.described_ND, _errors(monitor, cuts)], 1).double().numpy(), seed)
    distances, ratios = _judge(network, monitor, held_out, meta.size, track)
    fit_score(monitor, distances)
    return save_monitor(
        folder,
        monitor,
        size=meta.size,
        seed=seed,
        steps=steps,
        train=data_names(train),
        train_frames=len(cuts.codes_NKHW),
        train_hash=data_hash(train),
        held_out=data_names(held_out),
        held_out_frames=len(distances),
        held_out_hash=data_hash(held_out),
        psnr=float(np.mean(ratios)),
        distances={f"{level:g}": float(np.quantile(distances, level)) for level in (0.0, 0.5, 0.9, 0.99, 1.0)},
        versions=versions(),
    )


def _open(run: Path, meta: CheckpointMeta, frames: Path | None) -> tuple[LabelledData, LabelledData]:
    """The training frames and the held-out ones."""
    data = meta.config.data
    try:
        train = open_data(data.train, meta.ontology, cache=data.cache)
    except SegError as error:
        raise SegError(f"{error}. {run} needs the frames that it was trained on to be calibrated") from None
    held_out = _held_out(run, meta, frames)
    if len(held_out) < FEWEST:
        raise SegError(
            f"{', '.join(data_names(held_out))}: too few to tell what is normal; expected at least {FEWEST} frames that "
            "were not trained on: name a folder of such pictures with --frames"
        )
    if seen := len(_pictures(train) & _pictures(held_out)):
        raise SegError(
            f"{', '.join(data_names(held_out))}: {seen} of these frames were trained on, and pass for more normal than any "
            "other; name a folder of other pictures with --frames"
        )
    return train, held_out


def _pictures(data: LabelledData) -> set[Path]:
    """The frames' files; none of frames that are made when read."""
    return {file.resolve() for index in range(len(data)) for file in data.files(index)[:1]}


def _held_out(run: Path, meta: CheckpointMeta, frames: Path | None) -> LabelledData:
    if frames is not None:
        return open_data([ImageFrames(kind="images", root=str(frames))], meta.ontology)
    try:
        return open_data(meta.config.data.val, meta.ontology, cache=meta.config.data.cache)
    except SegError as error:
        raise SegError(
            f"{error}. This is where {run} says its validation frames are; name other pictures that it was not trained on "
            "with --frames FOLDER"
        ) from None


class Cuts(NamedTuple):
    """What the network makes of the training frames: codes, float16, and frames at 1/4 of their size, uint8 (N, 3, h, w),
    each cut to the same place; and the whole codes' descriptions, float32 (N, D)."""

    codes_NKHW: Tensor
    pictures_N3hw: Tensor
    described_ND: Tensor


def _encode(network: Autoencoder, data: LabelledData, size: tuple[int, int], seed: int, track: Track) -> Cuts:
    """The codes of frames drawn from the data; a cut bounds what is kept of each, whatever its size."""
    generator = np.random.default_rng(seed)
    codes, pictures, described = [], [], []
    scale = network.stage_strides[-1] // STOP
    for code_1KHW, rgb_13HW in _codes(network, data, size, track, "encoding training frames"):
        # what lies in the padding is no picture: cuts end before it
        rows, columns = (max(1, side // network.stage_strides[-1]) for side in size)
        top, left = (int(generator.integers(max(0, side - PLACES) + 1)) for side in (rows, columns))
        cut_1KHW = code_1KHW[..., top : top + PLACES, left : left + PLACES]
        picture_13hw = shrink(rgb_13HW)[..., top * scale :, left * scale :]
        picture_13hw = picture_13hw[..., : cut_1KHW.shape[2] * scale, : cut_1KHW.shape[3] * scale]
        codes.append(cut_1KHW.half().cpu())
        pictures.append(picture_13hw.round().to(torch.uint8).cpu())
        described.append(describe(code_1KHW).cpu())
    described_ND = torch.cat(described)
    if not described_ND.isfinite().all():
        raise SegError("the codes of training frames are not finite: the network's weights are damaged")
    return Cuts(torch.cat(codes), torch.cat(pictures), described_ND)


@torch.inference_mode()
def _codes(
    network: Autoencoder, data: LabelledData, size: tuple[int, int], track: Track, about: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """The code of one frame after the other, (1, K, H, W), with the frame, uint8 (1, 3, H x stride, W x stride)."""
    device = network.projection.weight.device
    for index in track(data.drawn(FRAMES), about):
        rgb_HWC = np.ascontiguousarray(fit_frame(data.frame(index), size))
        rgb_13HW = torch.from_numpy(rgb_HWC).to(device).permute(2, 0, 1)[None]
        yield network.encode(rgb_13HW), rgb_13HW


def fit_decoder(monitor: Monitor, cuts: Cuts, steps: int, seed: int, track: Track = _untold) -> None:
    """Train the monitor's decoder to make the pictures from the codes, which stay as they are; squared error, AdamW."""
    parameters = [*monitor.squeeze.parameters(), *monitor.decoder.parameters()]
    optimizer = torch.optim.AdamW(parameters, RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=max(2, steps))
    generator = torch.Generator().manual_seed(seed)
    monitor.train()
    for _ in track(range(steps), "training the decoder"):
        chosen = torch.randint(len(cuts.codes_NKHW), (BATCH,), generator=generator)
        code_BKHW, picture_B3hw = _chosen(monitor, cuts, chosen)
        made_B3hw = monitor.reconstruct(code_BKHW, picture_B3hw.shape[-2:])
        loss = F.mse_loss(made_B3hw / 255.0, picture_B3hw / 255.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    monitor.eval()


def _chosen(monitor: Monitor, cuts: Cuts, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Codes and pictures of some frames, float32, where the monitor is."""
    device = monitor.statistics.mean_F.device
    return cuts.codes_NKHW[chosen].to(device).float(), cuts.pictures_N3hw[chosen].to(device).float()


@torch.inference_mode()
def _errors(monitor: Monitor, cuts: Cuts) -> Tensor:
    """The trained decoder's errors of the training frames, (N, 3)."""
    errors = []
    for chosen in torch.arange(len(cuts.codes_NKHW)).split(BATCH):
        code_BKHW, picture_B3hw = _chosen(monitor, cuts, chosen)
        errors.append(log_error(monitor.reconstruct(code_BKHW, picture_B3hw.shape[-2:]), picture_B3hw).cpu())
    return torch.cat(errors)


def fit_statistics(monitor: Monitor, facts_NF: Floats, seed: int) -> None:
    """Set what a monitor knows of the training frames: the facts' means, scales and covariance, and the hash."""
    mean_F, scale_F = facts_NF.mean(0), facts_NF.std(0)
    # what never varied would be divided by zero; and its least change is no more than unusual
    scale_F = np.maximum(scale_F, 0.01 * np.sqrt(np.square(scale_F).mean()))
    scale_F[scale_F == 0] = 1.0
    standard_NF = (facts_NF - mean_F) / scale_F
    hash_D32 = fit_hash(standard_NF[:, :-COLOURS], seed)
    whiten_FF = whitening(shrunk_covariance(standard_NF))
    _set(monitor, mean_F=mean_F, scale_F=scale_F, whiten_FF=whiten_FF, hash_D32=hash_D32)


@torch.inference_mode()
def _judge(
    network: Autoencoder, monitor: Monitor, data: LabelledData, size: tuple[int, int], track: Track
) -> tuple[Floats, Floats]:
    """The distance of each held-out frame, (N,), and the PSNR of its reconstruction in dB, (N,)."""
    distances, ratios = [], []
    for code_1KHW, rgb_13HW in _codes(network, data, size, track, "judging held-out frames"):
        distances.append(float(monitor.distance(monitor.facts(code_1KHW, rgb_13HW))))
        picture_13hw = shrink(rgb_13HW)
        ratios.append(float(psnr(monitor.reconstruct(code_1KHW, picture_13hw.shape[-2:]), picture_13hw)))
    return np.array(distances), np.array(ratios)


def fit_score(monitor: Monitor, distances_N: Floats) -> None:
    """Set a monitor's table of held-out frames' distances. The i-th nearest of N has the level i / (N + 1)."""
    count, quantiles = len(distances_N), monitor.shape.quantiles
    level_Q = np.linspace(1 / (count + 1), count / (count + 1), quantiles)
    distance_Q = np.quantile(distances_N, np.linspace(0, 1, quantiles))
    _set(monitor, distance_Q=distance_Q, level_Q=level_Q, tail=np.maximum(distances_N.std(), 1e-3))


def _set(monitor: Monitor, **values: npt.NDArray[np.floating] | np.floating) -> None:
    for name, value in values.items():
        buffer: Tensor = getattr(monitor.statistics, name)
        buffer.copy_(torch.as_tensor(np.asarray(value), dtype=torch.float32))
