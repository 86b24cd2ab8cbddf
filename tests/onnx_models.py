"""Tiny ONNX files with our metadata: classes that are bands of brightness, and frames changed by a line a channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from seg.classes import load_ontology
from seg.spec import ModelSpec, SizePolicy, TensorSpec, TrainingRecord

CLASSES = 5


def make_spec(
    profile: str = "frame",
    size: tuple[int, int] = (48, 64),
    dynamic: bool = False,
    novelty: bool = False,
    codes: bool = False,
):
    height, width = size
    h, w = ("height", "width") if dynamic else (height, width)
    if profile == "frame":
        inputs = (TensorSpec(name="frame", dtype="uint8", layout="NHWC", shape=(1, h, w, 3), meaning="RGB frame"),)
        outputs = [
            TensorSpec(name="classes", dtype="uint8", layout="NHW", shape=(1, h, w), meaning="class ids"),
            TensorSpec(name="confidence", dtype="uint8", layout="NHW", shape=(1, h, w), meaning="0..255"),
        ]
        if novelty:
            outputs.append(TensorSpec(name="novelty", dtype="float32", layout="N", shape=(1,), meaning="novelty"))
        if codes:
            outputs.append(TensorSpec(name="code", dtype="float32", layout="NK", shape=(1, 3), meaning="mean colour"))
            outputs.append(TensorSpec(name="hash", dtype="int64", layout="N", shape=(1,), meaning="mean brightness"))
    else:
        inputs = (TensorSpec(name="input", dtype="float32", layout="NCHW", shape=(1, 3, h, w), meaning="RGB 0..1"),)
        outputs = [
            TensorSpec(name="logits", dtype="float32", layout="NCHW", shape=(1, CLASSES, h, w), meaning="logits")
            if profile == "logits"
            else TensorSpec(name="ids", dtype="int64", layout="NHWC", shape=(1, h, w, 1), meaning="class ids")
        ]
    return ModelSpec(
        name="bands",
        profile=profile,
        ontology="drive",
        classes=load_ontology("drive").classes,
        value_range=(0.0, 255.0) if profile == "frame" else (0.0, 1.0),
        size=SizePolicy(kind="dynamic" if dynamic else "fixed", height=height, width=width),
        inputs=inputs,
        outputs=tuple(outputs),
        network={"kind": "bands"},
        training=TrainingRecord(
            run="none", data=(), data_hash="0", config_hash="0", weights_hash="0", steps=0, validation={}
        ),
        metrics=None,
        versions={},
        licence="Apache-2.0",
    )


def expected_classes(rgb_HWC: np.ndarray) -> np.ndarray:
    """What the tiny network answers: mean brightness of the channels // 51.2, at the frame's own size."""
    return np.minimum(rgb_HWC.astype(np.float32).mean(axis=2) / 51.2, CLASSES - 0.01).astype(np.uint8)


