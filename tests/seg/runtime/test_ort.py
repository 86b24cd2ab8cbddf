"""CUDA graphs: recorded where the runtime takes it, left out where not. The processor stands in for the GPU here."""

import numpy as np
import onnxruntime as ort
import pytest
from media import picture
from onnx_models import expected_classes, save_bands

from seg.errors import SegError
from seg.runtime import bound
from seg.runtime import ort as runtime
from seg.runtime.ort import RECORDING, OnnxRuntime

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
FLOAT32 = {"use_tf32": "0"}


@pytest.fixture
def made(monkeypatch):
    """Sessions that were asked for, as their CUDA options; they run on the processor and say that it is a GPU."""
    asked = []

    class Session(ort.InferenceSession):
        refuses: frozenset[str] = frozenset()

        def __init__(self, source, options, providers, enable_fallback):
            name, how = providers[0]
            asked.append(how)
            self.others = providers[1:]
            self.runs = 0
            if how.keys() & self.refuses:
                raise RuntimeError("This session cannot use the graph capture feature")
            super().__init__(source, options, providers=["CPUExecutionProvider"])
            self.name = name

        def get_providers(self):
            return [self.name]

        def run_with_iobinding(self, binding, run_options=None):
            self.runs += 1
            if "recording" in self.refuses and self.runs == RECORDING and "enable_cuda_graph" in asked[-1]:
                raise RuntimeError("operation not permitted when stream is capturing")
            super().run_with_iobinding(binding, run_options)

    monkeypatch.setattr(ort, "InferenceSession", Session)
    monkeypatch.setattr(ort, "get_available_providers", lambda: [TENSORRT, CUDA])
    monkeypatch.setattr(runtime, "Bound", lambda session, device: bound.Bound(session, "cpu"))
    return asked, Session


def load(path, streams=1, fixed=True, provider="cuda"):
    return OnnxRuntime(path, provider=provider, threads=1, streams=streams, precision="float32", fixed=fixed)


def check(network):
    frame = picture(0)
    np.testing.assert_array_equal(network.run(["classes"], {"frame": frame[None]})[0][0], expected_classes(frame))


def test_a_graph_of_one_size_is_recorded_before_the_first_frame(made, tmp_path):
    asked, _ = made
    network = load(save_bands(tmp_path / "m.onnx"))
    assert asked == [{**FLOAT32, "enable_cuda_graph": "1"}]
    assert network._session.runs == RECORDING
    check(network)


@pytest.mark.parametrize("refused", ["enable_cuda_graph", "recording"])
def test_where_it_cannot_be_recorded_it_runs_without(made, tmp_path, refused):
    asked, session = made
    session.refuses = frozenset({refused})
    network = load(save_bands(tmp_path / "m.onnx"))
    assert asked == [{**FLOAT32, "enable_cuda_graph": "1"}, FLOAT32]
    assert network._session.runs == 0
    check(network)


@pytest.mark.parametrize("how", [{"streams": 2}, {"fixed": False}])
def test_several_frames_at_once_or_any_size_are_not_recorded(made, tmp_path, how):
    asked, _ = made
    check(load(save_bands(tmp_path / "m.onnx"), **how))
    assert asked == [FLOAT32]


def test_what_tensorrt_leaves_to_cuda_is_float32_too(made, tmp_path, monkeypatch):
    monkeypatch.setenv("SEG_CACHE", str(tmp_path))
    network = load(save_bands(tmp_path / "m.onnx"), provider="tensorrt")
    assert network._session.others == [(CUDA, FLOAT32), "CPUExecutionProvider"]


def test_a_model_that_cannot_be_loaded_at_all_is_said(made, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(SegError, match=r"broken.onnx: ONNX Runtime \(cuda\) cannot load it"):
        load(tmp_path / "broken.onnx")
