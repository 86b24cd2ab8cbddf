"""A file's convolutions in eight-bit integers, all of them or all but some: ONNX Runtime's static quantiser, in one place."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

OPERATOR = "Conv"
"""What is quantised: nearly all of the work. Additions and poolings stay float, between the integers."""


class Layers:
    """The convolutions of a file, and the file with all but some of them in integers."""

    def __init__(
        self, source: Path, folder: Path, feeds: Sequence[npt.NDArray[np.generic]], name: str, symmetric: bool
    ) -> None:
        self._feeds, self._name, self._symmetric = feeds, name, symmetric
        self._prepared, self._ranges = folder / "prepared.onnx", folder / "ranges.json"
        with _silent():
            # shapes only: what an optimiser fuses here would be other layers than the network's
            quant_pre_process(str(source), str(self._prepared), skip_optimization=True, skip_symbolic_shape=True)
        self.names = [node.name for node in onnx.load(self._prepared).graph.node if node.op_type == OPERATOR]

    def write(self, output: Path, kept: Collection[str]) -> None:
        """The file with every convolution in integers but those `kept`."""
        with _silent():
            quantize_static(
                str(self._prepared),
                str(output),
                _Reader(self._name, self._feeds),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=[OPERATOR],
                nodes_to_quantize=[name for name in self.names if name not in kept],
                per_channel=True,
                activation_type=QuantType.QInt8 if self._symmetric else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                # -64..64: processors without VNNI add the products of two pairs of bytes in 16 bits and cut off what does
                # not fit (oneDNN's manual, Nuances of int8 computations); 255 * 64 * 2 does. With eight bits a network
                # that newer processors answered well saw no sky on one with AVX2 alone.
                reduce_range=True,
                extra_options={"ActivationSymmetric": self._symmetric},
                calibration_cache_path=str(self._ranges),  # made by the first call, read by the others
            )


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Frames as the quantiser asks for them."""

    def __init__(self, name: str, feeds: Sequence[npt.NDArray[np.generic]]) -> None:
        self._feeds = iter([{name: tensor} for tensor in feeds])

    def get_next(self) -> dict[str, npt.NDArray[np.generic]] | None:
        """The next feed, None at the end."""
        return next(self._feeds, None)


@contextmanager
def _silent() -> Iterator[None]:
    """The quantiser advises on the root logger; its errors still come as exceptions."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
