"""`seg contract` and `seg golden`: what a file says, and what it answers, for programs of one's own."""

import json

import onnx
import runs
from media import picture, write_video
from onnx_models import make_spec, save_bands
from PIL import Image

from seg.spec import METADATA_KEY, ModelSpec


def test_the_contract_is_printed_as_json(tmp_path):
    model = save_bands(tmp_path / "m.onnx")
    ended = runs.seg(tmp_path, "contract", model)
    assert ended.code == 0, ended.stderr
    assert ModelSpec.model_validate_json(ended.stdout) == make_spec()
    assert json.loads(ended.stdout)["size"]["map"] == "nearest, (2 * i + 1) * n // (2 * m)"


def test_what_it_does_not_know_is_printed_too(tmp_path):
    model = onnx.load(save_bands(tmp_path / "m.onnx"))
    contract = {**json.loads(make_spec().model_dump_json()), "later": [1]}
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(contract)})
    onnx.save(model, tmp_path / "newer.onnx")
    assert json.loads(runs.seg(tmp_path, "contract", tmp_path / "newer.onnx").stdout) == contract


def test_golden_tells_of_frames_that_cannot_be_read(tmp_path):
    model, frames = save_bands(tmp_path / "m.onnx"), tmp_path / "frames"
    frames.mkdir()
    Image.fromarray(picture(0, 30, 50)).save(frames / "0.png")
    (frames / "1.png").write_bytes(b"no")
    ended = runs.seg(tmp_path, "golden", model, frames, "-o", tmp_path / "golden")
    assert ended.code == 2
    assert "1 of 2 images could not be read" in ended.stderr
    assert "golden holds the 1 frames that could be read" in ended.stderr


def test_a_shipped_networks_contract_says_how_it_is_built(tmp_path):
    contract = json.loads(runs.seg(tmp_path, "contract", "drive").stdout)
    assert contract["name"] == "drive"
    assert contract["model"]["encoder"] == "dilated"


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"no")
    ended = runs.seg(tmp_path, "contract", tmp_path / "m.onnx")
    assert (ended.code, ended.stdout) == (2, "")
    assert "not an ONNX file" in ended.stderr


def test_golden_takes_a_video_and_spares_its_inputs(tmp_path):
    model, video = save_bands(tmp_path / "m.onnx"), write_video(tmp_path / "drive.mp4", count=3)
    ended = runs.seg(tmp_path, "golden", model, video, "-o", tmp_path / "golden", "--frames", 2)
    assert ended.code == 0, ended.stderr
    assert "golden: 2 frames" in ended.stdout
    assert sorted(path.name for path in (tmp_path / "golden").iterdir()) == ["000", "001", "golden.json"]
    frames = tmp_path / "frames"
    frames.mkdir()
    Image.fromarray(picture(0, 30, 50)).save(frames / "0.png")
    ended = runs.seg(tmp_path, "golden", model, frames, "-o", frames, "--overwrite")
    assert ended.code == 2
    assert "never replaced" in ended.stderr
    assert (frames / "0.png").exists()
