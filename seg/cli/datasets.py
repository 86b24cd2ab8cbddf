"""Data sets named by their folder on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

if TYPE_CHECKING:
    from seg.classes import Ontology
    from seg.config import PublishedData


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
