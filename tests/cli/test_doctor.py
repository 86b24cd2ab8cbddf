"""`seg doctor`: what really is there, found by trying."""

import json

import pytest

from seg import doctor, runtime
from seg.cli import main


def test_json_report(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json"])
    assert not ended.value.code
    report = json.loads(capsys.readouterr().out)
    assert report["versions"]["numpy"]
    assert report["providers"]["cpu"] == "loads"
    assert report["codecs"] == dict.fromkeys(["libx264 encoder", "ffv1 encoder", "h264 decoder", "hevc decoder"], True)
    assert report["machine"]["cores"] >= 1
    assert report["disk_free_gb"] > 0


def test_text_report():
    text = doctor.as_text(doctor.examine())
    for word in ("python", "onnxruntime", "openvino", "cores", "disk_free_gb"):
        assert word in text
    assert "None" not in text


def test_the_tiny_model_is_a_model():
    onnx = pytest.importorskip("onnx")
    onnx.checker.check_model(onnx.load_from_string(doctor.TINY_ONNX), full_check=True)


@pytest.mark.parametrize(
    ("installed", "said"),
    [
        ({"onnxruntime": "1", "onnxruntime-gpu": "1"}, "both installed"),
        ({}, "ONNX Runtime is not installed"),
        ({"onnxruntime": "1", "opencv-python": "1", "opencv-python-headless": "1"}, "opencv-python"),
    ],
)
def test_problems_are_said_and_counted(monkeypatch, capsys, installed, said):
    monkeypatch.setattr(runtime, "distribution_version", installed.get)
    monkeypatch.setattr(doctor, "distribution_version", installed.get)
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert ended.value.code == 1
    assert f"PROBLEM: {said}" in capsys.readouterr().out.replace("onnxruntime and onnxruntime-gpu are ", "")


def test_a_provider_that_only_lists_itself_does_not_load(monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    assert "not there" in doctor.probe("cuda")
