"""The graphs that we export: the network wrapped so that its inputs and outputs are those of a deploy profile."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seg.model.autoencoder import Autoencoder
from seg.model.monitor import Monitor
from seg.model.network import SegmentationAutoencoder
from seg.spec import Colours, Profile, TensorSpec


class FrameGraph(nn.Module):
    """uint8 RGB frames in, uint8 classes and confidences out: nothing is left for the program that runs it.

    Bytes only enter a cast and only leave one: TensorRT takes them nowhere else, not even in a transpose, and ONNX
    Runtime's CUDA provider sorts no bytes into pixels.

    With a monitor, the frame's novelty (unless it is not wanted), code and hash as well.
    """

    def __init__(self, network: SegmentationAutoencoder, monitor: Monitor | None = None, novelty: bool = True) -> None:
        super().__init__()
        self.network = network
        self.monitor = monitor
        self.novelty = novelty

    def forward(self, frame_BHW3: Tensor) -> tuple[Tensor, ...]:
        """Class ids uint8 (B, H, W), the winning class's probability, uint8 (B, H, W) in 1/255, and what the monitor says."""
        rgb_B3HW = frame_BHW3.float().permute(0, 3, 1, 2)
        features = self.network.features(rgb_B3HW)
        # the winner is found before cells are sorted into pixels: two maps are sorted, not those of all classes
        logits_BCShw = self.network.decode(features)
        top_B1Shw, classes_B1Shw = logits_BCShw.max(1, keepdim=True)
        # softmax of the winner alone: one exponential a class and no division a class
        confidence_BShw = 1.0 / (logits_BCShw - top_B1Shw).exp().sum(1)
        answers = tuple(
            self.network.arrange(cells_BShw, rgb_B3HW.shape[-2:]).squeeze(1).to(torch.uint8)
            for cells_BShw in (classes_B1Shw.squeeze(1).float(), (confidence_BShw * 255.0).round())
        )
        if self.monitor is None:
            return answers
        code_BKHW = features[-1]
        return *answers, *(self.monitor(code_BKHW, rgb_B3HW) if self.novelty else self.monitor.encode(code_BKHW))


@dataclass(frozen=True)
class Feed:
    """What the program that feeds floats does to a frame in 0..1 before: red, green and blue lose `mean` and are divided by
    `std`, and stand in the planes blue first (`bgr`). The graph undoes it."""

    mean: Colours = (0.0, 0.0, 0.0)
    std: Colours = (1.0, 1.0, 1.0)
    bgr: bool = False


PLAIN = Feed()
"""RGB, 0..1."""


class FloatGraph(nn.Module):
    """float32 NCHW frames in, fed as `Feed` says."""

    def __init__(self, network: SegmentationAutoencoder, feed: Feed = PLAIN) -> None:
        super().__init__()
        self.network = network
        order = [2, 1, 0] if feed.bgr else [0, 1, 2]
        self.register_buffer("order_3", torch.tensor(order), persistent=False)
        for name, values in (("scale_1311", feed.std), ("shift_1311", feed.mean)):
            fed_3 = 255.0 * torch.tensor(values)[order]
            self.register_buffer(name, fed_3[None, :, None, None], persistent=False)
        self.plain = feed == PLAIN
        self.bgr = feed.bgr

    def logits(self, image_B3HW: Tensor) -> Tensor:
        """Class logits (B, C, H, W)."""
        if self.plain:
            rgb_B3HW = image_B3HW * 255.0
        else:
            rgb_B3HW = image_B3HW * self.scale_1311 + self.shift_1311
            rgb_B3HW = rgb_B3HW.index_select(1, self.order_3) if self.bgr else rgb_B3HW
        logits_BCHW: Tensor = self.network(rgb_B3HW).logits_BCHW
        return logits_BCHW


