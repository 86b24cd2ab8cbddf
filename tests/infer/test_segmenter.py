"""The library's front door: frames of any size in, answers of that size out."""

import numpy as np
import onnx
import pytest
from media import picture
from onnx import numpy_helper
from onnx_models import expected_classes, make_spec, save_bands

from infer import Segmenter, open_source
from seg import shipped
from seg.errors import SegError
from seg.frame import Frame
from seg.geometry import fit_frame, fit_map


def test_frame_profile(segmenter):
    rgb = picture(4)
    answer = segmenter(rgb)
    np.testing.assert_array_equal(answer.classes, expected_classes(rgb))
    assert (answer.classes.dtype, answer.confidence.dtype) == (np.uint8, np.uint8)
    assert answer.confidence.shape == (48, 64)
    assert answer.novelty == pytest.approx(rgb.mean(), abs=0.01)
    assert set(answer.timings) == {"preprocess", "network", "postprocess"}
    assert segmenter.spec.as_ontology().names[1] == "road"


@pytest.mark.parametrize("size", [(48, 64), (96, 128), (31, 17), (1, 1), (200, 7)])
def test_any_size(segmenter, size):
    rgb = picture(2, *size)
    answer = segmenter(rgb)
    assert answer.classes.shape == answer.confidence.shape == size
    np.testing.assert_array_equal(answer.classes, fit_map(expected_classes(fit_frame(rgb, (48, 64))), size))


def test_views_and_frames_are_taken(segmenter):
    rgb = picture(1)
    flipped = rgb[:, ::-1]
    np.testing.assert_array_equal(segmenter(flipped).classes, expected_classes(flipped))
    np.testing.assert_array_equal(segmenter(Frame(rgb, 0, 0, "test")).classes, expected_classes(rgb))


@pytest.mark.parametrize("profile", ["frame", "argmax", "logits"])
def test_a_class_that_the_contract_does_not_know_is_refused(tmp_path, profile):
    model = onnx.load(save_bands(tmp_path / "m.onnx", profile))
    spec = make_spec(profile)
    onnx.helper.set_model_props(model, spec.model_copy(update={"classes": spec.classes[:4]}).to_metadata())
    onnx.save(model, tmp_path / "m.onnx")
    segmenter = Segmenter(tmp_path / "m.onnx", threads=1)
    segmenter(np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(SegError, match="the network answers class 4, its contract knows 4; export it again"):
        segmenter(np.full((48, 64, 3), 255, np.uint8))


@pytest.mark.parametrize("profile", ["frame", "argmax", "logits"])
@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_profiles_and_providers_agree(tmp_path, profile, provider):
    if provider == "openvino":
        pytest.importorskip("openvino")
    segmenter = Segmenter(save_bands(tmp_path / "m.onnx", profile), provider, threads=1)
    rgb = picture(5)
    answer = segmenter(rgb)
    assert (
        answer.classes != expected_classes(rgb)
    ).mean() < 0.005  # a value on the edge of a band may round either way
    assert (answer.confidence is None) == (profile == "argmax")
    assert (answer.novelty, answer.code, answer.hash) == (None, None, None)


def test_codes_and_hashes_are_answered(tmp_path):
    rgb = picture(4)
    answer = Segmenter(save_bands(tmp_path / "m.onnx", codes=True), threads=1)(rgb)
    np.testing.assert_allclose(answer.code, rgb.mean((0, 1)), rtol=1e-5)
    assert (answer.code.dtype, answer.code.shape) == (np.float32, (3,))
    assert answer.hash == int(rgb.mean())
    assert answer.novelty is None


def test_dynamic_size_is_not_resized(tmp_path):
    segmenter = Segmenter(save_bands(tmp_path / "m.onnx", dynamic=True), threads=1)
    rgb = picture(3, 33, 21)
    np.testing.assert_array_equal(segmenter(rgb).classes, expected_classes(rgb))


@pytest.mark.parametrize(
    ("frame", "got"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4), np.uint8), r"\(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        ("frame.png", "str"),
    ],
)
def test_another_array_is_refused(segmenter, frame, got):
    with pytest.raises(SegError, match=rf"expected a uint8 RGB array of shape \(H, W, 3\), got .*{got}"):
        segmenter(frame)


def test_stream(segmenter, video):
    with open_source(video) as source:
        answers = list(segmenter.stream(source))
    assert [frame.index for frame, _ in answers] == list(range(12))
    for frame, answer in answers:
        np.testing.assert_array_equal(answer.classes, expected_classes(frame.rgb_HWC))
        assert answer.timings["decode"] >= 0


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_threads_at_once_answer_as_one_alone(tmp_path, provider):
    pytest.importorskip(provider if provider == "openvino" else "onnxruntime")
    model = save_bands(tmp_path / "m.onnx")
    one, several = Segmenter(model, provider), Segmenter(model, provider, streams=3)
    pictures = [np.roll(picture(0), 5 * index, axis=1) for index in range(30)]
    frames = [Frame(rgb, index, 0, "made") for index, rgb in enumerate(pictures)]
    for frame, answer in several.stream(frames):
        np.testing.assert_array_equal(answer.classes, one(frame).classes)
        np.testing.assert_array_equal(answer.confidence, one(frame).confidence)


def test_answers_do_not_share_memory(tmp_path):
    segmenter = Segmenter(save_bands(tmp_path / "m.onnx"), threads=1)
    first = segmenter(picture(0))
    before = first.classes.copy()
    segmenter(255 - picture(0))
    np.testing.assert_array_equal(first.classes, before)


def test_shipped_networks_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    save_bands(tmp_path / "drive.onnx", size=(48, 64))
    save_bands(tmp_path / "camvid11.onnx", size=(24, 32))
    assert Segmenter(threads=1).spec.size.height == 48
    assert Segmenter("camvid11", threads=1).spec.size.height == 24
    with pytest.raises(SegError, match="no shipped network of that name; did you mean 'camvid11'"):
        Segmenter("camvid")


@pytest.mark.parametrize("profile", ["frame", "logits"])
def test_answers_that_are_no_numbers_are_refused(tmp_path, profile):
    model = onnx.load(save_bands(tmp_path / "whole.onnx", profile))
    (scale,) = (tensor for tensor in model.graph.initializer if tensor.name == "scale")
    scale.CopyFrom(numpy_helper.from_array(np.float32("nan"), "scale"))
    onnx.save(model, tmp_path / "nan.onnx")
    what = "confidence" if profile == "frame" else "logits"
    with pytest.raises(SegError, match=rf"bands: the network answers what is no number \(NaN or infinite {what}\)"):
        Segmenter(tmp_path / "nan.onnx", threads=1)(picture(3))
