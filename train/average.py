"""One network from several trainings: the mean of their weights, at no cost when it runs.

The uniform "model soup" of Wortsman et al., Model soups: averaging weights of multiple fine-tuned models improves accuracy
without increasing inference time, ICML 2022. It serves trainings that went on from the same weights; channels of networks
that began apart do not stand for the same things, and their mean knows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from seg.data.base import LabelledData, Sample
from seg.data.open import open_data
from seg.errors import SegError
from seg.labels import differing_labels
from seg.metrics import Report
from seg.model.checkpoint import CheckpointMeta, load_network, save_checkpoint
from seg.model.network import SegmentationAutoencoder
from train.evaluate import U8, evaluate, network_predictor, predictions
from train.origins import origins_of
from train.run import RunDirectory
from train.setup import choose_device

Answers = Iterable[tuple[Sample, U8]]
"""Samples with their predicted class maps."""
Track = Callable[[Iterator[tuple[Sample, U8]], int], Answers]


def _untold(answers: Iterator[tuple[Sample, U8]], _: int) -> Answers:
    return answers


def average(
    runs: Sequence[Path], root: Path, *, device: str = "auto", overwrite: bool = False, track: Track = _untold
) -> tuple[CheckpointMeta, list[float | None]]:
    """Write the mean of the best networks of `runs` as the checkpoint of `root`, measured on their validation frames.

    Weights and the statistics of norms are averaged in float64, one part as much as another. What the mean was made from
    is in its `origins`, its `steps` are those of all, its config is that of the first.

    Args:
        runs: run directories or checkpoint folders of `seg train`, two or more, of one network, data and classes.
        root: a folder for the mean, to be used as a run's.
        device: what runs the validation.
        overwrite: replace a mean that is there.
        track: shows progress over the answers and their number.

    Returns:
        What there is to say of the mean, `report` included; the mean IoU that each run had in its own validation.

    Raises:
        SegError: for fewer than two runs, runs that differ in network, classes or data, a folder that is in use, data
            that are missing.
    """
    if len(runs) < 2:
        raise SegError(f"a mean needs two runs or more, got {len(runs)}")
    place = RunDirectory(root)
    place.claim("a mean", overwrite=overwrite)
    where = choose_device(device)
    loaded = [load_network(run) for run in runs]
    first, meta = loaded[0]
    for run, (_, other) in zip(runs[1:], loaded[1:], strict=True):
        _check_alike(runs[0], meta, run, other)
    val = open_data(meta.config.data.val, meta.ontology, cache=meta.config.data.cache)
    first.load_state_dict(_mean([network.state_dict() for network, _ in loaded]))
    origins = dict.fromkeys(origin for run in runs for origin in origins_of(run))
    made = meta.model_copy(
        update={
            "run": root.name,
            "origins": tuple(origins),
            "steps": sum(each.steps for _, each in loaded),
            "report": _measure(first.to(where), meta.size, val, meta.config.workers, where, track),
        }
    )
    root.mkdir(parents=True, exist_ok=True)
    save_checkpoint(place.best, made, {"weights": dict(first.state_dict())})
    return made, [None if each.report is None else each.report.mean_iou for _, each in loaded]


def _check_alike(run: Path, meta: CheckpointMeta, other_run: Path, other: CheckpointMeta) -> None:
    for what, own, its in (
        ("classes", meta.ontology.names, other.ontology.names),
        ("network", meta.config.model, other.config.model),
        ("training data", (meta.data, meta.data_hash), (other.data, other.data_hash)),
    ):
        if own != its:
            raise SegError(
                f"{run} and {other_run} differ in their {what}; expected trainings of one network on one data set"
            )
    tables = zip(meta.labels or (), other.labels or (), strict=False)
    if changed := [line for first, second in tables for line in differing_labels(first, second)]:
        raise SegError(
            f"{run} and {other_run} read labels differently ({changed[0]}); expected trainings on one data set"
        )


def _mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Name by name; counters, which are whole numbers, are the first's."""
    mean = {}
    for name, value in states[0].items():
        if value.is_floating_point():
            total = sum((state[name].double() for state in states), torch.zeros_like(value, dtype=torch.float64))
            value = (total / len(states)).to(value.dtype)
        mean[name] = value
    return mean


def _measure(
    network: SegmentationAutoencoder,
    size: tuple[int, int],
    val: LabelledData,
    workers: int,
    device: torch.device,
    track: Track,
) -> Report:
    answers = predictions(network_predictor(network, size, device), val, range(len(val)), workers)
    return evaluate(track(answers, len(val)), val).report(val.label_sets)
