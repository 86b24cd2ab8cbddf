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
from seg.data.unlabelled import ImagesReader, VideoReader
from seg.errors import SegError
from seg.labels import LabelSpace
from seg.paths import expand

READERS: dict[str, Callable[..., Reader]] = {
    "cityscapes": CityscapesReader,
    "camvid": CamvidReader,
    "carla": CarlaReader,
    "comma10k": Comma10kReader,
    "bdd100k": Bdd100kReader,
    "mapillary": MapillaryReader,
    "folder": FolderReader,
    "synthetic": SyntheticReader,
    "images": ImagesReader,
    "video": VideoReader,
}
"""The reader of each `kind` of data source: called with the source's config and the ontology; `video` with `cache` too."""


def open_cache(config: DataConfig) -> DecodedCache | None:
    """The cache that a config names. SegError if its folder cannot be made or written."""
    return DecodedCache(expand(config.cache)) if config.cache is not None else None


def open_readers(sources: Sequence[AnyData], ontology: Ontology, cache: DecodedCache | None = None) -> list[Reader]:
    """A reader for each source; unpaired files are collected in `Reader.unpaired`, not refused (the audit's view).

    Videos are decoded into `cache` here, those that it does not hold yet.

    Raises:
        SegError: if a folder, split, video or label set is missing or holds nothing, or a video has no cache.
    """
    readers = []
    for source in sources:
        keys: dict[str, Any] = {"cache": cache} if source.kind == "video" else {}
        readers.append(READERS[source.kind](source, ontology, **keys))
    return readers


def open_data(
    sources: Sequence[AnyData], ontology: Ontology, space: LabelSpace | None = None, cache: str | None = None
) -> LabelledData:
    """The sources as one sequence of samples, with labels in `space` (None: the space of these sources).

    Args:
        sources: of a config.
        ontology: the classes to map labels onto.
        space: the meaning of label values.
        cache: the folder of `DataConfig.cache`; sources of `kind: video` need it.

    Raises:
        SegError: if a folder, split, video or label set is missing or holds nothing, if a frame has no label, or if the
            cache's folder cannot be written. A label without a frame harms nothing; `seg data check` lists it.
    """
    kept = DecodedCache(expand(cache)) if cache is not None else None
    readers = open_readers(sources, ontology, kept)
    for reader in readers:
        if reader.unlabelled:
            listing = ", ".join(str(path) for path in reader.unlabelled[:3])
            raise SegError(
                f"{reader.dataset}: {len(reader.unlabelled)} frames have no label ({listing}"
                f"{', ...' if len(reader.unlabelled) > 3 else ''}); `seg data check` lists them all"
            )
    if space is None:
        space = LabelSpace(ontology, [reader.label_set for reader in readers])
    return LabelledData(readers, space, [source.weight for source in sources], kept)


def label_space(config: DataConfig, ontology: Ontology) -> LabelSpace:
    """One space over the train and val sources, so that a label value means the same in both."""
    readers = open_readers([*config.train, *config.val], ontology, open_cache(config))
    return LabelSpace(ontology, [reader.label_set for reader in readers])
