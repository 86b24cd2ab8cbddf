"""`seg doctor`: what really is there, found by trying."""

import json

import pytest

from seg import doctor, runtime
from seg.cli import main
from seg.runtime import installed as found


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
    report = doctor.examine()
    lines = [" ".join(line.split()) for line in doctor.as_text(report).splitlines()]
    assert f"onnxruntime {report['versions']['onnxruntime']}" in lines
    assert f"cores {report['machine']['cores']}" in lines
    assert f"openvino {report['providers']['openvino']}" in lines
    assert "libx264 encoder yes" in lines
    assert f"disk_free_gb {report['disk_free_gb']}" in lines


def test_text_report_has_words_for_what_is_not_known():
    report = {"machine": {"cpu": None, "cpu_flags": []}, "codecs": {"ffv1 encoder": False}, "problems": ["too hot"]}
    lines = [" ".join(line.split()) for line in doctor.as_text(report).splitlines()]
    assert lines == ["machine", "cpu unknown", "cpu_flags none", "codecs", "ffv1 encoder no", "PROBLEM: too hot"]


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
    monkeypatch.setattr(found, "distribution_version", installed.get)
    monkeypatch.setattr(doctor, "distribution_version", installed.get)
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert ended.value.code == 1
    assert f"PROBLEM: {said}" in capsys.readouterr().out.replace("onnxruntime and onnxruntime-gpu are ", "")


def test_a_provider_that_only_lists_itself_does_not_load(monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    assert "not there" in doctor.probe("cuda")


def test_a_provider_that_loads_and_errs_is_found_out(monkeypatch):
    class Wrong(runtime.OnnxRuntime):
        def run(self, names, feeds):
            return [answer + 1 for answer in super().run(names, feeds)]

    class Refuses(runtime.OnnxRuntime):
        def run(self, names, feeds):
            raise doctor.SegError("the network refused its input")

    assert doctor.probe("cpu") == "loads"
    monkeypatch.setattr(runtime, "OnnxRuntime", Wrong)
    assert doctor.probe("cpu") == "loads, but answers wrongly: [2.5] where [1.5] was expected"
    monkeypatch.setattr(runtime, "OnnxRuntime", Refuses)
    assert doctor.probe("cpu") == "the network refused its input"
