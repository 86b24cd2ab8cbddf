"""Inputs and outputs that stay where the network runs: buffers on the device, made once and filled again for each frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.runtime.types import ELEMENTS


class Bound:
    """One frame's buffers on a device, for a session of ONNX Runtime whose graph has one size.

    The runtime then allocates nothing for a frame, and addresses stay the same, which CUDA graphs need. What crosses to the
    device and back is as small as the graph's own types: uint8 frames and class maps in profile `frame`. Not for two threads
    at once.
    """

    def __init__(self, session: Any, device: str) -> None:
        """Make the buffers.

        Args:
            session: an `onnxruntime.InferenceSession`; each axis of its inputs and outputs is a number.
            device: where they are, as ONNX Runtime names it: `cuda`, `cpu`.
        """
        import onnxruntime as ort

        def buffer(item: Any) -> Any:
            dtype = np.dtype(ELEMENTS[item.type])
            return ort.OrtValue.ortvalue_from_shape_and_type(item.shape, dtype, device, 0)

        self._session, self._binding = session, session.io_binding()
        self._inputs = {item.name: buffer(item) for item in session.get_inputs()}
        self._outputs = {item.name: buffer(item) for item in session.get_outputs()}
        self._shapes = {item.name: tuple(item.shape) for item in session.get_inputs()}
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(self, names: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The outputs of these names, copied to the host; ValueError for an input of another shape or type."""
        for name, tensor in feeds.items():
            expected = self._shapes[name], np.dtype(ELEMENTS[self._inputs[name].data_type()])
            if (tensor.shape, tensor.dtype) != expected:  # else the copy below would read or write past a buffer's end
                raise ValueError(
                    f"{name}: expected {expected[1]} of {expected[0]}, got {tensor.dtype} of {tensor.shape}"
                )
            self._inputs[name].update_inplace(np.ascontiguousarray(tensor))
        self._session.run_with_iobinding(self._binding)
        # copies, on the processor too: the buffers are written again by the next frame
        return [np.array(self._outputs[name].numpy()) for name in names]
