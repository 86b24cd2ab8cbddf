"""The deploy contract between versions of this program."""

import json

import pytest
from onnx_models import make_spec

from seg.errors import SegError
from seg.spec import METADATA_KEY, ModelSpec


def read(**changes):
    contract = json.loads(make_spec().model_dump_json())
    return ModelSpec.from_metadata({METADATA_KEY: json.dumps(contract | changes)}, "m.onnx")


def test_it_comes_back_as_it_was():
    assert read() == make_spec()


def test_what_a_newer_program_adds_is_left_alone():
    size = json.loads(make_spec().size.model_dump_json())
    assert read(later=1, size={**size, "later": 2}) == make_spec()


def test_what_an_older_program_did_not_say_has_the_meaning_of_then():
    assert read(size={"kind": "fixed", "height": 48, "width": 64}) == make_spec()


def test_another_version_asks_for_a_newer_program():
    with pytest.raises(
        SegError, match=r"m\.onnx: .*version.* a newer segmentation-autoencoder wrote it, upgrade this one"
    ):
        read(version=2)


def test_what_makes_no_sense_asks_for_another_export():
    with pytest.raises(SegError, match=r"m\.onnx: .*profile.* export it again"):
        read(profile="frames")


def test_another_way_to_fit_frames_is_refused():
    size = {**json.loads(make_spec().size.model_dump_json()), "frame": "letterboxed"}
    with pytest.raises(SegError, match=r"size\.frame"):
        read(size=size)
