"""How a file stores its weights: as float16 it is half the size, and the runtime still computes in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Storage = Literal["float32", "float16"]

SMALL = 1024
"""A tensor of fewer values stays float32: biases and the normalisation weigh nothing, and lose most by rounding."""


KEPT = "monitor.statistics."
"""Tensors of this name stay float32: inverse covariances do not survive float16."""


def store_as_float16(file: Path) -> None:
    """Store the weights of an ONNX file as float16, each with a cast back to float32 before its first use.

    Runtimes fold the casts when they load the file, so that it runs the same float32 kernels at the same speed. A
    tensor with a value beyond float16's range stays float32, and so do a monitor's statistics.
    """
    model = onnx.load(file)
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or tensor.name.startswith(KEPT):
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < SMALL or np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.float16"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, file)
