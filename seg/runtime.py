"""Programs that run ONNX files, by the name of a provider. One that was asked for and does not load is an error."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from seg.errors import SegError

PROVIDERS = ("cpu", "cuda", "tensorrt", "openvino")
"""What runs an ONNX file, by the name that a user gives; `auto` chooses among them."""

AUTO_ORDER = ("cuda", "openvino", "cpu")
"""What `auto` tries, fastest first. Not TensorRT: it spends minutes on building an engine, so it has to be asked for."""

PRECISIONS = ("float32", "bfloat16", "float16")
"""What a network may be computed in. All of them read the same file; only float32 answers as the run did."""

OWNERS = ("onnxruntime", "onnxruntime-gpu")
"""The distributions that own the module `onnxruntime`: one at a time can work."""

_ONNXRUNTIME_NAMES = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
    "tensorrt": ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
}
COMPUTES = {
    "cpu": ("float32",),
    "cuda": ("float32",),
    "tensorrt": ("float32", "float16"),
    "openvino": PRECISIONS,  # those that the processor has
}
"""What each provider may compute in."""

_OPENVINO_PRECISIONS = {"float32": ("FP32", "f32"), "bfloat16": ("BF16", "bf16"), "float16": ("FP16", "f16")}
"""What the processor must be capable of, and the hint."""

_OPENVINO_TYPES = {"u8": "uint8", "i64": "int64", "f32": "float32"}


class Runtime(Protocol):
    """A loaded network. Several threads may run it at once.

    Attributes:
        provider: what really runs it.
        streams: how many frames it is meant to compute at once.
        inputs: dtype of each input of the graph, by name ("uint8"...).
        outputs: names of the graph's outputs.
    """

    provider: str
    streams: int
    inputs: Mapping[str, str]
    outputs: Sequence[str]

    def run(self, names: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The outputs of these names; SegError where the runtime refuses the input."""
        ...


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


def load(
    model: Path | bytes,
    provider: str,
    threads: int | None = None,
    streams: int | None = 1,
    precision: str = "float32",
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
    if precision not in PRECISIONS:
        raise SegError(f"no precision named {precision!r}; expected one of: {', '.join(PRECISIONS)}")
    if precision not in COMPUTES[provider]:
        raise SegError(
            f"--precision {precision}: provider {provider!r} computes in {' or '.join(COMPUTES[provider])}; "
            "bfloat16 takes --provider openvino, float16 --provider tensorrt"
        )
    kind = OpenVino if provider == "openvino" else partial(OnnxRuntime, provider=provider)
    return kind(model, threads=threads, streams=streams, precision=precision)


class OnnxRuntime:
    """A session of ONNX Runtime on its provider `cpu`, `cuda` or `tensorrt`."""

    def __init__(
        self, model: Path | bytes, *, provider: str, threads: int | None, streams: int, precision: str
    ) -> None:
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise SegError(runtime_problem() or f"ONNX Runtime does not import ({_one_line(error)})") from None
        wanted: list[Any] = list(_ONNXRUNTIME_NAMES[provider])
        if provider != "cpu":
            self._check_listed(ort, provider, wanted[0])
        first = wanted[0]
        if precision == "float16":
            wanted[0] = (first, {"trt_fp16_enable": True})
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads is not None or streams > 1:
            options.intra_op_num_threads = max(1, (threads or cores()) // streams)
        source = model if isinstance(model, bytes) else str(model)
        try:
            # without enable_fallback=0 a provider that fails is replaced by the CPU with no more than a print
            self._session = ort.InferenceSession(source, options, providers=wanted, enable_fallback=0)
        except Exception as error:  # the runtime's exceptions share no base but Exception
            where = "model" if isinstance(model, bytes) else model
            raise SegError(f"{where}: ONNX Runtime ({provider}) cannot load it ({_one_line(error)})") from None
        # listing a provider is not loading it: where its libraries are missing, only the session knows
        loaded = self._session.get_providers()
        if loaded[0] != first:
            raise SegError(
                f"provider {provider!r} did not load (ONNX Runtime has only {', '.join(loaded)} here); "
                "see `seg doctor`, or use --provider cpu"
            )
        self.provider, self.streams = provider, streams
        self.inputs: Mapping[str, str] = {
            item.name: _onnxruntime_type(item.type) for item in self._session.get_inputs()
        }
        self.outputs: Sequence[str] = [item.name for item in self._session.get_outputs()]

    @staticmethod
    def _check_listed(ort: Any, provider: str, name: str) -> None:
        if name not in ort.get_available_providers():
            raise SegError(
                f"provider {provider!r} is not there: this ONNX Runtime was built without it; "
                "install segmentation-autoencoder[gpu] in place of [cpu], or use --provider cpu"
            )
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls()  # finds CUDA and cuDNN where pip put them

    def run(self, names: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The outputs of these names; SegError where the runtime refuses the input."""
        try:
            return list(self._session.run(list(names), dict(feeds)))
        except Exception as error:
            raise SegError(f"the network refused its input ({_one_line(error)})") from None


class OpenVino:
    """OpenVINO on the CPU; in float32 its answers agree with ONNX Runtime's."""

    provider: str = "openvino"

    def __init__(self, model: Path | bytes, *, threads: int | None, streams: int, precision: str) -> None:
        try:
            import openvino
        except ImportError:
            raise SegError(
                "provider 'openvino' is not there; install segmentation-autoencoder[openvino], or use --provider cpu"
            ) from None
        core = openvino.Core()
        capability, hint = _OPENVINO_PRECISIONS[precision]
        capable = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if capability not in capable:
            raise SegError(f"--precision {precision}: this processor has none; OpenVINO finds {', '.join(capable)}")
        # left alone, it picks bfloat16 on CPUs that have it, and confidences move
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint}
        config |= {"NUM_STREAMS": streams} if streams > 1 else {"PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = threads
        try:
            graph = core.read_model(model if isinstance(model, bytes) else str(model))
            self._compiled = core.compile_model(graph, "CPU", config)
        except Exception as error:
            where = "model" if isinstance(model, bytes) else model
            raise SegError(f"{where}: OpenVINO cannot load it ({_one_line(error)})") from None
        self.streams = streams
        # a request holds the buffers of one frame
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(streams):
            self._requests.put(self._compiled.create_infer_request())
        self.inputs: Mapping[str, str] = {
            port.any_name: _OPENVINO_TYPES.get(port.element_type.get_type_name(), "unknown")
            for port in self._compiled.inputs
        }
        self.outputs: Sequence[str] = [port.any_name for port in self._compiled.outputs]

    def run(self, names: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The outputs of these names; SegError where the runtime refuses the input."""
        request = self._requests.get()
        try:
            request.infer(dict(feeds))
            # copies: the request's buffers are written again by the next frame
            return [np.array(request.get_tensor(name).data) for name in names]
        except Exception as error:
            raise SegError(f"the network refused its input ({_one_line(error)})") from None
        finally:
            self._requests.put(request)


def _onnxruntime_type(text: str) -> str:
    """ "tensor(float)" and the like, in NumPy's words."""
    inner = text.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "float16": "float16"}.get(inner, inner)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
