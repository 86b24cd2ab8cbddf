"""The training loop: batches in, a run directory out. Any step can be interrupted, killed and resumed exactly.

Everything random at step t is a function of the run's seed and t, and a checkpoint holds all that steps change; so a
resumed run repeats the uninterrupted one bit for bit on the same kind of machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from seg.errors import InterruptedRunError, SegError
from seg.labels import differing_labels
from seg.model.checkpoint import CheckpointMeta, PretrainMeta, find_checkpoint, load_meta
from train.batches import Batch, training_batches
from train.distributed import join, leave
from train.monitor import Monitor
from train.plan import PlannedBatches
from train.run import RunDirectory
from train.schedule import factor
from train.setup import AnyRun, Parts, choose_device, prepare, sample_names
from train.signals import StopRequest, stop_requested
from train.state import checkpoint_to_resume, set_rate
from train.task import Task

AnyMeta = CheckpointMeta | PretrainMeta


class NotFiniteError(SegError):
    """A step whose loss or gradient is NaN or infinite."""


def train(config: AnyRun, root: Path, *, resume: bool = False) -> AnyMeta:
    """Train as `config` says, into the run directory `root`; what there is to say of the best validation's weights.

    Args:
        config: the run.
        root: its directory; made if missing.
        resume: go on where the run there stopped, or start it if it has no checkpoint yet.

    Raises:
        SegError: for bad data, a run that is there already, a loss that is not finite.
        InterruptedRunError: on Ctrl-C (130) or SIGTERM (143), after saving.
    """
    device = choose_device(config.device)
    world = join(device)
    try:
        if world.size > 1 and device.type == "cuda":
            device = world.device
            torch.cuda.set_device(device)
        run = RunDirectory(root)
        world.main_does(lambda: run.check(config, resume=resume))
        last = checkpoint_to_resume(run.last) if resume else None
        parts = prepare(config, run, world, device, fresh=last is None)
        if last is not None:
            parts.meta = _same_data(parts.state.load(last), parts.meta)
        with run.held() if world.is_main else nullcontext():
            if world.is_main:
                run.begin(config)
                run.rewind(parts.state.progress.step, parts.state.progress.validated)
            with Monitor(parts, run) as monitor, stop_requested() as stop:
                return _run(parts, run, monitor, stop)
    finally:
        leave(world)


def _same_data(before: AnyMeta, now: AnyMeta) -> AnyMeta:
    """The checkpoint's meta, if the run would go on with the data that it began with, read in the same way."""
    if before.data_hash != now.data_hash:
        raise SegError(
            f"the training data are not those that the run began with (then {', '.join(before.data)}, now "
            f"{', '.join(now.data)}; files were added, taken away or redone): start a new run, or bring them back"
        )
    if not (isinstance(before, CheckpointMeta) and isinstance(now, CheckpointMeta)):
        return before
    tables = zip(before.labels or (), now.labels or (), strict=False)
    if changed := list(dict.fromkeys(line for then, new in tables for line in differing_labels(then, new))):
        raise SegError(
            f"labels are read otherwise than when the run began ({'; '.join(changed[:4])}"
            f"{', ...' if len(changed) > 4 else ''}): start a new run, or bring the label file back"
        )
    return before.model_copy(update={"labels": now.labels})  # which may know more raw labels by now


def _run(parts: Parts, run: RunDirectory, monitor: Monitor, stop: StopRequest) -> AnyMeta:
    progress, total = parts.state.progress, parts.total_steps
    task = _trainable(parts)
    batches = _batches(parts)
    rate = factor(parts.config.optimizer, total)
    while True:
        if _validation_due(parts):
            if parts.state.progress.step % parts.config.checkpoint_every:
                save_last(parts, run)  # a label that cannot be read must not cost the epoch
            validate(parts, run, monitor, stop)
        if progress.step >= total:
            break
        started = time.perf_counter()
        batch = next(batches)
        waited = time.perf_counter() - started
        set_rate(parts.state.optimizer, parts.config.optimizer.lr * rate(progress.step))
        try:
            loss = train_step(parts, task, batch)
        except NotFiniteError as error:
            raise SegError(f"{error}; {_way_on(parts, run)}") from None
        progress.step += 1
        progress.loss_sum += loss
        progress.loss_steps += 1
        monitor.step(loss, len(batch.indices) * parts.world.size, waited, time.perf_counter() - started)
        stopping = stop.agreed(parts.world)
        if stopping or progress.step % parts.config.checkpoint_every == 0:
            save_last(parts, run)
        if stopping:
            _stop(parts, run, stop)
    return load_meta(find_checkpoint(run.best)) if parts.world.is_main else parts.meta


