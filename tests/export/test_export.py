"""A trained run as an ONNX file: what the file says, what it answers, and that a wrong one never gets its name."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import runs
import torch
from torch import nn

from export import ExportOptions, Feed, export_run
from export import onnx_file as exporting
from export.parity import check_parity
from export.profiles import FrameGraph
from infer import Segmenter
from seg.classes import load_ontology
from seg.config import RunConfig
from seg.errors import SegError
from seg.files import sha256
from seg.model import build_network
from seg.model.checkpoint import CheckpointMeta, load_meta, load_network, save_checkpoint
from seg.onnx_file import SEAL_KEY, read_metadata
from seg.spec import ModelSpec

HEIGHT, WIDTH = 60, 92
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def exported(run, frames, tmp_path_factory):
    """Profile, and whether for any size -> the file, its contract and the parity found; each made once."""
    made = {}

    def export(profile="frame", dynamic=False):
        if (profile, dynamic) not in made:
            file = tmp_path_factory.mktemp("exported") / "new" / "model.onnx"
            spec, parity = export_run(run, file, frames, ExportOptions(profile=profile, dynamic=dynamic))
            made[profile, dynamic] = file, spec, parity
        return made[profile, dynamic]

    return export


def session(file):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def logits(run, frame):
    network, _ = load_network(run)
    with torch.inference_mode():
        return network(torch.from_numpy(frame.copy()).permute(2, 0, 1)[None]).logits_BCHW


def test_the_file_carries_its_contract(run, exported):
    file, spec, _ = exported()
    model = onnx.load(file)
    assert ModelSpec.from_metadata({entry.key: entry.value for entry in model.metadata_props}, "file") == spec
    meta = load_meta(run / "checkpoints" / "best")
    assert spec.as_ontology() == load_ontology("drive")
    assert (spec.profile, spec.size.kind, spec.size.height, spec.size.width) == ("frame", "fixed", HEIGHT, WIDTH)
    assert spec.training.weights_hash == sha256(run / "checkpoints" / "best" / "weights.safetensors")
    assert (spec.training.data_hash, spec.training.config_hash) == (meta.data_hash, meta.config_hash)
    assert (spec.training.run, spec.training.steps, spec.training.data) == ("tiny", meta.steps, meta.data)
    assert spec.training.validation == meta.config.data.model_dump(mode="json")
    assert (spec.metrics.mean_iou, spec.metrics.iou) == (meta.report.mean_iou, meta.report.iou)
    assert spec.metrics.protocol == meta.report.protocol
    assert {"torch", "onnx", "onnxscript", "opset"} <= spec.versions.keys()


def test_it_is_one_file_that_the_checker_accepts(exported):
    file, _, _ = exported()
    onnx.checker.check_model(str(file), full_check=True)
    model = onnx.load(file, load_external_data=False)
    assert [entry.name for entry in file.parent.iterdir()] == ["model.onnx"]
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)
    assert [opset.version for opset in model.opset_import if opset.domain == ""] == [20]


@pytest.mark.parametrize("dynamic", [False, True])
def test_batch_norms_are_folded_into_the_convolutions(exported, dynamic):
    operators = {node.op_type for node in onnx.load(exported(dynamic=dynamic)[0]).graph.node}
    assert "Conv" in operators
    assert "BatchNormalization" not in operators


@pytest.mark.parametrize("dynamic", [False, True])
def test_bytes_only_enter_a_cast_and_leave_one(exported, dynamic):
    """TensorRT takes uint8 nowhere else, and ONNX Runtime's CUDA provider sorts no bytes into pixels."""
    graph = onnx.load(exported(dynamic=dynamic)[0]).graph
    readers = {node.op_type for node in graph.node if graph.input[0].name in node.input}
    assert readers - {"Shape"} == {"Cast"}  # a shape is no data
    made = {name: node for node in graph.node for name in node.output}
    assert {made[name].op_type for name in ("classes", "confidence")} == {"Cast"}
    typed = onnx.shape_inference.infer_shapes(onnx.load(exported(dynamic=dynamic)[0])).graph
    inside = [value.name for value in typed.value_info if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8]
    assert inside == []


def test_it_is_sealed(exported):
    file, spec, _ = exported()
    assert SEAL_KEY in read_metadata(file)
    assert ModelSpec.from_metadata(read_metadata(file), str(file)) == spec


