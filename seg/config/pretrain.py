"""The schema of a pretraining run: an autoencoder that learns from frames without labels."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from seg.config.run import EncoderConfig, LoopConfig
from seg.config.types import Fraction, Positive, Size, Weight
from seg.strict import Strict


class CorruptionConfig(Strict):
    """What is done to a frame that the autoencoder has to undo; several together, in this order, or each `alone`.

    `grey` is the share of frames that lose their colour (colourisation); `watermark` the share that get text or a logo
    laid over them; `blocks` the share of a frame's area that is erased in squares of `block_size` pixels (inpainting);
    `pixels` the share of its pixels that are dropped; `noise` the standard deviation of Gaussian noise, in shares of full
    scale (denoising; Vincent et al., 2010). `alone`: for every frame one of those that are configured is drawn, each as
    often, and only that may happen to it: a `grey` of 1 takes the colour of all frames that it is drawn for. So the
    network also sees frames that are otherwise whole.
    """

    grey: Fraction = 0.0
    watermark: Fraction = 0.0
    blocks: Fraction = 0.0
    block_size: Positive = 32
    pixels: Fraction = 0.0
    noise: Annotated[float, Field(ge=0, le=1)] = 0.0
    alone: bool = False


class PenaltyConfig(Strict):
    """What the code is asked for besides reconstruction; each is a weight, 0 for none.

    `l1` is on the mean absolute code. `kl` is on the Kullback-Leibler divergence of each channel's mean activity from
    `rho`, for codes in 0..1 (`code_activation: sigmoid`; Ng, 2011). `contractive` is on the squared Frobenius norm of the
    encoder's Jacobian (Rifai et al., 2011), estimated with `projections` random vectors a step. `dropout` is no weight but
    the share of code channels that are zeroed.
    """

    l1: Weight = 0.0
    kl: Weight = 0.0
    rho: Annotated[float, Field(gt=0, lt=1)] = 0.05
    contractive: Weight = 0.0
    projections: Positive = 1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _one_sparsity(self) -> PenaltyConfig:
        if self.l1 and self.kl:
            raise ValueError(
                "l1 and kl exclude each other: one wants zeros, the other an activity of rho; set one to 0"
            )
        return self


class ReconstructionLossConfig(Strict):
    """The weights of the reconstruction's losses, on pixels in 0..1: squared error, absolute error, binary
    cross-entropy, and 1 - structural similarity (Wang et al., 2004), which on a CPU takes longer than the network."""

    squared: Weight = 1.0
    absolute: Weight = 0.0
    cross_entropy: Weight = 0.0
    ssim: Weight = 0.0

    @model_validator(mode="after")
    def _one_at_least(self) -> ReconstructionLossConfig:
        if not (self.squared or self.absolute or self.cross_entropy or self.ssim):
            raise ValueError("all weights are 0: nothing would be learned; set one of them above 0")
        return self


class PretrainConfig(LoopConfig):
    """One run of `seg pretrain`, whole. Labels are never read; `val_size` as for `seg train`."""

    ontology: ClassVar[str] = "drive"
    """What is rebuilt has no classes: any ontology opens its frames."""

    model: EncoderConfig = EncoderConfig()
    corruption: CorruptionConfig = CorruptionConfig()
    penalty: PenaltyConfig = PenaltyConfig()
    loss: ReconstructionLossConfig = ReconstructionLossConfig()
    val_size: Size | None = None

    @model_validator(mode="after")
    def _penalty_can_be_had(self) -> PretrainConfig:
        if self.penalty.kl and self.model.code_activation != "sigmoid":
            raise ValueError(
                f"penalty.kl is for codes in 0..1: set model.code_activation: sigmoid, not {self.model.code_activation}"
            )
        if self.penalty.contractive and self.compile:
            raise ValueError("penalty.contractive differentiates twice, which torch.compile cannot: leave compile out")
        return self
