"""Checkpoints: tensors in safetensors, everything else in readable JSON beside them; no pickle is ever loaded.

A checkpoint is a folder: `weights.safetensors` (the network to use) and `meta.json`; a resumable one has the
trainer's tensors beside them. A folder is filled under a temporary name, so that under its own name it is whole.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from seg.classes import Ontology, load_ontology
from seg.config import PretrainConfig, RunConfig
from seg.errors import SegError
from seg.files import take_place
from seg.labels import LabelTable
from seg.metrics import Report
from seg.model.autoencoder import Autoencoder
from seg.model.network import SegmentationAutoencoder, build_network
from seg.model.scale import rescale
from seg.spec import Origin
from seg.strict import Strict, parse

WEIGHTS = "weights.safetensors"
META = "meta.json"


class MisfitError(SegError):
    """Weights of another network than the one that is to take them."""


class Meta(Strict):
    """What a checkpoint's tensors mean, whatever was learned.

    `steps` were trained. `size` (height, width) is what the network saw in validation. `data_hash` is over the training
    items' names and file sizes. `config_hash` is of the resolved config. `origins` are the trainings that it went on from,
    null in checkpoints from before they were recorded.
    """

    version: int = 1
    run: str
    origins: tuple[Origin, ...] | None = None
    steps: int = Field(ge=0)
    size: tuple[int, int]
    data: tuple[str, ...]
    data_hash: str
    config_hash: str
    versions: dict[str, str]


class CheckpointMeta(Meta):
    """Of a segmentation network: its classes, and the `report` of the last validation; `size` is what is deployed.

    `labels` says how the raw labels of each source were read, those of training first; null in checkpoints from before it
    was recorded. `licence` is that of the file that it was imported from, if it was.
    """

    ontology: Ontology
    config: RunConfig
    labels: tuple[LabelTable, ...] | None = None
    report: Report | None = None
    licence: str | None = None


class PretrainMeta(Meta):
    """Of an autoencoder from `seg pretrain`; `figures` are of the last validation."""

    config: PretrainConfig
    figures: dict[str, float] = Field(default_factory=dict)

    @property
    def ontology(self) -> Ontology:
        """The one that its frames are opened with; the network knows no classes."""
        return load_ontology(self.config.ontology)


def save_checkpoint(folder: Path, meta: Meta, tensors: dict[str, dict[str, Tensor]], state: object = None) -> None:
    """Write a checkpoint; a kill at any moment leaves the old one or the new one, whole.

    Args:
        folder: where; replaced if it exists.
        meta: what the tensors mean.
        tensors: file stem -> named tensors; must contain `weights`.
        state: whatever else a resuming trainer needs, as JSON.

    Raises:
        OSError: if the disk does not take it; the old checkpoint is untouched then.
    """
    assert "weights" in tensors
    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        for stem, named in tensors.items():
            contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}
            save_file(contiguous, new / f"{stem}.safetensors")
        (new / META).write_text(meta.model_dump_json(indent=1), encoding="utf-8")
        if state is not None:
            (new / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
        for file in new.iterdir():
            with file.open("rb+") as handle:
                os.fsync(handle.fileno())
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)
        if isinstance(error, SafetensorError):  # its way to report a full disk
            raise OSError(f"{folder}: cannot be written ({error})") from None
        raise
    take_place(new, folder, old)  # between its two renames `find_checkpoint` still finds the old one


def find_checkpoint(path: Path, prefer: str = "best") -> Path:
    """The checkpoint folder that `path` means: itself, or a run's `checkpoints/best` (or `last`).

    Raises:
        SegError: if there is none.
    """
    names = (prefer, "last", "best")
    places = [path.parent / f".{path.name}.old"] + [
        path / "checkpoints" / name for each in names for name in (each, f".{each}.old")
    ]
    for place in (path, *places):
        if (place / META).is_file():
            return place
    if not path.exists():
        raise SegError(f"{path}: no such run or checkpoint")
    if path.is_file():
        raise SegError(f"{path}: is a file; give a run directory or checkpoint folder made by `seg train`")
    raise SegError(
        f"{path}: holds no checkpoint (no {META} in it or in its checkpoints/); give a folder made by `seg train`"
    )


def load_meta(folder: Path) -> CheckpointMeta | PretrainMeta:
    """The meta of a checkpoint folder; SegError if it is damaged."""
    try:
        data = json.loads((folder / META).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SegError(f"{folder / META}: cannot be read ({error})") from None
    if isinstance(data, dict) and isinstance(data.get("config"), dict) and "penalty" in data["config"]:
        return parse(PretrainMeta, data, folder / META)
    return parse(CheckpointMeta, data, folder / META)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a safetensors file; SegError if it is missing or damaged."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise SegError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise SegError(f"{path}: not a readable safetensors file ({error}); it may be cut short") from None


def load_trained(path: Path, prefer: str = "best") -> tuple[Autoencoder, CheckpointMeta | PretrainMeta]:
    """The network of a run or checkpoint of either kind, in evaluation mode on the CPU, with its meta.

    Raises:
        SegError: for a missing or damaged checkpoint.
    """
    folder = find_checkpoint(path, prefer)
    meta = load_meta(folder)
    without = {"encoder_weights": None}  # they are about to be replaced: none need be fetched
    network: Autoencoder
    if isinstance(meta, PretrainMeta):
        network = Autoencoder(meta.config.model.model_copy(update=without))
    else:
        network = build_network(len(meta.ontology), meta.config.model.model_copy(update=without))
    load_weights(network, load_tensors(folder / WEIGHTS), str(folder))
    return network.eval(), meta


def load_network(path: Path, prefer: str = "best") -> tuple[SegmentationAutoencoder, CheckpointMeta]:
    """The segmentation network of a run or checkpoint; see `load_trained`.

    Raises:
        SegError: for a missing or damaged checkpoint, or one of `seg pretrain`, which has no classes.
    """
    network, meta = load_trained(path, prefer)
    if isinstance(meta, PretrainMeta):
        raise SegError(f"{path}: was made by `seg pretrain` and knows no classes; train from it with init: {path}")
    assert isinstance(network, SegmentationAutoencoder)
    return network, meta


def load_autoencoder(path: Path, prefer: str = "best") -> tuple[Autoencoder, PretrainMeta]:
    """The autoencoder of a run of `seg pretrain`; see `load_trained`.

    Raises:
        SegError: for a missing or damaged checkpoint, or one of `seg train`.
    """
    network, meta = load_trained(path, prefer)
    if isinstance(meta, CheckpointMeta):
        raise SegError(f"{path}: was made by `seg train`; expected a run of `seg pretrain`")
    return network, meta


def load_weights(network: torch.nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Put named tensors into a network; MisfitError naming the first that does not fit."""
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        first = lines[min(1, len(lines) - 1)]
        named, *others = first.split('", "')  # of missing or unexpected tensors all are named
        more = f'" and {len(others)} more' if others else ""
        raise MisfitError(f"{source}: the weights do not fit the network: {named}{more}") from None


