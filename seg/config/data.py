"""Where frames come from, in a config."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from seg.config.types import Positive, Size
from seg.strict import Strict


class DataSource(Strict):
    """What every data source has: how its labels are read, how often it is drawn from, how much of it is used.

    `weight` is the share of samples in training relative to the other sources (None: by size); `limit` keeps the first
    so many frames.
    """

    labels: str | None = None
    weight: Annotated[float, Field(gt=0)] | None = None
    limit: Positive | None = None


class FileData(DataSource):
    """What every source of files has besides: a choice among its frames by name.

    A frame is used if its name fits one of the patterns of `include` (an empty list: every name) and none of `exclude`:
    `0001TP_*`, in the shell's wildcards, over the whole name and minding case; `*` stands for `/` too.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class PublishedData(FileData):
    """A data set in the folder layout in which it is published; `root` may hold `${SEG_DATA}`."""

    kind: Literal["cityscapes", "camvid", "carla", "comma10k", "bdd100k", "mapillary"]
    root: str
    split: str


class FolderData(FileData):
    """Any folder of pictures and label pictures.

    `images` and `masks` are patterns below `root` with one `{name}` each (`images/{name}.jpg`, `labels/{name}.png`; the
    name may contain `/`, the suffix may be in capitals); `split_file` lists the names to use, one a line; `labels` must be given.
    """

    kind: Literal["folder"]
    root: str
    images: str
    masks: str
    split_file: str | None = None
    labels: str

    @model_validator(mode="after")
    def _patterns_hold_one_name(self) -> FolderData:
        for key in ("images", "masks"):
            if getattr(self, key).count("{name}") != 1:
                raise ValueError(f"{key} must contain {{name}} exactly once")
            if getattr(self, key).startswith(("/", "~")):
                raise ValueError(f"{key} starts from `root`: give the path from there (../ leads out of it)")
        return self


class SyntheticData(DataSource):
    """Procedural scenes `first`..`first + count - 1` of a seed, at `size` (height, width); rendered when read.

    `style`: `varied` (every place, camera, weather and light) or `motorway` (one car's camera on motorways by day).
    """

    kind: Literal["synthetic"]
    count: Positive
    first: Annotated[int, Field(ge=0)] = 0
    seed: int = 0
    size: Size = (256, 512)
    style: Literal["varied", "motorway"] = "varied"


class ImageFrames(FileData):
    """Pictures without labels: every picture under the folder `root`, at any depth; for `seg pretrain`."""

    kind: Literal["images"]
    root: str


class VideoFrames(DataSource):
    """Frames of video files without labels; for `seg pretrain`.

    `files` is a path or a pattern in the shell's wildcards, `**` included. A frame is taken every `every` seconds; where
    `scene_change` is given, instead wherever the picture differs from the last one taken by more than this: the mean
    absolute difference of 64x36 grey pictures, in shares of full scale, never twice within `every` seconds. Frames are
    decoded once, in order, into `data.cache`, which must be set.
    """

    kind: Literal["video"]
    files: str
    every: Annotated[float, Field(gt=0)] = 1.0
    scene_change: Annotated[float, Field(gt=0, lt=1)] | None = None


AnyData = Annotated[PublishedData | FolderData | SyntheticData | ImageFrames | VideoFrames, Field(discriminator="kind")]


class DataConfig(Strict):
    """The frames to train on and to report on.

    `cache` is a folder on a fast disk, `${NAME}` and `~` filled in, that keeps the decoded frames and label maps: 8
    MB for 2048x1024 pixels. Without it each file is decoded each time. It changes no sample, and is no part
    of a run's record.
    """

    train: tuple[AnyData, ...] = Field(min_length=1)
    val: tuple[AnyData, ...] = Field(min_length=1)
    cache: str | None = Field(default=None, exclude=True)
