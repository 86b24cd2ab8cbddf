"""The schema of a training run: network, augmentation, losses, optimiser, and the loop they run in."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from seg.config.data import DataConfig
from seg.config.types import Fraction, Positive, Size, Weight
from seg.strict import Strict

Activation = Literal["linear", "relu", "sigmoid"]


class EncoderConfig(Strict):
    """The encoder and its code: names are those of segmentation-models-pytorch (`tu-` for timm's), or `dilated`, ours.

    `code_channels` is the code's width at each of its places; `code_activation` bounds it (`relu` from below, `sigmoid`
    to 0..1). The reconstruction decoder, where there is one, begins `reconstruction_width` channels wide, and doubles the
    size by interpolation or, with `reconstruction_subpixel`, by sub-pixel convolution, which keeps finer detail.
    """

    encoder: str = "tu-mobilenetv4_conv_small"
    encoder_weights: str | None = None
    encoder_options: dict[str, Any] = Field(default_factory=dict)
    code_channels: Positive = 128
    code_activation: Activation = "linear"
    reconstruction_width: Positive = 128
    reconstruction_subpixel: bool = False


class ModelConfig(EncoderConfig):
    """`SegmentationAutoencoder`; decoder `detail` is ours.

    `auxiliary` adds, in training only, a classifier on each of the encoder's last two stages (deep supervision, Lee et
    al., 2015), weighted by `loss.auxiliary`.
    """

    decoder: Literal["unet", "fpn", "linknet", "deeplabv3plus", "segformer", "detail"] = "unet"
    decoder_options: dict[str, Any] = Field(default_factory=dict)
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
    dice: Weight = 0.0
    lovasz: Weight = 0.0
    region_step: Positive = 1
    auxiliary: Weight = 0.4
    reconstruction: Annotated[float, Field(gt=0)] = 1.0


class OptimizerConfig(Strict):
    """AdamW or Muon, and its schedule; gradients are clipped to a global norm of `clip`.

    Muon (Jordan et al., 2024) takes steps of equal size in every direction of a filter bank, scaled to the size of
    AdamW's; what is no matrix (biases, norms), or a very thin one, is left to AdamW.
    """

    kind: Literal["adamw", "muon"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Weight = 0.01
    schedule: Literal["onecycle", "poly"] = "onecycle"
    warmup: Fraction = 0.1
    clip: Annotated[float, Field(gt=0)] = 5.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.99


class LoopConfig(Strict):
    """What every training run says about its loop, whatever it learns.

    `init` is a run or checkpoint whose weights to start from; of `seg train`, an exported file or the name of a shipped
    network too. With `freeze_norms` batch norms keep the statistics that came with it: those of mixed or tiny batches would
    not be those of the frames to come. An epoch is `epoch_size` samples (default: as many as there are). `batch_size` is
    of one process, split into `accumulate` parts. `device` is `auto`, `cpu` or `cuda`. A checkpoint is
    written every `checkpoint_every` steps, and before and after each validation, which comes every `val_every` epochs.
    """

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: DataConfig
    init: str | None = None
    freeze_norms: bool = False
    augment: AugmentConfig
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

    @model_validator(mode="after")
    def _batch_divides(self) -> Self:
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulate {self.accumulate}")
        return self

    @model_validator(mode="after")
    def _statistics_are_there(self) -> Self:
        if self.freeze_norms and self.init is None:
            raise ValueError("freeze_norms keeps the statistics of the weights to start from: set init too")
        return self


class RunConfig(LoopConfig):
    """One training run of `seg train`, whole.

    `ontology` names the classes. `init` may be a run of `seg pretrain`. Validation sees frames at `val_size` (height,
    width; default: the first validation frame's own), which is also the size that is deployed. Class weights are measured
    on about `weight_frames` frames: each source's share of them, but 16 where it has as many.
    """

    ontology: str = "drive"
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    val_size: Size | None = None
    weight_frames: Positive = 500
