"""Loading a model: the contract is read, foreign and damaged files are refused, a provider is there or an error."""

import importlib.metadata
import warnings

import pytest
from onnx_models import make_spec, save_bands

import infer.session
from infer.session import Session
from seg.errors import SegError
from seg.onnx_file import read_metadata
from seg.runtime import cores, installed
from seg.runtime.openvino_runtime import the_core
from seg.spec import METADATA_KEY, SAFE_BITS, WEIGHT_BITS


def test_metadata_is_read_without_a_runtime(model):
    import onnx

    expected = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    assert read_metadata(model) == expected
    assert METADATA_KEY in expected


def test_contract_and_provider(model):
    session = Session(model)
    assert session.spec == make_spec(novelty=True)
    assert session.provider == "cpu"


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.5, 0.9, 0.999])
def test_truncated_file_is_refused(model, tmp_path, share):
    data = model.read_bytes()
    part = tmp_path / "part.onnx"
    part.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(
        SegError, match=r"part\.onnx: (truncated|not an ONNX file|not a model of this project)"
    ) as caught:
        Session(part)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello, this is text", b"\x89PNG\r\n\x1a\n" + bytes(50), bytes(100)])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(SegError, match="not an ONNX file"):
        Session(path)


def test_foreign_model_is_refused(tmp_path):
    path = save_bands(tmp_path / "foreign.onnx", metadata=False)
    with pytest.raises(SegError, match="not a model of this project"):
        Session(path)


def test_contract_that_does_not_fit_the_graph_is_refused(tmp_path):
    import onnx

    path = save_bands(tmp_path / "mixed.onnx", profile="logits")
    loaded = onnx.load(path)
    onnx.helper.set_model_props(loaded, make_spec("frame").to_metadata())
    onnx.save(loaded, path)
    with pytest.raises(SegError, match="contract names an input 'frame' of uint8"):
        Session(path)


def pasted(spec, path):
    """The network of brightness bands under another contract."""
    import onnx

    model = onnx.load(save_bands(path))
    onnx.helper.set_model_props(model, spec.to_metadata())
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            make_spec(size=(48, 60)),
            r"input 'frame' of uint8 \(1, 48, 60, 3\), its graph has 'frame' of uint8 \(1, 48, 64, 3\)",
        ),
        (make_spec(dynamic=True), r"input 'frame' of uint8 \(1, height, width, 3\), its graph has"),
        (
            make_spec(novelty=True),
            r"output 'novelty' of float32 \(1\), its graph has 'classes' of uint8 \(1, 48, 64\), ",
        ),
    ],
)
def test_a_contract_of_another_size_or_with_other_outputs_is_refused(tmp_path, provider, spec, message):
    pytest.importorskip(provider if provider == "openvino" else "onnxruntime")
    with pytest.raises(SegError, match=message):
        Session(pasted(spec, tmp_path / "pasted.onnx"), provider)


def test_integers_of_eight_bits_are_refused(tmp_path):
    spec = make_spec()
    integers = {"weights": "int8"}
    old = pasted(spec.model_copy(update={"network": integers}), tmp_path / "old.onnx")
    with pytest.raises(
        SegError, match=r"old\.onnx: its integers have eight bits, .*; make it again with `seg export --int8`"
    ):
        Session(old)
    new = pasted(spec.model_copy(update={"network": {**integers, WEIGHT_BITS: SAFE_BITS}}), tmp_path / "new.onnx")
    assert Session(new).choice.endswith("in int8")


def test_a_contract_that_is_no_json(tmp_path):
    import onnx

    model = onnx.load(save_bands(tmp_path / "m.onnx"))
    onnx.helper.set_model_props(model, {METADATA_KEY: "{"})
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(SegError, match=r"deploy contract cannot be read \(Invalid JSON"):
        Session(tmp_path / "m.onnx")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(SegError, match="no such file"):
        Session(tmp_path / "none.onnx")
    with pytest.raises(SegError, match="folder"):
        Session(tmp_path)


def test_unknown_provider_and_threads(model):
    with pytest.raises(SegError, match="expected one of: auto, cpu"):
        Session(model, "gpu")
    with pytest.raises(SegError, match="at least one thread"):
        Session(model, threads=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"streams": 0}, "at least one stream"),
        ({"precision": "half"}, "expected one of: float32, bfloat16, float16, int8"),
        ({"provider": "auto", "precision": "half"}, "no precision named 'half'; expected one of: float32"),
        ({"precision": "bfloat16"}, "'cpu' computes in float32 or int8; bfloat16 takes --provider openvino"),
        ({"provider": "tensorrt", "precision": "bfloat16"}, "computes in float32 or float16 or int8"),
    ],
)
def test_unknown_streams_and_precisions(model, options, message):
    with pytest.raises(SegError, match=message):
        Session(model, **options)


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
@pytest.mark.parametrize(
    ("threads", "streams", "expected"), [(None, None, cores()), (3, None, 3), (None, 1, 1), (4, 2, 2)]
)
def test_as_many_streams_as_cores_unless_told(model, provider, threads, streams, expected):
    pytest.importorskip(provider if provider == "openvino" else "onnxruntime")
    assert Session(model, provider, threads, streams).streams == expected


def test_openvino_in_a_precision_that_the_processor_has_not(model, monkeypatch):
    pytest.importorskip("openvino")
    capable = the_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    monkeypatch.setattr("seg.runtime.openvino_runtime.PRECISION_HINTS", {"bfloat16": ("BF17", "bf16")})
    assert "BF17" not in capable
    with pytest.raises(SegError, match=r"this processor has none; OpenVINO finds .*FP32"):
        Session(model, "openvino", precision="bfloat16")


class _Ort:
    """An onnxruntime that lists CUDA and loads the CPU, as the GPU build does where there is no GPU."""

    class SessionOptions:
        pass

    class InferenceSession:
        def __init__(self, *arguments, **options):
            pass

        def get_providers(self):
            return ["CPUExecutionProvider"]

    @staticmethod
    def get_available_providers():
        return ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_no_quiet_fall_back(model, monkeypatch, provider):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", _Ort)
    with pytest.raises(SegError, match=f"provider '{provider}' did not load"):
        Session(model, provider)


def test_provider_that_is_not_built_in(model, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(SegError, match="provider 'cuda' is not there"):
        Session(model, "cuda")


def test_openvino_that_is_not_installed(model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(SegError, match="openvino"):
        Session(model, "openvino")


def test_auto_takes_what_loads_and_says_so(model, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    session = Session(model, "auto")
    assert session.provider == "cpu"
    assert session.choice == (
        "auto chose cpu (cuda is not there: this ONNX Runtime was built without it; openvino is not there)"
    )


def _install(monkeypatch, *names):
    def version(name):
        if name not in names:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(installed, "version", version)


def test_both_runtimes_are_warned_of_once(model, monkeypatch):
    _install(monkeypatch, "onnxruntime", "onnxruntime-gpu")
    monkeypatch.setattr(infer.session, "_warned", False)
    with pytest.warns(UserWarning, match="both installed"):
        Session(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Session(model)


def test_no_runtime_is_said_plainly(model, monkeypatch):
    _install(monkeypatch)
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(SegError, match="ONNX Runtime is not installed"):
        Session(model)


def test_a_file_of_any_size_takes_one_frame_at_once_unless_told(tmp_path):
    model = save_bands(tmp_path / "m.onnx", dynamic=True)
    assert Session(model, streams=None).streams == 1
    assert Session(model, streams=2).streams == 2
