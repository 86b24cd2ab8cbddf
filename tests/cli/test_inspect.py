"""`seg inspect` on runs of both kinds: the page, what it prints, and what mistakes get."""

import shutil

import numpy as np
import pytest
import runs
import torch
from media import write_video
from PIL import Image

from seg.config import PretrainConfig
from seg.data.synthetic import SyntheticScenes
from seg.model.autoencoder import Autoencoder
from seg.model.checkpoint import PretrainMeta, save_checkpoint

HEIGHT = 3 * 24 + (4 * 69 + 3 * 4 + 4) + 8 * 100
"""Of a page of resnet18's 64 filters of 7x7 pixels, 16 in a row, and 8 channels."""


@pytest.fixture
def trained(tmp_path_factory):
    return runs.trained(tmp_path_factory)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A run directory like that of `seg pretrain`, of a network that has not learned yet."""
    root = tmp_path_factory.mktemp("inspected")
    scenes = SyntheticScenes(seed=0, size=(64, 96))
    (root / "pictures").mkdir()
    for index in range(3):
        Image.fromarray(scenes.frame(index)[0]).save(root / "pictures" / f"{index}.png")
    source = {"kind": "images", "root": str(root / "pictures")}
    model = {"encoder": "resnet18", "encoder_options": {"depth": 3}, "code_channels": 8, "reconstruction_width": 16}
    config = PretrainConfig.model_validate(
        {"data": {"train": [source], "val": [source]}, "model": model, "augment": {"crop": [48, 64]}}
    )
    torch.manual_seed(0)
    about = {"run": "tiny", "steps": 4, "size": (60, 92), "data": ("images",), "data_hash": "", "config_hash": ""}
    meta = PretrainMeta(**about, versions={}, config=config)
    save_checkpoint(root / "run" / "checkpoints" / "best", meta, {"weights": Autoencoder(config.model).state_dict()})
    return root / "run"


def pixels(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.array(picture)


def test_a_run_without_reconstruction(seg, trained, tmp_path):
    code, said, _ = seg("inspect", trained, "-o", tmp_path / "new" / "a.png", "--frames", 2, "--patches", 2)
    assert code == 0
    page = pixels(tmp_path / "new" / "a.png")
    assert page.shape == (HEIGHT, 850, 3)
    line, second = said.splitlines()
    assert line.startswith(f"{tmp_path / 'new' / 'a.png'}: ")
    assert " of 64 (" in line
    assert line.endswith(" of 8 bins")
    assert "left out: the network has no reconstruction decoder" in second
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["a.png"]


def test_a_pretrained_run_decodes_and_says_the_same_each_time(seg, pretrained, tmp_path):
    code, said, _ = seg("inspect", pretrained, "--patches", 2)
    assert code == 0
    assert "left out" not in said
    page = pixels(pretrained / "inspect.png")
    assert page.shape == (HEIGHT, 850, 3)
    rows = page[HEIGHT - 8 * 100 :].reshape(8, 100, 850, 3)
    # the largest difference of each decoded picture reaches the end of the scale
    assert all(np.abs(row[:96, 350:446].astype(int) - 128).max() == 127 for row in rows)
    assert seg("inspect", pretrained, "--patches", 2, "-o", tmp_path / "b.png")[0] == 0
    np.testing.assert_array_equal(pixels(tmp_path / "b.png"), page)
    before = (pretrained / "inspect.png").read_bytes()
    code, _, error = seg("inspect", pretrained, "--patches", 1)
    assert code == 2
    assert "--overwrite" in error
    assert (pretrained / "inspect.png").read_bytes() == before
    assert seg("inspect", pretrained, "--patches", 1, "--channels", 1, "--overwrite")[0] == 0
    assert pixels(pretrained / "inspect.png").shape == (HEIGHT - 7 * 100, 850, 3)


def test_other_pictures(seg, pretrained, tmp_path):
    (tmp_path / "red" / "deep").mkdir(parents=True)
    # red on the left, noise on the right: every channel tells them apart
    picture = np.random.default_rng(0).integers(0, 256, (60, 92, 3), dtype=np.uint8)
    picture[:, :46] = (250, 0, 10)
    Image.fromarray(picture).save(tmp_path / "red" / "deep" / "a.png")
    code, _, _ = seg("inspect", pretrained, "-o", tmp_path / "a.png", "--images", tmp_path / "red")
    assert code == 0
    rows = pixels(tmp_path / "a.png")[HEIGHT - 8 * 100 :].reshape(8, 100, 850, 3)
    shown = {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist()} | {(24, 24, 24)}
    assert {tuple(pixel) for pixel in rows[:, :96, 150:246].reshape(-1, 3).tolist()} <= shown
    # of one frame there is one patch
    assert (rows[:, :96, 250:746] == 24).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--channels", 9], "has 8 channels; give at most 8"),
        (["--images", "empty"], "no pictures under"),
        (["--images", "nowhere"], "no folder"),
        (["--output", "page.jpg"], "ends with .png"),
    ],
)
def test_mistakes_get_one_line_and_leave_nothing(seg, pretrained, tmp_path, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    code, out, error = seg("inspect", pretrained, "-o", "a.png", *given)
    assert code == 2
    assert said in error
    assert error.count("\n") == 1
    assert out == ""
    assert [entry.name for entry in tmp_path.iterdir()] == ["empty"]


def test_a_folder_that_is_no_run(seg, tmp_path):
    for path, said in ((tmp_path, "holds no checkpoint"), (tmp_path / "nowhere", "no such run")):
        code, _, error = seg("inspect", path)
        assert code == 2
        assert said in error
        assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_frames_that_are_gone(seg, pretrained, tmp_path):
    pictures = pretrained.parent / "pictures"
    pictures.rename(pretrained.parent / "elsewhere")
    try:
        code, _, error = seg("inspect", pretrained, "-o", tmp_path / "a.png")
        assert code == 2
        assert f"This is where {pretrained} says" in error
        assert "--images FOLDER" in error
        found = seg("inspect", pretrained, "-o", tmp_path / "a.png", "--images", pretrained.parent / "elsewhere")
        assert found[0] == 0
    finally:
        (pretrained.parent / "elsewhere").rename(pictures)


def test_a_run_on_video(seg, pretrained, tmp_path):
    shutil.copytree(pretrained, tmp_path / "run")
    runs.put_on_video(tmp_path / "run", write_video(tmp_path / "drive.mp4", count=6, size=(64, 96)))
    code, _, error = seg("inspect", tmp_path / "run", "-o", tmp_path / "a.png")
    assert (code, error.count("\n")) == (2, 1)
    assert "--cache FOLDER" in error
    code, _, error = seg("inspect", tmp_path / "run", "-o", tmp_path / "a.png", "--cache", tmp_path / "cache")
    assert code == 0, error
    assert pixels(tmp_path / "a.png").shape[0] == HEIGHT
    code, _, error = seg("export", tmp_path / "run", "-o", tmp_path / "a.onnx")
    assert (code, error.count("\n")) == (2, 1)
    assert "--frames FOLDER" in error
    code, said, error = seg("export", tmp_path / "run", "-o", tmp_path / "a.onnx", "--cache", tmp_path / "cache")
    assert code == 0, error
    assert "real frames" in said
