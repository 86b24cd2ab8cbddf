"""Where TensorRT keeps the engines that it builds: building takes minutes, and an engine fits one network on one GPU."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from seg.errors import SegError
from seg.files import sha256
from seg.runtime.installed import OWNERS, distribution_version

HOME = "SEG_CACHE"
"""Environment variable: the folder of caches (default: `segmentation-autoencoder` in the user's cache folder)."""

ROUNDING = "NVIDIA_TF32_OVERRIDE"
"""Environment variable of NVIDIA's libraries: 0 forbids products of ten bits, for which ONNX Runtime has no option here."""

TENSORRT = ("tensorrt-cu13", "tensorrt-cu12", "tensorrt")


def engine_folder(model: Path, precision: str) -> Path:
    """A folder of its own for each network, precision, GPU and set of versions; made where it is missing.

    ONNX Runtime names an engine after the graph; which weights are in it, it does not ask (their shapes may be the same), nor
    which GPU it was built on. Its name here is the SHA-256 of all that an engine depends on, and `key.json` says it in words. A
    file has one shape; one that takes any size has its shapes' ranges beside the engine, by ONNX Runtime.

    Raises:
        SegError: where the folder cannot be made.
    """
    key = {
        "model": sha256(model),
        "precision": precision,
        "rounding": os.environ.get(ROUNDING),
        "gpus": _gpus(),
        "tensorrt": _first_version(TENSORRT),
        "onnxruntime": _first_version(OWNERS),
    }
    text = json.dumps(key, indent=1, sort_keys=True)
    folder = cache_home() / "tensorrt" / hashlib.sha256(text.encode()).hexdigest()[:32]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "key.json").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise SegError(f"{folder}: TensorRT's engines cannot be kept there ({error.strerror}); set {HOME}") from None
    return folder


def cache_home() -> Path:
    """The folder of caches: SEG_CACHE, else in XDG_CACHE_HOME or ~/.cache."""
    if named := os.environ.get(HOME):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "segmentation-autoencoder"


def _gpus() -> list[str]:
    """Name, compute capability and driver of each GPU, by the tool that comes with the driver; empty where there is none."""
    import shutil
    import subprocess

    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    asked = [tool, "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    return found.stdout.split("\n")[:-1]


def _first_version(names: tuple[str, ...]) -> str | None:
    return next((found for name in names if (found := distribution_version(name))), None)
