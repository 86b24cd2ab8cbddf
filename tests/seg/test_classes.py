"""Ontologies: ids, names and colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seg.classes import Ontology, load_ontology
from seg.errors import SegError


def test_drive_is_the_products_classes() -> None:
    drive = load_ontology("drive")
    assert drive.names == ("background", "road", "lane", "vehicle", "pole")
    assert [info.name for info in drive.classes if info.thin] == ["lane", "pole"]
    assert drive.id_of("lane") == 2
    assert len(drive) == 5


@pytest.mark.parametrize(("name", "classes"), [("drive", 5), ("camvid11", 11), ("cityscapes19", 19)])
def test_shipped_ontologies_have_distinct_colours(name: str, classes: int) -> None:
    ontology = load_ontology(name)
    assert len(ontology) == classes
    assert ontology.palette_C3.shape == (classes, 3)
    assert ontology.palette_C3.dtype == np.uint8
    assert len({tuple(color) for color in ontology.palette_C3.tolist()}) == classes


def test_cityscapes19_has_the_names_and_colours_of_its_own_table() -> None:
    from cityscapesscripts.helpers.labels import trainId2label

    ontology = load_ontology("cityscapes19")
    assert ontology.names == tuple(trainId2label[index].name for index in range(19))
    assert ontology.palette_C3.tolist() == [list(trainId2label[index].color) for index in range(19)]


def test_an_unknown_class_suggests_the_nearest() -> None:
    with pytest.raises(SegError, match="ontology 'drive' has no class 'vehicel'; did you mean 'vehicle'"):
        load_ontology("drive").id_of("vehicel")


def test_an_unknown_ontology_suggests_the_nearest() -> None:
    with pytest.raises(SegError, match="no ontology named 'drive5'; did you mean 'drive'"):
        load_ontology("drive5")


def test_an_ontology_of_ones_own_is_a_yaml_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nclasses:\n - {name: a, color: [0, 0, 0]}\n - {name: b, color: [1, 2, 3]}\n")
    assert load_ontology(path).names == ("a", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nclasses: [{name: a, color: [0, 0, 0]}]\n", "classes"),
        ("name: x\nclasses: [{name: a, color: [0, 0, 0]}, {name: a, color: [1, 1, 1]}]\n", "repeat"),
        ("name: x\nclasses: [{name: a, color: [0, 0, 256]}, {name: b, color: [1, 1, 1]}]\n", "256"),
        ("name: x\nclasses: [{name: a, colour: [0, 0, 0]}, {name: b, color: [1, 1, 1]}]\n", "did you mean 'color'"),
        (
            "name: x\nclasses: [{name: ignore, color: [0, 0, 0]}, {name: b, color: [1, 1, 1]}]\n",
            "cannot be named 'ignore'",
        ),
        ("name: x\nclasses: [{name: a|b, color: [0, 0, 0]}, {name: c, color: [1, 1, 1]}]\n", "cannot be named"),
        ("[1, 2]", "expected a mapping"),
        ("name: [", "not valid YAML"),
    ],
)
def test_a_bad_ontology_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SegError, match=message) as caught:
        load_ontology(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SegError, match="no such file"):
        load_ontology(tmp_path / "none.yaml")


def test_an_ontology_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_ontology("drive").name = "other"  # type: ignore[misc]


def test_equal_files_make_equal_ontologies() -> None:
    first, second = load_ontology("drive"), load_ontology("drive")
    assert first.palette_C3.sum() > 0  # fills the cache of one of the two
    assert first == second
    assert isinstance(first, Ontology)
