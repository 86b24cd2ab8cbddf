"""What people see of a run while it runs: progress, `metrics.jsonl`, TensorBoard, pictures and the report."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from seg.data.base import Sample
from seg.data.images import write_png
from seg.draw import grid, label, overlay
from seg.metrics import Report
from seg.model.checkpoint import load_meta
from train.evaluate import Predict
from train.report import write_report
from train.run import RunDirectory
from train.setup import Parts
from train.signals import StopRequest

U8 = npt.NDArray[np.uint8]
SHOWN = 4


class Monitor:
    """Shows and records a run; silent on every process but the main one."""

    def __init__(self, parts: Parts, run: RunDirectory) -> None:
        self.parts, self.run = parts, run
        self.console = Console(stderr=True, quiet=not parts.world.is_main)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not (self.console.is_terminal and parts.world.is_main),
        )
        self.every = max(1, parts.plan.steps_per_epoch // 100)
        self.rate = 0.0
        self.waiting = 0.0

    def __enter__(self) -> Monitor:
        progress = self.parts.state.progress
        self.writer = SummaryWriter(str(self.run.tensorboard), purge_step=progress.step + 1) if self._main else None
        self.bar.start()
        self.task: TaskID = self.bar.add_task("train", total=self.parts.total_steps, completed=progress.step, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()
        if self.writer is not None:
            self.writer.close()

    @property
    def _main(self) -> bool:
        return self.parts.world.is_main

    def step(self, loss: float, images: int, waited: float, seconds: float) -> None:
        """Note a step that took `seconds`, of which the loader was waited for during `waited`."""
        step = self.parts.state.progress.step
        # smoothed over about 20 steps; the first one pays for start-up and does not count
        keep = 0.95 if self.rate else 0.0
        self.rate = keep * self.rate + (1 - keep) * images / seconds
        self.waiting = keep * self.waiting + (1 - keep) * waited / seconds
        note = f"loss {loss:.3f}  {self.rate:.1f} images/s  loader wait {self.waiting:.0%}"
        self.bar.update(self.task, completed=step, note=note)
        if self._main and step % self.every == 0:
            lr = self.parts.state.optimizer.param_groups[0]["lr"]
            values = {"loss": loss, "lr": lr, "images_per_second": round(self.rate, 2), "wait": round(self.waiting, 4)}
            self.run.record("train", step, values)
            assert self.writer is not None
            for name, value in values.items():
                self.writer.add_scalar(f"train/{name}", value, step)

    def validating(self, pairs: Iterator[tuple[Sample, U8]], stop: StopRequest) -> Iterator[tuple[Sample, U8]]:
        """The pairs with a progress bar, until a stop is requested."""
        task = self.bar.add_task("validate", total=len(self.parts.val), note="")
        for pair in pairs:
            yield pair
            self.bar.advance(task, self.parts.world.size)
            if stop.signal:
                break
        self.bar.remove_task(task)

    def pictures(self, predict: Predict) -> U8 | None:
        """Frame, label and prediction of a few validation frames, one row each; None on processes that show nothing."""
        if not self._main:
            return None
        val = self.parts.val
        names = self.parts.ontology.names
        skip = [names.index("background")] if "background" in names else []
        palette_S3 = val.space.palette_S3
        rows = []
        for index in val.spread(SHOWN):
            sample = val.sample(index)
            frame = sample.frame_HWC
            painted = overlay(frame, sample.label_HW, palette_S3, 0.6, skip)
            predicted = overlay(frame, predict(frame), palette_S3, 0.6, skip)
            row = [label(frame, sample.name[:40]), label(painted, "label"), label(predicted, "prediction")]
            rows += [_shrink(picture, 480) for picture in row]
        return grid(rows, 3)

    def validated(self, report: Report, shown: U8 | None, *, better: bool) -> None:
        """Record a validation and renew the report."""
        assert self.writer is not None
        progress = self.parts.state.progress
        step, epoch = progress.step, progress.validated
        loss = progress.loss_sum / max(1, progress.loss_steps)
        figures = {"mean_iou": report.mean_iou, "pixel_accuracy": report.pixel_accuracy, "iou": report.iou}
        self.run.record("val", step, {"epoch": epoch, "train_loss": round(loss, 5), **figures})
        for name, value in report.iou.items():
            if value is not None:
                self.writer.add_scalar(f"iou/{name}", value, step)
        if report.mean_iou is not None:
            self.writer.add_scalar("val/mean_iou", report.mean_iou, step)
        if shown is not None:
            write_png(self.run.samples / f"epoch-{epoch:04d}.png", shown)
            self.writer.add_image("val/frame label prediction", shown, step, dataformats="HWC")
        write_report(self.run, self.parts.ontology, report)
        mean = "n/a" if report.mean_iou is None else f"{report.mean_iou:.4f}"
        star = " (best so far)" if better else ""
        self.console.print(
            f"epoch {epoch}/{self.parts.config.epochs}  loss {loss:.4f}  mIoU {mean}{star}  "
            f"{self.rate:.1f} images/s  loader wait {self.waiting:.0%}",
            highlight=False,
            soft_wrap=True,
        )

    def finish(self) -> Report:
        """The best validation's report."""
        report = load_meta(self.run.best).report if self._main else self.parts.meta.report
        assert report is not None
        return report


def _shrink(rgb_HWC: U8, width: int) -> U8:
    if rgb_HWC.shape[1] <= width:
        return rgb_HWC
    height = round(rgb_HWC.shape[0] * width / rgb_HWC.shape[1])
    return np.asarray(cv2.resize(rgb_HWC, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
