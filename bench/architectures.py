"""The architectures that `bench.latency` measures, what it finds about each, and the accuracies of trained runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seg.config import ModelConfig, RunConfig, load_run_config
from seg.errors import SegError
from seg.model.checkpoint import find_checkpoint, load_meta
from seg.paths import configs
from seg.strict import Strict, nearest, parse

BASE = configs() / "train" / "camvid-quick.yaml"
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "detail-mobilenetv4": {"encoder": "tu-mobilenetv4_conv_small", "decoder": "detail"},
    "detail-resnet18": {"encoder": "resnet18", "decoder": "detail"},
    "unet-mobilenetv4": {"encoder": "tu-mobilenetv4_conv_small", "decoder": "unet"},
    "unet-resnet18": {"encoder": "resnet18", "decoder": "unet"},
    "linknet-mobilenetv4": {"encoder": "tu-mobilenetv4_conv_small", "decoder": "linknet"},
    "linknet-resnet18": {"encoder": "resnet18", "decoder": "linknet"},
    "fpn-mobilenetv4": {"encoder": "tu-mobilenetv4_conv_small", "decoder": "fpn"},
    "fpn-resnet18": {"encoder": "resnet18", "decoder": "fpn"},
    "deeplabv3plus-mobilenetv2": {"encoder": "mobilenet_v2", "decoder": "deeplabv3plus"},
    "segformer-mit_b0": {"encoder": "mit_b0", "decoder": "segformer"},
}
"""Each decoder with small encoders, at its default options."""


class Trained(Strict):
    """Runs of one recipe that differ in nothing but the seed: their mean IoU on CamVid's val, 0..1, one a run. `epochs` is
    null for weights that others trained."""

    run: str
    epochs: int | None
    mean_iou: tuple[float, ...]


class Row(Strict):
    """One architecture; `model` is null for a published network. `gflops` by size; `ms` a frame and `ratio` to the reference
    by size, then runtime."""

    name: str
    model: ModelConfig | None
    parameters: int
    gflops: dict[str, float]
    ms: dict[str, dict[str, float]]
    ratio: dict[str, dict[str, float]]
    trained: tuple[Trained, ...] = ()

    @property
    def kind(self) -> str:
        """Encoder and decoder."""
        return "as published" if self.model is None else f"{self.model.encoder}, {self.model.decoder}"


class Figures(Strict):
    """What one measurement found, and on what."""

    machine: dict[str, Any]
    reference: str
    rows: tuple[Row, ...]


def architectures() -> dict[str, ModelConfig]:
    """Every architecture by name, as it is deployed; a config with the network of an earlier one adds none."""
    found: dict[str, ModelConfig] = {}
    given = {path.name: load_run_config(path).model for path in sorted((configs() / "train").glob("*.yaml"))}
    given |= {name: parse(ModelConfig, model, name) for name, model in ARCHITECTURES.items()}
    for name, model in given.items():
        if deployed(model) not in found.values():
            found[name] = deployed(model)
    return found


def deployed(model: ModelConfig) -> ModelConfig:
    """The network without what only training knows: where its weights start, and the reconstruction."""
    return model.model_copy(update={"encoder_weights": None, "reconstruction": False})


def override(model: ModelConfig) -> str:
    """The model section of a config as one `key=value` of the command line."""
    section = {"encoder": model.encoder, "decoder": model.decoder, **model.model_dump(exclude_defaults=True)}
    return f"model={json.dumps(section)}"


def choose(runs: Sequence[Path], only: Sequence[str], reference: str) -> dict[str, ModelConfig]:
    """What to measure: the architectures (of them `only` some, and the reference), and the networks of runs."""
    known = architectures()
    for name in (reference, *only):
        if name not in known:
            raise SegError(f"no architecture named {name!r}; {nearest(name, list(known))}")
    chosen = {name: model for name, model in known.items() if not only or name in (reference, *only)}
    for model, recipe in read_runs(runs):
        if model not in chosen.values():
            chosen[next((name for name in known if known[name] == model), f"run-{recipe.run}")] = model
    return chosen


def read_runs(paths: Sequence[Path]) -> list[tuple[ModelConfig, Trained]]:
    """The runs' networks and accuracies, runs of one recipe together.

    Raises:
        SegError: for a run whose figures are not CamVid protocol A on all of val, at the size of the frames.
    """
    recipes: dict[str, tuple[RunConfig, str, list[float]]] = {}
    for path in paths:
        meta = load_meta(find_checkpoint(path))
        # whatever else a source could say (a limit, other labels) makes other figures
        val = [source.model_dump(exclude_defaults=True, exclude={"root"}) for source in meta.config.data.val]
        if meta.ontology.name != "camvid11" or val != [{"kind": "camvid", "split": "val"}]:
            raise SegError(f"{path}: expected a run of camvid11 validated on CamVid's val, all of it; leave it out")
        if meta.size != (360, 480) or meta.report is None or meta.report.mean_iou is None:
            raise SegError(f"{path}: has no validation at 480x360; let it train to one without another val_size")
        config = meta.config.model_copy(update={"seed": 0, "device": "auto", "workers": 0})
        recipes.setdefault(config.model_dump_json(), (config, meta.run, []))[2].append(meta.report.mean_iou)
    return [
        (deployed(config.model), Trained(run=run, epochs=config.epochs, mean_iou=tuple(scores)))
        for config, run, scores in recipes.values()
    ]


def with_runs(figures: Figures, paths: Sequence[Path]) -> Figures:
    """The figures with the accuracies of these runs, each at its network, beside those that they have of other runs.

    Raises:
        SegError: as `read_runs`, or for a network that was not measured.
    """
    found = read_runs(paths)
    renewed = {recipe.run for _, recipe in found}
    trained = {row.name: [recipe for recipe in row.trained if recipe.run not in renewed] for row in figures.rows}
    for model, recipe in found:
        name = next((row.name for row in figures.rows if row.model == model), None)
        if name is None:
            raise SegError(f"run {recipe.run}: its network is none of those measured; measure again, with this run")
        trained[name].append(recipe)
    rows = tuple(row.model_copy(update={"trained": tuple(trained[row.name])}) for row in figures.rows)
    return figures.model_copy(update={"rows": rows})
