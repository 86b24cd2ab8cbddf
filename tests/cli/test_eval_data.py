"""`seg eval MODEL --data ROOT`: a published data set named by its folder, a shipped network by its name, no torch."""

import json
import subprocess
import sys

import numpy as np
import pytest
import runs
from media import picture
from onnx_models import expected_classes, save_bands
from PIL import Image

from seg import shipped
from seg.classes import load_ontology
from seg.files import sha256
from seg.labels import LabelSpace, load_label_set
from seg.metrics import Confusion


@pytest.fixture
def models(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    save_bands(folder / "drive.onnx")
    monkeypatch.setattr(shipped, "FOLDER", folder)
    return folder


@pytest.fixture
def camvid(tmp_path):
    """CamVid's 480x360 release, tiny: three frames in `val`, one in `test`, labels of stripes."""
    for split, count in (("val", 3), ("test", 1)):
        for index in range(count):
            for folder, pixels in ((split, picture(index)), (f"{split}annot", stripes(index))):
                (tmp_path / "camvid" / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(tmp_path / "camvid" / folder / f"{index}.png")
    return tmp_path / "camvid"


def stripes(index):
    return np.repeat((np.arange(48, dtype=np.uint8) // 4 + index) % 12, 64).reshape(48, 64)


def by_hand(count):
    label_set = load_label_set("camvid11", load_ontology("drive"))
    space = LabelSpace(label_set.ontology, [label_set])
    confusion, encode = Confusion(space), space.encoder(label_set)
    for index in range(count):
        confusion.update(encode(stripes(index), "stripes"), expected_classes(picture(index)))
    return confusion.report([label_set])


@pytest.mark.parametrize(("split", "count"), [("val", 3), ("test", 1)])
@pytest.mark.parametrize("kind", [[], ["--kind", "camvid"], ["--labels", "camvid11"]])
def test_figures_are_those_counted_by_hand(seg, models, camvid, tmp_path, split, count, kind):
    given = ("--data", camvid, "--split", split, *kind, "--json", tmp_path / "figures.json")
    code, out, err = seg("eval", "drive", *given)
    assert (code, err) == (0, "")
    report = by_hand(count)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert {key: figures[key] for key in report.model_dump()} == report.model_dump(mode="json")
    assert figures["data"] == f"camvid/{split} ({count} frames)"
    assert (figures["model"], figures["sha256"]) == ("drive.onnx", sha256(models / "drive.onnx"))
    assert f"drive on camvid/{split} ({count} frames)" in out
    for name, unit in report.units.items():
        shown = "-" if unit.iou is None else f"{100 * unit.iou:.2f}"
        assert any(name in line and shown in line for line in out.splitlines())


@pytest.mark.parametrize("workers", [0, 3])
def test_readers_ahead_change_nothing(seg, models, camvid, tmp_path, workers):
    for name, number in (("one", 1), ("other", workers)):
        given = ("--data", camvid, "--workers", number, "--json", tmp_path / f"{name}.json")
        assert seg("eval", models / "drive.onnx", *given)[0] == 0
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()


def test_a_label_that_cannot_be_read_ends_it(seg, models, camvid):
    Image.fromarray(np.full((48, 64), 77, np.uint8)).save(camvid / "valannot" / "1.png")
    code, _, err = seg("eval", "drive", "--data", camvid)
    assert code == 2
    assert "1.png" in err
    assert "77: 3072 px" in err


def test_what_cannot_be_told(seg, models, camvid, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, message in [
        (["--data", tmp_path / "none"], r"none: no such folder"),
        (["--data", tmp_path / "empty"], "split 'val' has no layout we know with labels for 'drive'; name the data"),
        (["--data", camvid, "--split", "train"], "split 'train' has no layout we know"),
        (["--data", camvid, "--split", "train", "--kind", "camvid"], "camvid: no frames of split 'train' under"),
        (["--data", camvid, "--kind", "camvidd"], "--data: kind: Input should be 'cityscapes', 'camvid'"),
        (["--data", camvid, "--kind", "camvid", "--labels", "camvid12"], "no label set named 'camvid12'; did you"),
        (["--kind", "camvid"], "--kind and --labels say how to read --data; give its folder"),
        (["--data", camvid, "--config", "x.yaml"], "--data and --config each name the data; give one of them"),
    ]:
        code, _, err = seg("eval", "drive", *arguments)
        assert (code, err.count("\n")) == (2, 1)
        assert message in err


def test_a_folder_of_two_layouts_needs_its_kind(seg, models, camvid):
    for folder, pixels in (("imgs", picture(0)), ("masks", np.full((48, 64, 3), (64, 32, 32), np.uint8))):
        (camvid / folder).mkdir()
        Image.fromarray(pixels).save(camvid / folder / "0009.png")
    code, _, err = seg("eval", "drive", "--data", camvid)
    assert (code, "has the layouts of camvid and comma10k" in err) == (2, True)
    assert seg("eval", "drive", "--data", camvid, "--kind", "camvid")[0] == 0


@pytest.mark.parametrize("name", ["val/1.png", "valannot/1.png"])
def test_figures_never_replace_what_they_are_of(seg, models, camvid, name):
    before = (camvid / name).read_bytes()
    code, _, err = seg("eval", "drive", "--data", camvid, "--json", camvid / name, "--overwrite")
    assert (code, "is an input" in err, (camvid / name).read_bytes()) == (2, True, before)


SCRIPT = """
import sys
from pathlib import Path

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "export", "onnx", "albumentations", "timm"}:
            raise ModuleNotFoundError(f"no {name} behind the wall", name=name)

sys.meta_path.insert(0, Wall())
from seg import shipped
shipped.FOLDER = Path(sys.argv.pop(1))
from seg.cli import main
main(sys.argv[1:])
"""


def test_an_onnx_file_is_measured_without_torch(models, camvid):
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, models, "eval", "drive", "--data", camvid],
        capture_output=True,
        text=True,
        check=False,
        cwd=runs.ROOT,
    )
    assert ended.returncode == 0, ended.stderr
    assert f"mean IoU {100 * by_hand(3).mean_iou:.2f} %" in ended.stdout
