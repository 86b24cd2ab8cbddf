"""Eight-bit integers in place of float32: calibrated on real frames, judged on labelled ones, refused where they cost too much.

Static quantisation as in Jacob et al. (Quantization and training of neural networks for efficient integer-arithmetic-only
inference, 2018): a convolution's weights get a scale for each channel, its input one from the range that calibration saw.
The file keeps the operators of before, between QuantizeLinear and DequantizeLinear (the QDQ form of ONNX), and its runtime
makes integer kernels of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from export.layers import Layers
from export.onnx_file import ExportOptions, export_run
from export.parity import Parity, classes_of
from seg.data.base import LabelledData
from seg.errors import SegError
from seg.files import atomic, claim
from seg.geometry import feed, fit_frame, fit_map
from seg.metrics import Confusion, Report
from seg.model.checkpoint import find_checkpoint
from seg.model.monitor import load_monitor
from seg.onnx_file import seal
from seg.spec import SAFE_BITS, WEIGHT_BITS, MetricRecord, ModelSpec

U8 = npt.NDArray[np.uint8]

NO_NOVELTY = "--int8: novelty was calibrated in float32, and integers would change it; leave it out with --no-novelty"

RANKED_ON = 8
"""Calibration frames on which each layer is quantised alone, to see which of them hurt."""


@dataclass(frozen=True)
class Limits:
    """The IoU that integers may cost, 0..1: of the mean, and of any unit."""

    mean: float = 0.005
    unit: float = 0.015


@dataclass(frozen=True)
class Judgement:
    """What integers cost on labelled frames.

    Attributes:
        exact: the figures of the file in float32.
        rounded: those of the file in integers.
        kept: the layers that stayed in float, the most harmful first.
        layers: how many there are.
    """

    exact: Report
    rounded: Report
    kept: tuple[str, ...]
    layers: int

    @property
    def mean(self) -> float:
        """IoU lost by the mean over units, 0..1; negative where the integers gain."""
        return (self.exact.mean_iou or 0.0) - (self.rounded.mean_iou or 0.0)

    @property
    def units(self) -> dict[str, float]:
        """IoU lost by each unit that float32 has a figure for."""
        after = self.rounded.iou
        return {name: before - (after[name] or 0.0) for name, before in self.exact.iou.items() if before is not None}

    def broken(self, limits: Limits) -> list[str]:
        """What is lost beyond the limits, in words, the most first; empty where nothing is."""
        said = [
            f"{name} {100 * lost:.2f} points ({100 * limits.unit:.1f} allowed)"
            for name, lost in sorted(self.units.items(), key=lambda item: -item[1])
            if lost > limits.unit
        ]
        if self.mean > limits.mean:
            said.insert(0, f"{100 * self.mean:.2f} points of mean IoU ({100 * limits.mean:.1f} allowed)")
        return said


def export_int8(
    run: Path,
    output: Path,
    frames: Sequence[U8],
    calibration: Sequence[U8],
    data: LabelledData,
    options: ExportOptions | None = None,
    *,
    symmetric: bool = False,
    overwrite: bool = False,
) -> tuple[ModelSpec, Parity, Judgement]:
    """Export a run's best network in eight-bit integers: first as `export_run` does, then by `quantize`.

    Args:
        run: a run directory or checkpoint of `seg train`.
        output: the ONNX file to make.
        frames: real frames on which the float32 file has to answer as the network.
        calibration: as for `quantize`.
        data: as for `quantize`.
        options: how; `weights` has to be float32, because integers are stored as they are.
        symmetric: as for `quantize`.
        overwrite: whether `output` may be replaced.

    Raises:
        SegError: as both do; then there is no file.
    """
    options = options or ExportOptions()
    claim(output, overwrite=overwrite)
    if options.weights != "float32":
        raise SegError(f"--int8 stores its weights as integers, not as {options.weights}; leave --weights out")
    if options.novelty and options.profile in (None, "frame") and load_monitor(find_checkpoint(run)) is not None:
        raise SegError(NO_NOVELTY)
    with tempfile.TemporaryDirectory(prefix="seg-int8-") as folder:
        exact = Path(folder) / "float32.onnx"
        spec, parity = export_run(run, exact, frames, options)
        spec, judgement = quantize(exact, output, spec, calibration, data, symmetric=symmetric)
    return spec, parity, judgement


def quantize(
    source: Path,
    output: Path,
    spec: ModelSpec,
    calibration: Sequence[U8],
    data: LabelledData,
    *,
    symmetric: bool = False,
    limits: Limits | None = None,
) -> tuple[ModelSpec, Judgement]:
    """Write `source` in eight-bit integers as `output`; it gets its name only if the labels allow it.

    All convolutions are tried first. If that costs too much, each is quantised alone to see how many pixels it changes, and
    the worst 1, 2, 4... stay in float, up to half of them.

    Args:
        source: a float32 ONNX file of ours.
        output: the file to make; the caller has claimed it.
        spec: the contract of `source`.
        calibration: real frames, uint8 RGB (H, W, 3), whose ranges become the scales; at least one.
        data: labelled frames that judge.
        symmetric: signed activations without a zero point, which TensorRT wants and processors compute more slowly.
        limits: what may be lost.

    Returns:
        The contract of the new file, whose metrics are those measured here, and the judgement.

    Raises:
        SegError: where the file knows no classes or answers novelty, nothing calibrates or judges, or too much is lost even so: saying of which
            classes, and by which layers. Nothing is written then.
    """
    limits = limits or Limits()
    _check(spec, calibration, data)
    frames = [_fitted(frame, spec) for frame in calibration]
    with tempfile.TemporaryDirectory(prefix="seg-int8-") as folder:
        layers = Layers(source, Path(folder), [feed(frame, spec) for frame in frames], spec.inputs[0].name, symmetric)
        exact = _report(source, spec, data)
        if exact.mean_iou is None:
            raise SegError(f"--int8: labels are its judge, and those of the {len(data)} frames name no class at all")
        rounded = Path(folder) / "rounded.onnx"
        for kept in _attempts(layers, lambda file: _changed(source, file, spec, frames[:RANKED_ON])):
            layers.write(rounded, kept)
            judgement = Judgement(exact, _report(rounded, spec, data), tuple(kept), len(layers.names))
            broken = judgement.broken(limits)
            if not broken:
                break
        else:
            raise SegError(
                f"in eight-bit integers the network loses {', '.join(broken)} on {len(data)} labelled frames, even with "
                f"{len(kept)} of {len(layers.names)} layers in float32, the most harmful of them {', '.join(kept[:3])}; "
                "nothing was written. Calibrate on more frames, of the roads that it is for"
            )
        spec = _contract(spec, judgement)
        _save(rounded, output, spec)
    return spec, judgement


def _check(spec: ModelSpec, calibration: Sequence[U8], data: LabelledData) -> None:
    """SegError where nothing can be quantised, or nothing judges it."""
    if not spec.classes:
        raise SegError(f"--int8: labels are its judge, and a network of profile {spec.profile!r} knows no classes")
    if any(output.name == "novelty" for output in spec.outputs):
        raise SegError(NO_NOVELTY)
    if not calibration or not len(data):
        raise SegError(f"--int8 needs frames: {len(calibration)} to calibrate on and {len(data)} labelled ones came")


def _attempts(layers: Layers, changed: Callable[[Path], float]) -> Iterator[list[str]]:
    """Which layers to keep in float: none; then the 1, 2, 4... that change most pixels when quantised alone."""
    yield []
    harm = {}
    with tempfile.TemporaryDirectory(prefix="seg-int8-") as folder:
        alone = Path(folder) / "alone.onnx"
        for name in layers.names:
            layers.write(alone, set(layers.names) - {name})
            harm[name] = changed(alone)
    worst = sorted(harm, key=lambda name: -harm[name])
    count = 1
    while count <= len(worst) // 2:
        yield worst[:count]
        count *= 2


def _changed(exact: Path, rounded: Path, spec: ModelSpec, frames: Sequence[U8]) -> float:
    """Share of pixels whose class the rounded file sees otherwise."""
    before, after = _session(exact), _session(rounded)
    return float(np.mean([np.mean(_answer(before, spec, frame) != _answer(after, spec, frame)) for frame in frames]))


def _report(file: Path, spec: ModelSpec, data: LabelledData) -> Report:
    """The figures of a file, with the protocol of deployment: frames at its size, answers back at their own."""
    session = _session(file)
    confusion = Confusion(data.space)
    for index in range(len(data)):
        sample = data.sample(index)
        classes_HW = _answer(session, spec, _fitted(sample.frame_HWC, spec))
        confusion.update(sample.label_HW, fit_map(classes_HW, (sample.label_HW.shape[0], sample.label_HW.shape[1])))
    return confusion.report(data.label_sets)


def _session(file: Path) -> ort.InferenceSession:
    return ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def _answer(session: ort.InferenceSession, spec: ModelSpec, frame_HWC: U8) -> U8:
    answers = session.run([spec.outputs[0].name], {spec.inputs[0].name: feed(frame_HWC, spec)})
    return classes_of(answers[0], spec).astype(np.uint8)


def _fitted(frame_HWC: U8, spec: ModelSpec) -> U8:
    return fit_frame(frame_HWC, (spec.size.height, spec.size.width)) if spec.size.kind == "fixed" else frame_HWC


def _contract(spec: ModelSpec, judgement: Judgement) -> ModelSpec:
    measured = judgement.rounded
    network = {**spec.network, "weights": "int8", WEIGHT_BITS: SAFE_BITS}
    if judgement.kept:
        network["float32_layers"] = ", ".join(judgement.kept)
    metrics = MetricRecord(protocol=measured.protocol, mean_iou=measured.mean_iou, iou=measured.iou)
    return spec.model_copy(update={"network": network, "metrics": metrics})


def _save(rounded: Path, output: Path, spec: ModelSpec) -> None:
    model = onnx.load(rounded)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, spec.to_metadata())
    with atomic(output) as temporary:
        onnx.save(model, temporary)
        onnx.checker.check_model(str(temporary), full_check=True)
        seal(temporary)
