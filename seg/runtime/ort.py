"""ONNX Runtime: on the processor, on CUDA, and in TensorRT's engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy.typing as npt

from seg.errors import SegError, one_line
from seg.runtime.bound import Bound
from seg.runtime.engines import engine_folder
from seg.runtime.installed import cores, runtime_problem
from seg.runtime.types import ELEMENTS, Port

NAMES = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
    "tensorrt": ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
}

EXACT = {"use_tf32": "0"}
"""Options of CUDA. Its products would keep ten bits, and float32 be none; novelty would drown in it."""

RECORDING = 3
"""Runs until ONNX Runtime has recorded a session's CUDA graph: those that warm up, and the one that is recorded."""


class OnnxRuntime:
    """A session of ONNX Runtime on its provider `cpu`, `cuda` or `tensorrt`.

    On a GPU a graph of one size gets its buffers there once (`Bound`), and on `cuda` its launches are recorded once and
    replayed (CUDA graphs), where all of its nodes run on the GPU and frames come one at a time.
    """

    def __init__(
        self, model: Path | bytes, *, provider: str, threads: int | None, streams: int, precision: str, fixed: bool
    ) -> None:
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise SegError(runtime_problem() or f"ONNX Runtime does not import ({one_line(error)})") from None
        if provider != "cpu":
            _check_listed(ort, provider)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads is not None or streams > 1:
            options.intra_op_num_threads = max(1, (threads or cores()) // streams)
        self._bound: SimpleQueue[Bound] | None = None
        buffers = streams if fixed and provider != "cpu" else 0
        others = [(name, EXACT) if name == NAMES["cuda"][0] else name for name in NAMES[provider][1:]]
        # a recording replays one set of addresses
        for graphs in (True, False) if provider == "cuda" and buffers == 1 else (False,):
            how = {**_options(model, provider, precision), **({"enable_cuda_graph": "1"} if graphs else {})}
            try:
                self._start(ort, model, options, [(NAMES[provider][0], how), *others], buffers, graphs)
                break
            except SegError:
                raise
            except Exception as error:  # the runtime's exceptions share no base but Exception
                if graphs:  # a node that has to run on the processor cannot be recorded
                    continue
                where = "model" if isinstance(model, bytes) else model
                raise SegError(f"{where}: ONNX Runtime ({provider}) cannot load it ({one_line(error)})") from None
        self.provider, self.streams = provider, streams
        self.inputs: Mapping[str, Port] = _ports(self._session.get_inputs())
        self.outputs: Mapping[str, Port] = _ports(self._session.get_outputs())

    def _start(
        self, ort: Any, model: Path | bytes, options: Any, providers: Sequence[Any], buffers: int, graphs: bool
    ) -> None:
        """Load the network; with buffers on the device make them, and run it until its CUDA graph is recorded."""
        source = model if isinstance(model, bytes) else str(model)
        # without enable_fallback=0 a provider that fails is replaced by the CPU with no more than a print
        self._session = ort.InferenceSession(source, options, providers=providers, enable_fallback=0)
        _check_loaded(self._session.get_providers(), providers[0][0])
        if not buffers:
            return
        made = [Bound(self._session, "cuda") for _ in range(buffers)]
        for _ in range(RECORDING if graphs else 0):
            made[0].run([], {})
        self._bound = SimpleQueue()
        for bound in made:
            self._bound.put(bound)

    def run(self, names: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The outputs of these names; SegError where the runtime refuses the input."""
        try:
            if self._bound is None:
                return list(self._session.run(list(names), dict(feeds)))
            bound = self._bound.get()
            try:
                return bound.run(names, feeds)
            finally:
                self._bound.put(bound)
        except Exception as error:
            raise SegError(f"the network refused its input ({one_line(error)})") from None


def _check_loaded(loaded: Sequence[str], wanted: str) -> None:
    """Listing a provider is not loading it: where its libraries are missing, only the session knows."""
    if loaded[0] != wanted:
        (provider,) = (name for name, order in NAMES.items() if order[0] == wanted)
        raise SegError(
            f"provider {provider!r} did not load (ONNX Runtime has only {', '.join(loaded)} here); "
            "see `seg doctor`, or use --provider cpu"
        )


def _check_listed(ort: Any, provider: str) -> None:
    if NAMES[provider][0] not in ort.get_available_providers():
        raise SegError(
            f"provider {provider!r} is not there: this ONNX Runtime was built without it; "
            "install segmentation-autoencoder[gpu] in place of [cpu], or use --provider cpu"
        )
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # finds CUDA and cuDNN where pip put them


def _options(model: Path | bytes, provider: str, precision: str) -> dict[str, Any]:
    if provider == "cuda":
        return EXACT
    if provider != "tensorrt":
        return {}
    options: dict[str, Any] = {"trt_fp16_enable": precision == "float16", "trt_int8_enable": precision == "int8"}
    if isinstance(model, Path):  # a probe's engine is not worth keeping
        folder = str(engine_folder(model, precision))
        options |= {"trt_engine_cache_enable": True, "trt_engine_cache_path": folder}
        options |= {"trt_timing_cache_enable": True, "trt_timing_cache_path": folder}
    return options


def _ports(items: Sequence[Any]) -> dict[str, Port]:
    return {
        item.name: Port(
            ELEMENTS.get(item.type, item.type), tuple(axis if isinstance(axis, int) else None for axis in item.shape)
        )
        for item in items
    }
