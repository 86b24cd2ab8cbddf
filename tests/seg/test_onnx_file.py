"""A sealed file: its graph is the one that export wrote, or nobody runs it."""

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_models import save_bands

from seg.errors import SegError
from seg.onnx_file import SEAL_KEY, read_metadata, seal
from seg.spec import METADATA_KEY


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    file = save_bands(tmp_path_factory.mktemp("sealed") / "m.onnx")
    seal(file)
    return file


def test_a_seal_is_one_entry_more(sealed, tmp_path):
    plain = save_bands(tmp_path / "m.onnx")
    assert sealed.read_bytes().startswith(plain.read_bytes())
    metadata = read_metadata(sealed)
    assert len(metadata.pop(SEAL_KEY)) == 64
    assert metadata == read_metadata(plain)
    model = onnx.load(sealed)
    onnx.checker.check_model(model)
    assert {entry.key for entry in model.metadata_props} == {METADATA_KEY, SEAL_KEY}


def test_it_outlives_tools_that_leave_the_graph_alone(sealed, tmp_path):
    model = onnx.load(sealed)
    model.metadata_props.add(key="mine", value="1")
    onnx.save(model, tmp_path / "more.onnx")
    assert read_metadata(tmp_path / "more.onnx")["mine"] == "1"


def test_a_changed_contract_is_found(sealed, tmp_path):
    content = sealed.read_bytes()
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(content.replace(b'"name":"pole"', b'"name":"sole"'))
    assert changed.read_bytes() != content
    with pytest.raises(SegError, match="network or contract is not the one"):
        read_metadata(changed)


def test_a_changed_weight_is_found(sealed, tmp_path):
    model = onnx.load(sealed)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "scale")
    weight.raw_data = bytes([weight.raw_data[0] ^ 1, *weight.raw_data[1:]])
    changed = tmp_path / "changed.onnx"
    onnx.save(model, changed)
    with pytest.raises(SegError, match=r"changed\.onnx: its network or contract is not the one"):
        read_metadata(changed)
    del model.metadata_props[[entry.key for entry in model.metadata_props].index(SEAL_KEY)]
    onnx.save(model, changed)
    assert METADATA_KEY in read_metadata(changed)  # what the message says to do where the change is wanted


@given(st.data())
def test_any_flipped_bit_of_the_graph_is_found(sealed, data):
    content = bytearray(sealed.read_bytes())
    graph = onnx.load(sealed).graph.SerializeToString()
    start = bytes(content).index(graph)
    place = data.draw(st.integers(start, start + len(graph) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    damaged = sealed.with_name("damaged.onnx")
    damaged.write_bytes(content)
    with pytest.raises(SegError, match="damaged"):
        read_metadata(damaged)