def test_it_does_not_say_where_the_encoders_first_weights_lay(run, frames, tmp_path):
    network, meta = load_network(run)
    model = meta.config.model.model_copy(update={"encoder_weights": str(tmp_path / "mine.safetensors")})
    config = meta.config.model_copy(update={"model": model})
    spec, _ = export_run(run, tmp_path / "before.onnx", frames)
    meta = meta.model_copy(update={"config": config})
    save_checkpoint(tmp_path / "moved", meta, {"weights": dict(network.state_dict())})
    assert exporting._spec(tmp_path / "moved", meta, "frame", ExportOptions(), meta.size, None).model == spec.model


def test_it_tells_nothing_of_the_machine_that_made_it(exported):
    content = exported()[0].read_bytes()
    for path in (runs.ROOT, Path.home(), Path(onnx.__file__).parents[1]):
        assert str(path).encode() not in content


SIGNATURES = {
    "frame": (
        [("frame", "tensor(uint8)", [1, HEIGHT, WIDTH, 3])],
        [("classes", "tensor(uint8)", [1, HEIGHT, WIDTH]), ("confidence", "tensor(uint8)", [1, HEIGHT, WIDTH])],
    ),
    "logits": (
        [("image", "tensor(float)", [1, 3, HEIGHT, WIDTH])],
        [("logits", "tensor(float)", [1, 5, HEIGHT, WIDTH])],
    ),
    "argmax": (
        [("image", "tensor(float)", [1, 3, HEIGHT, WIDTH])],
        [("classes", "tensor(int64)", [1, HEIGHT, WIDTH, 1])],
    ),
}


@pytest.mark.parametrize("profile", SIGNATURES)
def test_each_profile_is_what_it_declares(run, frames, exported, profile):
    file, spec, parity = exported(profile)
    loaded = session(file)
    inputs, outputs = SIGNATURES[profile]
    assert [(one.name, one.type, one.shape) for one in loaded.get_inputs()] == inputs
    assert [(one.name, one.type, one.shape) for one in loaded.get_outputs()] == outputs
    declared = [
        (one.name, one.dtype.replace("float32", "float"), list(one.shape)) for one in spec.inputs + spec.outputs
    ]
    assert declared == [(name, kind[7:-1], shape) for name, kind, shape in inputs + outputs]
    assert spec.value_range == ((0.0, 255.0) if profile == "frame" else (0.0, 1.0))
    assert parity.frames == 3
    assert parity.pixels == 3 * HEIGHT * WIDTH
    assert parity.differing_without_tie == 0

    frame = np.ascontiguousarray(frames[0][:HEIGHT, :WIDTH])
    image = frame[None] if profile == "frame" else frame.transpose(2, 0, 1)[None].astype(np.float32) / 255
    answers = loaded.run(None, {inputs[0][0]: np.ascontiguousarray(image, dtype=image.dtype)})
    expected = logits(run, frame)
    classes = expected.argmax(1).numpy()
    if profile == "logits":
        np.testing.assert_allclose(answers[0], expected, atol=1e-3)
    else:
        shown = answers[0] if profile == "frame" else answers[0][..., 0]
        assert (shown != classes).mean() < 0.001
        assert len(np.unique(shown)) > 1


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def as_autoware_feeds_it(rgb_HWC):
    """What VisionPilot's common backend does: BGR, 1/255, ImageNet's mean and deviation, planes."""
    bgr_HWC = rgb_HWC[..., ::-1].astype(np.float32) / 255
    return (bgr_HWC - IMAGENET[0][::-1]) / IMAGENET[1][::-1]


def as_isaac_feeds_it(rgb_HWC):
    """What the DNN image encoder of Isaac ROS does with its defaults of 0.5 and 0.5."""
    return (rgb_HWC.astype(np.float32) / 255 - 0.5) / 0.5


@pytest.mark.parametrize(
    ("profile", "feed", "prepare"),
    [
        ("logits", Feed(*IMAGENET, bgr=True), as_autoware_feeds_it),
        ("argmax", Feed((0.5,) * 3, (0.5,) * 3), as_isaac_feeds_it),
    ],
)
def test_floats_are_taken_as_the_vehicles_stack_prepares_them(run, frames, tmp_path, profile, feed, prepare):
    file = tmp_path / "model.onnx"
    spec, _ = export_run(run, file, frames, ExportOptions(profile=profile, feed=feed))
    frame = np.ascontiguousarray(frames[0][:HEIGHT, :WIDTH])
    image_13HW = np.ascontiguousarray(prepare(frame).transpose(2, 0, 1)[None], dtype=np.float32)
    (answer,) = session(file).run(None, {"image": image_13HW})
    expected = logits(run, frame)
    if profile == "logits":
        np.testing.assert_allclose(answer, expected, atol=1e-3)
    else:
        assert (answer[..., 0] != expected.argmax(1).numpy()).mean() < 0.001
    assert (spec.color_order, spec.mean, spec.std) == ("BGR" if feed.bgr else "RGB", feed.mean, feed.std)
    plain = tmp_path / "plain.onnx"
    export_run(run, plain, frames, ExportOptions(profile=profile))
    np.testing.assert_array_equal(Segmenter(file)(frames[0]).classes, Segmenter(plain)(frames[0]).classes)


