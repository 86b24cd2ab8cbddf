"""An engine is found again only where all that it depends on is the same."""

import json

import pytest

from seg.errors import SegError
from seg.runtime import engines
from seg.runtime.engines import cache_home, engine_folder
from seg.runtime.ort import _options


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("SEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(engines, "_gpus", lambda: ["A, 9.0, 580"])
    path = tmp_path / "m.onnx"
    path.write_bytes(b"weights")
    return path


def test_the_same_network_wherever_it_lies(model, tmp_path):
    folder = engine_folder(model, "float16")
    assert folder.parent == tmp_path / "cache" / "tensorrt"
    (tmp_path / "moved.onnx").write_bytes(b"weights")
    assert engine_folder(tmp_path / "moved.onnx", "float16") == folder
    key = json.loads((folder / "key.json").read_text())
    assert (key["precision"], key["gpus"]) == ("float16", ["A, 9.0, 580"])


def test_another_network_precision_rounding_gpu_or_version_is_another_engine(model, monkeypatch):
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    folders = [engine_folder(model, "float32"), engine_folder(model, "float16")]
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    folders.append(engine_folder(model, "float32"))
    monkeypatch.setattr(engines, "_gpus", lambda: ["B, 10.0, 580"])
    folders.append(engine_folder(model, "float32"))
    monkeypatch.setattr(engines, "distribution_version", lambda name: "99")
    folders.append(engine_folder(model, "float32"))
    model.write_bytes(b"weightz")  # the same name and size
    folders.append(engine_folder(model, "float32"))
    assert len(set(folders)) == 6


def test_the_options_of_each_precision(model):
    assert _options(model, "cuda", "float32") == {"use_tf32": "0"}  # whose products keep ten bits
    assert _options(model, "cpu", "float32") == {}
    for precision, flags in (("float32", (False, False)), ("float16", (True, False)), ("int8", (False, True))):
        options = _options(model, "tensorrt", precision)
        assert (options["trt_fp16_enable"], options["trt_int8_enable"]) == flags
        assert options["trt_engine_cache_path"] == str(engine_folder(model, precision))
    assert "trt_engine_cache_path" not in _options(b"bytes", "tensorrt", "float32")


def test_a_folder_that_cannot_be_made(model, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEG_CACHE", str(tmp_path / "file"))
    with pytest.raises(SegError, match=r"cannot be kept there .* set SEG_CACHE"):
        engine_folder(model, "float32")


def test_caches_are_where_the_system_has_them(monkeypatch, tmp_path):
    monkeypatch.delenv("SEG_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_home() == tmp_path / "segmentation-autoencoder"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_home() == tmp_path / ".cache" / "segmentation-autoencoder"


def test_gpus_are_asked_of_the_drivers_own_tool(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H200, 9.0, 580.1'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert engines._gpus() == ["NVIDIA H200, 9.0, 580.1"]
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert engines._gpus() == []
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert engines._gpus() == []
