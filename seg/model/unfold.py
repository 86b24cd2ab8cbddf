"""Training on from an exported file: its weights read back, and the batch norms that export folded away made again.

A folded convolution computes what it did with its batch norm, but cannot be trained like that: without the norm's
statistics a step upsets every layer behind. The outputs' mean and variance over some frames are such statistics; scale
and shift are then whatever leaves the answers as they are.

Shape suffixes: C channels, 3 colours, H and W height and width.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from seg.classes import Ontology
from seg.errors import SegError
from seg.model.checkpoint import load_weights
from seg.model.network import SegmentationAutoencoder
from seg.model.scale import convolutions_with_norms, rescale
from seg.onnx_file import read_metadata
from seg.spec import ModelSpec

TRAINED = 0.2
"""Root mean square of the filters' values after training long with steps of a fixed size (Muon's, Adam's); the factor
that a norm undoes is not in the file, and without it these steps would be too long for what was learned."""

PREFIX = "network."
FLOAT16 = ".float16"
FRESH = ("head.", "auxiliary.", "reconstruction.")


def start_from_file(
    network: SegmentationAutoencoder, ontology: Ontology, file: Path, frames: Iterable[npt.NDArray[np.uint8]]
) -> None:
    """Take over the weights of an exported network (`init` of a config, where it is a file or a shipped network).

    Answers are those of the file if the classes are. Of a file for other classes everything is taken but the classifier.
    Auxiliary classifiers and a reconstruction decoder, which no file has, start fresh.

    Args:
        network: on the CPU, with fresh weights.
        ontology: the classes it is for.
        file: an ONNX file of `seg export` with float weights, profile `frame`, `logits` or `argmax`.
        frames: frames like those that training will show, uint8 RGB (H, W, 3), at least one.

    Raises:
        SegError: if the file is no such file, or of another network.
    """
    spec = spec_of(file)
    model = _load(file)
    if spec.profile == "restore" or spec.network.get("weights") == "int8":
        kind = "restores frames and knows no classes" if spec.profile == "restore" else "is in integers"
        raise SegError(f"{file}: {kind}; start from the run that it was exported from")
    same = tuple(item.name for item in spec.classes) == ontology.names
    fresh = FRESH[1:] if same else FRESH
    constants = {name for name, _ in network.named_buffers()} - network.state_dict().keys()
    from_file = {
        name: value for name, value in _weights(model).items() if not name.startswith(fresh) and name not in constants
    }
    state = {name: value for name, value in network.state_dict().items() if name.startswith(fresh)}
    folded = _unfold(network, from_file, state)
    missing = sorted(network.state_dict().keys() - (state | from_file).keys())
    if missing:
        raise SegError(
            f"{file}: holds no {missing[0]}: it is of another network, or of one whose weights export changes (norms other than "
            "batch norm); start from the run that it was exported from"
        )
    load_weights(network, state | from_file, str(file))
    rescale(network, {name: torch.full_like(network.get_parameter(name), TRAINED) for name in folded})
    _measure(network, folded.values(), frames)


def _unfold(
    network: SegmentationAutoencoder, from_file: dict[str, Tensor], state: dict[str, Tensor]
) -> dict[str, nn.BatchNorm2d]:
    """Move the shifts of folded convolutions from the file's tensors to the state of the norms that were folded away.

    Returns:
        the name of each such convolution's weight -> its norm.
    """
    names = {module: name for name, module in network.named_modules()}
    folded = {}
    for convolution, norm in convolutions_with_norms(network):
        name = names[convolution]
        # export gives the sum of the convolution's own bias and the norm's shift one name or the other
        shift_C = from_file.pop(f"{name}.weight_bias", None)
        if shift_C is None and f"{names[norm]}.weight" not in from_file:
            shift_C = from_file.pop(f"{name}.bias", None)
        if shift_C is None:  # not folded: the norm has its own values in the file
            continue
        folded[f"{name}.weight"] = norm
        state |= {f"{names[norm]}.{key}": value for key, value in _shift(norm, shift_C).items()}
        if convolution.bias is not None:
            state[f"{name}.bias"] = torch.zeros_like(shift_C)
    return folded


def spec_of(file: Path) -> ModelSpec:
    """The contract of an exported file; SegError if it is none, or has changed since."""
    return ModelSpec.from_metadata(read_metadata(file), str(file))


def _load(file: Path) -> onnx.ModelProto:
    try:
        return onnx.load(str(file))
    except DecodeError:
        raise SegError(f"{file}: no whole ONNX file") from None


def _weights(model: onnx.ModelProto) -> dict[str, Tensor]:
    """The float tensors of an exported network, by the names that they have in it."""
    return {
        tensor.name.removeprefix(PREFIX).removesuffix(FLOAT16): torch.from_numpy(
            numpy_helper.to_array(tensor).astype(np.float32)
        )
        for tensor in model.graph.initializer
        if tensor.name.startswith(PREFIX) and tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16)
    }


def _shift(norm: nn.BatchNorm2d, shift_C: Tensor) -> dict[str, Tensor]:
    """The state of a norm that adds `shift_C` and does nothing else."""
    one_C = torch.ones_like(shift_C)
    return {
        "weight": one_C,
        "bias": shift_C,
        "running_mean": torch.zeros_like(shift_C),
        "running_var": one_C - norm.eps,
        "num_batches_tracked": torch.tensor(0),
    }


def _measure(
    network: SegmentationAutoencoder, norms: Iterable[nn.BatchNorm2d], frames: Iterable[npt.NDArray[np.uint8]]
) -> None:
    """Give norms the mean and variance of what they see, and such scales and shifts that answers stay as they are."""
    sums: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}

    def note(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        x_CN = given[0].double().transpose(0, 1).flatten(1)
        sums[module].append(torch.stack([x_CN.mean(1), x_CN.square().mean(1)]))

    handles = [norm.register_forward_pre_hook(note) for norm in sums]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()
            for frame_HW3 in frames:
                network(torch.from_numpy(frame_HW3).permute(2, 0, 1)[None])
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    with torch.no_grad():
        for norm, moments in sums.items():
            assert isinstance(norm, nn.BatchNorm2d)
            mean_C, square_C = torch.stack(moments).mean(0)
            _take(norm, mean_C.float(), (square_C - mean_C.square()).clamp_min(0).float())


def _take(norm: nn.BatchNorm2d, mean_C: Tensor, variance_C: Tensor) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale_C = norm.weight * (norm.running_var + norm.eps).rsqrt()
    norm.bias.add_(scale_C * (mean_C - norm.running_mean))
    norm.weight.copy_(scale_C * (variance_C + norm.eps).sqrt())
    norm.running_mean.copy_(mean_C)
    norm.running_var.copy_(variance_C)
