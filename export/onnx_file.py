"""From a trained run to a verified ONNX file that carries its deploy contract."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from export.parity import FLOAT16, Parity, check_parity
from export.profiles import GRAPHS, PLAIN, Feed, signature
from export.storage import Storage, store_as_float16
from seg.config import DataConfig
from seg.errors import SegError
from seg.files import atomic, claim, sha256
from seg.geometry import fit_frame
from seg.model.autoencoder import Autoencoder
from seg.model.checkpoint import WEIGHTS, CheckpointMeta, PretrainMeta, find_checkpoint, load_trained
from seg.model.monitor import Monitor, load_monitor
from seg.onnx_file import seal
from seg.spec import MetricRecord, ModelSpec, Profile, SizePolicy, TrainingRecord

OPSET = 20

UNKNOWN_LICENCE = "not stated; the licences of the training data apply"


@dataclass(frozen=True)
class ExportOptions:
    """How to export: which profile, `size` (height, width; None for the validation's), a fixed or dynamic size.

    `profile` None is `frame`, or `restore` for a run of `seg pretrain`, whose only one it is. `weights` is how the file
    stores them; it computes in float32 either way. `novelty` off leaves the monitor's novelty out, and keeps code and
    hash: for a file that goes to cameras which nobody has calibrated it for. `feed` is how the program that feeds a file of
    profile `logits` or `argmax` prepares its floats.
    """

    profile: Profile | None = None
    size: tuple[int, int] | None = None
    dynamic: bool = False
    weights: Storage = "float32"
    name: str | None = None
    licence: str | None = None
    novelty: bool = True
    feed: Feed = PLAIN


def export_run(
    run: Path,
    output: Path,
    frames: Sequence[npt.NDArray[np.uint8]],
    options: ExportOptions | None = None,
    *,
    overwrite: bool = False,
) -> tuple[ModelSpec, Parity]:
    """Export a run's best network; the file gets its name only if its answers match the network's.

    Profile `frame` answers novelty, code and hash too where `seg calibrate` made a monitor for these weights.

    Args:
        run: a run directory or checkpoint, of `seg train` or `seg pretrain`.
        output: the ONNX file to make.
        frames: real frames to compare answers on, uint8 RGB (H, W, 3), at least one.
        options: how.
        overwrite: whether `output` may be replaced.

    Raises:
        SegError: if `output` exists, the run has no checkpoint or not the profile, its monitor is of other weights, or
            the answers differ; then there is no file.
    """
    options = options or ExportOptions()
    claim(output, overwrite=overwrite)
    if not frames:
        raise SegError("export needs at least one real frame to compare answers on")
    network, meta, profile = _load(run, options.profile)
    size = options.size or meta.size
    monitor = load_monitor(find_checkpoint(run)) if profile == "frame" else None
    if monitor is None and not options.novelty:
        raise SegError(
            f"{run}: has no novelty to leave out, nor code and hash to keep: run `seg calibrate` on it, and export in profile "
            "frame"
        )
    if profile in ("logits", "argmax"):
        extras: list[object] = [options.feed]
    elif options.feed != PLAIN:
        raise SegError(f"profile {profile!r} takes bytes, RGB; how floats are fed is for profiles logits and argmax")
    else:
        extras = [monitor, options.novelty] if monitor is not None else []
    graph = GRAPHS[profile](network, *extras).eval()
    spec = _spec(run, meta, profile, options, size, monitor)
    program = _program(graph, spec, size)
    fitted = [fit_frame(frame, size) for frame in frames]
    if options.dynamic:  # a second shape, odd in both directions
        height, width = size
        fitted += [fit_frame(frames[0], (height * 3 // 4 | 1, width * 3 // 4 | 1))]
    with atomic(output) as temporary:
        program.model.metadata_props.update(spec.to_metadata())
        program.save(str(temporary))
        onnx.checker.check_model(str(temporary), full_check=True)
        # the graph has to be right exactly, before its weights may be rounded
        parity = check_parity(network, temporary, spec, fitted, monitor=monitor)
        if options.weights == "float16":
            store_as_float16(temporary)
            onnx.checker.check_model(str(temporary), full_check=True)
            parity = check_parity(network, temporary, spec, fitted, FLOAT16, monitor)
        seal(temporary)
    return spec, parity


def _program(graph: nn.Module, spec: ModelSpec, size: tuple[int, int]) -> torch.onnx.ONNXProgram:
    tensor = spec.inputs[0]
    if spec.size.kind == "dynamic":
        # sides that the stride divides are not padded, and the exporter cannot say in symbols what holds for them alone
        size = (size[0] | 1, size[1] | 1)
    example = torch.zeros((1, *size, 3), dtype=torch.uint8)
    if tensor.layout == "NCHW":
        example = example.permute(0, 3, 1, 2).float()
    shapes = None
    if spec.size.kind == "dynamic":
        axis = tensor.layout.index("H")
        # unnamed, because the padding makes sizes inside that the exporter cannot express in named ones
        shapes = ({axis: torch.export.Dim.DYNAMIC, axis + 1: torch.export.Dim.DYNAMIC},)
    # the exporter reports its progress and every library's deprecations; its errors still come as exceptions
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[tensor.name],
            output_names=[output.name for output in spec.outputs],
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None
    graph_ends = [*program.model.graph.inputs, *program.model.graph.outputs]
    for value, tensor in zip(graph_ends, [*spec.inputs, *spec.outputs], strict=True):
        for axis, size_or_name in enumerate(tensor.shape):  # the contract's names, not the exporter's symbols
            value.shape[axis] = size_or_name
    for node in program.model.graph.all_nodes():  # they name the source files of this machine
        node.metadata_props.pop("pkg.torch.onnx.stack_trace", None)
    return program


def _load(run: Path, profile: Profile | None) -> tuple[Autoencoder, CheckpointMeta | PretrainMeta, Profile]:
    """The network, its meta and the profile to export it in, which has to be one of its kind."""
    network, meta = load_trained(run)
    if isinstance(meta, CheckpointMeta):
        if profile == "restore":
            raise SegError(f"{run}: was made by `seg train`; profile restore is for runs of `seg pretrain`")
        return network, meta, profile or "frame"
    if profile not in (None, "restore"):
        raise SegError(f"{run}: was made by `seg pretrain` and knows no classes; its profile is restore, not {profile}")
    return network, meta, "restore"


def _spec(
    run: Path,
    meta: CheckpointMeta | PretrainMeta,
    profile: Profile,
    options: ExportOptions,
    size: tuple[int, int],
    monitor: Monitor | None,
) -> ModelSpec:
    axes: tuple[int | str, int | str] = ("height", "width") if options.dynamic else size
    ontology = meta.ontology if isinstance(meta, CheckpointMeta) else None
    classes = ontology.classes if ontology is not None else ()
    tensors = signature(
        profile, *axes, len(classes), monitor.shape.values if monitor is not None else 0, options.novelty, options.feed
    )
    return ModelSpec(
        name=options.name or meta.run,
        profile=profile,
        ontology=ontology.name if ontology is not None else "none",
        classes=classes,
        color_order="BGR" if options.feed.bgr else "RGB",
        value_range=tensors.value_range,
        mean=options.feed.mean,
        std=options.feed.std,
        size=SizePolicy(kind="dynamic" if options.dynamic else "fixed", height=size[0], width=size[1]),
        inputs=(tensors.input,),
        outputs=tensors.outputs,
        network={**_network(meta), "weights": options.weights},
        # the weights are in this file: where the encoder's first ones lay is nobody's business
        model={**meta.config.model.model_dump(mode="json"), "encoder_weights": None}
        if isinstance(meta, CheckpointMeta)
        else None,
        training=TrainingRecord(
            run=meta.run,
            origins=meta.origins,
            data=meta.data,
            data_hash=meta.data_hash,
            config_hash=meta.config_hash,
            weights_hash=sha256(find_checkpoint(run) / WEIGHTS),
            steps=meta.steps,
            validation=_portable(meta.config.data),
        ),
        metrics=_metrics(meta, size),
        versions={**meta.versions, "onnx": version("onnx"), "onnxscript": version("onnxscript"), "opset": str(OPSET)},
        licence=options.licence or (meta.licence if isinstance(meta, CheckpointMeta) else None) or UNKNOWN_LICENCE,
    )


def _network(meta: CheckpointMeta | PretrainMeta) -> dict[str, str]:
    model = meta.config.model
    about = {"encoder": model.encoder}
    if isinstance(meta, CheckpointMeta):
        about["decoder"] = meta.config.model.decoder
    else:
        strengths = meta.config.corruption.model_dump(exclude={"block_size"})
        about["corruption"] = ",".join(name for name, strength in strengths.items() if strength)
    return {**about, "code_channels": str(model.code_channels)}


def _metrics(meta: CheckpointMeta | PretrainMeta, size: tuple[int, int]) -> MetricRecord | None:
    # at another size it is another network: what the run measured says nothing about it
    if isinstance(meta, PretrainMeta) or meta.report is None or size != meta.size:
        return None
    return MetricRecord(protocol=meta.report.protocol, mean_iou=meta.report.mean_iou, iou=meta.report.iou)


def _portable(data: DataConfig) -> dict[str, object]:
    """The data section without the absolute paths of this machine: of roots, split files and label sets."""
    portable: dict[str, list[dict[str, object]]] = data.model_dump(mode="json")
    for sources in portable.values():
        for source in sources:
            for key, value in source.items():
                if isinstance(value, str) and Path(value).is_absolute():
                    source[key] = Path(value).name
    return {**portable}
