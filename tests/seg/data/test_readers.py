"""What all readers share: pairing, limits, sizes, mixing sources, and words for what is missing."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import HEIGHT, WIDTH, camvid_tree, load, only_class, source, write_frame, write_label

from seg.classes import load_ontology
from seg.config import DataConfig
from seg.data.base import LabelledData
from seg.data.open import label_space, open_data, open_readers
from seg.errors import SegError
from seg.labels import LabelSpace


@pytest.mark.parametrize("kind", ["cityscapes", "camvid", "carla", "comma10k", "bdd100k", "mapillary"])
def test_a_missing_root_or_an_empty_split_says_what_was_expected(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SegError, match=rf"{kind}: no folder .*nowhere; .*expected .*png"):
        load(kind=kind, root=tmp_path / "nowhere", split="val")
    with pytest.raises(SegError, match=rf"{kind}: no frames of split 'val' under .*; expected .*png"):
        load(kind=kind, root=tmp_path, split="val")


def test_frames_without_any_label_are_an_empty_split(tmp_path: Path) -> None:
    write_frame(tmp_path / "val/a.png")
    with pytest.raises(SegError, match="camvid: no labels of split 'val'"):
        load(kind="camvid", root=tmp_path, split="val")


def test_unpaired_files_are_collected_and_training_refuses_frames_without_label(tmp_path: Path) -> None:
    camvid_tree(tmp_path, {"train": 6})
    for index in range(4):
        (tmp_path / f"trainannot/train_{index}.png").unlink()
    (tmp_path / "train/train_4.png").unlink()
    (reader,) = open_readers([source(kind="camvid", root=tmp_path, split="train")], load_ontology("drive"))
    assert [path.name for path in reader.unlabelled] == [f"train_{index}.png" for index in range(4)]
    assert reader.frameless == (tmp_path / "trainannot/train_4.png",)
    assert len(reader.unpaired) == 5
    assert len(reader) == 1
    with pytest.raises(SegError, match=r"camvid/train: 4 frames have no label \(.*train_0\.png, .*, \.\.\.\)"):
        load(kind="camvid", root=tmp_path, split="train")


def test_two_frames_of_one_name_are_refused(tmp_path: Path) -> None:
    camvid_tree(tmp_path, {"train": 1})
    write_frame(tmp_path / "train/train_0.jpg")
    with pytest.raises(SegError, match=r"train_0\.jpg and .*train_0\.png have one name"):
        load(kind="camvid", root=tmp_path, split="train")


def test_hidden_files_are_left_out(tmp_path: Path) -> None:
    camvid_tree(tmp_path, {"train": 2})
    (tmp_path / "train/._train_0.png").write_bytes(b"what a Mac leaves behind")
    assert len(load(kind="camvid", root=tmp_path, split="train")) == 2


def test_folders_that_are_links_are_read(tmp_path: Path) -> None:
    camvid_tree(tmp_path / "disk", {"train": 2})
    for folder in ("train", "trainannot"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        (tmp_path / "set" / folder / "monday").symlink_to(tmp_path / "disk" / folder)
        (tmp_path / "disk" / folder / "up").symlink_to(".")  # round in a circle
    data = load(kind="camvid", root=tmp_path / "set", split="train")
    assert [data.name(index) for index in range(len(data))] == ["monday/train_0", "monday/train_1"]
    patterns = {"images": "train/{name}.png", "masks": "trainannot/{name}.png", "labels": "camvid11"}
    assert len(load(kind="folder", root=tmp_path / "set", **patterns)) == 2


def test_suffixes_in_capitals_are_read(tmp_path: Path) -> None:
    camvid_tree(tmp_path, {"train": 2})
    for name in ("train/train_0", "trainannot/train_0"):
        (tmp_path / f"{name}.png").rename(tmp_path / f"{name}.PNG")
    assert len(load(kind="camvid", root=tmp_path, split="train")) == 2
    patterns = {"images": "train/{name}.png", "masks": "trainannot/{name}.png", "labels": "camvid11"}
    assert len(load(kind="folder", root=tmp_path, **patterns)) == 2
    write_label(tmp_path / "trainannot/train_0.png")
    with pytest.raises(SegError, match=r"train_0\.PNG and .*train_0\.png have one name"):
        load(kind="folder", root=tmp_path, **patterns)


def test_limit_keeps_the_first_frames(tmp_path: Path) -> None:
    camvid_tree(tmp_path, {"train": 5})
    data = load(kind="camvid", root=tmp_path, split="train", limit=2)
    assert [data.name(index) for index in range(len(data))] == ["train_0", "train_1"]
    assert len(load(kind="synthetic", count=5, limit=2)) == 2


def test_a_label_of_another_size_names_both_files(tmp_path: Path) -> None:
    camvid_tree(tmp_path, {"train": 1})
    write_label(tmp_path / "trainannot/train_0.png", size=(HEIGHT, WIDTH + 2))
    with pytest.raises(SegError, match=r"trainannot/train_0\.png: the label is 8x4, .*train/train_0\.png is 6x4"):
        load(kind="camvid", root=tmp_path, split="train").sample(0)


def test_an_unmapped_label_names_file_value_and_pixels(tmp_path: Path) -> None:
    camvid_tree(tmp_path, {"train": 1})
    write_label(tmp_path / "trainannot/train_0.png", 99)
    with pytest.raises(SegError, match=r"trainannot/train_0\.png: .*\(99: 24 px\)"):
        load(kind="camvid", root=tmp_path, split="train").sample(0)


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    camvid_tree(tmp_path, {"train": 1})
    data = load(kind="camvid", root=tmp_path, split="train")
    (tmp_path / "train/train_0.png").unlink()
    with pytest.raises(SegError, match=r"train_0\.png: no such file"):
        data.sample(0)


def test_a_palette_label_is_read_by_its_indices(tmp_path: Path) -> None:
    camvid_tree(tmp_path, {"train": 1})
    picture = Image.fromarray(np.full((HEIGHT, WIDTH), 2, np.uint8), mode="P")
    picture.putpalette([200, 100, 50] * 256)
    picture.save(tmp_path / "trainannot/train_0.png")
    assert only_class(load(kind="camvid", root=tmp_path, split="train"), 0) == "pole"


def mixed(tmp_path: Path, weights: tuple[float | None, float | None]) -> LabelledData:
    camvid_tree(tmp_path / "camvid", {"train": 3})
    write_frame(tmp_path / "carla/train/Town01/a_img.png")
    write_label(tmp_path / "carla/train/Town01/a_labelIds.png", 24)
    sources = [
        source(kind="camvid", root=tmp_path / "camvid", split="train", weight=weights[0]),
        source(kind="carla", root=tmp_path / "carla", split="train", weight=weights[1]),
    ]
    return open_data(sources, load_ontology("drive"))


def test_sources_follow_each_other_in_one_space(tmp_path: Path) -> None:
    data = mixed(tmp_path, (None, None))
    assert len(data) == 4
    assert [data.reader_of(index).dataset for index in range(4)] == ["camvid/train"] * 3 + ["carla/train"]
    assert [only_class(data, index) for index in (1, 3)] == ["road|lane", "lane"]
    assert [label_set.name for label_set in data.label_sets] == ["camvid11", "carla"]
    for index in (4, -1):
        with pytest.raises(IndexError):
            data.sample(index)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((None, None), [0.25] * 4),
        ((1.0, 1.0), [1 / 6] * 3 + [0.5]),
        ((3.0, 1.0), [0.25] * 4),
        ((1.0, None), [1 / 4.5] * 3 + [1 / 3]),
    ],
)
def test_sampling_weights(tmp_path: Path, weights: tuple[float | None, float | None], expected: list[float]) -> None:
    assert mixed(tmp_path, weights).weights() == pytest.approx(expected)


def test_data_can_be_sent_to_workers(tmp_path: Path) -> None:
    data = mixed(tmp_path, (None, None))
    again = pickle.loads(pickle.dumps(data))
    assert np.array_equal(again.sample(3).label_HW, data.sample(3).label_HW)


def test_train_and_val_share_one_space(tmp_path: Path) -> None:
    camvid_tree(tmp_path, {"train": 1, "val": 1})
    camvid = {"kind": "camvid", "root": str(tmp_path), "split": "val"}
    config = DataConfig.model_validate({"train": [{"kind": "synthetic", "count": 1}], "val": [camvid]})
    ontology = load_ontology("drive")
    space = label_space(config, ontology)
    names = {space.name(value) for value in range(len(space.sets))}
    assert {"road|lane", "background|vehicle"} <= names
    assert open_data(config.train, ontology, space).space is space
    assert isinstance(space, LabelSpace)
