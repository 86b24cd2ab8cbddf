"""A model file becomes a network that can be run: its contract is read, its provider checked, its graph compared."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from seg.errors import SegError
from seg.onnx_file import read_metadata
from seg.runtime import AUTO_ORDER, COMPUTES, OWNERS, Runtime, distribution_version, load, precision_of, runtime_problem
from seg.spec import SAFE_BITS, WEIGHT_BITS, ModelSpec

_warned = False


class Session:
    """A loaded model file. Several threads may run it at once.

    Attributes:
        spec: the deploy contract that the file carries.
        provider: what really runs it.
        choice: why that one, in one line.
        streams: how many frames it is meant to compute at once.
    """

    def __init__(
        self,
        path: str | Path,
        provider: str = "cpu",
        threads: int | None = None,
        streams: int | None = 1,
        precision: str | None = None,
    ) -> None:
        """Load a file of this project.

        Args:
            path: the ONNX file.
            provider: `cpu`, `cuda`, `tensorrt`, `openvino`, or `auto` for the first of AUTO_ORDER that loads.
            threads: CPU threads of the network; None leaves the choice to the runtime.
            streams: how many frames are to be computed at once; None for as many as is fastest (`seg.runtime.load`), and for
                one where the file takes frames of any size: several large ones would take as many times the memory.
            precision: what it is computed in: `float32`, `bfloat16` (OpenVINO), `float16` (TensorRT) or `int8`, for a file
                that `seg export --int8` made; None for the file's own, which is one of the first and the last.

        Raises:
            SegError: where the file is missing, truncated or not of this project, or the provider does not load.
        """
        self._path = Path(path)
        self.spec = ModelSpec.from_metadata(read_metadata(self._path), str(path))
        _warn_once(provider)
        if streams is None and self.spec.size.kind == "dynamic":
            streams = 1
        precision = self._precision(precision)
        how = threads, streams, precision, self.spec.size.kind == "fixed"
        if provider == "auto":
            self._runtime, self.choice = self._load_first(*how)
        else:
            self._runtime, self.choice = load(self._path, provider, *how), f"{provider}, as asked for"
        if precision != "float32":
            self.choice += f", in {precision}"
        self.provider, self.streams = self._runtime.provider, self._runtime.streams
        self._check_graph()
        self._names = [output.name for output in self.spec.outputs]

    def run(self, tensor: npt.NDArray[Any]) -> Mapping[str, npt.NDArray[Any]]:
        """All outputs of the contract, by name, for one input tensor in the contract's layout."""
        answers = self._runtime.run(self._names, {self.spec.inputs[0].name: tensor})
        return dict(zip(self._names, answers, strict=True))

    def _precision(self, asked: str | None) -> str:
        """What to compute in; SegError where the file cannot do what is asked for."""
        own = "int8" if self.spec.network.get("weights") == "int8" else "float32"
        if own == "int8" and self.spec.network.get(WEIGHT_BITS) != SAFE_BITS:
            raise SegError(
                f"{self._path}: its integers have eight bits, whose sums overflow on some processors without a word; make it "
                f"again with `seg export --int8`, which keeps to {SAFE_BITS}"
            )
        wanted = precision_of(asked) if asked is not None else own
        if wanted == "int8" and own != "int8":
            raise SegError(
                f"--precision int8: {self._path} is in floats; make one of integers with `seg export --int8`"
            )
        if wanted in ("float32", "float16") and own == "int8":
            raise SegError(
                f"--precision {asked}: the weights of {self._path} are integers; leave --precision out, or run the file that "
                "`seg export` makes without --int8"
            )
        return wanted

    def _load_first(self, threads: int | None, streams: int | None, precision: str, fixed: bool) -> tuple[Runtime, str]:
        able = [name for name in AUTO_ORDER if precision in COMPUTES[name]]
        reasons: dict[str, str] = {}
        for name in able:
            try:
                runtime = load(self._path, name, threads, streams, precision, fixed)
            except SegError as error:
                reasons[name] = str(error)
            else:
                unable = [name for name in AUTO_ORDER if name not in able]
                # a reason says what to do about it after a semicolon: nothing, where auto was asked for
                why = [text.partition(";")[0].replace(f"provider {who!r}", who) for who, text in reasons.items()]
                why += [f"{', '.join(unable)} without {precision}"] if unable else []
                return runtime, f"auto chose {name}" + (f" ({'; '.join(why)})" if why else "")
        raise SegError(
            f"no provider loads this model in {precision}: "
            + ("; ".join(f"{name}: {reason}" for name, reason in reasons.items()) or "auto knows none that has it")
        )

    def _check_graph(self) -> None:
        """The file's graph must have what its contract says; a contract pasted into another file is found here."""
        if len(self.spec.inputs) != 1 or not self.spec.outputs:
            raise SegError(f"{self._path}: its contract names no single input, or no output; export it again")
        sides = (
            ("input", self.spec.inputs, self._runtime.inputs),
            ("output", self.spec.outputs, self._runtime.outputs),
        )
        for side, tensors, ports in sides:
            for tensor in tensors:
                if tensor.name in ports and ports[tensor.name].fits(tensor.dtype, tensor.shape):
                    continue
                said = f"{tensor.dtype} ({', '.join(map(str, tensor.shape))})"
                raise SegError(
                    f"{self._path}: its contract names an {side} {tensor.name!r} of {said}, its graph has "
                    f"{', '.join(f'{name!r} of {port}' for name, port in ports.items())}; export it again"
                )


def _warn_once(provider: str) -> None:
    """A broken installation is said at the first session, not at each; without any runtime, loading says it."""
    global _warned
    both = all(distribution_version(name) for name in OWNERS)
    if both and not _warned and provider != "openvino":
        _warned = True
        warnings.warn(runtime_problem() or "", stacklevel=4)
