"""Reference answers: each step is the one before, continued as the contract says."""

import json

import numpy as np
import pytest
from media import picture
from onnx_models import expected_classes, save_bands

from infer import Segmenter
from infer.golden import write_golden
from seg.errors import SegError
from seg.files import sha256
from seg.frame import Frame
from seg.geometry import fit_frame, fit_map

FRAMES = [Frame(picture(index, 30, 50), index, 0, "made") for index in range(3)]


@pytest.mark.parametrize("profile", ["frame", "logits", "argmax"])
def test_each_step_follows_from_the_one_before(tmp_path, profile):
    model = save_bands(tmp_path / "m.onnx", profile)
    folders = write_golden(Segmenter(model), model, FRAMES, tmp_path / "golden", 2)
    assert [folder.name for folder in folders] == ["000", "001"]
    for folder, frame in zip(folders, FRAMES, strict=False):
        arrays = {path.stem: np.load(path) for path in folder.iterdir()}
        np.testing.assert_array_equal(arrays["frame"], frame.rgb_HWC)
        fitted = fit_frame(frame.rgb_HWC, (48, 64))
        fed = fitted[None] if profile == "frame" else fitted.transpose(2, 0, 1)[None] / np.float32(255)
        np.testing.assert_allclose(arrays["input"], fed, atol=1e-6)
        assert (arrays["input"].shape, arrays["input"].dtype) == (fed.shape, fed.dtype)
        ids = {
            "frame": lambda a: a["classes"][0],
            "logits": lambda a: a["logits"][0].argmax(0),
            "argmax": lambda a: a["ids"][0, ..., 0],
        }
        classes = ids[profile](arrays).astype(np.uint8)
        assert (classes != expected_classes(fitted)).mean() < 0.001
        np.testing.assert_array_equal(arrays["map"], fit_map(classes, (30, 50)))


def test_the_index_says_whose_they_are(tmp_path):
    model = save_bands(tmp_path / "m.onnx")
    write_golden(Segmenter(model), model, FRAMES, tmp_path / "golden", 5)
    index = json.loads((tmp_path / "golden" / "golden.json").read_text())
    assert (index["model"], index["sha256"], index["frames"]) == ("m.onnx", sha256(model), ["000", "001", "002"])
    assert index["computed_by"].startswith("cpu")
    assert list(index["allowed"]) == ["input", "classes", "confidence", "map"]


def test_every_output_has_its_tolerance(tmp_path):
    model = save_bands(tmp_path / "m.onnx", novelty=True, codes=True)
    (folder,) = write_golden(Segmenter(model), model, FRAMES, tmp_path / "golden", 1)
    assert {path.stem for path in folder.iterdir()} >= {"novelty", "code", "hash"}


def test_a_folder_of_somebody_else_stays(tmp_path):
    model = save_bands(tmp_path / "m.onnx")
    segmenter = Segmenter(model)
    write_golden(segmenter, model, FRAMES, tmp_path / "golden", 3)
    with pytest.raises(SegError, match="exists already"):
        write_golden(segmenter, model, FRAMES, tmp_path / "golden", 1)
    write_golden(segmenter, model, FRAMES, tmp_path / "golden", 1, overwrite=True)
    assert sorted(path.name for path in (tmp_path / "golden").iterdir()) == ["000", "golden.json"]
    np.save(tmp_path / "golden" / "000" / "mine.npy", np.zeros(3))
    with pytest.raises(SegError, match=r"holds '000/mine\.npy', which `seg golden` did not write"):
        write_golden(segmenter, model, FRAMES, tmp_path / "golden", 1, overwrite=True)


def test_arrays_in_numbered_folders_are_not_taken_for_its_own(tmp_path):
    model = save_bands(tmp_path / "m.onnx")
    (tmp_path / "set" / "2024").mkdir(parents=True)
    np.save(tmp_path / "set" / "2024" / "frame.npy", np.zeros(3))
    with pytest.raises(SegError, match="holds '2024', which `seg golden` did not write"):
        write_golden(Segmenter(model), model, FRAMES, tmp_path / "set", 1, overwrite=True)
    assert (tmp_path / "set" / "2024" / "frame.npy").exists()


def test_a_source_without_frames_leaves_nothing(tmp_path):
    model = save_bands(tmp_path / "m.onnx")
    with pytest.raises(SegError, match="the source has no frame"):
        write_golden(Segmenter(model), model, [], tmp_path / "golden", 1)
    assert not (tmp_path / "golden").exists()
