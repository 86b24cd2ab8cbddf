"""Readers of public data sets, each in the folder layout in which it is published."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from seg.classes import Ontology
from seg.config import FolderData, ImageFrames, PublishedData
from seg.data.base import FileReader
from seg.data.images import files_below, read_label
from seg.errors import SegError
from seg.labels import LabelSet, load_label_set
from seg.paths import expand
from seg.strict import nearest

Files = dict[str, Path]
"""Files by the name that a frame and its label share."""

PICTURES = (".png", ".jpg", ".jpeg")


def scan(folder: Path, *suffixes: str) -> Files:
    """The files below `folder` that end with one of `suffixes`, in any case, by their path without it.

    Hidden files are left out, links to files and folders followed.

    Raises:
        SegError: if two files share a name (`a.png` and `a.jpg`).
    """
    found: Files = {}
    for path in files_below(folder):
        suffix = next((suffix for suffix in suffixes if path.name.lower().endswith(suffix.lower())), None)
        if suffix is None or path.name.startswith("."):
            continue
        name = path.relative_to(folder).as_posix()[: -len(suffix)]
        if name in found:
            raise SegError(f"{found[name]} and {path} have one name; keep one of them")
        found[name] = path
    return found


def chosen(frames: Files, labels: Files, source: PublishedData | FolderData | ImageFrames) -> tuple[Files, Files]:
    """The frames and labels whose names `include` and `exclude` of the source leave.

    Raises:
        SegError: if they leave no frame, naming the patterns and some names.
    """

    def is_chosen(name: str) -> bool:
        included = not source.include or any(fnmatchcase(name, pattern) for pattern in source.include)
        return included and not any(fnmatchcase(name, pattern) for pattern in source.exclude)

    left = {name: path for name, path in frames.items() if is_chosen(name)}
    if not left:
        raise SegError(
            f"{source.kind}: include {list(source.include)} and exclude {list(source.exclude)} leave none of "
            f"{len(frames)} frames; patterns fit whole names, such as {', '.join(sorted(frames)[:: len(frames) // 3 + 1])}"
        )
    return left, {name: path for name, path in labels.items() if is_chosen(name)}


class PublishedReader(FileReader):
    """Base of the published layouts: a subclass says which label set is usual and finds the files.

    Raises:
        SegError: if the root or the split holds no frame, or no label, saying what was expected where.
    """

    layout: ClassVar[str]
    default_labels: ClassVar[str]
    pictures: ClassVar[tuple[str, ...]] = ()
    """The kinds of label pictures that a label file may ask for, where the data set has several."""

    def __init__(self, source: PublishedData, ontology: Ontology) -> None:
        self.root = expand(source.root)
        self.split = source.split
        self.ontology = ontology
        self.labels = source.labels or self.usual_labels()
        wanted = self.load_labels(ontology).pictures if self.pictures else None
        if wanted is not None and wanted not in self.pictures:
            told = nearest(wanted, list(self.pictures))
            raise SegError(f"{self.labels}: {source.kind} has no label pictures {wanted!r} (`pictures`); {told}")
        expected = f"expected {self.layout.replace('SPLIT', self.split)}"
        if not self.root.is_dir():
            raise SegError(f"{source.kind}: no folder {self.root}; set `root` to the data set's folder ({expected})")
        frames, labels = self.find()
        for what, found in (("frames", frames), ("labels", labels)):
            if not found:
                raise SegError(f"{source.kind}: no {what} of split {self.split!r} under {self.root}; {expected}")
        frames, labels = chosen(frames, labels, source)
        super().__init__(f"{source.kind}/{self.split}", self.load_labels(ontology), frames, labels, limit=source.limit)

    def usual_labels(self) -> str:
        """The label set for a source that names none."""
        return self.default_labels

    def load_labels(self, ontology: Ontology) -> LabelSet:
        """The label set, mapped onto `ontology`."""
        return load_label_set(self.labels, ontology)

    def find(self) -> tuple[Files, Files]:
        """The frames and the labels of the split, by name."""
        raise NotImplementedError


class CityscapesReader(PublishedReader):
    """Cityscapes (Cordts et al., 2016), fine annotations; with a label file of one's own, the ids or colours it speaks of."""

    layout = "leftImg8bit/SPLIT/CITY/*_leftImg8bit.png with gtFine/SPLIT/CITY/*_gtFine_labelIds.png"
    default_labels = "cityscapes-ids"
    pictures: ClassVar = ("labelIds", "labelTrainIds", "color")

    def find(self) -> tuple[Files, Files]:
        """Frames as PNG or JPEG; the label pictures that the label set reads (ids, trainIds or colours)."""
        label_set = self.load_labels(self.ontology)
        kind = label_set.pictures or ("color" if label_set.encoding == "color" else "labelIds")
        frames = scan(self.root / "leftImg8bit" / self.split, "_leftImg8bit.png", "_leftImg8bit.jpg")
        return frames, scan(self.root / "gtFine" / self.split, f"_gtFine_{kind}.png")


