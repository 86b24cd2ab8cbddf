"""A trained run becomes a verified ONNX file that carries its deploy contract."""

from export.int8 import Judgement, export_int8
from export.onnx_file import ExportOptions, export_run
from export.parity import Parity
from export.profiles import Feed

__all__ = ["ExportOptions", "Feed", "Judgement", "Parity", "export_int8", "export_run"]
