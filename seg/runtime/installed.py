"""What is installed of the programs that run ONNX files, and how many cores they may use."""

from __future__ import annotations

import math
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

OWNERS = ("onnxruntime", "onnxruntime-gpu")
"""The distributions that own the module `onnxruntime`: one at a time can work."""


def distribution_version(name: str) -> str | None:
    """The version of an installed distribution, None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def runtime_problem() -> str | None:
    """What is wrong with the installation of ONNX Runtime, in one line: both of its distributions, or neither."""
    present = [name for name in OWNERS if distribution_version(name)]
    if len(present) > 1:
        return (
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files; "
            "uninstall both, then install one (extra `cpu` or `gpu`)"
        )
    if not present:
        return "ONNX Runtime is not installed; install segmentation-autoencoder[cpu], or [gpu] for CUDA and TensorRT"
    return None


def cores() -> int:
    """How many cores this process may use: those it is bound to, or fewer where its container has a share of them."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(bound, _quota() or bound)


def _quota(control: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The cores of a container's share (`docker run --cpus`), rounded up; None where there is no limit."""
    try:
        if (control / "cpu.max").is_file():  # version 2: "quota period", or "max period"
            quota, period = (control / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota, period = (
                (control / f"cpu/cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")
            )
        return max(1, math.ceil(int(quota) / int(period))) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
