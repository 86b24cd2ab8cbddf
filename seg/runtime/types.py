"""What goes into a graph and comes out of it; element types, by the names that runtimes give them, in NumPy's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Port(NamedTuple):
    """An input or output of a graph: its dtype, and its axes, None where one may have any size."""

    dtype: str
    shape: tuple[int | None, ...]

    def fits(self, dtype: str, shape: Sequence[int | str]) -> bool:
        """Whether it is what is said of it, in which an axis of any size has a name."""
        if dtype != self.dtype or len(shape) != len(self.shape):
            return False
        # a runtime need not know the size of an answer before there is one
        return all(axis is None or axis == said for axis, said in zip(self.shape, shape, strict=True))

    def __str__(self) -> str:
        """As `uint8 (1, any, any, 3)`."""
        return f"{self.dtype} ({', '.join('any' if axis is None else str(axis) for axis in self.shape)})"


ELEMENTS = {
    "tensor(uint8)": "uint8",
    "tensor(int64)": "int64",
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int32)": "int32",
}
"""ONNX Runtime's."""

OPENVINO_ELEMENTS = {"u8": "uint8", "i64": "int64", "f32": "float32"}
"""OpenVINO's."""
