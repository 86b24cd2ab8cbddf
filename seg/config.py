"""The schema of a run: one short YAML under `configs/train`, strict, with `key=value` overrides on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from seg.errors import SegError
from seg.strict import Strict, parse, read_yaml

Positive = Annotated[int, Field(ge=1)]
Size = tuple[Positive, Positive]
Fraction = Annotated[float, Field(ge=0, le=1)]


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

    `images` and `masks` are patterns with one `{name}` each (`images/{name}.jpg`, `labels/{name}.png`; the name may
    contain `/`); `split_file` lists the names to use, one a line; `labels` must be given.
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


AnyData = Annotated[PublishedData | FolderData | SyntheticData, Field(discriminator="kind")]


class DataConfig(Strict):
    """The frames to train on and to report on.

    `cache` is a folder on a fast disk, `${NAME}` and `~` filled in, that keeps the decoded frames and label maps of
    `train`: 8 MB for 2048x1024 pixels. Without it each file is decoded each time. It changes no sample, and is no part
    of a run's record.
    """

    train: tuple[AnyData, ...] = Field(min_length=1)
    val: tuple[AnyData, ...] = Field(min_length=1)
    cache: str | None = Field(default=None, exclude=True)


class ModelConfig(Strict):
    """`SegmentationAutoencoder`: names are those of segmentation-models-pytorch (`tu-` for timm's encoders).

    Encoder `dilated` and decoder `detail` are ours. `auxiliary` adds, in training only, a classifier on each of the
    encoder's last two stages (deep supervision, Lee et al., 2015), weighted by `loss.auxiliary`.
    """

    encoder: str = "tu-mobilenetv4_conv_small"
    encoder_weights: str | None = None
    decoder: Literal["unet", "fpn", "linknet", "deeplabv3plus", "segformer", "detail"] = "unet"
    decoder_options: dict[str, Any] = Field(default_factory=dict)
    encoder_options: dict[str, Any] = Field(default_factory=dict)
    code_channels: Positive = 128
    reconstruction: bool = False
    auxiliary: bool = False


class AugmentConfig(Strict):
    """Random geometry and colour. `scale` is relative to `crop / frame` filling; `crop` is (height, width).

    `focus` is the share of windows that look at a pixel of a class drawn evenly from those in the frame, so that rare
    ones are seen often; the others look anywhere. `mix` is the share of samples onto which half of the classes of
    another one of the batch are pasted (ClassMix).
    """

    crop: Size
    scale: tuple[float, float] = (0.6, 1.8)
    rotate: Annotated[float, Field(ge=0, le=45)] = 3.0
    flip: Fraction = 0.5
    focus: Fraction = 0.0
    mix: Fraction = 0.0
    color: Fraction = 0.8
    blur: Fraction = 0.2
    noise: Fraction = 0.2
    weather: Fraction = 0.1

    @model_validator(mode="after")
    def _scales_in_order(self) -> AugmentConfig:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale: expected [low, high] with 0 < low <= high, got {list(self.scale)}")
        return self


class LossConfig(Strict):
    """Set cross-entropy plus optional region losses; `class_weights` from the measured shares of pixels.

    `weight_power` p: a class's weight is share^-p, scaled to a mean of 1 over pixels; 0 for equal weights.
    `dice` and `lovasz` look at every `region_step`-th row and column: at 2 they cost a quarter.
    `auxiliary` weighs the cross-entropy of each classifier of `model.auxiliary`.
    `reconstruction` weighs the squared error of the frame in [0, 1], where the network has a reconstruction decoder.
    """

    weight_power: Fraction = 0.5
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    dice: Annotated[float, Field(ge=0)] = 0.0
    lovasz: Annotated[float, Field(ge=0)] = 0.0
    region_step: Positive = 1
    auxiliary: Annotated[float, Field(ge=0)] = 0.4
    reconstruction: Annotated[float, Field(gt=0)] = 1.0


class OptimizerConfig(Strict):
    """AdamW or Muon, and its schedule; gradients are clipped to a global norm of `clip`.

    Muon (Jordan et al., 2024) takes steps of equal size in every direction of a filter bank, scaled to the size of
    AdamW's; what is no matrix (biases, norms), or a very thin one, is left to AdamW.
    """

    kind: Literal["adamw", "muon"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    schedule: Literal["onecycle", "poly"] = "onecycle"
    warmup: Fraction = 0.1
    clip: Annotated[float, Field(gt=0)] = 5.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.99


class RunConfig(Strict):
    """One training run, whole.

    `ontology` names the classes. `init` is a run or checkpoint whose weights to start from. An epoch is `epoch_size`
    samples (default: as many as there are). `batch_size` is of one process, split into `accumulate` parts. `device` is
    `auto`, `cpu` or `cuda`. A checkpoint is written every `checkpoint_every` steps and after each validation, which
    comes every `val_every` epochs, at `val_size` (height, width; default: the first validation frame's own), which is
    also the size that is deployed. Class weights are measured on `weight_frames` frames.
    """

    ontology: str = "drive"
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataConfig
    init: str | None = None
    model: ModelConfig = ModelConfig()
    augment: AugmentConfig
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    epochs: Positive = 40
    epoch_size: Positive | None = None
    batch_size: Positive = 8
    accumulate: Positive = 1
    workers: Annotated[int, Field(ge=0)] = 2
    device: str = "auto"
    precision: Literal["float32", "bf16"] = "float32"
    channels_last: bool = True
    compile: bool = False
    checkpoint_every: Positive = 200
    val_every: Positive = 1
    val_size: Size | None = None
    weight_frames: Positive = 500

    @model_validator(mode="after")
    def _batch_divides(self) -> RunConfig:
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulate {self.accumulate}")
        return self


def load_run_config(path: Path, overrides: list[str] | None = None) -> RunConfig:
    """Read a run's YAML and apply `a.b.c=value` overrides (values in YAML; list items by number, `data.train.0.root=x`).

    `base: other.yaml`, a path beside the file, stands for that file's keys; the file's own replace them one by one, lists
    as a whole.

    Raises:
        SegError: naming the key that is unknown or ill-typed, with the nearest known key; for bases that go in a circle.
    """
    data = _with_base(path)
    for override in overrides or [] if isinstance(data, dict) else []:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise SegError(f"override {override!r}: expected key=value, as in optimizer.lr=0.001")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise SegError(f"override {override!r}: the value is not valid YAML") from None
        _assign(data, key.split("."), value, override)
    return parse(RunConfig, data, path)


def _with_base(path: Path, above: tuple[Path, ...] = ()) -> object:
    data = read_yaml(path)
    if not isinstance(data, dict) or "base" not in data:
        return data
    base = data.pop("base")
    if not isinstance(base, str):
        raise SegError(f"{path}: base: expected the path of a YAML file beside this one, got {base!r}")
    below = (path.parent / base).resolve()
    if below in above:
        raise SegError(f"{path}: base: {base} leads back to itself; one file of the circle must do without `base`")
    return _merged(_with_base(below, (*above, path.resolve())), data)


def _merged(base: object, own: object) -> object:
    if not (isinstance(base, dict) and isinstance(own, dict)):
        return own
    return base | {key: _merged(base[key], value) if key in base else value for key, value in own.items()}


def _assign(node: Any, keys: list[str], value: object, override: str) -> None:
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, list):
            if not key.isdigit() or int(key) >= len(node):
                raise SegError(f"override {override!r}: {key!r} is not a position in a list of {len(node)}")
            if last:
                node[int(key)] = value
            else:
                node = node[int(key)]
        elif isinstance(node, dict):
            if last:
                node[key] = value
            else:
                node = node.setdefault(key, {})
        else:
            raise SegError(f"override {override!r}: {'.'.join(keys[:depth])} has no keys below it")


def dump_yaml(config: Strict) -> str:
    """A config as YAML that `load_run_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
