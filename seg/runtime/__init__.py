"""Programs that run ONNX files, by the name of a provider. One that was asked for and does not load is an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from seg.errors import SegError
from seg.runtime.installed import OWNERS, cores, distribution_version, runtime_problem
from seg.runtime.openvino_runtime import OpenVino
from seg.runtime.ort import OnnxRuntime
from seg.runtime.types import Port

__all__ = [
    "AUTO_ORDER",
    "COMPUTES",
    "OWNERS",
    "PRECISIONS",
    "PROVIDERS",
    "Runtime",
    "cores",
    "distribution_version",
    "load",
    "precision_of",
    "runtime_problem",
]

PROVIDERS = ("cpu", "cuda", "tensorrt", "openvino")
"""What runs an ONNX file, by the name that a user gives; `auto` chooses among them."""

AUTO_ORDER = ("cuda", "openvino", "cpu")
"""What `auto` tries, fastest first. Not TensorRT: it spends minutes on building an engine, so it has to be asked for."""

PRECISIONS = ("float32", "bfloat16", "float16", "int8")
"""What a network may be computed in. The floats read the same file, and only float32 answers as the run did; int8 is for
files that `seg export --int8` made."""

ALIASES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""Other usual names of precisions."""

COMPUTES = {
    "cpu": ("float32", "int8"),
    "cuda": ("float32",),
    "tensorrt": ("float32", "float16", "int8"),
    "openvino": PRECISIONS,  # those that the processor has
}
"""What each provider may compute in."""


class Runtime(Protocol):
    """A loaded network. Several threads may run it at once.

    Attributes:
        provider: what really runs it.
        streams: how many frames it is meant to compute at once.
        inputs: those of the graph, by name.
        outputs: those of the graph, by name.
    """

    provider: str
    streams: int
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]

    def run(self, names: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The outputs of these names; SegError where the runtime refuses the input."""
        ...


def precision_of(name: str) -> str:
    """The precision of this name, one of PRECISIONS or another usual one; SegError for any else."""
    precision = ALIASES.get(name, name)
    if precision not in PRECISIONS:
        raise SegError(f"no precision named {name!r}; expected one of: {', '.join(PRECISIONS)}")
    return precision


def load(
    model: Path | bytes,
    provider: str,
    threads: int | None = None,
    streams: int | None = 1,
    precision: str = "float32",
    fixed: bool = False,
) -> Runtime:
    """A network, on exactly the provider that was asked for.

    Several frames at once, each on a thread of its own, are more frames a second than one after the other on all
    threads: nothing waits for the slowest part of a layer. One frame alone then takes longer.

    Args:
        model: an ONNX file's path or content.
        provider: one of PROVIDERS.
        threads: CPU threads of the network; None leaves the choice to the runtime.
        streams: how many frames are to be computed at once, which share the threads; None for one each core where the
            network runs on the CPU, and one elsewhere.
        precision: one of PRECISIONS, which the provider must have here.
        fixed: whether each input and output has one size; on a GPU its buffers are then made once.

    Raises:
        SegError: where the provider is unknown, not installed or does not load, or the model is refused.
    """
    if provider not in PROVIDERS:
        raise SegError(f"no provider named {provider!r}; expected one of: auto, {', '.join(PROVIDERS)}")
    if threads is not None and threads < 1:
        raise SegError(f"expected at least one thread, got {threads}")
    if streams is None:
        streams = (threads or cores()) if provider in ("cpu", "openvino") else 1
    if streams < 1:
        raise SegError(f"expected at least one stream, got {streams}")
    precision = precision_of(precision)
    if precision not in COMPUTES[provider]:
        raise SegError(
            f"--precision {precision}: provider {provider!r} computes in {' or '.join(COMPUTES[provider])}; "
            "bfloat16 takes --provider openvino, float16 --provider tensorrt"
        )
    kind = OpenVino if provider == "openvino" else partial(OnnxRuntime, provider=provider, fixed=fixed)
    return kind(model, threads=threads, streams=streams, precision=precision)
