"""From the data section of a run's config to frames and label maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from seg.classes import Ontology
from seg.config import AnyData, DataConfig
from seg.data.base import LabelledData, Reader
from seg.data.cache import DecodedCache
from seg.data.folder import FolderReader
from seg.data.published import (
    Bdd100kReader,
    CamvidReader,
    CarlaReader,
    CityscapesReader,
    Comma10kReader,
    MapillaryReader,
)
from seg.data.rendered import SyntheticReader
from seg.errors import SegError
from seg.labels import LabelSpace
from seg.paths import expand

READERS: dict[str, Callable[[Any, Ontology], Reader]] = {
    "cityscapes": CityscapesReader,
    "camvid": CamvidReader,
    "carla": CarlaReader,
    "comma10k": Comma10kReader,
    "bdd100k": Bdd100kReader,
    "mapillary": MapillaryReader,
    "folder": FolderReader,
    "synthetic": SyntheticReader,
}
"""The reader of each `kind` of data source: called with the source's config and the ontology."""


def open_readers(sources: Sequence[AnyData], ontology: Ontology) -> list[Reader]:
    """A reader for each source; unpaired files are collected in `Reader.unpaired`, not refused (the audit's view).

    Raises:
        SegError: if a folder, split or label set is missing or holds nothing.
    """
    return [READERS[source.kind](source, ontology) for source in sources]


def open_data(
    sources: Sequence[AnyData], ontology: Ontology, space: LabelSpace | None = None, cache: str | None = None
) -> LabelledData:
    """The sources as one sequence of samples, with labels in `space` (None: the space of these sources).

    Args:
        sources: of a config.
        ontology: the classes to map labels onto.
        space: the meaning of label values.
        cache: the folder of `DataConfig.cache`.

    Raises:
        SegError: if a folder, split or label set is missing or holds nothing, if a frame has no label, or if the cache's
            folder cannot be written. A label without a frame harms nothing; `seg data check` lists it.
    """
    readers = open_readers(sources, ontology)
    for reader in readers:
        if reader.unlabelled:
            listing = ", ".join(str(path) for path in reader.unlabelled[:3])
            raise SegError(
                f"{reader.dataset}: {len(reader.unlabelled)} frames have no label ({listing}"
                f"{', ...' if len(reader.unlabelled) > 3 else ''}); `seg data check` lists them all"
            )
    if space is None:
        space = LabelSpace(ontology, [reader.label_set for reader in readers])
    kept = DecodedCache(expand(cache)) if cache is not None else None
    return LabelledData(readers, space, [source.weight for source in sources], kept)


def label_space(config: DataConfig, ontology: Ontology) -> LabelSpace:
    """One space over the train and val sources, so that a label value means the same in both."""
    readers = open_readers([*config.train, *config.val], ontology)
    return LabelSpace(ontology, [reader.label_set for reader in readers])
