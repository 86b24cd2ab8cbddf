"""The networks inside the package: which file a name means, that the package holds them, and what each must say."""

import re
import shutil
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from media import picture
from onnx_models import save_bands

from infer import Segmenter
from infer.labelled import segmented
from seg import shipped
from seg.classes import load_ontology
from seg.config import PublishedData
from seg.data.open import open_data
from seg.errors import SegError
from seg.files import sha256
from seg.metrics import PROTOCOL
from seg.onnx_file import read_metadata
from seg.shipped import resolve_model, shipped_names
from seg.spec import ModelSpec
from train.evaluate import evaluate

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A package's folder with the networks `drive` and `camvid11`; we stand in an empty folder beside it."""
    models, here = tmp_path / "models", tmp_path / "here"
    models.mkdir()
    here.mkdir()
    save_bands(models / "drive.onnx")
    save_bands(models / "camvid11.onnx")
    (models / "drive.md").write_text("a card is no network")
    monkeypatch.setattr(shipped, "FOLDER", models)
    monkeypatch.chdir(here)
    return models


def test_a_name_means_a_shipped_file(folder):
    assert shipped_names() == ["camvid11", "drive"]
    assert resolve_model("camvid11") == resolve_model(Path("camvid11")) == folder / "camvid11.onnx"


def test_what_exists_wins_over_a_shipped_name(folder):
    Path("camvid11").mkdir()  # a run directory of that name
    assert resolve_model("camvid11") == Path("camvid11")


def test_no_name_means_drive_whatever_stands_here(folder):
    Path("drive").mkdir()
    assert resolve_model(None) == folder / "drive.onnx"


@pytest.mark.parametrize("path", ["runs/camvid11", "camvid.onnx", "./x/../none", "/none"])
def test_what_is_no_bare_name_is_left_to_who_opens_it(folder, path):
    assert resolve_model(path) == Path(path)


def test_a_name_that_nothing_has(folder):
    with pytest.raises(SegError, match=r"^camvid: no such file, and no shipped network of that name; .*'camvid11'\?$"):
        resolve_model("camvid")
    with pytest.raises(SegError, match="known: camvid11, drive"):
        resolve_model("xyz")


def test_an_installation_without_networks(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "none")
    assert shipped_names() == []
    with pytest.raises(SegError, match=r"drive: .*this installation holds none"):
        resolve_model(None)


def test_networks_and_cards_are_in_the_wheel(tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    for file in ("seg/__init__.py", "seg/models/drive.onnx", "seg/models/drive.md", "configs/cards/drive.yaml"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    builder = WheelBuilder(str(tmp_path))
    packed = {file.distribution_path for file in builder.recurse_included_files()}
    assert {"seg/models/drive.onnx", "seg/models/drive.md"} <= packed


SHIPPED = pytest.mark.parametrize("name", shipped_names())


def contract(file):
    return ModelSpec.from_metadata(read_metadata(file), str(file))


@SHIPPED
def test_a_shipped_network_runs_on_a_frame(name):
    answer = Segmenter(shipped.FOLDER / f"{name}.onnx", threads=1)(picture(0, 90, 120))
    assert answer.classes.shape == answer.confidence.shape == (90, 120)


@SHIPPED
@pytest.mark.real_data
def test_a_shipped_network_knows_real_frames_by_the_ids_of_its_ontology(name, seg_data):
    segmenter = Segmenter(shipped.FOLDER / f"{name}.onnx", threads=1)
    source = PublishedData(kind="camvid", root=str(seg_data / "camvid"), split="val", limit=6)
    data = open_data([source], segmenter.spec.as_ontology())
    report = evaluate(segmented(segmenter, data), data).report()
    assert report.pixel_accuracy > 0.85


@SHIPPED
def test_a_shipped_network_is_small_and_what_its_name_says(name):
    file = shipped.FOLDER / f"{name}.onnx"
    spec = contract(file)
    assert file.stat().st_size <= 8_000_000
    assert (spec.name, spec.profile, spec.as_ontology()) == (name, "frame", load_ontology(name))
    assert spec.metrics is not None
    assert "not stated" not in spec.licence


@SHIPPED
def test_a_shipped_network_has_its_own_card(name):
    file = shipped.FOLDER / f"{name}.onnx"
    card = file.with_suffix(".md").read_text(encoding="utf-8")
    spec = contract(file)
    assert sha256(file) in card
    assert spec.licence in card
    assert PROTOCOL in card
    assert "mean IoU" in card
    assert spec.training.origins  # both go on from earlier trainings
    assert all(data in card for one in (spec.training, *spec.training.origins) for data in one.data)
    assert "| data set | source | licence |" in card
    failures = card.partition("## Known failures")[2].partition("\n## ")[0]
    assert len(re.findall(r"^- ", failures, re.MULTILINE)) >= 2
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", failures, re.DOTALL)
    assert pictures
    assert all((file.parent / picture).is_file() for picture in pictures)
    assert "`make models`" in card
