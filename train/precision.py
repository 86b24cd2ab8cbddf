"""The numbers that a run computes in."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from seg.config import LoopConfig


def autocast(config: LoopConfig, device: torch.device) -> AbstractContextManager[object]:
    """The configured precision of forward passes; float32 where the device has no bfloat16."""
    enabled = config.precision == "bf16" and has_bfloat16(device)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def has_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 itself. One that only imitates it takes several times as long as in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # oneDNN's own answer decides which path torch takes; nothing public says it
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
