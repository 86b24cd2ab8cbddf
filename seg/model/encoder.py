"""Encoders by name, from segmentation-models-pytorch (`tu-` for timm's), with their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from seg.errors import SegError
from seg.model.dilated import DilatedEncoder, DilatedOptions
from seg.paths import expand
from seg.strict import nearest, parse


def build_encoder(
    name: str, *, depth: int = 5, output_stride: int = 32, weights: str | None = None, **options: Any
) -> nn.Module:
    """An encoder with `out_channels` (one a stage, stage 0 the frame itself) and `output_stride`.

    Args:
        name: an encoder of segmentation-models-pytorch, `tu-NAME` for one of timm's, or `dilated` for ours.
        depth: number of stages, 3 to 5, each half the size of the one before.
        output_stride: 32, or 16 to dilate the last stage instead of shrinking it.
        weights: None for random ones, `imagenet` (fetched by the library from its hub), or a .safetensors file.
        options: passed on to timm for `tu-` encoders, those of `DilatedOptions` for `dilated`.

    Raises:
        SegError: for an unknown encoder, weights that cannot be fetched, or a file that does not fit.
    """
    if name == "dilated":
        return _build_dilated(depth, weights, options)
    from_hub = None if weights is None or weights.endswith(".safetensors") else weights
    if from_hub not in (None, "imagenet"):
        raise SegError(f"encoder_weights {weights!r}: expected null, 'imagenet' or a path to a .safetensors file")
    # timm's encoders know one set of weights, and warn at its name
    pretrained = True if from_hub and name.startswith("tu-") else from_hub
    if options and not name.startswith("tu-"):  # the library would not look at them
        raise SegError(f"encoder_options {', '.join(options)}: only timm's encoders (tu-NAME) take any but depth")
    try:
        encoder: nn.Module = smp.encoders.get_encoder(
            name, in_channels=3, depth=depth, output_stride=output_stride, weights=pretrained, **options
        )
    except Exception as error:  # timm, the hub's client and its transport raise what they like
        raise _encoder_error(name, from_hub, error) from error
    dropped = _drop_unused(encoder)
    if weights is not None and from_hub is None:
        _load_local(encoder, expand(weights), dropped)
    return encoder


def _build_dilated(depth: int, weights: str | None, options: dict[str, Any]) -> nn.Module:
    if depth != 4:
        raise SegError(f"encoder 'dilated' has 4 stages; set encoder_options.depth: 4, not {depth}")
    encoder = DilatedEncoder(parse(DilatedOptions, options, "encoder_options of 'dilated'"))
    if weights is not None:
        if not weights.endswith(".safetensors"):
            raise SegError(f"encoder_weights {weights!r}: 'dilated' takes null or a path to a .safetensors file")
        _load_local(encoder, expand(weights), [])
    return encoder


def _drop_unused(encoder: nn.Module) -> list[str]:
    """Remove what a depth below 5 never runs, and name it: parameters without gradients waste memory, DDP refuses them."""
    parameters = list(encoder.parameters())
    was_training = encoder.training
    features = encoder.eval()(torch.zeros(1, 3, 64, 64))
    total = torch.stack([feature.sum() for feature in features[1:]]).sum()
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    unused = {id(p) for p, gradient in zip(parameters, gradients, strict=True) if gradient is None}
    idle = [
        name
        for name, module in encoder.named_modules()
        if (owned := [id(p) for p in module.parameters()]) and unused.issuperset(owned)
    ]
    dropped = [name for name in idle if name.rpartition(".")[0] not in idle]
    for name in dropped:
        encoder.set_submodule(name, nn.Identity())
    encoder.train(was_training)
    return dropped


def _encoder_error(name: str, from_hub: str | None, error: Exception) -> SegError:
    plain = name.removeprefix("tu-")
    known = smp.encoders.get_encoder_names()
    if name.startswith("tu-"):
        import timm

        known = [f"tu-{model}" for model in timm.list_models()]
        plain = f"tu-{plain.partition('.')[0]}"
    if plain not in known:
        return SegError(
            f"no encoder named {name!r}; {nearest(name, known) if len(known) < 40 else _suggest(name, known)}"
        )
    if from_hub is not None:
        return SegError(
            f"encoder_weights: imagenet: the weights of {name!r} could not be fetched ({type(error).__name__}); "
            "go on with model.encoder_weights=null (from scratch) or with a local .safetensors file"
        )
    return SegError(f"encoder {name!r}: {error}")


def _suggest(name: str, known: list[str]) -> str:
    suggestion = nearest(name, known)
    return suggestion if suggestion.startswith("did you mean") else "see segmentation-models-pytorch's list of encoders"


def _load_local(encoder: nn.Module, path: Path, dropped: list[str]) -> None:
    try:
        state = load_file(path)
    except FileNotFoundError:
        raise SegError(f"encoder_weights: {path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise SegError(f"encoder_weights: {path}: not a readable safetensors file ({error})") from None
    # a checkpoint of ours holds the whole network: take the encoder's part of it
    prefix = "encoder."
    if any(key.startswith(prefix) for key in state):
        state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    # the weights of a whole encoder also start a shallower one
    state = {key: value for key, value in state.items() if not key.startswith(tuple(f"{name}." for name in dropped))}
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise SegError(f"encoder_weights: {path} does not fit the encoder: {first}") from None