class CamvidReader(PublishedReader):
    """CamVid (Brostow et al., 2009): the 480x360 release of the SegNet tutorial, or the original 960x720 one.

    The original has no official split: `split` is `all`, or names a list `SPLIT.txt` under the root, one name a line.
    """

    layout = (
        "SPLIT/*.png with SPLITannot/*.png, or 701_StillsRaw_full/*.png with LabeledApproved_full/*_L.png "
        "(and SPLIT.txt, or split `all`)"
    )
    default_labels = "camvid11"

    @property
    def _is_original(self) -> bool:
        return (self.root / "701_StillsRaw_full").is_dir()

    def usual_labels(self) -> str:
        """32 colours for the original release, 11 ids for the small one."""
        return "camvid32" if self._is_original else self.default_labels

    def find(self) -> tuple[Files, Files]:
        """Frames and labels of either release."""
        if not self._is_original:
            return scan(self.root / self.split, *PICTURES), scan(self.root / f"{self.split}annot", ".png")
        frames = scan(self.root / "701_StillsRaw_full", *PICTURES)
        labels = scan(self.root / "LabeledApproved_full", "_L.png")
        if self.split == "all":
            return frames, labels
        # the lists that are passed around hold names, file names, or SegNet's pairs of paths
        lines = read_names(self.root / f"{self.split}.txt")
        wanted = [Path(line.split()[0]).stem.removesuffix("_L") for line in lines]
        absent = [name for name in wanted if name not in frames]
        if absent:
            raise SegError(f"{self.root / self.split}.txt lists {len(absent)} frames that are not there: {absent[:3]}")
        return {name: frames[name] for name in wanted}, {name: labels[name] for name in wanted if name in labels}


class CarlaReader(PublishedReader):
    """Recordings of the CARLA simulator in the layout of CarlaScapes."""

    layout = "SPLIT/TOWN/*_img.jpg (or .png) with SPLIT/TOWN/*_labelIds.png"
    default_labels = "carla"

    def find(self) -> tuple[Files, Files]:
        """Frames and ids side by side."""
        folder = self.root / self.split
        return scan(folder, "_img.jpg", "_img.png"), scan(folder, "_labelIds.png")


class Comma10kReader(PublishedReader):
    """comma10k; its README validates on the pictures whose names end with 9.png, so `split` is train, val or all."""

    layout = "imgs/*.png with masks/*.png, and split train, val or all"
    default_labels = "comma10k"

    def find(self) -> tuple[Files, Files]:
        """Frames and masks of equal names."""
        if self.split not in {"train", "val", "all"}:
            raise SegError(f"comma10k: unknown split {self.split!r}; expected train, val or all")
        frames, labels = scan(self.root / "imgs", *PICTURES), scan(self.root / "masks", ".png")
        return self._of_split(frames), self._of_split(labels)

    def _of_split(self, files: Files) -> Files:
        is_val = self.split == "val"
        return {name: path for name, path in files.items() if self.split == "all" or name.endswith("9") == is_val}


