"""`seg eval`: figures of a run's network, or of an ONNX file, on labelled frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seg.cli.datasets import published, spare_data
from seg.cli.sizes import parse_size

if TYPE_CHECKING:
    from seg.classes import Ontology
    from seg.config import AnyData, DataConfig
    from seg.data.base import LabelledData, Sample
    from seg.labels import LabelTable
    from seg.metrics import Report
    from train.evaluate import U8


@dataclass(frozen=True)
class Model:
    """A network to measure: its classes, the data in its own record, and how it answers for samples read ahead.

    `size` is the (height, width) that the network sees, None where that is each frame's own. `labels` is how the labels of its
    training were read, where it says so.
    """

    ontology: Ontology
    own_data: Callable[[], DataConfig]
    pairs: Callable[[LabelledData, int], Iterator[tuple[Sample, U8]]]
    size: tuple[int, int] | None
    labels: tuple[LabelTable, ...] = ()


def evaluate(
    model: Annotated[
        Path, typer.Argument(help="A run directory, a checkpoint folder, an ONNX file or a shipped network's name.")
    ],
    split: Annotated[
        str, typer.Option(help="Which sources of the config, val or train; with --data, a split of the data set.")
    ] = "val",
    root: Annotated[
        Path | None, typer.Option("--data", metavar="ROOT", help="A published data set's folder to measure on.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Which data set it is (default: told by its layout).")] = None,
    labels: Annotated[str | None, typer.Option(help="How its labels are read (default: the data set's usual).")] = None,
    config: Annotated[
        Path | None, typer.Option(help="A run's YAML to take the data from (default: what the model was trained with).")
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A change to that YAML; may be repeated.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Network size for a run (default: its validation's).")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures, confusion included.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a JSON file that exists.")] = False,
    provider: Annotated[
        str | None, typer.Option(help="What runs an ONNX file: cpu (the default), openvino, cuda, tensorrt, auto.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="What runs a checkpoint: auto (the default), cpu or cuda.")] = None,
    workers: Annotated[
        int,
        typer.Option(min=0, help="Processes that read ahead for a run; an ONNX file's threads read for themselves."),
    ] = 1,
) -> None:
    """Measure a network: IoU, precision and recall of each class, mean IoU, pixel accuracy, confusion matrix."""
    from seg.cli.tables import print_report
    from seg.errors import SegError
    from seg.files import claim, spare
    from seg.shipped import resolve_model

    if root is None and (kind or labels):
        raise SegError("--kind and --labels say how to read --data; give its folder")
    if root is not None and (config or override):
        raise SegError("--data and --config each name the data; give one of them")
    path = resolve_model(model)
    if json_file is not None:
        claim(json_file, overwrite=overwrite)
        spare(json_file, [path.resolve(), (config or path).resolve()])
    opened = (_onnx if path.suffix == ".onnx" else _checkpoint)(path, size, provider, device)
    if root is not None:
        sources: Sequence[AnyData] = [published(root, split, kind, labels, opened.ontology)]
    elif split in ("train", "val"):
        sources = getattr(_data(config, override, opened), split)
    else:
        raise SegError(f"--split: expected train or val, got {split!r}")
    data = _open_data(sources, opened.ontology, None if root or config else model)
    if json_file is not None:
        spare_data(json_file, data)
    report, names = _measure(opened, data, workers)
    print_report(report, f"{model} on {names}")
    if json_file is not None:
        _write(json_file, report, path, names, opened.size)


def _open_data(sources: Sequence[AnyData], ontology: Ontology, recorded_by: Path | None) -> LabelledData:
    """The data, which `recorded_by` named in its own record (None: the user did)."""
    from seg.data.open import open_data
    from seg.errors import SegError

    try:
        return open_data(sources, ontology)
    except SegError as error:
        if recorded_by is None:
            raise
        raise SegError(
            f"{error}. This is where {recorded_by} says its data are; name another place with --data or --config"
        ) from None


def _warn_of_labels(model: Model, data: LabelledData) -> None:
    """Say on stderr where a label file reads otherwise than in the model's training."""
    from seg.labels import differing_labels

    for table in (label_set.table() for label_set in data.label_sets):
        changes = [differing_labels(then, table) for then in model.labels if then.label_set == table.label_set]
        if changes and all(changes):  # two files may share a name: one of them is enough
            told = "; ".join(changes[0][:4]) + (f" and {len(changes[0]) - 4} more" if len(changes[0]) > 4 else "")
            typer.echo(f"seg: warning: labels are read otherwise than in training: {told}", err=True)


