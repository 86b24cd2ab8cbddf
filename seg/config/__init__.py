"""The schemas of runs: one short YAML under `configs/train`, strict, with `key=value` overrides on the command line."""

from seg.config.data import (
    AnyData,
    DataConfig,
    DataSource,
    FileData,
    FolderData,
    ImageFrames,
    PublishedData,
    SyntheticData,
    VideoFrames,
)
from seg.config.load import dump_yaml, load_config, load_pretrain_config, load_run_config
from seg.config.pretrain import CorruptionConfig, PenaltyConfig, PretrainConfig, ReconstructionLossConfig
from seg.config.run import (
    AugmentConfig,
    EncoderConfig,
    LoopConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
)
from seg.config.types import Fraction, Positive, Size, Weight

__all__ = [
    "AnyData",
    "AugmentConfig",
    "CorruptionConfig",
    "DataConfig",
    "DataSource",
    "EncoderConfig",
    "FileData",
    "FolderData",
    "Fraction",
    "ImageFrames",
    "LoopConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PenaltyConfig",
    "Positive",
    "PretrainConfig",
    "PublishedData",
    "ReconstructionLossConfig",
    "RunConfig",
    "Size",
    "SyntheticData",
    "VideoFrames",
    "Weight",
    "dump_yaml",
    "load_config",
    "load_pretrain_config",
    "load_run_config",
]