def test_bytes_are_fed_as_they_are(run, frames, tmp_path):
    with pytest.raises(SegError, match="profile 'frame' takes bytes, RGB"):
        export_run(run, tmp_path / "model.onnx", frames, ExportOptions(feed=Feed(bgr=True)))


def test_confidence_is_the_softmaxs_maximum(run, frames, exported):
    loaded = session(exported()[0])
    for frame in frames:
        fitted = np.ascontiguousarray(frame[:HEIGHT, :WIDTH])
        confidence = loaded.run(["confidence"], {"frame": fitted[None]})[0][0] / 255
        expected = logits(run, fitted).softmax(1).max(1).values[0].numpy()
        assert np.abs(confidence - expected).max() <= 0.501 / 255  # what rounding alone explains
        assert np.ptp(confidence) > 0.03


@pytest.mark.parametrize("profile", ["frame", "logits"])
def test_dynamic_takes_any_size(run, exported, profile):
    file, spec, parity = exported(profile, dynamic=True)
    assert spec.size.kind == "dynamic"
    graph = onnx.load(file).graph
    for value, tensor in zip([*graph.input, *graph.output], [*spec.inputs, *spec.outputs], strict=True):
        axes = tuple(axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim)
        assert (value.name, axes) == (tensor.name, tensor.shape)
    assert parity.frames == 4  # one more, of an odd size
    loaded = session(file)
    generator = np.random.default_rng(0)
    for height, width in [(HEIGHT, WIDTH), (64, 96), (41, 77), (150, 33)]:
        frame = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = logits(run, frame)
        if profile == "frame":
            classes, confidence = loaded.run(None, {"frame": frame[None]})
            assert classes.shape == confidence.shape == (1, height, width)
            assert (classes != expected.argmax(1).numpy()).mean() < 0.001
        else:
            image = frame.transpose(2, 0, 1)[None].astype(np.float32) / 255
            np.testing.assert_allclose(loaded.run(None, {"image": image})[0], expected, atol=1e-3)


def test_another_size(run, frames, tmp_path):
    spec, _ = export_run(
        run, tmp_path / "model.onnx", frames[:1], ExportOptions(size=(33, 50), name="small", licence="MIT")
    )
    assert session(tmp_path / "model.onnx").get_inputs()[0].shape == [1, 33, 50, 3]
    assert (spec.size.height, spec.size.width, spec.name, spec.licence) == (33, 50, "small", "MIT")
    assert spec.metrics is None  # the run's figures are of another size


def test_what_only_training_needs_is_left_out(frames, tmp_path):
    """Auxiliary classifiers and drop path; their stages are 12 and 20 channels wide, which no other filter is."""
    model = {
        "encoder": "dilated",
        "encoder_options": {"channels": [8, 8, 12, 16], "dilations": [1, 2], "drop_path": 0.9},
        "decoder": "detail",
        "decoder_options": {"channels": [8, 8, 8, 8]},
        "code_channels": 20,
        "auxiliary": True,
    }
    config = RunConfig.model_validate(runs.config(model=model))
    torch.manual_seed(0)
    network = build_network(5, config.model)
    ontology, size = load_ontology("drive"), (HEIGHT, WIDTH)
    empty = {"data": (), "data_hash": "", "config_hash": "", "versions": {}}
    meta = CheckpointMeta(run="tiny", ontology=ontology, config=config, steps=0, size=size, **empty)
    save_checkpoint(tmp_path / "best", meta, {"weights": dict(network.state_dict())})
    _, parity = export_run(tmp_path / "best", tmp_path / "model.onnx", frames)
    assert parity.differing_without_tie == 0

    graph = onnx.load(tmp_path / "model.onnx").graph
    stored = {tuple(tensor.dims) for tensor in graph.initializer}
    heads = {tuple(head.weight.shape) for head in network.auxiliary}
    assert heads == {(5, 12, 1, 1), (5, 20, 1, 1)}
    assert tuple(network.head.weight.shape) in stored
    assert not heads & stored
    assert not any("auxiliary" in tensor.name for tensor in graph.initializer)
    assert not {node.op_type for node in graph.node} & {"Dropout", "Bernoulli", "RandomUniform", "RandomUniformLike"}