class Bdd100kReader(PublishedReader):
    """BDD100K (Yu et al., 2020), semantic segmentation; with `labels: bdd100k-lanes` (or any file with `pictures: lanes`)
    also the lane marking masks.

    A lane mask byte holds the marking's kind in bits 0-2, and bit 3 is set where there is no marking (bdd100k,
    `eval/lane.py`). The two tasks overlap on a part of the frames: with lanes, only frames that have both are read.
    """

    layout = "images/10k/SPLIT/*.jpg with labels/sem_seg/masks/SPLIT/*.png (and labels/lane/masks/*/*.png)"
    default_labels = "bdd100k"
    pictures: ClassVar = ("lanes",)
    not_paint: ClassVar = (0, 4)  # crosswalk and road curb are no lane lines
    paint_offset: ClassVar = 1000

    def find(self) -> tuple[Files, Files]:
        """Frames of the 10k set, for which the semantic masks were drawn, and their masks."""
        frames = scan(self.root / "images/10k" / self.split, *PICTURES)
        labels = scan(self.root / "labels/sem_seg/masks" / self.split, ".png")
        self._lanes: Files = {}
        if self.load_labels(self.ontology).pictures == "lanes":
            # of any split: the two tasks were divided apart, and the semantic masks say which frames are val
            lanes = scan(self.root / "labels/lane/masks", ".png")
            self._lanes = {Path(name).name: path for name, path in lanes.items()}
            frames = {name: path for name, path in frames.items() if name in self._lanes}
            labels = {name: path for name, path in labels.items() if name in self._lanes}
        return frames, labels

    def files(self, index: int) -> tuple[Path, ...]:
        """Frame, semantic mask and, with lanes, the lane mask."""
        lane = self._lanes.get(self.name(index))
        return super().files(index) + ((lane,) if lane else ())

    def read_raw(self, index: int) -> npt.NDArray[np.integer]:
        """TrainIds, uint8; with lanes uint16, plus 1000 where a lane line is painted."""
        ids = super().read_raw(index)
        lane = self._lanes.get(self.name(index))
        if lane is None:
            return ids
        mask = read_label(lane)
        if mask.shape != ids.shape:
            raise SegError(
                f"{lane}: the lane mask is {mask.shape[1]}x{mask.shape[0]}, but {self.where(index)} is "
                f"{ids.shape[1]}x{ids.shape[0]}; they must be of one size"
            )
        paint = (mask & 8 == 0) & ~np.isin(mask & 7, self.not_paint)
        return np.asarray(ids.astype(np.uint16) + paint.astype(np.uint16) * self.paint_offset)


class MapillaryReader(PublishedReader):
    """Mapillary Vistas: its own config file names the ids. Where v1.2 and v2.0 are both there, v2.0 is read."""

    layout = (
        "SPLIT/images/*.jpg with SPLIT/v2.0/labels/*.png and config_v2.0.json "
        "(or v1.2; or SPLIT/labels/*.png and config.json), SPLIT being training or validation"
    )
    default_labels = "mapillary"
    versions: ClassVar = (
        ("v2.0/labels", "config_v2.0.json"),
        ("v1.2/labels", "config_v1.2.json"),
        ("labels", "config.json"),
    )

    def find(self) -> tuple[Files, Files]:
        """Frames, and the labels of the newest version that is there."""
        folder = self.root / self.split
        for labels, config in self.versions:
            if (folder / labels).is_dir():
                self._config = self.root / config
                return scan(folder / "images", *PICTURES), scan(folder / labels, ".png")
        return scan(folder / "images", *PICTURES), {}

    def load_labels(self, ontology: Ontology) -> LabelSet:
        """The label set with the ids of the config file: the position of a label in its list."""
        label_set = super().load_labels(ontology)
        if label_set.encoding != "name":
            return label_set
        try:
            labels = json.loads(self._config.read_text(encoding="utf-8"))["labels"]
            return label_set.with_ids({index: str(label["name"]) for index, label in enumerate(labels)})
        except FileNotFoundError:
            raise SegError(f"mapillary: no {self._config}; it comes with the data set and names the ids") from None
        except (json.JSONDecodeError, KeyError, TypeError):
            raise SegError(f"{self._config}: expected Mapillary's config, with a list `labels` of names") from None


def read_names(path: Path) -> list[str]:
    """The names in a split file, one a line; empty lines are left out.

    Raises:
        SegError: if the file is missing, no text, or empty.
    """
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise SegError(f"{path}: no such split file; expected one name a line") from None
    except UnicodeDecodeError:
        raise SegError(f"{path}: not a text file; expected one name a line") from None
    if not names:
        raise SegError(f"{path}: the split file is empty; expected one name a line")
    return names
