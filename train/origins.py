"""Where a run's first weights come from, for the record: a file that travels should name all data that it was made from."""

from __future__ import annotations

from pathlib import Path

from seg.files import sha256
from seg.model.checkpoint import WEIGHTS, find_checkpoint, load_meta
from seg.model.unfold import spec_of
from seg.paths import expand
from seg.spec import Origin


def origins_of(path: Path) -> tuple[Origin, ...]:
    """The training that made a network's weights, after all those that it went on from, oldest first.

    Args:
        path: a run, a checkpoint or an exported file.

    Raises:
        SegError: if it is none of them, or damaged.
    """
    if path.suffix == ".onnx":
        made = spec_of(path).training
        last = Origin(run=made.run, data=made.data, data_hash=made.data_hash, weights_hash=made.weights_hash)
        return (*(made.origins or ()), last)
    folder = find_checkpoint(path)
    meta = load_meta(folder)
    last = Origin(run=meta.run, data=meta.data, data_hash=meta.data_hash, weights_hash=sha256(folder / WEIGHTS))
    return (*(meta.origins or ()), last)


def origins_of_encoder(weights: str | None) -> tuple[Origin, ...]:
    """Those of a config's `encoder_weights`: weights that are named after their data, or a file, whose data nobody said."""
    if weights is None:
        return ()
    if not weights.endswith(".safetensors"):
        return (Origin(run=weights, data=(weights,)),)
    return (Origin(run=Path(weights).name, weights_hash=sha256(expand(weights))),)