def _measure(opened: Model, data: LabelledData, workers: int) -> tuple[Report, str]:
    """The figures, and the names of the data that they are of."""
    from rich.progress import track

    from train.evaluate import evaluate as confusion_of

    _warn_of_labels(opened, data)
    shown = track(opened.pairs(data, workers), total=len(data), description="evaluating", transient=True)
    report = confusion_of(shown, data).report(data.label_sets)
    return report, ", ".join(f"{reader.dataset} ({len(reader)} frames)" for reader in data.readers)


def _write(output: Path, report: Report, model: Path, names: str, size: tuple[int, int] | None) -> None:
    """The figures as JSON, with the names of the model and of the data that they are of, and the network's size."""
    from seg.files import sha256, write_text

    digest = sha256(model) if model.is_file() else None
    figures = {"model": model.name, "sha256": digest, "data": names, "size": size, **report.model_dump(mode="json")}
    write_text(output, json.dumps(figures, indent=1) + "\n")


def _data(config: Path | None, override: list[str] | None, model: Model) -> DataConfig:
    from seg.classes import load_ontology
    from seg.config import load_run_config
    from seg.errors import SegError

    if config is None:
        if override:
            raise SegError("--set changes a --config; give one")
        return model.own_data()
    run = load_run_config(config, override)
    named, ontology = load_ontology(run.ontology), model.ontology
    if named.names != ontology.names:
        raise SegError(
            f"{config} is for the classes of {named.name!r} ({', '.join(named.names)}), but the model has those of "
            f"{ontology.name!r} ({', '.join(ontology.names)}); give a config with ontology: {ontology.name}"
        )
    return run.data


def _checkpoint(path: Path, size: str | None, provider: str | None, device: str | None) -> Model:
    from seg.errors import SegError
    from seg.model.checkpoint import load_network
    from train.evaluate import network_predictor, predictions
    from train.setup import choose_device

    if provider is not None:
        raise SegError("--provider is for ONNX files; a run's network is moved with --device")
    network, meta = load_network(path)
    where = choose_device(device or "auto")
    seen = parse_size(size) or meta.size
    predict = network_predictor(network.to(where), seen, where)
    return Model(
        meta.ontology,
        lambda: meta.config.data,
        lambda data, workers: predictions(predict, data, range(len(data)), workers),
        seen,
        meta.labels or (),
    )


def _onnx(path: Path, size: str | None, provider: str | None, device: str | None) -> Model:
    from infer import Segmenter
    from infer.labelled import segmented
    from seg.config import DataConfig
    from seg.errors import SegError
    from seg.strict import parse

    if size is not None:
        raise SegError(
            "--size is for runs; an ONNX file has its own size: export it at another with `seg export --size`"
        )
    if device is not None:
        raise SegError("--device is for runs; what runs an ONNX file is chosen with --provider")
    segmenter = Segmenter(path, provider=provider or "cpu", streams=None)
    policy = segmenter.spec.size
    return Model(
        segmenter.spec.as_ontology(),
        lambda: parse(DataConfig, segmenter.spec.training.validation, f"{path}'s data section"),
        lambda data, _: segmented(segmenter, data),
        (policy.height, policy.width) if policy.kind == "fixed" else None,
    )