def start_from(network: SegmentationAutoencoder, ontology: Ontology, path: Path) -> None:
    """Take over the weights of another run (`init` of a config).

    Of a pretraining run the encoder and its code are taken, and the reconstruction decoder where this network has one; what
    it has learned is kept, and the scale of its weights is that of fresh ones (`seg.model.scale`).
    Of a run for other classes everything is taken but the classifiers, which start fresh.
    Auxiliary classifiers and the reconstruction decoder are of training alone: what only one of the two networks has stays
    fresh, or behind.

    Raises:
        MisfitError: if it has another shape.
        SegError: for a missing or damaged checkpoint.
    """
    folder = find_checkpoint(path)
    meta = load_meta(folder)
    tensors = load_tensors(folder / WEIGHTS)
    own = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if isinstance(meta, PretrainMeta):
        fresh: tuple[str, ...] = ("decoder.", "head.", "auxiliary.")
        left: tuple[str, ...] = () if network.reconstruction is not None else ("reconstruction.",)
    else:
        fresh = left = () if meta.ontology.names == ontology.names else ("head.", "auxiliary.")
        for part in ("auxiliary.", "reconstruction."):
            fresh += (part,)
            if not any(name.startswith(part) for name in own):
                left += (part,)
    kept = {name: value for name, value in own.items() if name.startswith(fresh)}
    taken = {name: value for name, value in tensors.items() if not name.startswith(left)}
    load_weights(network, kept | taken, str(folder))
    if isinstance(meta, PretrainMeta):  # or its long training would leave the encoder all but frozen in this one
        rescale(network, own)
