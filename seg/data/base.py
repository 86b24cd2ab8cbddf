"""What a data set is to the rest of the house: readers, one per source, and the sources put together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seg.classes import IGNORE
from seg.data.cache import DecodedCache
from seg.data.images import read_color_label, read_label, read_rgb
from seg.errors import SegError
from seg.labels import LabelSet, LabelSpace


@dataclass(frozen=True)
class Sample:
    """A frame (uint8 RGB, H W 3) with its label map (uint8, H W: label values of a `LabelSpace`, 255 for ignore).

    Either may be a read-only view of a cache's file.
    """

    frame_HWC: npt.NDArray[np.uint8]
    label_HW: npt.NDArray[np.uint8]
    name: str
    dataset: str


class Reader(ABC):
    """One source of frames with labels, or without any: then every pixel is ignore.

    Attributes:
        dataset: a short name for tables (`camvid/train`).
        label_set: how raw labels map onto the ontology.
        has_labels: whether its frames have labels at all.
        decoded: whether its frames lie decoded on disk, so that a cache would only copy them.
        unlabelled: frames left out because they have no label.
        frameless: label files left out because they have no frame.
    """

    dataset: str
    label_set: LabelSet
    has_labels: bool = True
    decoded: bool = False
    unlabelled: tuple[Path, ...] = ()
    frameless: tuple[Path, ...] = ()

    @property
    def unpaired(self) -> tuple[Path, ...]:
        """Every file left out for want of its partner."""
        return self.unlabelled + self.frameless

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, index: int) -> str:
        """A name that is unique within the source."""

    def files(self, index: int) -> tuple[Path, ...]:
        """The frame's file and the label's files, if it has labels; nothing for frames that are made when read."""
        return ()

    def origin(self, index: int) -> str:
        """What messages call this item's frame: its file, or the name of a made frame."""
        files = self.files(index)
        return str(files[0]) if files else f"{self.dataset} {self.name(index)}"

    @abstractmethod
    def read_frame(self, index: int) -> npt.NDArray[np.uint8]:
        """The frame, uint8 RGB of shape (H, W, 3). SegError if it cannot be read."""

    @abstractmethod
    def read_raw(self, index: int) -> npt.NDArray[np.integer]:
        """Raw labels: ids of shape (H, W), or RGB (H, W, 3) for colour label sets. SegError if they cannot be read."""

    def read(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.integer]]:
        """The frame and its raw labels, checked to be of one size.

        Raises:
            SegError: if either cannot be read, or naming both files and sizes if the sizes differ.
        """
        frame, raw = self.read_frame(index), self.read_raw(index)
        for problem in self.mismatch(index, frame, raw):
            raise SegError(problem)
        return frame, raw

    def mismatch(self, index: int, frame: npt.NDArray[np.uint8], raw: npt.NDArray[np.integer]) -> list[str]:
        """The error text for a label of another size than its frame, naming both files and sizes; none if they fit."""
        if raw.shape[:2] == frame.shape[:2]:
            return []
        return [
            f"{self.where(index)}: the label is {raw.shape[1]}x{raw.shape[0]}, but its frame "
            f"{self.files(index)[0]} is {frame.shape[1]}x{frame.shape[0]}; they must be of one size"
        ]

    def where(self, index: int) -> str:
        """What an error about this item's label calls it: the label's file, or the name of a made frame."""
        files = self.files(index)
        return str(files[1]) if len(files) > 1 else f"{self.dataset} {self.name(index)}"


class FileReader(Reader):
    """Frames and labels in files that share a name."""

    def __init__(
        self, dataset: str, label_set: LabelSet, frames: dict[str, Path], labels: dict[str, Path], limit: int | None
    ) -> None:
        self.dataset = dataset
        self.label_set = label_set
        paired = sorted(frames.keys() & labels.keys())
        self.unlabelled = tuple(sorted(frames[name] for name in frames.keys() - labels.keys()))
        self.frameless = tuple(sorted(labels[name] for name in labels.keys() - frames.keys()))
        self._items = [(name, frames[name], labels[name]) for name in paired[:limit]]

    def __len__(self) -> int:
        return len(self._items)

    def name(self, index: int) -> str:
        """The part of the file name that frame and label share."""
        return self._items[index][0]

    def files(self, index: int) -> tuple[Path, ...]:
        """The frame's file and the label's."""
        return self._items[index][1:]

    def read_frame(self, index: int) -> npt.NDArray[np.uint8]:
        """The frame, uint8 RGB of shape (H, W, 3)."""
        return read_rgb(self._items[index][1])

    def read_raw(self, index: int) -> npt.NDArray[np.integer]:
        """The label file's ids or colours."""
        path = self._items[index][2]
        return read_color_label(path) if self.label_set.encoding == "color" else read_label(path)