class LogitsGraph(FloatGraph):
    """Float32 NCHW logits out, as Autoware's vision stack reads them."""

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Class logits (B, C, H, W)."""
        return self.logits(image_B3HW)


class ArgmaxGraph(FloatGraph):
    """int64 NHWC class ids out, as Isaac ROS's segmentation decoder requires."""

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Class ids int64 (B, H, W, 1)."""
        return self.logits(image_B3HW).argmax(1).unsqueeze(-1)


class RestoreGraph(nn.Module):
    """uint8 RGB frames in, uint8 RGB frames out: what the autoencoder makes of a frame's code."""

    def __init__(self, network: Autoencoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, frame_BHW3: Tensor) -> Tensor:
        """The restored frame, rounded and clipped: uint8 RGB (B, H, W, 3)."""
        restored_B3HW = self.network(frame_BHW3.float().permute(0, 3, 1, 2)).frame_B3HW
        return restored_B3HW.round().clamp(0.0, 255.0).permute(0, 2, 3, 1).to(torch.uint8)


GRAPHS: dict[Profile, type[nn.Module]] = {
    "frame": FrameGraph,
    "logits": LogitsGraph,
    "argmax": ArgmaxGraph,
    "restore": RestoreGraph,
}


@dataclass(frozen=True)
class Signature:
    """A profile's input and outputs as the contract describes them, and the range of input values."""

    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    value_range: tuple[float, float]


def signature(
    profile: Profile,
    height: int | str,
    width: int | str,
    classes: int,
    code: int = 0,
    novelty: bool = True,
    feed: Feed = PLAIN,
) -> Signature:
    """The tensors of a profile at a size, which is two numbers, or two names where it is dynamic.

    `code` is how many values a monitor's code has, 0 where there is no monitor; only profile `frame` answers one, and
    `novelty` where it is wanted. `feed` is of the profiles that take floats.
    """
    frame = TensorSpec(
        name="frame", dtype="uint8", layout="NHWC", shape=(1, height, width, 3), meaning="RGB frame, 0..255"
    )
    if profile == "restore":
        restored = TensorSpec(
            name="restored", dtype="uint8", layout="NHWC", shape=frame.shape, meaning="restored RGB frame, 0..255"
        )
        return Signature(frame, (restored,), (0.0, 255.0))
    if profile == "frame":
        return Signature(
            frame,
            (
                TensorSpec(name="classes", dtype="uint8", layout="NHW", shape=(1, height, width), meaning="class ids"),
                TensorSpec(
                    name="confidence",
                    dtype="uint8",
                    layout="NHW",
                    shape=(1, height, width),
                    meaning="probability of the winning class, in 1/255",
                ),
                *(_watched(code)[0 if novelty else 1 :] if code else ()),
            ),
            (0.0, 255.0),
        )
    image = TensorSpec(name="image", dtype="float32", layout="NCHW", shape=(1, 3, height, width), meaning=_fed(feed))
    if profile == "logits":
        output = TensorSpec(
            name="logits", dtype="float32", layout="NCHW", shape=(1, classes, height, width), meaning="class logits"
        )
    else:
        output = TensorSpec(
            name="classes", dtype="int64", layout="NHWC", shape=(1, height, width, 1), meaning="class ids"
        )
    return Signature(image, (output,), (0.0, 1.0))


def _fed(feed: Feed) -> str:
    """What the values of a float input are."""
    order = "BGR" if feed.bgr else "RGB"
    if (feed.mean, feed.std) == (PLAIN.mean, PLAIN.std):
        return f"{order} frame, 0..1"
    means, deviations = (" ".join(f"{value:g}" for value in values) for values in (feed.mean, feed.std))
    return f"{order} frame, 0..1, less a mean of {means}, divided by {deviations} (red, green, blue)"


def _watched(code: int) -> tuple[TensorSpec, ...]:
    """What a monitor answers."""
    return (
        TensorSpec(
            name="novelty",
            dtype="float32",
            layout="N",
            shape=(1,),
            meaning="how unlike normal frames the frame is, 0..1: 0.99 = beyond 99 % of the held-out frames",
        ),
        TensorSpec(
            name="code",
            dtype="float32",
            layout="NK",
            shape=(1, code),
            meaning="the frame's code: frames alike have a high cosine",
        ),
        TensorSpec(
            name="hash",
            dtype="int64",
            layout="N",
            shape=(1,),
            meaning="of the code; its low 32 bits count, as unsigned (OpenVINO gives them signed): frames alike differ in few",
        ),
    )
