"""What a bug report needs: versions, machine, providers that really load, codecs, disk. Reads, and changes nothing."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from seg.errors import SegError
from seg.runtime import PROVIDERS, cores, distribution_version, load, runtime_problem
from seg.runtime.openvino_runtime import the_core

DISTRIBUTIONS = (
    "segmentation-autoencoder",
    *("numpy", "opencv-python-headless", "opencv-python", "av", "pillow", "pydantic", "typer", "rich"),
    *("onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt-cu13"),
    *("torch", "torchvision", "segmentation-models-pytorch", "timm", "albumentations", "safetensors"),
    *("onnx", "onnxscript", "tensorboard"),
)
CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_bf16", "amx_int8")
CODECS = {"libx264": "w", "ffv1": "w", "h264": "r", "hevc": "r"}

# The smallest ONNX file, `y = Identity(x)` for one float, so that probing a provider does not need the onnx package.
# Made with it, once: onnx.helper.make_model(make_graph([make_node("Identity", ["x"], ["y"])], "g",
# [make_tensor_value_info("x", FLOAT, [1])], [make_tensor_value_info("y", FLOAT, [1])]),
# opset_imports=[make_opsetid("", 17)], ir_version=8).SerializeToString().hex()
TINY_ONNX = bytes.fromhex(
    "080812003a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a020801"
    "620f0a0179120a0a08080112040a02080142040a001011"
)

_QUESTION = np.array([1.5], dtype=np.float32)
"""What the tiny network is asked; its answer is the same."""


def examine() -> dict[str, Any]:
    """Everything, as plain data for JSON. What cannot be found out is null; it never raises for want of a part."""
    return {
        "versions": {"python": sys.version.split()[0], **_distributions()},
        "machine": _machine(),
        "providers": {name: probe(name) for name in PROVIDERS},
        "devices": {"cuda": _cuda_devices(), "openvino": _openvino_devices()},
        "codecs": _codecs(),
        "disk_free_gb": round(shutil.disk_usage(Path.cwd()).free / 1e9, 1),
        "problems": _problems(),
    }


def probe(provider: str) -> str:
    """ "loads", or the reason why the provider does not or what it got wrong, found by running a tiny network on it."""
    try:
        (answer,) = load(TINY_ONNX, provider).run(["y"], {"x": _QUESTION})
    except SegError as error:
        return str(error)
    if not np.array_equal(answer, _QUESTION):
        return f"loads, but answers wrongly: {answer.tolist()} where {_QUESTION.tolist()} was expected"
    return "loads"


def as_text(report: dict[str, Any]) -> str:
    """The report of `examine` for people: one line a fact."""
    lines: list[str] = []
    for section, content in report.items():
        if isinstance(content, dict):
            lines.append(section)
            lines += [f"  {key:<28} {_words(value)}" for key, value in content.items()]
        elif section == "problems":
            lines += [f"PROBLEM: {problem}" for problem in content] or ["no problems found"]
        else:
            lines.append(f"{section:<30} {_words(content)}")
    return "\n".join(lines)


def _words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    if value is None:
        return "unknown"
    return str(value) if not isinstance(value, bool) else "yes" if value else "no"


def _distributions() -> dict[str, str]:
    found = {name: distribution_version(name) for name in DISTRIBUTIONS}
    return {name: number for name, number in found.items() if number is not None}


def _machine() -> dict[str, Any]:
    cpu = _proc_fields("/proc/cpuinfo")
    memory = _proc_fields("/proc/meminfo")
    flags = set(cpu.get("flags", "").split())
    kilobytes = memory.get("MemTotal", "").split()
    return {
        "system": platform.platform(),
        "cpu": cpu.get("model name") or platform.processor() or None,
        "cpu_flags": [flag for flag in CPU_FLAGS if flag in flags],
        "cores": cores(),
        "memory_gb": round(int(kilobytes[0]) / 1e6, 1) if kilobytes else None,
    }


def _proc_fields(path: str) -> dict[str, str]:
    """The first of each `key: value` line; empty where the system has no /proc."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = [line.partition(":") for line in text.splitlines()]
    return {key.strip(): value.strip() for key, _, value in reversed(pairs)}


def _cuda_devices() -> list[str] | None:
    """GPUs as torch sees them; None where it cannot be asked."""
    try:
        import torch
    except (ImportError, OSError):
        return None
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _openvino_devices() -> list[str] | None:
    try:
        core = the_core()
    except ImportError:
        return None
    return [f"{name} ({core.get_property(name, 'FULL_DEVICE_NAME')})" for name in core.available_devices]


def _codecs() -> dict[str, bool]:
    """Which of the codecs that we write (w) and read (r) PyAV really opens."""
    import av

    found = {}
    for name, mode in CODECS.items():
        label = f"{name} {'encoder' if mode == 'w' else 'decoder'}"
        try:
            av.Codec(name, mode)  # type: ignore[arg-type]
            found[label] = True
        except (ValueError, OSError):
            found[label] = False
    return found


def _problems() -> list[str]:
    problems = [problem for problem in [runtime_problem()] if problem]
    owners = [name for name in ("opencv-python", "opencv-python-headless") if distribution_version(name)]
    if len(owners) > 1:
        problems.append("opencv-python and opencv-python-headless overwrite each other's files; keep the headless one")
    return problems
