"""An exported file as a run again, for whoever has the file alone."""

from __future__ import annotations

from pathlib import Path

from seg.config import DataConfig, ImageFrames, ModelConfig, RunConfig
from seg.data.base import LabelledData
from seg.data.open import open_data
from seg.errors import SegError
from seg.geometry import fit_frame
from seg.model.checkpoint import CheckpointMeta, save_checkpoint
from seg.model.network import build_network
from seg.model.unfold import spec_of, start_from_file
from seg.spec import ModelSpec
from seg.strict import parse
from train.run import RunDirectory
from train.setup import MEASURED


def import_file(file: Path, root: Path, *, frames: Path | None = None, overwrite: bool = False) -> CheckpointMeta:
    """Write an exported network as the checkpoint of `root`, which then serves as a run's.

    It answers as the file does. Its batch norms, which export folded away, are measured on frames, as `init` does; novelty, code
    and hash stay behind: `seg calibrate` makes them anew.

    Args:
        file: an ONNX file of `seg export`, in floats, that knows classes.
        root: a folder for the run.
        frames: a folder of pictures to measure norms on, which the run then names as its training frames (`seg calibrate` looks
            at them); None for those in the file's own record.
        overwrite: replace an imported network that is there.

    Raises:
        SegError: for a file that does not say how its network is built, or of integers, frames that are not there, or a
            folder that is in use.
    """
    place = RunDirectory(root)
    place.claim("an imported network", overwrite=overwrite)
    spec = spec_of(file)
    if spec.model is None:
        what = "restores frames" if spec.profile == "restore" else "does not say how its network is built"
        raise SegError(f"{file}: {what}; expected a file of a run of `seg train`, exported since contracts say it")
    ontology, size, training = spec.as_ontology(), (spec.size.height, spec.size.width), spec.training
    model = parse(ModelConfig, {**spec.model, "encoder_weights": None}, f"{file}'s network")
    network = build_network(len(ontology), model)
    recorded = parse(DataConfig, training.validation, f"{file}'s data section")
    if frames is not None:  # what `seg calibrate` will take for seen
        recorded = recorded.model_copy(update={"train": (ImageFrames(kind="images", root=str(frames)),)})
    config = RunConfig.model_validate(
        {"ontology": spec.ontology, "model": model, "data": recorded, "augment": {"crop": size}, "val_size": size}
    )
    data = _open(file, recorded, spec)
    start_from_file(network, ontology, file, (fit_frame(data.frame(index), size) for index in data.drawn(MEASURED)))
    meta = CheckpointMeta(
        run=training.run,
        origins=training.origins,
        steps=training.steps,
        size=size,
        data=training.data,
        data_hash=training.data_hash,
        config_hash=training.config_hash,
        versions=spec.versions,
        ontology=ontology,
        config=config,
        licence=spec.licence,
    )
    root.mkdir(parents=True, exist_ok=True)
    save_checkpoint(place.best, meta, {"weights": dict(network.state_dict())})
    return meta


def _open(file: Path, recorded: DataConfig, spec: ModelSpec) -> LabelledData:
    try:
        return open_data(recorded.train, spec.as_ontology())
    except SegError as error:
        if any(isinstance(source, ImageFrames) for source in recorded.train):
            raise
        raise SegError(
            f"{error}. This is where {file} says its training frames are; name a folder of pictures with --frames"
        ) from None
