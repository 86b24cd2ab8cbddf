"""Data sets named by their folder on the command line, and those of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

if TYPE_CHECKING:
    from seg.classes import Ontology
    from seg.config import PublishedData
    from seg.data.base import LabelledData
    from seg.model.checkpoint import CheckpointMeta, PretrainMeta

Cache = Annotated[Path | None, typer.Option(help="For a run on videos: its data.cache, where their frames are kept.")]


def spare_data(output: Path, data: LabelledData) -> None:
    """SegError where writing `output` would replace a file of these data."""
    from seg.files import spare

    spare(output, (file.resolve() for index in range(len(data)) for file in data.files(index)))


def claim_beside(output: Path, data: LabelledData, *, overwrite: bool) -> None:
    """Check that `output` may be written (`seg.files.claim`) and is no file of these data."""
    from seg.files import claim

    claim(output, overwrite=overwrite)
    spare_data(output, data)


def frames_of(
    run: Path,
    meta: CheckpointMeta | PretrainMeta,
    split: Literal["train", "val"],
    cache: Path | None,
    option: str = "--images",
) -> LabelledData:
    """The frames that a run was trained or validated on.

    Args:
        run: for messages.
        meta: of its checkpoint, which records the data but not where videos' decoded frames are kept.
        split: which of them.
        cache: where they are kept.
        option: what names a folder of other pictures, for messages.

    Raises:
        SegError: if they are not there any more, saying what to do.
    """
    from seg.data.open import open_data
    from seg.errors import SegError

    sources = meta.config.data.train if split == "train" else meta.config.data.val
    try:
        return open_data(sources, meta.ontology, cache=None if cache is None else str(cache))
    except SegError as error:
        what = "training" if split == "train" else "validation"
        raise SegError(
            f"{error}. This is where {run} says its {what} frames are; name other pictures with {option} FOLDER, or, where "
            "they are videos, the run's data.cache with --cache FOLDER"
        ) from None


def pictures_in(folder: Path, meta: CheckpointMeta | PretrainMeta) -> LabelledData:
    """The pictures in a folder, to be looked at by a run's network; SegError if there are none."""
    from seg.config import ImageFrames
    from seg.data.open import open_data

    return open_data([ImageFrames(kind="images", root=str(folder))], meta.ontology)


def published(root: Path, split: str, kind: str | None, labels: str | None, ontology: Ontology) -> PublishedData:
    """The published data set in the folder `root`; without a `kind`, the one whose layout the folder has.

    Raises:
        SegError: if there is no such folder or kind, or if the layouts of none or of several kinds fit.
    """
    from seg.config import PublishedData
    from seg.data.open import open_readers
    from seg.errors import SegError
    from seg.strict import parse

    if not root.is_dir():
        raise SegError(f"--data {root}: no such folder; give that of a published data set")
    given = {"root": str(root), "split": split, "labels": labels}
    if kind is not None:
        return parse(PublishedData, {"kind": kind, **given}, "--data")
    kinds = get_args(PublishedData.model_fields["kind"].annotation)
    fitting = []
    for each in kinds:
        source = parse(PublishedData, {"kind": each, **given}, "--data")
        try:
            open_readers([source], ontology)
        except SegError:
            continue
        fitting.append(source)
    if len(fitting) != 1:
        found = f"the layouts of {' and '.join(source.kind for source in fitting)}" if fitting else "no layout we know"
        raise SegError(
            f"--data {root}: split {split!r} has {found} with labels for {ontology.name!r}; "
            f"name the data set with --kind ({', '.join(kinds)}), which says what is missing"
        )
    return fitting[0]
