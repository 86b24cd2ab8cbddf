"""Weights stored as float16: half the file, the same float32 computation, and a check of what rounding changed."""

import numpy as np
import onnx
import pytest
import runs
from onnx import TensorProto, helper, numpy_helper

from export import ExportOptions, export_run
from export import onnx_file as exporting
from export.storage import SMALL, store_as_float16
from infer import Segmenter
from seg.errors import SegError


@pytest.fixture(scope="module")
def files(run, frames, tmp_path_factory):
    """One network, stored both ways; the parity found and the contract of each."""
    folder = tmp_path_factory.mktemp("stored")
    return {
        weights: (
            folder / f"{weights}.onnx",
            *export_run(run, folder / f"{weights}.onnx", frames, ExportOptions(weights=weights)),
        )
        for weights in ("float32", "float16")
    }


def weights_of(file):
    return {
        tensor.name.removesuffix(".float16"): numpy_helper.to_array(tensor)
        for tensor in onnx.load(file).graph.initializer
        if tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16)
    }


def test_the_contract_says_how_they_are_stored(files):
    for weights, (_, spec, _) in files.items():
        assert spec.network["weights"] == weights


def test_large_tensors_are_half_the_size_and_rounded_once(files):
    plain, stored = weights_of(files["float32"][0]), weights_of(files["float16"][0])
    assert plain.keys() == stored.keys()
    large = {name for name, values in plain.items() if values.size >= SMALL}
    assert large
    assert {name for name, values in stored.items() if values.dtype == np.float16} == large
    for name, values in plain.items():
        np.testing.assert_array_equal(stored[name], values.astype(stored[name].dtype))
    assert files["float16"][0].stat().st_size < 0.6 * files["float32"][0].stat().st_size


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_it_computes_in_float32(files, frames, tmp_path, provider):
    """The answers are those of a float32 file whose weights hold the rounded values."""
    if provider == "openvino":
        pytest.importorskip("openvino")
    stored, rounded = weights_of(files["float16"][0]), onnx.load(files["float32"][0])
    for tensor in rounded.graph.initializer:
        if tensor.name in stored:
            tensor.CopyFrom(numpy_helper.from_array(stored[tensor.name].astype(np.float32), tensor.name))
    onnx.helper.set_model_props(rounded, files["float32"][1].to_metadata())  # and no seal: the weights are others
    onnx.save(rounded, tmp_path / "rounded.onnx")
    both = [Segmenter(file, provider, threads=1) for file in (files["float16"][0], tmp_path / "rounded.onnx")]
    for frame in frames:
        ours, theirs = (segmenter(frame) for segmenter in both)
        np.testing.assert_array_equal(ours.classes, theirs.classes)
        np.testing.assert_array_equal(ours.confidence, theirs.confidence)


def test_parity_is_with_the_network_that_was_trained(files):
    exact, rounded = files["float32"][2], files["float16"][2]
    assert exact.differing_without_tie == 0
    assert rounded.pixels == exact.pixels
    assert rounded.differing_without_tie <= 0.001
    assert rounded.value > 0


def test_rounding_that_changes_too_much_leaves_no_file(run, frames, tmp_path, monkeypatch):
    def store_as_one_digit(file):
        model = onnx.load(file)
        for tensor in model.graph.initializer:
            if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= SMALL:
                values = numpy_helper.to_array(tensor)
                step = np.abs(values).max() / 4
                tensor.CopyFrom(numpy_helper.from_array(np.round(values / step) * step, tensor.name))
        onnx.save(model, file)

    monkeypatch.setattr(exporting, "store_as_float16", store_as_one_digit)
    with pytest.raises(SegError, match=r"does not answer as the network: \d+ of \d+ pixels .*\(allowed 0\.1%\)"):
        export_run(run, tmp_path / "model.onnx", frames, ExportOptions(weights="float16"))
    assert list(tmp_path.iterdir()) == []


def test_what_float16_cannot_hold_stays_float32(tmp_path):
    values = {"fits": np.full(SMALL, 6e4, np.float32), "too_large": np.full(SMALL, 7e4, np.float32)}
    graph = helper.make_graph(
        [helper.make_node("Add", list(values), ["sum"])],
        "sum",
        [],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [SMALL])],
        [numpy_helper.from_array(array, name) for name, array in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), tmp_path / "sum.onnx")
    store_as_float16(tmp_path / "sum.onnx")
    kinds = {name: array.dtype for name, array in weights_of(tmp_path / "sum.onnx").items()}
    assert kinds == {"fits": np.float16, "too_large": np.float32}
    onnx.checker.check_model(str(tmp_path / "sum.onnx"), full_check=True)


def test_the_command_line_takes_float16(run, tmp_path):
    ended = runs.seg(tmp_path, "export", run, "-o", tmp_path / "model.onnx", "--weights", "float16")
    assert ended.code == 0, ended.stderr
    assert any(values.dtype == np.float16 for values in weights_of(tmp_path / "model.onnx").values())
    ended = runs.seg(tmp_path, "export", run, "-o", tmp_path / "other.onnx", "--weights", "int8")
    assert (ended.code, ended.stderr) == (2, "seg: --weights: expected float32 or float16, got 'int8'\n")
