"""The task of `seg train`: class maps from labelled frames."""

from __future__ import annotations

import html

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from seg.classes import Ontology
from seg.config import RunConfig
from seg.draw import grid, label, overlay
from seg.metrics import PROTOCOL, Report
from seg.model.network import SegmentationAutoencoder
from train.batches import Batch
from train.evaluate import Predict, evaluate, network_predictor, predictions
from train.losses import SegmentationLoss
from train.mix import mix_classes
from train.precision import autocast
from train.report import confusion_table, figures_table
from train.task import U8, Outcome, Part, Setting, Task, Watch

SHOWN = 4


class SegmentationTask(Task):
    """Segmentation, with reconstruction as an auxiliary loss where the network has that decoder.

    Args:
        network: to train.
        config: the run.
        ontology: its classes.
        loss: of logits and labels.
        setting: where it works.
    """

    score_name = "mIoU"

    def __init__(
        self,
        network: SegmentationAutoencoder,
        config: RunConfig,
        ontology: Ontology,
        loss: SegmentationLoss,
        setting: Setting,
    ) -> None:
        super().__init__(network, setting)
        self.config, self.ontology, self.loss = config, ontology, loss.to(setting.device)

    def parts(self, batch: Batch, count: int) -> list[Part]:
        """Frames uint8, labels, the whole batch's summed weight, and the part's share of the whole batch's frames."""
        rgb_B3HW = batch.rgb_B3HW.to(self.setting.device, non_blocking=True)
        labels_BHW = batch.labels_BHW.to(self.setting.device, non_blocking=True)
        rgb_B3HW, labels_BHW = mix_classes(rgb_B3HW, labels_BHW, self.config.augment.mix)
        total_weight = self.setting.world.sum(self.loss.total_weight(labels_BHW))
        share = torch.tensor(1 / (count * self.setting.world.size), device=self.setting.device)
        chunks = zip(rgb_B3HW.chunk(count), labels_BHW.chunk(count), strict=True)
        return [(rgb, labels, total_weight, share) for rgb, labels in chunks]

    def forward(self, *part: Tensor) -> Tensor:
        """The segmentation loss, that of the auxiliary classifiers, and that of the reconstruction, as configured."""
        rgb_B3HW, labels_BHW, total_weight, share = part
        with autocast(self.config, self.setting.device):
            output = self.network(rgb_B3HW)
        loss: Tensor = self.loss(output.logits_BCHW, labels_BHW, total_weight)
        loss = loss + self.loss.auxiliary(output.auxiliary, labels_BHW, total_weight)
        if output.reconstruction_B3HW is not None:
            error_B3HW = (output.reconstruction_B3HW.float() - rgb_B3HW.float()) / 255.0
            loss = loss + self.config.loss.reconstruction * share * error_B3HW.square().mean()
        return loss

    def validate(self, network: nn.Module, watch: Watch) -> Outcome:
        """One confusion matrix over all frames."""
        pairs = predictions(
            self._predict(network),
            self.setting.val,
            range(self.setting.world.rank, len(self.setting.val), self.setting.world.size),
            self.config.workers,
        )
        confusion = evaluate(watch(pairs), self.setting.val)
        self.setting.world.sum(torch.from_numpy(confusion.counts_SC))
        report = confusion.report(self.setting.val.label_sets)
        mean = "n/a" if report.mean_iou is None else f"{report.mean_iou:.4f}"
        return Outcome(
            score=-1.0 if report.mean_iou is None else report.mean_iou,
            figures={"mean_iou": report.mean_iou, "pixel_accuracy": report.pixel_accuracy, "iou": report.iou},
            line=f"mIoU {mean}",
            sections=self._sections(report),
            meta={"report": report},
        )

    def _predict(self, network: nn.Module) -> Predict:
        assert isinstance(network, SegmentationAutoencoder)
        return network_predictor(
            network, self.setting.size, self.setting.device, autocast(self.config, self.setting.device)
        )

    def _sections(self, report: Report) -> dict[str, str]:
        return {
            "Validation": f"{figures_table(report, self.ontology)}<p>{html.escape(PROTOCOL)}</p>",
            "Confusion (rows: label, columns: prediction, share of the row)": confusion_table(report),
        }

    def pictures(self, network: nn.Module) -> U8:
        """Frame, label and prediction, a row a frame."""
        predict = self._predict(network)
        names = self.ontology.names
        skip = [names.index("background")] if "background" in names else []
        palette_S3 = self.setting.val.space.palette_S3
        rows = []
        for index in self.setting.val.spread(SHOWN):
            sample = self.setting.val.sample(index)
            frame = sample.frame_HWC
            painted = overlay(frame, sample.label_HW, palette_S3, 0.6, skip)
            predicted = overlay(frame, predict(frame), palette_S3, 0.6, skip)
            row = [label(frame, sample.name[:40]), label(painted, "label"), label(predicted, "prediction")]
            rows += [shrink(picture, 480) for picture in row]
        return grid(rows, 3)


def shrink(rgb_HWC: U8, width: int) -> U8:
    """A picture no wider than `width` pixels."""
    if rgb_HWC.shape[1] <= width:
        return rgb_HWC
    height = round(rgb_HWC.shape[0] * width / rgb_HWC.shape[1])
    return np.asarray(cv2.resize(rgb_HWC, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
