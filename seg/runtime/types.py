"""Element types, by the names that runtimes give them, in NumPy's words."""

from __future__ import annotations

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
