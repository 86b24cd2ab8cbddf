"""`seg eval`: figures of a run's network, or of an ONNX file, on labelled frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seg.cli.sizes import parse_size

if TYPE_CHECKING:
    from seg.classes import Ontology
    from seg.config import DataConfig
    from train.evaluate import Predict


def evaluate(
    model: Annotated[Path, typer.Argument(help="A run directory, a checkpoint folder or an ONNX file.")],
    split: Annotated[str, typer.Option(help="Which sources of the config: val or train.")] = "val",
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
    workers: Annotated[int, typer.Option(min=0, help="Processes that read ahead.")] = 1,
) -> None:
    """Measure a network: IoU, precision and recall of each class, mean IoU, pixel accuracy, confusion matrix."""
    from rich.progress import track

    from seg.cli.tables import print_report
    from seg.data.open import open_data
    from seg.errors import SegError
    from seg.files import claim, write_text
    from train.evaluate import evaluate as confusion_of
    from train.evaluate import predictions

    if json_file is not None:
        claim(json_file, overwrite=overwrite)
    if split not in ("train", "val"):
        raise SegError(f"--split: expected train or val, got {split!r}")
    open_model = _onnx if model.suffix == ".onnx" else _checkpoint
    predict, ontology, own = open_model(model, size, provider, device)
    sources = _data(config, override, ontology, own)
    try:
        data = open_data(getattr(sources, split), ontology)
    except SegError as error:
        if config is not None:
            raise
        raise SegError(f"{error}. This is where {model} says its data are; name another place with --config") from None
    pairs = predictions(predict, data, range(len(data)), workers)
    shown = track(pairs, total=len(data), description=f"evaluating on {split}", transient=True)
    report = confusion_of(shown, data).report(data.label_sets)
    names = ", ".join(f"{reader.dataset} ({len(reader)} frames)" for reader in data.readers)
    print_report(report, f"{model} on {names}")
    if json_file is not None:
        figures = {"model": model.name, "data": names, **report.model_dump(mode="json")}
        write_text(json_file, json.dumps(figures, indent=1) + "\n")


def _data(config: Path | None, override: list[str] | None, ontology: Ontology, own: DataConfig) -> DataConfig:
    from seg.classes import load_ontology
    from seg.config import load_run_config
    from seg.errors import SegError

    if config is None:
        if override:
            raise SegError("--set changes a --config; give one")
        return own
    run = load_run_config(config, override)
    named = load_ontology(run.ontology)
    if named.names != ontology.names:
        raise SegError(
            f"{config} is for the classes of {named.name!r} ({', '.join(named.names)}), but the model has those of "
            f"{ontology.name!r} ({', '.join(ontology.names)}); give a config with ontology: {ontology.name}"
        )
    return run.data


def _checkpoint(
    path: Path, size: str | None, provider: str | None, device: str | None
) -> tuple[Predict, Ontology, DataConfig]:
    from seg.errors import SegError
    from seg.model.checkpoint import load_network
    from train.evaluate import network_predictor
    from train.setup import choose_device

    if provider is not None:
        raise SegError("--provider is for ONNX files; a run's network is moved with --device")
    network, meta = load_network(path)
    where = choose_device(device or "auto")
    predict = network_predictor(network.to(where), parse_size(size) or meta.size, where)
    return predict, meta.ontology, meta.config.data


def _onnx(
    path: Path, size: str | None, provider: str | None, device: str | None
) -> tuple[Predict, Ontology, DataConfig]:
    from infer import Segmenter
    from seg.config import DataConfig
    from seg.errors import SegError
    from seg.strict import parse

    if size is not None:
        raise SegError(
            "--size is for runs; an ONNX file has its own size: export it at another with `seg export --size`"
        )
    if device is not None:
        raise SegError("--device is for runs; what runs an ONNX file is chosen with --provider")
    segmenter = Segmenter(path, provider=provider or "cpu")
    data = parse(DataConfig, segmenter.spec.training.validation, f"{path}'s data section")
    return lambda frame: segmenter(frame).classes, segmenter.spec.as_ontology(), data
