"""Label sets: what each raw label of a data set says about the classes of an ontology (contract 2 of the design).

Data sets disagree: Cityscapes' `road` contains the lane markings, CARLA tells them apart. So a raw label maps to a *set*
of classes. A label map holds one uint8 per pixel: 0..C-1 for a single class, C..254 for a larger set (a row of
`LabelSpace.member_SC`), 255 for ignore. One number a pixel keeps sets free in augmentation and batching.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from seg.classes import IGNORE, Ontology
from seg.errors import SegError
from seg.paths import configs, expand
from seg.strict import Strict, nearest, parse, read_yaml

Members = frozenset[int]
"""A set of class ids; the empty set is ignore."""


class LabelFile(Strict):
    """The schema of `configs/labels/*.yaml`.

    `raw` names each raw label; its keys are ids (`encoding: id`), colours as `"r g b"` (`color`), or the names that the
    data set's own config file gives to ids (`name`). `onto` sorts the raw *names*, each exactly once, under the classes
    of an ontology: a class (`lane`), several (`road | lane`), or `ignore`. Where a data set holds label pictures of several
    kinds, `pictures` says which these labels are read from (Cityscapes: `labelIds`, `labelTrainIds` or `color`; BDD100K:
    `lanes` for the lane masks too); a copy of a shipped file keeps it under any name.
    """

    name: str
    source: str
    pictures: str | None = None
    encoding: Literal["id", "color", "name"]
    raw: dict[int | str, str]
    onto: dict[str, dict[str, tuple[str, ...]]] = Field(min_length=1)


class LabelTable(Strict):
    """What the raw labels of a label set were read as, for the record."""

    label_set: str
    reads: dict[str, str]


class LabelSet:
    """One data set's raw labels, mapped onto one ontology.

    Attributes:
        name: the label file's name.
        ontology: the classes that the labels speak of.
        encoding: how label files store a label: `id`, `color` or `name` (ids that the data set's config file names).
        raw: raw label -> its name; a colour is a key `(r << 16) + (g << 8) + b`.
        members: raw label -> the classes that it allows; the empty set for ignore.
        pictures: which of a data set's label pictures they are read from; None for the usual ones.
        named: whether the ids came with the data, for names that the label file maps.
    """

    def __init__(
        self,
        name: str,
        ontology: Ontology,
        encoding: str,
        raw: Mapping[int | str, str],
        members: Mapping[str, Members],
        pictures: str | None = None,
        *,
        named: bool = False,
    ) -> None:
        self.name = name
        self.pictures = pictures
        self.named = named
        self.ontology = ontology
        self.encoding = encoding
        self.raw = dict(raw)
        self.members = {label: members[raw_name] for label, raw_name in self.raw.items()}

    @property
    def sets(self) -> list[Members]:
        """The distinct sets with at least one member, in the order of the file."""
        return list(dict.fromkeys(members for members in self.members.values() if members))

    def table(self) -> LabelTable:
        """What each raw label is read as, in words: `{"3": "road|lane", "11": "ignore", "128 64 128": "road"}`.

        Labels whose ids come with the data stand under their names: these are the same in every version of the data.
        """
        names = self.ontology.names
        reads = {}
        for raw, members in self.members.items():
            word = self.raw[raw] if self.named else _written(raw, self.encoding)
            reads[word] = "|".join(names[member] for member in sorted(members)) or "ignore"
        return LabelTable(label_set=self.name, reads=reads)

    def with_ids(self, names: Mapping[int, str]) -> LabelSet:
        """This `name`-encoded set with the ids that a data set's own config file gives to the names.

        Raises:
            SegError: for a name that the label file does not know.
        """
        missing = sorted(set(names.values()) - set(self.raw.values()))
        if missing:
            raise SegError(
                f"label set {self.name!r} does not map {missing[:5]}; add them to configs/labels/{self.name}.yaml"
            )
        by_name = {raw_name: self.members[label] for label, raw_name in self.raw.items()}
        raw: dict[int | str, str] = {label: raw_name for label, raw_name in names.items()}  # noqa: C416 (mypy: int is invariant)
        return LabelSet(self.name, self.ontology, "id", raw, by_name, self.pictures, named=True)


def load_label_set(name: str | Path, ontology: Ontology) -> LabelSet:
    """The label set of a shipped name (`camvid11`, `cityscapes-ids`...) or YAML path, mapped onto `ontology`.

    Raises:
        SegError: for an unknown file, a raw name mapped twice or not at all, an unknown class, or an ontology that the
            file says nothing about.
    """
    path = expand(str(name))
    if path.suffix not in {".yaml", ".yml"}:
        path = configs() / "labels" / f"{name}.yaml"
        if not path.is_file():
            known = [entry.stem for entry in (configs() / "labels").glob("*.yaml")]
            raise SegError(f"no label set named {str(name)!r}; {nearest(str(name), known)}")
    file = parse(LabelFile, read_yaml(path), path)
    if ontology.name not in file.onto:
        raise SegError(f"{path}: does not map onto {ontology.name!r}, only onto {', '.join(file.onto)}")
    members = _members_by_name(file, ontology, path)
    raw = {_raw_key(label, file.encoding, path): raw_name for label, raw_name in file.raw.items()}
    return LabelSet(file.name, ontology, file.encoding, raw, members, file.pictures)


def differing_labels(then: LabelTable, now: LabelTable) -> list[str]:
    """What is read otherwise by now, in words. A raw label that only one of them knows was or is an error, never a class."""
    return [
        f"{now.label_set}: {raw} was {then.reads[raw]}, is {reads}"
        for raw, reads in now.reads.items()
        if then.reads.get(raw, reads) != reads
    ]


def _written(raw: int | str, encoding: str) -> str:
    """A raw label as a label file writes it."""
    if encoding == "color" and isinstance(raw, int):
        return f"{raw >> 16} {raw >> 8 & 255} {raw & 255}"
    return str(raw)


def _members_by_name(file: LabelFile, ontology: Ontology, path: Path) -> dict[str, Members]:
    members: dict[str, Members] = {}
    for key, raw_names in file.onto[ontology.name].items():
        classes = [] if key == "ignore" else [ontology.id_of(word.strip()) for word in key.split("|")]
        for raw_name in raw_names:
            if raw_name in members:
                raise SegError(f"{path}: {raw_name!r} is mapped twice onto {ontology.name!r}")
            # the full set says nothing about a pixel: the same as ignore
            members[raw_name] = frozenset(classes if len(classes) < len(ontology) else ())
    unmapped, unknown = set(file.raw.values()) - set(members), set(members) - set(file.raw.values())
    if unmapped or unknown:
        problems = [f"raw names not mapped: {sorted(unmapped)}"] * bool(unmapped)
        problems += [f"mapped names that are not raw labels: {sorted(unknown)}"] * bool(unknown)
        raise SegError(f"{path}, onto {ontology.name!r}: {'; '.join(problems)}")
    return members


def _raw_key(label: int | str, encoding: str, path: Path) -> int | str:
    if encoding == "name":
        return label
    if encoding == "id" and isinstance(label, int):
        return label
    parts = str(label).split()
    if encoding == "color" and len(parts) == 3 and all(part.isdigit() and int(part) < 256 for part in parts):
        return pack_color(*map(int, parts))
    raise SegError(f"{path}: raw label {label!r} is not {'an id' if encoding == 'id' else 'a colour like 128 64 128'}")


def pack_color(red: int, green: int, blue: int) -> int:
    """A colour as one number, so that it can be looked up like an id."""
    return (red << 16) + (green << 8) + blue


class LabelSpace:
    """The label values of one training: an ontology's classes, then every larger set that its data sets use.

    Attributes:
        sets: the set of each label value s; the first C are the single classes.
        member_SC: bool, whether class c is in set s.
    """

    def __init__(self, ontology: Ontology, label_sets: Iterable[LabelSet] = ()) -> None:
        self.ontology = ontology
        singles = [frozenset({index}) for index in range(len(ontology))]
        larger = (members for label_set in label_sets for members in label_set.sets if len(members) > 1)
        self.sets: tuple[Members, ...] = tuple(dict.fromkeys([*singles, *larger]))
        if len(self.sets) > IGNORE:
            raise SegError(
                f"the data sets use {len(self.sets)} different sets of classes; at most {IGNORE} fit a label map"
            )

    @cached_property
    def member_SC(self) -> npt.NDArray[np.bool_]:
        """Whether class c is in set s, bool of shape (sets, classes)."""
        table = np.zeros((len(self.sets), len(self.ontology)), dtype=np.bool_)
        for row, members in enumerate(self.sets):
            table[row, list(members)] = True
        return table

    @cached_property
    def palette_S3(self) -> npt.NDArray[np.uint8]:
        """The colour of each label value, uint8 RGB; a larger set's is the mean of its members'."""
        colors = self.ontology.palette_C3.astype(np.float64)
        return np.array([colors[sorted(members)].mean(0).round() for members in self.sets], dtype=np.uint8)

    def name(self, value: int) -> str:
        """A readable name of a label value: `lane`, `road|lane` or `ignore`."""
        if value == IGNORE:
            return "ignore"
        return "|".join(self.ontology.names[member] for member in sorted(self.sets[value]))

    def encoder(self, label_set: LabelSet) -> Encoder:
        """The translation of `label_set`'s raw labels into this space's label values."""
        assert label_set.ontology == self.ontology
        values = {}
        for raw, members in label_set.members.items():
            assert isinstance(raw, int), f"{label_set.name} needs ids: call with_ids first"
            values[raw] = self.sets.index(members) if members else IGNORE
        return Encoder(label_set, values)


class Encoder:
    """Raw label arrays to label maps; every raw label that nobody mapped is an error, never silently ignored."""

    def __init__(self, label_set: LabelSet, values: Mapping[int, int]) -> None:
        self.label_set = label_set
        table = sorted(values.items())
        self._raw_N = np.array([raw for raw, _ in table], dtype=np.int64)
        self._value_N = np.array([value for _, value in table], dtype=np.uint8)
        # ids fit a direct look-up table; colours (24 bit) go by binary search over the few that a picture holds
        self._direct: npt.NDArray[np.int16] | None = None
        if self._raw_N.size and self._raw_N[0] >= 0 and self._raw_N[-1] < 1 << 16:
            self._direct = np.full(1 << 16, -1, dtype=np.int16)
            self._direct[self._raw_N] = self._value_N

    def __call__(self, raw: npt.NDArray[np.integer], file: str | Path) -> npt.NDArray[np.uint8]:
        """Encode raw labels: ids of shape (H, W), or uint8 RGB colours of shape (H, W, 3) for a `color` label set.

        Raises:
            SegError: for raw labels that are not mapped, naming `file`, each value and its pixel count; for an array
                of the wrong shape.
        """
        if self.label_set.encoding == "color":
            if raw.ndim != 3 or raw.shape[2] != 3:
                raise SegError(
                    f"{file}: expected an RGB label picture (H, W, 3) for {self.label_set.name}, got {raw.shape}"
                )
            wide = raw.astype(np.int32)
            packed = (wide[..., 0] << 16) + (wide[..., 1] << 8) + wide[..., 2]
            return self._search(packed, file)
        if raw.ndim != 2:
            raise SegError(
                f"{file}: expected a label picture of ids for {self.label_set.name}, got one of colours, {raw.shape}; store "
                "ids in a grey or palette PNG, or choose a label set of `encoding: color`"
            )
        if self._direct is not None and raw.dtype in (np.uint8, np.uint16):
            found = self._direct[raw]
            if found.min(initial=0) < 0:
                self._refuse(raw, found < 0, file)
            return np.asarray(found, dtype=np.uint8)
        return self._search(raw, file)

    def _search(self, raw: npt.NDArray[np.integer], file: str | Path) -> npt.NDArray[np.uint8]:
        unique, inverse = np.unique(raw, return_inverse=True)
        position = np.minimum(np.searchsorted(self._raw_N, unique), len(self._raw_N) - 1)
        known = self._raw_N[position] == unique
        if not known.all():
            self._refuse(raw, ~known[inverse].reshape(raw.shape), file)
        return np.asarray(self._value_N[position][inverse].reshape(raw.shape))

    def _refuse(self, raw: npt.NDArray[np.integer], unknown: npt.NDArray[np.bool_], file: str | Path) -> None:
        values, counts = np.unique(raw[unknown], return_counts=True)
        listing = ", ".join(
            f"{self._show(value)}: {count} px" for value, count in zip(values[:8], counts, strict=False)
        )
        more = f" and {len(values) - 8} more" if len(values) > 8 else ""
        raise SegError(
            f"{file}: raw labels that {self.label_set.name!r} does not map ({listing}{more}); "
            f"add them to its YAML file, or choose another label set"
        )

    def _show(self, value: int) -> str:
        if self.label_set.encoding == "color":
            return f"({value >> 16}, {value >> 8 & 255}, {value & 255})"
        return str(value)