def _validation_due(parts: Parts) -> bool:
    """At the end of every `val_every`-th epoch and of the last, unless a checkpoint says that it is done."""
    epoch, within = divmod(parts.state.progress.step, parts.plan.steps_per_epoch)
    return (
        within == 0
        and epoch > parts.state.progress.validated
        and (epoch % parts.config.val_every == 0 or epoch == parts.config.epochs)
    )


def _trainable(parts: Parts) -> Task | DistributedDataParallel:
    if parts.config.compile:
        parts.task.speed_up()
    return DistributedDataParallel(parts.task) if parts.world.size > 1 else parts.task


def _batches(parts: Parts) -> Iterator[Batch]:
    step, world = parts.state.progress.step, parts.world
    planned = PlannedBatches(parts.plan, step, parts.total_steps, world.rank, world.size)
    return training_batches(parts.train, parts.config.augment, planned, parts.config.workers)


def train_step(parts: Parts, task: Task | DistributedDataParallel, batch: Batch) -> float:
    """One optimiser step; the batch's loss over all processes.

    Raises:
        NotFiniteError: naming the batch's files, if the loss or a gradient is not finite; the weights are then unchanged.
    """
    config, state, world = parts.config, parts.state, parts.world
    # dropout, mixing and corruption depend on the step alone, not on what ran before a resume
    torch.manual_seed((config.seed * 1_000_003 + state.progress.step) * world.size + world.rank)
    state.network.train()
    if config.freeze_norms:
        for module in state.network.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
    learned = parts.task.parts(batch, config.accumulate)
    losses = []
    for number, part in enumerate(learned, start=1):
        waiting = isinstance(task, DistributedDataParallel) and number < len(learned)
        with task.no_sync() if waiting else nullcontext():  # type: ignore[operator]
            loss = task(*part)
            # DDP averages gradients over processes; our parts add up to the whole batch's loss
            (loss * world.size).backward()
        losses.append(loss.detach())
    own = torch.stack(losses).sum()
    mean = float(world.sum(own.clone()))
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), config.optimizer.clip)
    if not (torch.isfinite(norm) and math.isfinite(mean)):
        state.optimizer.zero_grad(set_to_none=True)
        raise NotFiniteError(_not_finite(parts, batch, mean))
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.average.update(state.network, state.progress.step)
    return mean


def _not_finite(parts: Parts, batch: Batch, loss: float) -> str:
    return (
        f"the loss is {loss:g} or its gradient is not finite at step {parts.state.progress.step}, on "
        f"{sample_names(parts.train, batch.indices)}; look at these files"
    )


def _way_on(parts: Parts, run: RunDirectory) -> str:
    """A resumed run would meet the same step again, and may not have another rate."""
    lower = f"optimizer.lr={parts.config.optimizer.lr / 3:.1g}"
    if checkpoint_to_resume(run.last) is None:
        return f"if they are sound, start again with a lower rate ({lower}) and another --out"
    return (
        f"if they are sound, go on with a lower rate in a new run: init={run.last} {lower} and another --out; or, where that is "
        "lost already, start again from the beginning with that rate"
    )


def validate(parts: Parts, run: RunDirectory, monitor: Monitor, stop: StopRequest) -> None:
    """Measure the averaged network, record it, and keep it if it is the best so far."""
    progress, world, average = parts.state.progress, parts.world, parts.state.average.network
    shown = parts.task.pictures(average) if world.is_main else None
    outcome = parts.task.validate(average, lambda items: monitor.validating(items, stop))
    if stop.agreed(world):  # half a validation says nothing: it is done again on resume
        _stop(parts, run, stop)
    progress.validated = progress.step // parts.plan.steps_per_epoch
    parts.meta = parts.meta.model_copy(update={"steps": progress.step, **outcome.meta})
    if better := outcome.score > progress.best or progress.best_epoch == 0:
        progress.best, progress.best_epoch = outcome.score, progress.validated
    if shown is not None:
        if better:
            parts.state.save_weights(run.best, parts.meta)
        monitor.validated(outcome, shown, better=better)
    progress.loss_sum, progress.loss_steps = 0.0, 0
    save_last(parts, run)


def save_last(parts: Parts, run: RunDirectory) -> None:
    """Write the checkpoint to resume from."""
    if parts.world.is_main:
        meta = parts.meta.model_copy(update={"steps": parts.state.progress.step})
        parts.state.save(run.last, meta)


def _stop(parts: Parts, run: RunDirectory, stop: StopRequest) -> None:
    parts.world.wait()
    raise InterruptedRunError(
        f"stopped at step {parts.state.progress.step} of {parts.total_steps}; saved {run.last}; go on with --resume",
        stop.exit_code,
    )
