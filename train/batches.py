"""From samples to tensors: datasets and loaders."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from seg.config import AugmentConfig
from seg.data.base import LabelledData, Sample
from seg.errors import SegError
from train.augment import Augment
from train.plan import Draw, PlannedBatches

T = TypeVar("T")


class Batch(NamedTuple):
    """Frames uint8 (B, 3, H, W) in channels-last memory, label values uint8 (B, H, W), and the items they came from."""

    rgb_B3HW: Tensor
    labels_BHW: Tensor
    indices: list[int]


class TrainingSet(Dataset[tuple[np.ndarray, np.ndarray, int] | SegError]):
    """Augmented samples, addressed by `Draw`: the same draw gives the same pixels, in any process."""

    def __init__(self, data: LabelledData, augment: AugmentConfig) -> None:
        self.data, self.config = data, augment
        self._augment: Augment | None = None

    def __getitem__(self, draw: Draw) -> tuple[np.ndarray, np.ndarray, int] | SegError:
        """Frame uint8 (H, W, 3), label uint8 (H, W), item; or what is wrong with the item's files.

        An error is handed over as a value: raised in a worker it would reach the user as torch's report of a crash.
        """
        if self._augment is None:  # made in the worker, which may have been spawned
            self._augment = Augment(self.config)
        try:
            sample = self.data.sample(draw.index)
        except SegError as error:
            return error
        frame, label = self._augment(sample.frame_HWC, sample.label_HW, draw.seed)
        return frame, label, draw.index


def collate(items: list[tuple[np.ndarray, np.ndarray, int] | SegError]) -> Batch | SegError:
    """Stack samples; frames keep their HWC memory, which is torch's channels-last. One bad item spoils the batch."""
    for item in items:
        if isinstance(item, SegError):
            return item
    frames, labels, indices = zip(*items, strict=True)
    rgb_BHW3 = torch.from_numpy(np.stack(frames))
    return Batch(rgb_BHW3.permute(0, 3, 1, 2), torch.from_numpy(np.stack(labels)), list(indices))


def training_batches(
    data: LabelledData, augment: AugmentConfig, batches: PlannedBatches, workers: int
) -> Iterator[Batch]:
    """One pass over `batches`, prepared ahead by `workers` processes.

    Raises:
        SegError: on reaching a batch of which a file cannot be read or a label is not mapped.
    """
    loader: DataLoader[Batch | SegError] = DataLoader(
        TrainingSet(data, augment),  # type: ignore[arg-type]
        batch_sampler=batches,  # type: ignore[arg-type]
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=start_worker,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    return _or_raise(loader)


class _Samples(Dataset[Sample | SegError]):
    def __init__(self, data: LabelledData) -> None:
        self.data = data

    def __getitem__(self, index: int) -> Sample | SegError:
        try:
            return self.data.sample(index)
        except SegError as error:
            return error


def samples(data: LabelledData, indices: range, workers: int) -> Iterator[Sample]:
    """Samples in order as they are, read ahead by `workers` processes."""
    loader = DataLoader(
        _Samples(data),
        sampler=indices,
        batch_size=None,
        num_workers=workers,
        worker_init_fn=start_worker,
        collate_fn=_unchanged,
    )
    yield from _or_raise(loader)


def _unchanged(sample: Sample | SegError) -> Sample | SegError:
    return sample


def _or_raise(items: Iterable[T | SegError]) -> Iterator[T]:
    for item in items:
        if isinstance(item, SegError):
            raise item
        yield item


def start_worker(_: int) -> None:
    """Workers are many: each computes on one thread, and leaves Ctrl-C and SIGTERM to the process that trains."""
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_at_word_of, args=(os.getppid(),), daemon=True).start()


def _end_at_word_of(parent: int) -> None:
    """End at a SIGTERM from `parent` alone.

    One from outside often goes to the whole group; a worker that died of it would fail the step that is to be saved.
    """
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)  # anything else the parent would report as a failure