class WrongClasses(FrameGraph):
    """Answers as the network does, but for a corner."""

    def forward(self, frame):
        classes, confidence = super().forward(frame)
        corner = torch.zeros_like(classes)
        corner[:, -4:, -5:] = 1
        return (classes + corner) % 5, confidence


class WrongConfidence(FrameGraph):
    """Confidence of another temperature."""

    def forward(self, frame):
        classes, confidence = super().forward(frame)
        return classes, (confidence.float() * 0.9).to(torch.uint8)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (WrongClasses, r"(19|20) of 5520 pixels differ that are no ties"),
        (
            WrongConfidence,
            r"0 of 5520 pixels differ that are no ties .*, confidence differs by up to 0\.[01]\d+ \(allowed 0\.0020",
        ),
    ],
)
def test_wrong_answers_leave_no_file(run, frames, tmp_path, monkeypatch, graph, message):
    monkeypatch.setitem(exporting.GRAPHS, "frame", graph)
    (tmp_path / "old.onnx").write_bytes(b"the old one")
    for file, overwrite in ((tmp_path / "model.onnx", False), (tmp_path / "old.onnx", True)):
        with pytest.raises(SegError, match=message) as caught:
            export_run(run, file, frames[:1], overwrite=overwrite)
        assert "does not answer as the network" in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.onnx"]
    assert (tmp_path / "old.onnx").read_bytes() == b"the old one"


def test_an_answer_of_nan_is_refused(run, exported):
    """NaN compares as neither more nor less: it must not pass for a small difference."""
    file, spec, _ = exported("logits")
    network, _ = load_network(run)
    with torch.no_grad():
        network.head.bias.fill_(float("nan"))
    frame = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    with pytest.raises(SegError, match="logits differs by up to nan"):
        check_parity(network, file, spec, [frame])


def test_a_tie_may_go_either_way(run, exported):
    """Two classes with logits closer than float32's noise are no difference; it is counted and reported."""
    file, spec, _ = exported("argmax")

    class Tied(nn.Module):
        def __init__(self, nudge):
            super().__init__()
            self.network, self.nudge = load_network(run)[0], nudge

        def forward(self, rgb):
            output = self.network(rgb)
            top, order = output.logits_BCHW.topk(2, dim=1)
            # the runner-up overtakes the winner by the nudge
            return output._replace(logits_BCHW=output.logits_BCHW.scatter(1, order[:, 1:2], top[:, :1] + self.nudge))

    flat = np.full((HEIGHT, WIDTH, 3), 100, dtype=np.uint8)
    parity = check_parity(Tied(1e-5), file, spec, [flat])
    assert parity.differing > 0.9
    assert parity.differing_without_tie == 0
    with pytest.raises(SegError, match="pixels differ that are no ties"):
        check_parity(Tied(0.01), file, spec, [flat])


def test_an_output_that_exists_is_refused(run, frames, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"mine")
    with pytest.raises(SegError, match=r"model\.onnx: exists already; give --overwrite"):
        export_run(run, tmp_path / "model.onnx", frames)
    assert (tmp_path / "model.onnx").read_bytes() == b"mine"


def test_it_needs_a_frame_and_a_run(run, frames, tmp_path):
    with pytest.raises(SegError, match="at least one real frame"):
        export_run(run, tmp_path / "model.onnx", [])
    with pytest.raises(SegError, match="no such run"):
        export_run(tmp_path / "none", tmp_path / "model.onnx", frames)
    assert list(tmp_path.iterdir()) == []


def test_absolute_paths_are_cut(tmp_path):
    data = runs.folder_data(tmp_path / "secret" / "place")
    data["val"][0] |= {
        "split_file": str(tmp_path / "secret" / "val.txt"),
        "labels": str(tmp_path / "secret" / "own.yaml"),
    }
    data["train"] = [{"kind": "camvid", "root": "${SEG_DATA}/camvid", "split": "train"}]
    portable = exporting._portable(RunConfig.model_validate(runs.config(data=data)).data)
    assert "secret" not in str(portable)
    assert portable["val"][0]["root"] == "val"
    assert portable["val"][0]["split_file"] == "val.txt"
    assert portable["val"][0]["labels"] == "own.yaml"
    assert portable["train"][0]["root"] == "${SEG_DATA}/camvid"
