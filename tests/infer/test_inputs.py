"""Inputs are never replaced, however they are written, and what is no model is not repeated with its password."""

import pytest
from media import write_video

from seg.errors import SegError
from seg.onnx_file import read_metadata


@pytest.mark.parametrize("scheme", ["", "file:", "file://", "FILE://localhost"])
def test_a_source_is_never_replaced(seg_infer, model, tmp_path, scheme):
    video = write_video(tmp_path / "mine.mp4", count=2)
    before = video.read_bytes()
    result = seg_infer(model, f"{scheme}{video}", "--overlay", video, "--overwrite")
    assert result.returncode == 2
    assert "is an input (or holds one) and is never replaced" in result.stderr
    assert video.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ["m.onnx", "rtsp://admin:SECRET@h/1", "out.mp4"],
        ["rtsp://admin:SECRET@h/1", "m.onnx"],
        ["rtsp:/admin:SECRET@h", "m.onnx"],
        ["rtsp:admin:SECRET@h", "m.onnx"],
        ["http://admin:SECRET@h/m.onnx"],
        ["rtsp:/admin:SECRET@h"],
    ],
)
def test_passwords_are_not_repeated(seg_infer, words):
    result = seg_infer(*words)
    assert result.returncode != 0
    assert "***" in result.stderr
    assert "SECRET" not in result.stderr + result.stdout
    assert len(result.stderr.splitlines()) == 1


def test_a_model_that_is_a_camera(tmp_path):
    with pytest.raises(SegError, match=r"rtsp:/\*\*\*@h/1: no such file"):
        read_metadata(type(tmp_path)("rtsp://admin:SECRET@h/1"))
