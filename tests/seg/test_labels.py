"""Every shipped label file loads onto every ontology that it names, and says what its source says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from seg.classes import IGNORE, load_ontology
from seg.errors import SegError
from seg.labels import LabelSet, LabelSpace, differing_labels, load_label_set, pack_color
from seg.paths import configs

FILES = sorted((configs() / "labels").glob("*.yaml"))
SHIPPED = [(path.stem, ontology) for path in FILES for ontology in yaml.safe_load(path.read_text())["onto"]]


def names(label_set: LabelSet, raw: int | str) -> set[str]:
    return {label_set.ontology.names[member] for member in label_set.members[raw]}


def test_the_promised_label_files_are_here() -> None:
    assert {path.stem for path in FILES} == {
        "bdd100k", "bdd100k-lanes", "camvid11", "camvid11-plainroad", "camvid32", "carla", "carla-old",
        "cityscapes-color", "cityscapes-ids", "cityscapes-trainids", "comma10k", "mapillary", "synthetic",
        "synthetic-lanes",
    }  # fmt: skip
    assert {stem for stem, ontology in SHIPPED if ontology == "drive"} == {path.stem for path in FILES}


@pytest.mark.parametrize(("stem", "ontology"), SHIPPED)
def test_shipped_file_loads(stem: str, ontology: str) -> None:
    label_set = load_label_set(stem, load_ontology(ontology))
    assert label_set.name == stem
    assert label_set.sets
    assert all(len(members) < len(label_set.ontology) for members in label_set.members.values())


@pytest.mark.parametrize(
    ("stem", "raw", "expected"),
    [
        ("cityscapes-ids", 7, {"road", "lane"}),
        ("cityscapes-ids", 17, {"pole"}),
        ("cityscapes-ids", 1, set()),
        ("cityscapes-ids", 26, {"vehicle"}),
        ("cityscapes-ids", 25, {"background"}),
        ("cityscapes-trainids", 0, {"road", "lane"}),
        ("cityscapes-trainids", 255, set()),
        ("cityscapes-color", pack_color(128, 64, 128), {"road", "lane"}),
        ("cityscapes-color", pack_color(0, 0, 142), {"vehicle"}),
        ("camvid11", 3, {"road", "lane"}),
        ("camvid11", 10, {"background", "vehicle"}),
        ("camvid11", 11, set()),
        ("camvid11-plainroad", 3, {"road"}),
        ("synthetic-lanes", 8, {"background", "vehicle"}),
        ("synthetic-lanes", 2, {"background", "pole"}),
        ("synthetic-lanes", 10, {"lane"}),
        ("camvid32", pack_color(128, 64, 128), {"road"}),
        ("camvid32", pack_color(128, 0, 192), {"lane"}),
        ("camvid32", pack_color(192, 0, 64), {"road", "lane"}),
        ("camvid32", pack_color(0, 0, 0), set()),
        ("carla", 1, {"road"}),
        ("carla", 24, {"lane"}),
        ("carla", 6, {"pole"}),
        ("carla-old", 6, {"lane"}),
        ("carla-old", 7, {"road"}),
        ("carla-old", 10, {"vehicle"}),
        ("comma10k", pack_color(255, 0, 0), {"lane"}),
        ("comma10k", pack_color(0, 255, 102), {"background", "vehicle"}),
        ("comma10k", pack_color(128, 128, 96), {"background", "pole"}),
        ("comma10k", pack_color(204, 0, 255), set()),
        ("bdd100k", 0, {"road", "lane"}),
        ("bdd100k-lanes", 0, {"road"}),
        ("bdd100k-lanes", 1000, {"lane"}),
        ("bdd100k-lanes", 1013, {"vehicle"}),
        ("mapillary", "marking--general", {"lane"}),
        ("mapillary", "construction--flat--road", {"road"}),
        ("mapillary", "void--ego-vehicle", set()),
        ("synthetic", 10, {"lane"}),
        ("synthetic", 11, set()),
    ],
)
def test_known_labels_on_drive(stem: str, raw: int | str, expected: set[str]) -> None:
    assert names(load_label_set(stem, load_ontology("drive")), raw) == expected


@pytest.mark.parametrize("ontology", ["drive", "camvid11", "cityscapes19"])
def test_cityscapes_files_agree_with_its_own_table(ontology: str) -> None:
    from cityscapesscripts.helpers.labels import labels

    ids, train_ids, colors, bdd = (
        load_label_set(name, load_ontology(ontology))
        for name in ("cityscapes-ids", "cityscapes-trainids", "cityscapes-color", "bdd100k")
    )
    judged = [label for label in labels if label.trainId not in (255, -1)]
    assert len(judged) == 19
    assert set(ids.raw) == {label.id for label in labels if label.id >= 0}
    for label in judged:
        assert ids.raw[label.id] == train_ids.raw[label.trainId] == label.name
        assert ids.members[label.id] == train_ids.members[label.trainId] == bdd.members[label.trainId]
        assert colors.members[pack_color(*label.color)] == ids.members[label.id]
        if ontology == "cityscapes19":
            assert names(ids, label.id) == {label.name}
    assert set(colors.raw) == {pack_color(*label.color) for label in labels}


def test_cityscapes19_is_in_the_order_of_the_train_ids() -> None:
    label_set = load_label_set("cityscapes-trainids", load_ontology("cityscapes19"))
    assert [label_set.members[index] for index in range(19)] == [frozenset({index}) for index in range(19)]


def test_camvid11_is_the_identity_on_its_own_ontology() -> None:
    label_set = load_label_set("camvid11", load_ontology("camvid11"))
    assert [label_set.members[index] for index in range(12)] == [*(frozenset({i}) for i in range(11)), frozenset()]


def test_synthetic_labels_are_those_that_the_renderer_writes() -> None:
    from seg.data.synthetic import SCENE_LABELS

    assert load_label_set("synthetic", load_ontology("drive")).raw == SCENE_LABELS


def test_mapillary_ids_come_from_its_config() -> None:
    label_set = load_label_set("mapillary", load_ontology("drive"))
    with_ids = label_set.with_ids({0: "construction--flat--road", 7: "marking--general"})
    assert with_ids.encoding == "id"
    assert [names(with_ids, raw) for raw in (0, 7)] == [{"road"}, {"lane"}]
    with pytest.raises(SegError, match=r"does not map.*object--spaceship"):
        label_set.with_ids({0: "object--spaceship"})


def write_labels(path: Path, raw: dict, onto: dict, encoding: str = "id") -> Path:
    document = {"name": path.stem, "source": "a test", "encoding": encoding, "raw": raw, "onto": onto}
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    ("raw", "onto", "encoding", "message"),
    [
        ({0: "a", 1: "b"}, {"drive": {"road": ["a"]}}, "id", r"not mapped: \['b'\]"),
        ({0: "a"}, {"drive": {"road": ["a", "z"]}}, "id", r"not raw labels: \['z'\]"),
        ({0: "a"}, {"drive": {"road": ["a"], "lane": ["a"]}}, "id", "'a' is mapped twice"),
        ({0: "a"}, {"drive": {"raod": ["a"]}}, "id", "no class 'raod'; did you mean 'road'"),
        ({0: "a"}, {"camvid11": {"road": ["a"]}}, "id", "does not map onto 'drive', only onto camvid11"),
        ({"1 2": "a"}, {"drive": {"road": ["a"]}}, "color", "'1 2' is not a colour"),
        ({"x": "a"}, {"drive": {"road": ["a"]}}, "id", "'x' is not an id"),
    ],
)
def test_a_bad_label_file_is_refused(tmp_path: Path, raw: dict, onto: dict, encoding: str, message: str) -> None:
    path = write_labels(tmp_path / "mine.yaml", raw, onto, encoding)
    with pytest.raises(SegError, match=message):
        load_label_set(path, load_ontology("drive"))


def test_an_unknown_label_set_suggests_the_nearest() -> None:
    with pytest.raises(SegError, match="did you mean 'cityscapes-ids'"):
        load_label_set("cityscape-ids", load_ontology("drive"))


def test_the_full_set_is_ignore(tmp_path: Path) -> None:
    onto = {"drive": {"background | road | lane | vehicle | pole": ["a"], "road": ["b"]}}
    label_set = load_label_set(write_labels(tmp_path / "mine.yaml", {0: "a", 1: "b"}, onto), load_ontology("drive"))
    encode = LabelSpace(label_set.ontology, [label_set]).encoder(label_set)
    assert encode(np.array([[0, 1]], np.uint8), "x").tolist() == [[IGNORE, 1]]


def test_tables_tell_what_a_label_file_says_by_now(tmp_path: Path) -> None:
    rules = {"drive": {"road | lane": ["a"], "vehicle": ["b"], "ignore": ["c"]}}
    before = load_label_set(
        write_labels(tmp_path / "mine.yaml", {3: "a", 1: "b", 12: "c"}, rules), load_ontology("drive")
    )
    assert before.table().reads == {"3": "road|lane", "1": "vehicle", "12": "ignore"}
    assert differing_labels(before.table(), before.table()) == []
    rules["drive"] = {"road": ["a"], "vehicle": ["b", "d"]}
    after = load_label_set(
        write_labels(tmp_path / "mine.yaml", {3: "a", 1: "b", 13: "d"}, rules), load_ontology("drive")
    )
    # one that was unknown then was an error, never a class
    assert differing_labels(before.table(), after.table()) == [f"{after.name}: 3 was road|lane, is road"]


def test_a_table_of_colours_is_written_as_in_the_file() -> None:
    reads = load_label_set("camvid32", load_ontology("drive")).table().reads
    assert (reads["128 64 128"], reads["192 192 128"]) == ("road", "pole")


def test_names_whose_ids_come_with_the_data_are_the_same_in_each_version() -> None:
    named = load_label_set("mapillary", load_ontology("drive"))
    some = list(named.raw.values())[:3]
    one, other = (named.with_ids(dict(enumerate(order))).table() for order in (some, some[::-1]))
    assert one.reads.keys() == set(some)
    assert differing_labels(one, other) == []


def camvid_on_drive() -> tuple[LabelSet, LabelSpace]:
    camvid = load_label_set("camvid11", load_ontology("drive"))
    return camvid, LabelSpace(camvid.ontology, [camvid])


def test_space_lists_classes_then_larger_sets() -> None:
    _, space = camvid_on_drive()
    assert space.sets[:5] == tuple(frozenset({index}) for index in range(5))
    assert [space.name(value) for value in range(5, len(space.sets))] == ["road|lane", "background|vehicle"]
    assert space.name(IGNORE) == "ignore"
    assert space.member_SC.shape == (7, 5)
    assert [set(np.flatnonzero(row)) for row in space.member_SC] == [set(members) for members in space.sets]


@given(st.lists(st.integers(0, 11), min_size=1, max_size=50))
def test_encoding_follows_the_members(raw: list[int]) -> None:
    camvid, space = camvid_on_drive()
    array = np.array([raw], dtype=np.uint8)
    encode = space.encoder(camvid)
    for given_raw in (array, array.astype(np.uint16), array.astype(np.int32)):
        values = encode(given_raw, "x")
        assert values.dtype == np.uint8
        members = [frozenset() if v == IGNORE else space.sets[v] for v in values[0]]
        assert members == [camvid.members[one] for one in raw]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_an_unmapped_id_names_file_value_and_pixels(dtype: type) -> None:
    camvid, space = camvid_on_drive()
    raw = np.zeros((4, 4), dtype=dtype)
    raw[0, :3], raw[1, 0] = 77, 200
    with pytest.raises(SegError, match=r"street\.png: .*'camvid11'.*\(77: 3 px, 200: 1 px\)"):
        space.encoder(camvid)(raw, "street.png")


def test_an_unmapped_colour_names_itself() -> None:
    ontology = load_ontology("drive")
    comma = load_label_set("comma10k", ontology)
    encode = LabelSpace(ontology, [comma]).encoder(comma)
    picture = np.full((2, 3, 3), (64, 32, 32), dtype=np.uint8)
    assert encode(picture, "x").tolist() == [[ontology.id_of("road")] * 3] * 2
    picture[0, 0] = (1, 2, 3)
    with pytest.raises(SegError, match=r"mask\.png: .*\(\(1, 2, 3\): 1 px\)"):
        encode(picture, "mask.png")


@pytest.mark.parametrize(("stem", "shape"), [("comma10k", (4, 4)), ("camvid11", (4, 4, 3))])
def test_a_label_picture_of_the_wrong_kind_is_refused(stem: str, shape: tuple[int, ...]) -> None:
    ontology = load_ontology("drive")
    label_set = load_label_set(stem, ontology)
    with pytest.raises(SegError, match=r"x\.png: expected .*label picture"):
        LabelSpace(ontology, [label_set]).encoder(label_set)(np.zeros(shape, np.uint8), "x.png")