class LabelledData:
    """Several readers as one sequence of samples, in one label space; plain enough to send to worker processes.

    With a `cache`, `sample` decodes files once; made frames, which have no files, are made each time. Frames without
    labels have label maps of ignore alone.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        space: LabelSpace,
        weights: Sequence[float | None],
        cache: DecodedCache | None = None,
    ) -> None:
        assert len(readers) == len(weights)
        self.readers = tuple(readers)
        self.space = space
        self._weights = tuple(weights)
        self._ends = list(accumulate(len(reader) for reader in self.readers))
        self._encoders = [space.encoder(reader.label_set) for reader in self.readers]
        self._cache = cache
        self._label_kinds = [_label_kind(reader.label_set, space) for reader in self.readers]

    def __len__(self) -> int:
        return self._ends[-1]

    @property
    def label_sets(self) -> tuple[LabelSet, ...]:
        """The label sets in use: they decide which classes the metrics can tell apart."""
        return tuple(reader.label_set for reader in self.readers)

    def _at(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        part = bisect_right(self._ends, index)
        return part, index - (self._ends[part] - len(self.readers[part]))

    def locate(self, index: int) -> tuple[Reader, int]:
        """The reader that item `index` comes from, and the item's place in it."""
        part, inner = self._at(index)
        return self.readers[part], inner

    def reader_of(self, index: int) -> Reader:
        """The reader that item `index` comes from."""
        return self.locate(index)[0]

    def spread(self, count: int) -> list[int]:
        """At most `count` items, evenly spread over all, from the first on."""
        return evenly(len(self), count)

    def drawn(self, count: int) -> list[int]:
        """At most `count` items, evenly spread; each source has the share of them that it has in training.

        A source with fewer items than its share gives each of them once.
        """
        count = min(count, len(self))
        places = (np.arange(count) + 0.5) / count
        # rounding may leave the sum of all a little below 1, and below the last place
        items = np.searchsorted(np.cumsum(self.weights()), places).clip(max=len(self) - 1)
        return [int(index) for index in np.unique(items)]

    def name(self, index: int) -> str:
        """The item's name, unique within its data set."""
        reader, inner = self.locate(index)
        return reader.name(inner)

    def files(self, index: int) -> tuple[Path, ...]:
        """The item's files: frame, then labels, if it has any; nothing for synthetic scenes."""
        reader, inner = self.locate(index)
        return reader.files(inner)

    def frame(self, index: int) -> npt.NDArray[np.uint8]:
        """The frame alone, uint8 RGB of shape (H, W, 3); its label is not read."""
        reader, inner = self.locate(index)
        return reader.read_frame(inner)

    def sample(self, index: int) -> Sample:
        """The frame with its label map.

        Raises:
            SegError: for a file that cannot be read, a label of another size than its frame, or a raw label that
                nobody mapped.
        """
        part, inner = self._at(index)
        reader = self.readers[part]
        files = () if reader.decoded else reader.files(inner)
        if self._cache is None or not files:
            arrays: Sequence[npt.NDArray[np.uint8]] = self._decode(index)
        else:
            entries = [self._cache.entry(files[:1], "frame")]
            if reader.has_labels:
                entries.append(self._cache.entry(files[1:], self._label_kinds[part]))
            arrays = self._cache.fetch(entries, lambda: self._decode(index))
        frame = arrays[0]
        label = arrays[1] if reader.has_labels else np.full(frame.shape[:2], IGNORE, dtype=np.uint8)
        return Sample(frame, label, reader.name(inner), reader.dataset)

    def _decode(self, index: int) -> tuple[npt.NDArray[np.uint8], ...]:
        """The frame and, if it has labels, its label map."""
        reader, inner = self.locate(index)
        if not reader.has_labels:
            return (reader.read_frame(inner),)
        frame, raw = reader.read(inner)
        return frame, self.encode(index, raw)

    def encode(self, index: int, raw: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
        """The label map of item `index` from its raw labels. SegError for a raw label that nobody mapped."""
        part, inner = self._at(index)
        return self._encoders[part](raw, self.readers[part].where(inner))

    def shares(self) -> npt.NDArray[np.float64]:
        """The probability of drawing from each source, float64, summing to 1.

        A source with a weight is drawn in proportion to it. A source without one counts by its size relative to the
        mean size of a source, so that weights of 1 and none mix sensibly; with no weight at all, items are uniform.
        """
        mean = len(self) / len(self.readers)
        shares = np.array(
            [
                weight if weight is not None else len(reader) / mean
                for weight, reader in zip(self._weights, self.readers, strict=True)
            ],
            dtype=np.float64,
        )
        return np.asarray(shares / shares.sum())

    def weights(self) -> npt.NDArray[np.float64]:
        """The probability of drawing each item, float64, summing to 1: its source's share, spread evenly."""
        sizes = [len(reader) for reader in self.readers]
        return np.repeat(self.shares() / sizes, sizes)


def evenly(length: int, count: int) -> list[int]:
    """At most `count` of the numbers below `length`, evenly spread, from 0 on."""
    count = min(count, length)
    return [position * length // count for position in range(count)]


def _label_kind(label_set: LabelSet, space: LabelSpace) -> str:
    """What label maps of `label_set` in `space` say, as text: equal for equal maps, whatever run makes them."""
    values = {raw: space.sets.index(members) if members else IGNORE for raw, members in label_set.members.items()}
    return f"label {label_set.encoding} {sorted(values.items())}"
