"""What is installed of the programs that run ONNX files, and how many cores they may use."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version

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
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
