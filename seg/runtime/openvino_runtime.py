"""OpenVINO, on the processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.errors import SegError, one_line
from seg.runtime.types import OPENVINO_ELEMENTS, Port

PRECISION_HINTS = {
    "float32": ("FP32", "f32"),
    "bfloat16": ("BF16", "bf16"),
    "float16": ("FP16", "f16"),
    "int8": ("INT8", "f32"),  # the integers are in the file; what stays float is float32
}
"""What the processor must be capable of, and the hint for the layers in float."""


def the_core() -> Any:
    """The one `openvino.Core` of this process, which is never given up. ImportError where OpenVINO is not installed.

    Its CPU plugin gives the thread that loads it another stack for signal handlers, and frees that stack with the last
    network: should another thread drop that one, the first thread keeps a stack that is gone, and dies of the next signal
    that Python handles, such as Ctrl-C (seen with 2026.4; tests/infer/test_signals.py).
    """
    import openvino

    return _core(openvino)


@cache
def _core(openvino: Any) -> Any:
    return openvino.Core()


class OpenVino:
    """OpenVINO on the CPU; in float32 its answers agree with ONNX Runtime's."""

    provider: str = "openvino"

    def __init__(self, model: Path | bytes, *, threads: int | None, streams: int, precision: str) -> None:
        try:
            core = the_core()
        except ImportError:
            raise SegError(
                "provider 'openvino' is not there; install segmentation-autoencoder[openvino], or use --provider cpu"
            ) from None
        capability, hint = PRECISION_HINTS[precision]
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
            raise SegError(f"{where}: OpenVINO cannot load it ({one_line(error)})") from None
        self.streams = streams
        # a request holds the buffers of one frame
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(streams):
            self._requests.put(self._compiled.create_infer_request())
        self.inputs: Mapping[str, Port] = _ports(self._compiled.inputs)
        self.outputs: Mapping[str, Port] = _ports(self._compiled.outputs)

    def run(self, names: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The outputs of these names; SegError where the runtime refuses the input."""
        request = self._requests.get()
        try:
            request.infer(dict(feeds))
            # copies: the request's buffers are written again by the next frame
            return [np.array(request.get_tensor(name).data) for name in names]
        except Exception as error:
            raise SegError(f"the network refused its input ({one_line(error)})") from None
        finally:
            self._requests.put(request)


def _ports(items: Sequence[Any]) -> dict[str, Port]:
    return {
        item.any_name: Port(
            OPENVINO_ELEMENTS.get(item.element_type.get_type_name(), "unknown"),
            tuple(axis.get_length() if axis.is_static else None for axis in item.partial_shape),
        )
        for item in items
    }