def save_bands(path: Path, profile: str = "frame", metadata: bool = True, step: float = 51.2, **options) -> Path:
    """Write the network of brightness bands, each `step` grey levels wide; it takes the options of `make_spec`."""
    spec = make_spec(profile, **options)
    axis = 3 if profile == "frame" else 1
    scale = 1 / step if profile == "frame" else 255 / step
    consts = {"scale": np.float32(scale), "top": np.float32(CLASSES - 0.01), "axes": np.array([axis], np.int64)}
    nodes = [
        helper.make_node("Cast", [spec.inputs[0].name], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=int(profile != "frame")),
        helper.make_node("Mul", ["mean", "scale"], ["scaled"]),
        helper.make_node("Min", ["scaled", "top"], ["band"]),
    ]
    if profile == "frame":
        consts["bytes"], consts["least"] = np.float32(254), np.float32(1)  # no probability is 0: that is a NaN's
        nodes += [
            helper.make_node("Cast", ["band"], ["classes"], to=TensorProto.UINT8),
            helper.make_node("Floor", ["band"], ["floor"]),
            helper.make_node("Sub", ["band", "floor"], ["rest"]),
            helper.make_node("Mul", ["rest", "bytes"], ["rest_bytes"]),
            helper.make_node("Add", ["rest_bytes", "least"], ["more_bytes"]),
            helper.make_node("Cast", ["more_bytes"], ["confidence"], to=TensorProto.UINT8),
        ]
        consts["all"] = np.array([1, 2], np.int64)
        if options.get("novelty"):
            nodes.append(helper.make_node("ReduceMean", ["mean", "all"], ["novelty"], keepdims=0))
        if options.get("codes"):  # the mean colour, and the mean brightness cut to a whole number
            nodes += [
                helper.make_node("ReduceMean", ["pixels", "all"], ["code"], keepdims=0),
                helper.make_node("ReduceMean", ["mean", "all"], ["brightness"], keepdims=0),
                helper.make_node("Cast", ["brightness"], ["hash"], to=TensorProto.INT64),
            ]
    elif profile == "argmax":
        nodes += [
            helper.make_node("Cast", ["band"], ["ids_nchw"], to=TensorProto.INT64),
            helper.make_node("Transpose", ["ids_nchw"], ["ids"], perm=[0, 2, 3, 1]),
        ]
    else:  # the logit of class c is -(band - c - 0.5)^2, largest at the band's own class
        consts["centres"] = (np.arange(CLASSES, dtype=np.float32) + 0.5).reshape(1, CLASSES, 1, 1)
        nodes += [
            helper.make_node("Sub", ["band", "centres"], ["distance"]),
            helper.make_node("Mul", ["distance", "distance"], ["squared"]),
            helper.make_node("Neg", ["squared"], ["logits"]),
        ]
    types = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    graph = helper.make_graph(
        nodes,
        "bands",
        [helper.make_tensor_value_info(t.name, types[t.dtype], t.shape) for t in spec.inputs],
        [helper.make_tensor_value_info(t.name, types[t.dtype], t.shape) for t in spec.outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in consts.items()],
    )
    return _save(path, graph, spec if metadata else None)


def _save(path: Path, graph: onnx.GraphProto, spec: ModelSpec | None) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    if spec is not None:
        helper.set_model_props(model, spec.to_metadata())
    onnx.save(model, path)
    return path


ALL_CORRUPTIONS = "grey,watermark,blocks,pixels,noise"


def make_restore_spec(corruption: str = ALL_CORRUPTIONS, size: tuple[int, int] = (48, 64), dynamic: bool = True):
    h, w = ("height", "width") if dynamic else size
    tensors = [
        TensorSpec(name=name, dtype="uint8", layout="NHWC", shape=(1, h, w, 3), meaning="RGB")
        for name in ("frame", "restored")
    ]
    changes = {
        "name": "lines",
        "profile": "restore",
        "ontology": "none",
        "classes": (),
        "size": SizePolicy(kind="dynamic" if dynamic else "fixed", height=size[0], width=size[1]),
        "inputs": tuple(tensors[:1]),
        "outputs": tuple(tensors[1:]),
        "network": {"kind": "lines", "corruption": corruption},
    }
    return ModelSpec(**{**dict(make_spec()), **changes})


def expected_restored(rgb_HWC: np.ndarray, scale: float = 1.0, offset=(0, 0, 0)) -> np.ndarray:
    """What the tiny restoring network answers: scale x pixel + the channel's offset, clipped."""
    return np.clip(rgb_HWC.astype(np.float32) * scale + np.float32(offset), 0, 255).astype(np.uint8)


def save_restore(path: Path, scale: float = 1.0, offset=(0, 0, 0), **options) -> Path:
    """Write the network of `expected_restored`; it takes the options of `make_restore_spec`."""
    spec = make_restore_spec(**options)
    consts = {"scale": np.float32(scale), "offset": np.float32(offset), "low": np.float32(0), "high": np.float32(255)}
    nodes = [
        helper.make_node("Cast", ["frame"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["moved"]),
        helper.make_node("Clip", ["moved", "low", "high"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["restored"], to=TensorProto.UINT8),
    ]
    infos = [helper.make_tensor_value_info(t.name, TensorProto.UINT8, t.shape) for t in spec.inputs + spec.outputs]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in consts.items()]
    return _save(path, helper.make_graph(nodes, "lines", infos[:1], infos[1:], tensors), spec)
