"""What people see of a run while it runs: progress, `metrics.jsonl`, TensorBoard, pictures and the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from seg.data.images import write_png
from train.report import write_report
from train.run import RunDirectory
from train.setup import Parts
from train.signals import StopRequest
from train.task import U8, Outcome

T = TypeVar("T")


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
        for note in self.parts.notes:
            self.console.print(note, highlight=False, soft_wrap=True)
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

    def validating(self, items: Iterable[T], stop: StopRequest) -> Iterator[T]:
        """What a validation goes through, frame by frame, with a progress bar, until a stop is requested."""
        task = self.bar.add_task("validate", total=len(self.parts.val), note="")
        for item in items:
            yield item
            self.bar.advance(task, self.parts.world.size)
            if stop.signal:
                break
        self.bar.remove_task(task)

    def validated(self, outcome: Outcome, shown: U8, *, better: bool) -> None:
        """Record a validation and renew the report."""
        assert self.writer is not None
        progress = self.parts.state.progress
        step, epoch = progress.step, progress.validated
        loss = progress.loss_sum / max(1, progress.loss_steps)
        values = {"epoch": epoch, "train_loss": round(loss, 5), "score": outcome.score, **outcome.figures}
        self.run.record("val", step, values)
        for name, value in _numbers(outcome.figures):
            self.writer.add_scalar(f"val/{name}", value, step)
        write_png(self.run.samples / f"epoch-{epoch:04d}.png", shown)
        self.writer.add_image("val/pictures", shown, step, dataformats="HWC")
        write_report(self.run, self.parts.task.score_name, outcome.sections)
        star = " (best so far)" if better else ""
        self.console.print(
            f"epoch {epoch}/{self.parts.config.epochs}  loss {loss:.4f}  {outcome.line}{star}  "
            f"{self.rate:.1f} images/s  loader wait {self.waiting:.0%}",
            highlight=False,
            soft_wrap=True,
        )


def _numbers(figures: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{above}{name}/")
        elif value is not None:
            yield f"{above}{name}", value
