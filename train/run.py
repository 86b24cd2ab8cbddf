"""The run directory (contract 8): everything about one run, in one folder, remade from its config and data."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from seg.config import LoopConfig, dump_yaml, load_config
from seg.data.base import LabelledData
from seg.errors import SegError
from seg.files import lock, write_text


class RunDirectory:
    """Paths and records of a run.

    `config.yaml`, `environment.json`, `metrics.jsonl`, `checkpoints/{last,best}`, `samples/`, `tensorboard/`,
    `report.html`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config_file = root / "config.yaml"
        self.metrics_file = root / "metrics.jsonl"
        self.last = root / "checkpoints" / "last"
        self.best = root / "checkpoints" / "best"
        self.samples = root / "samples"
        self.tensorboard = root / "tensorboard"
        self.report = root / "report.html"
        self.label_pixels = root / "label_pixels.json"

    def check(self, config: LoopConfig, *, resume: bool) -> None:
        """Check that there is no run here yet, or one of the same config to go on with.

        Raises:
            SegError: if a run is there and `resume` is false, or `resume` is true and its config is another.
        """
        # a folder whose run failed before its first step (no data, say) holds nothing to protect or to go on with
        if self.metrics_file.exists():
            if not resume:
                raise SegError(f"{self.root}: holds a run already; continue it with --resume, or choose another --out")
            before = load_config(type(config), self.config_file)
            if changes := _differences(before, config):
                raise SegError(
                    f"{self.root}: cannot resume with another config ({'; '.join(changes)}); leave the change out, or start a "
                    f"new run from its weights with init={self.root} and another --out"
                )
        elif not self._never_began():
            raise SegError(f"{self.root}: is not empty and holds no run; choose another --out")
        else:
            self.label_pixels.unlink(missing_ok=True)  # perhaps of other data

    def claim(self, what: str, *, overwrite: bool) -> None:
        """Check that a network that was not trained here, `what`, may be written as this folder's only checkpoint.

        Raises:
            SegError: if a run or something else is there, or such a network and `overwrite` is false.
        """
        if self.root.exists() and not self.root.is_dir():
            raise SegError(f"{self.root}: is a file, expected a folder's name")
        if self.metrics_file.exists() or (self.root.exists() and not self.best.exists() and any(self.root.iterdir())):
            raise SegError(f"{self.root}: holds something else than {what}; choose another --out")
        if self.best.exists() and not overwrite:
            raise SegError(f"{self.root}: exists; give --overwrite to replace it, or choose another --out")

    def _never_began(self) -> bool:
        """Whether the folder is empty, or holds just what a run writes before its first step."""
        held = {entry.name for entry in self.root.iterdir()} if self.root.exists() else set()
        if "config.yaml" in held and "environment.json" not in held:
            return False  # `begin` writes the environment first: a config alone is somebody's own
        return held <= {"label_pixels.json", "environment.json", "samples", "config.yaml"}

    @contextmanager
    def held(self) -> Iterator[None]:
        """The folder, made if missing, for this process alone; SegError where another one trains into it now."""
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            folder = os.open(self.root, os.O_RDONLY)
        except OSError:  # Windows opens no folders, and has no such locks
            yield
            return
        try:
            if not lock(folder):
                raise SegError(f"{self.root}: another process trains into it now; wait for it, or choose another --out")
            yield
        finally:
            os.close(folder)

    def begin(self, config: LoopConfig) -> None:
        """Make the folder of a run whose parts are all there; until then a mistake leaves nothing to resume or replace."""
        if self.metrics_file.exists():
            return
        self.samples.mkdir(parents=True, exist_ok=True)
        write_text(self.root / "environment.json", json.dumps(environment(), indent=1) + "\n")
        write_text(self.config_file, dump_yaml(config))

    def rewind(self, step: int, validated: int) -> None:
        """Forget records after `step`, and of validations after epoch `validated`: a resumed run writes them again."""
        kept = [
            record
            for record in self.records()
            if record["step"] <= step and (record["kind"] != "val" or record["epoch"] <= validated)
        ]
        write_text(self.metrics_file, "".join(json.dumps(record) + "\n" for record in kept))

    def record(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Append one line to `metrics.jsonl`."""
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": step, "time": round(time.time(), 3), **values}) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """All whole lines of `metrics.jsonl`; a last line that a kill cut short is left out."""
        if not self.metrics_file.exists():
            return []
        records = []
        for line in self.metrics_file.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                break
        return records


def _differences(before: LoopConfig, after: LoopConfig) -> list[str]:
    """What differs, key by key; what only says where a run is computed may differ."""
    old, new = _leaves(before.model_dump(mode="json")), _leaves(after.model_dump(mode="json"))
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key) and key not in ("device", "workers")]
    return [f"{key}: was {old.get(key)}, now {new.get(key)}" for key in changed]


def _leaves(node: Any, name: str = "") -> dict[str, Any]:
    """Every value of nested mappings and lists, by its dotted key."""
    if isinstance(node, dict | list) and node:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        return {k: v for key, value in items for k, v in _leaves(value, f"{name}.{key}" if name else str(key)).items()}
    return {name: node}


def environment() -> dict[str, Any]:
    """Versions and hardware, as a reader of the run's figures would ask for them."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """The versions of what decides a run's result."""
    names = ("segmentation-autoencoder", "torch", "segmentation-models-pytorch", "timm", "albumentations", "numpy")
    found = {}
    for name in (*names, "opencv-python-headless"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def config_hash(config: LoopConfig) -> str:
    """SHA-256 of the resolved config."""
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()


def data_hash(data: LabelledData) -> str:
    """SHA-256 over the names and file sizes of all items: it changes when a frame is added, renamed or redone."""
    digest = hashlib.sha256()
    for index in range(len(data)):
        sizes = ",".join(str(path.stat().st_size) for path in data.files(index))
        digest.update(f"{data.reader_of(index).dataset}/{data.name(index)}:{sizes}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def data_names(data: LabelledData) -> tuple[str, ...]:
    """The names of the data sets, with their number of frames."""
    return tuple(f"{reader.dataset} ({len(reader)} frames)" for reader in data.readers)
