"""`seg compress` and `seg decompress` on runs of both kinds: files, what is printed, and what mistakes get."""

import re
import shutil

import numpy as np
import pytest
import runs
import torch
from media import write_video
from PIL import Image

from seg.classes import load_ontology
from seg.config import PretrainConfig, RunConfig
from seg.data.synthetic import SyntheticScenes
from seg.model.autoencoder import Autoencoder
from seg.model.checkpoint import CheckpointMeta, PretrainMeta, save_checkpoint
from seg.model.network import build_network

ENCODER = {"encoder": "resnet18", "encoder_options": {"depth": 3}, "code_channels": 8, "reconstruction_width": 16}
ABOUT = {
    "run": "tiny", "steps": 4, "size": (60, 92), "data": ("images",), "data_hash": "", "config_hash": "", "versions": {},
}  # fmt: skip


def settled(network, root):
    """The weights of a network whose batch norms know the pictures, so that its answers differ from place to place."""
    pictures = [np.array(Image.open(path)) for path in sorted((root / "pictures").iterdir())]
    with torch.no_grad():
        for _ in range(20):
            network.train()(torch.tensor(np.stack(pictures)).permute(0, 3, 1, 2))
    return network.state_dict()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Pictures, and run directories like those of `seg pretrain` and `seg train`, of networks that were not trained."""
    root = tmp_path_factory.mktemp("compressed")
    scenes = SyntheticScenes(seed=0, size=(64, 96))
    (root / "pictures").mkdir()
    for index in range(3):
        Image.fromarray(scenes.frame(index)[0]).save(root / "pictures" / f"{index}.png")
    source = {"kind": "images", "root": str(root / "pictures")}
    common = {"data": {"train": [source], "val": [source]}, "augment": {"crop": [48, 64]}}
    pretraining = PretrainConfig.model_validate({**common, "model": ENCODER})
    torch.manual_seed(0)
    weights = {"weights": settled(Autoencoder(pretraining.model), root)}
    save_checkpoint(root / "fresh" / "checkpoints" / "best", PretrainMeta(**ABOUT, config=pretraining), weights)
    shutil.copytree(root / "fresh", root / "pre")
    model = {**ENCODER, "decoder": "linknet", "decoder_options": {"channels": 8}, "reconstruction": True}
    training = RunConfig.model_validate({**common, "model": model})
    weights = {"weights": settled(build_network(5, training.model), root)}
    meta = CheckpointMeta(**ABOUT, ontology=load_ontology("drive"), config=training)
    save_checkpoint(root / "seg" / "checkpoints" / "best", meta, weights)
    return root


@pytest.fixture
def pre(home, tmp_path):
    """A copy of the run of `seg pretrain` that nothing was done with."""
    shutil.copytree(home / "fresh", tmp_path / "runs" / "pre")
    return tmp_path / "runs" / "pre"


@pytest.fixture
def frame(home):
    return home / "pictures" / "1.png"


def test_there_and_back(seg, pre, frame, tmp_path):
    code, said, _ = seg("compress", pre, frame, "-o", tmp_path / "new" / "frame.code")
    assert code == 0
    measured, line = said.splitlines()
    axes = pre / "checkpoints" / "best" / "coding.safetensors"
    assert measured == f"{axes}: how the codes of 3 frames are distributed; who decompresses needs it too"
    assert axes.is_file()
    size = (tmp_path / "new" / "frame.code").stat().st_size
    found = re.fullmatch(r"(.*): ([\d,]+) bytes, ([\d.]+) bits a pixel; decompressed, its PSNR is ([\d.]+) dB", line)
    assert found[1] == str(tmp_path / "new" / "frame.code")
    assert int(found[2].replace(",", "")) == size
    assert float(found[3]) == pytest.approx(8 * size / (64 * 96), abs=0.001)

    code, said, _ = seg("decompress", pre, tmp_path / "new" / "frame.code", "-o", tmp_path / "new" / "frame.png")
    assert code == 0
    assert said == f"{tmp_path / 'new' / 'frame.png'}: 96x64\n"
    with Image.open(tmp_path / "new" / "frame.png") as picture, Image.open(frame) as original:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (96, 64))
        error = np.square(np.asarray(picture, dtype=float) - np.asarray(original, dtype=float)).mean()
    assert 10 * np.log10(255**2 / error) == pytest.approx(float(found[4]), abs=0.01)
    assert sorted(entry.name for entry in (tmp_path / "new").iterdir()) == ["frame.code", "frame.png"]


def test_the_second_time_nothing_is_measured(seg, pre, home, frame, tmp_path):
    seg("compress", pre, frame, "-o", tmp_path / "a.code")
    code, said, _ = seg("compress", pre, frame, "-o", tmp_path / "b.code")
    assert code == 0
    assert said.count("\n") == 1
    assert (tmp_path / "a.code").read_bytes() == (tmp_path / "b.code").read_bytes()
    assert seg("compress", pre, frame, "-o", tmp_path / "c.code", "--step", 0.1)[0] == 0
    assert (tmp_path / "c.code").stat().st_size > 2 * (tmp_path / "b.code").stat().st_size
    code, _, error = seg("compress", pre, frame, "-o", tmp_path / "d.code", "--images", home / "pictures")
    assert code == 2
    assert "measured already" in error


def test_the_class_map(seg, home, frame, tmp_path):
    run = home / "seg"
    assert seg("compress", run, frame, "-o", tmp_path / "a.code", "--step", 1)[0] == 0
    code, said, _ = seg(
        "decompress", run, tmp_path / "a.code", "-o", tmp_path / "a.png", "--classes", tmp_path / "classes.png"
    )
    assert code == 0
    assert said.splitlines()[1] == f"{tmp_path / 'classes.png'}: the classes of drive"
    with Image.open(tmp_path / "classes.png") as picture:
        assert (picture.mode, picture.size) == ("P", (96, 64))
        assert set(np.unique(np.asarray(picture))) <= set(range(5))
        palette_C3 = np.array(picture.getpalette()[:15]).reshape(5, 3)
    np.testing.assert_array_equal(palette_C3, load_ontology("drive").palette_C3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["{pre}", "{frame}", "-o", "a.code", "--step", "0"], "expected 0.1 (fine) to 100 (coarse), got 0"),
        (["{pre}", "{frame}", "-o", "taken"], "exists already; give --overwrite"),
        (["{pre}", "nothing.png", "-o", "a.code"], "nothing.png: no such file"),
        (["{pre}", "taken", "-o", "a.code"], "taken: cannot be read as a picture"),
        (["{pre}", "{frame}", "-o", "{frame}", "--overwrite"], "is an input and is never replaced"),
        (["nowhere", "{frame}", "-o", "a.code"], "nowhere: no such run"),
        (["{pre}", "{frame}", "-o", "a.code", "--images", "empty"], "no pictures under"),
    ],
)
def test_mistakes_in_compressing_get_one_line(seg, pre, frame, tmp_path, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "empty").mkdir()
    before = frame.read_bytes()
    code, _, error = seg("compress", *(word.format(pre=pre, frame=frame) for word in given))
    assert code == 2
    assert said in error
    assert error.count("\n") == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["empty", "runs", "taken"]
    assert (tmp_path / "taken").read_text() == "mine"
    assert frame.read_bytes() == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["{pre}", "a.code", "-o", "a.jpg"], "ends with .png"),
        (["{pre}", "a.code", "-o", "a.png", "--classes", "b.png"], "knows no classes"),
        (["{seg}", "a.code", "-o", "a.png", "--classes", "a.png"], "named for two outputs"),
        (["{seg}", "a.code", "-o", "a.png"], "made by another model"),
        (["{pre}", "cut.code", "-o", "a.png"], "cut.code: is cut short or damaged"),
        (["{pre}", "a.txt", "-o", "a.png"], "a.txt: is no frame's code"),
        (["{pre}", "b.code", "-o", "a.png"], "b.code: no such file"),
    ],
)
def test_mistakes_in_decompressing_get_one_line(seg, home, frame, tmp_path, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    for run in ("pre", "seg"):
        assert seg("compress", home / run, frame, "-o", "a.code", "--overwrite")[0] == 0
    assert seg("compress", home / "pre", frame, "-o", "a.code", "--overwrite")[0] == 0
    (tmp_path / "cut.code").write_bytes((tmp_path / "a.code").read_bytes()[:-10])
    (tmp_path / "a.txt").write_text("mine")
    code, _, error = seg("decompress", *(word.format(pre=home / "pre", seg=home / "seg") for word in given))
    assert code == 2
    assert said in error
    assert error.count("\n") == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.code", "a.txt", "cut.code"]


def test_a_run_that_was_not_prepared_or_does_not_reconstruct(seg, pre, home, frame, tmp_path, tmp_path_factory):
    assert seg("compress", home / "pre", frame, "-o", tmp_path / "a.code")[0] == 0
    code, _, error = seg("decompress", pre, tmp_path / "a.code", "-o", tmp_path / "a.png")
    assert code == 2
    assert "coding.safetensors: is not there; the first `seg compress` of a run makes it" in error
    trained = runs.trained(tmp_path_factory)
    for words in (("compress", trained, frame, "-o", "b"), ("decompress", trained, tmp_path / "a.code", "-o", "b.png")):
        code, _, error = seg(*words[:-1], tmp_path / words[-1])
        assert code == 2
        assert "has no reconstruction decoder" in error
        assert error.count("\n") == 1
    assert not list(trained.rglob("coding.safetensors"))


def test_training_frames_that_are_gone(seg, pre, home, frame, tmp_path):
    (home / "pictures").rename(home / "elsewhere")
    try:
        moved = home / "elsewhere" / frame.name
        code, _, error = seg("compress", pre, moved, "-o", tmp_path / "a.code")
        assert code == 2
        assert f"This is where {pre} says its training frames are" in error
        assert "--images FOLDER" in error
        assert error.count("\n") == 1
        assert seg("compress", pre, moved, "-o", tmp_path / "a.code", "--images", home / "elsewhere")[0] == 0
    finally:
        (home / "elsewhere").rename(home / "pictures")


def test_a_run_on_video(seg, pre, frame, tmp_path):
    """Its codes are measured on the frames in its cache, which is no part of the run's record."""
    runs.put_on_video(pre, write_video(tmp_path / "drive.mp4", count=6, size=(64, 96)))
    code, _, error = seg("compress", pre, frame, "-o", tmp_path / "a.code")
    assert (code, error.count("\n")) == (2, 1)
    assert "--cache FOLDER" in error
    code, said, error = seg("compress", pre, frame, "-o", tmp_path / "a.code", "--cache", tmp_path / "cache")
    assert code == 0, error
    assert "are distributed" in said
