"""A tiny training run that many tests share, and commands in processes of their own that may be killed.

Children come from a fork server that has loaded torch once: starting one takes a tenth of a second rather than ten.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["train.loop", "export", "seg.cli.tables", "runs"])

_made: dict[str, Path] = {}


def config(**changes: Any) -> dict[str, Any]:
    """A run of two epochs of three steps that takes a second; `model__decoder="fpn"` changes what is inside."""
    made: dict[str, Any] = {
        "ontology": "drive",
        "data": {
            "train": [{"kind": "synthetic", "count": 6, "size": [64, 96]}],
            "val": [{"kind": "synthetic", "count": 3, "first": 1000, "size": [64, 96]}],
        },
        # a plain depth of 3 keeps resnet18's checkpoint small
        "model": {
            "encoder": "resnet18",
            "encoder_options": {"depth": 3},
            "decoder": "linknet",
            "decoder_options": {"channels": 8},
            "code_channels": 8,
        },
        "augment": {"crop": [48, 64]},
        "optimizer": {"lr": 0.002},
        "epochs": 2,
        "batch_size": 2,
        "workers": 0,
        "device": "cpu",
        "checkpoint_every": 2,
        "val_size": [60, 92],
        "weight_frames": 4,
    }
    for key, value in changes.items():
        section, _, inner = key.partition("__")
        if inner:
            made[section] = {**made.get(section, {}), inner: value}
        else:
            made[section] = value
    return made


def write_config(path: Path, **changes: Any) -> Path:
    """`config(**changes)` as a YAML file."""
    path.write_text(yaml.safe_dump(config(**changes)), encoding="utf-8")
    return path


def folder_data(root: Path, train: int = 6, val: int = 3) -> dict[str, Any]:
    """Scenes as PNG files, and the data section that reads them."""
    from PIL import Image

    from seg.data.synthetic import SyntheticScenes

    scenes = SyntheticScenes(seed=0, size=(64, 96))
    for split, count, first in (("train", train, 0), ("val", val, 1000)):
        for kind in ("images", "labels"):
            (root / split / kind).mkdir(parents=True)
        for index in range(count):
            frame, label = scenes.frame(first + index)
            Image.fromarray(frame).save(root / split / "images" / f"{index}.png")
            Image.fromarray(label).save(root / split / "labels" / f"{index}.png")
    source = {"kind": "folder", "images": "images/{name}.png", "masks": "labels/{name}.png", "labels": "synthetic"}
    return {split: [{**source, "root": str(root / split)}] for split in ("train", "val")}


def put_on_video(run: Path, video: Path) -> None:
    """Make a run of `seg pretrain` look as if it had learned from a video file."""
    from seg.config import PretrainConfig
    from seg.model.checkpoint import load_autoencoder, save_checkpoint

    folder = run / "checkpoints" / "best"
    network, meta = load_autoencoder(folder)
    source = {"kind": "video", "files": str(video), "every": 0.05}
    data = {"train": [source], "val": [source]}
    config = PretrainConfig.model_validate({**meta.config.model_dump(), "data": data})
    save_checkpoint(folder, meta.model_copy(update={"config": config}), {"weights": network.state_dict()})


def trained(tmp_path_factory: Any) -> Path:
    """The run directory of `config()`, trained once for all tests; read it, never write into it."""
    if "run" not in _made:
        folder = tmp_path_factory.mktemp("trained")
        ended = seg(folder, "train", write_config(folder / "tiny.yaml"), "-o", folder / "tiny")
        assert ended.code == 0, ended.stderr
        _made["run"] = folder / "tiny"
    return _made["run"]


def losses(run: Path) -> list[tuple[int, float]]:
    """Step and loss of every training record, step and mean IoU and loss of every validation."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        (r["step"], *(r.get(key) for key in ("kind", "loss", "train_loss", "mean_iou"))) for r in map(json.loads, lines)
    ]


class Ended(NamedTuple):
    """What a command left: exit code (negative: killed by that signal), and what it printed."""

    code: int
    stdout: str
    stderr: str


def seg(
    folder: Path, *arguments: object, hook: Callable[..., None] | None = None, given: tuple[Any, ...] = ()
) -> Ended:
    """Run `seg ARGUMENTS` in its own process; `hook(*given)` is called there first, to arrange for mishaps."""
    return finish(start(folder, *arguments, hook=hook, given=given), folder)


def start(
    folder: Path, *arguments: object, hook: Callable[..., None] | None = None, given: tuple[Any, ...] = ()
) -> Any:
    """Start what `seg` runs; its output goes into files in `folder`."""
    words = [str(argument) for argument in arguments]
    process = CONTEXT.Process(target=_run, args=(words, _logs(folder), hook, given))
    process.start()
    return process


def finish(process: Any, folder: Path) -> Ended:
    """Wait for what `start` started in `folder`."""
    process.join(120)
    stuck = process.exitcode is None
    process.kill()
    process.join()
    stdout, stderr = (log.read_text(encoding="utf-8") for log in _logs(folder))
    assert not stuck, f"did not end in two minutes, and said: {stderr}"
    return Ended(process.exitcode, stdout, stderr)


def _logs(folder: Path) -> list[Path]:
    return [folder / f".{name}.log" for name in ("stdout", "stderr")]


def _run(arguments: list[str], logs: list[Path], hook: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    for number, log in enumerate(logs, start=1):
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
    import torch

    from seg.cli import main

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without
    multiprocessing.set_start_method(
        "fork", force=True
    )  # for the loader's workers, as in a process of the command line
    if hook is not None:
        hook(*given)
    try:
        main(arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def before_call(module: str, name: str, number: int, sent: int = signal.SIGKILL, group: bool = False) -> None:
    """Send this process (or its whole group, from outside) a signal just before call `number` of `module.name`."""
    import importlib
    import subprocess

    owner: Any = importlib.import_module(module)
    *parts, last = name.split(".")
    for part in parts:
        owner = getattr(owner, part)
    real, calls = getattr(owner, last), 0
    if group:
        os.setpgrp()

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            target = -os.getpgrp() if group else os.getpid()
            subprocess.run(["kill", f"-{int(sent)}", "--", str(target)], start_new_session=True, check=True)
        return real(*arguments, **options)

    setattr(owner, last, call)


def half_written(number: int) -> None:
    """Die when call `number` (from 1) of the checkpoint's `save_file` has written half of its file."""
    from seg.model import checkpoint

    real, calls = checkpoint.save_file, 0

    def save_file(tensors: Any, path: Path) -> None:
        nonlocal calls
        calls += 1
        real(tensors, path)
        if calls == number:
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.save_file = save_file
