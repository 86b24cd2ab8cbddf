"""Buffers that stay on the device; here the device is the processor, where the same calls work."""

import numpy as np
import onnxruntime as ort
import pytest
from media import picture
from onnx_models import expected_classes, save_bands

from seg.runtime.bound import Bound


@pytest.fixture
def bound(tmp_path):
    session = ort.InferenceSession(str(save_bands(tmp_path / "m.onnx")), providers=["CPUExecutionProvider"])
    return Bound(session, "cpu")


def test_each_frame_is_answered_and_earlier_answers_stay(bound):
    frames = [np.roll(picture(0), 7 * index, axis=1)[None] for index in range(4)]
    answers = [bound.run(["classes", "confidence"], {"frame": frame}) for frame in frames]
    for frame, (classes, confidence) in zip(frames, answers, strict=True):
        np.testing.assert_array_equal(classes[0], expected_classes(frame[0]))
        assert confidence.shape == classes.shape


def test_only_what_is_asked_for(bound):
    assert len(bound.run(["confidence"], {"frame": picture(0)[None]})) == 1


def test_a_picture_that_is_not_contiguous(bound):
    frame = picture(0)[None, ::-1]
    np.testing.assert_array_equal(bound.run(["classes"], {"frame": frame})[0][0], expected_classes(frame[0]))


@pytest.mark.parametrize("wrong", [np.zeros((1, 48, 63, 3), np.uint8), np.zeros((1, 48, 64, 3), np.float32)])
def test_another_shape_or_type_is_refused(bound, wrong):
    with pytest.raises(ValueError, match=r"frame: expected uint8 of \(1, 48, 64, 3\), got"):
        bound.run(["classes"], {"frame": wrong})
