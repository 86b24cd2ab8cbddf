"""Evaluation: one confusion matrix over a whole set, from anything that turns a frame into a class map.

Only what has to do with a torch network imports torch: an ONNX file is evaluated where torch is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from seg.data.base import LabelledData, Sample
from seg.geometry import fit_frame, fit_map
from seg.metrics import Confusion

if TYPE_CHECKING:
    import torch

    from seg.model.network import SegmentationAutoencoder

U8 = npt.NDArray[np.uint8]
Predict = Callable[[U8], U8]
"""Frame, uint8 RGB (H, W, 3) -> class ids, uint8 (H, W), at the frame's own size."""


def network_predictor(
    network: SegmentationAutoencoder,
    size: tuple[int, int],
    device: torch.device,
    autocast: AbstractContextManager[object] | None = None,
) -> Predict:
    """Class maps from a network, with the protocol of deployment: frames at `size`, answers back at their own.

    Args:
        network: in evaluation mode, on `device`.
        size: (height, width) that the network sees.
        device: where it runs.
        autocast: the precision to run in; float32 by default.
    """
    import torch

    @torch.inference_mode()
    def predict(rgb_HWC: U8) -> U8:
        fitted = fit_frame(rgb_HWC, size)
        rgb_13HW = torch.tensor(fitted, device=device).permute(2, 0, 1)[None]
        with autocast or nullcontext():
            logits_1CHW = network(rgb_13HW).logits_BCHW
        classes = logits_1CHW[0].argmax(0).to(torch.uint8).cpu().numpy()
        return fit_map(classes, (rgb_HWC.shape[0], rgb_HWC.shape[1]))

    return predict


def predictions(predict: Predict, data: LabelledData, indices: range, workers: int) -> Iterator[tuple[Sample, U8]]:
    """Each sample with its predicted class map, in order, read ahead by `workers` processes."""
    from train.batches import samples

    for sample in samples(data, indices, workers):
        yield sample, predict(sample.frame_HWC)


def evaluate(pairs: Iterable[tuple[Sample, U8]], data: LabelledData) -> Confusion:
    """The confusion matrix over all pairs of a sample and its predicted class map."""
    confusion = Confusion(data.space)
    for sample, classes_HW in pairs:
        confusion.update(sample.label_HW, classes_HW)
    return confusion
