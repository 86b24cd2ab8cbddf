"""A trained run becomes a verified ONNX file that carries its deploy contract."""

from export.onnx_file import ExportOptions, export_run
from export.parity import Parity

__all__ = ["ExportOptions", "Parity", "export_run"]
