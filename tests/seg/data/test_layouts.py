"""Frames and labels are found in each layout as published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from trees import HEIGHT, WIDTH, camvid_tree, load, only_class, write_frame, write_label

from seg.data.open import READERS
from seg.errors import SegError
from seg.paths import configs


def test_every_kind_has_a_reader() -> None:
    published = {"cityscapes", "camvid", "carla", "comma10k", "bdd100k", "mapillary"}
    assert set(READERS) == {*published, "folder", "synthetic", "images", "video"}


@pytest.mark.parametrize(
    ("labels", "kind", "value"),
    [
        (None, "labelIds", 7),
        ("cityscapes-ids", "labelIds", 7),
        ("cityscapes-trainids", "labelTrainIds", 0),
        ("cityscapes-color", "color", (128, 64, 128)),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_cityscapes(tmp_path: Path, labels: str | None, kind: str, value: Any, suffix: str) -> None:
    for city in ("aachen", "bonn"):
        write_frame(tmp_path / "leftImg8bit/val" / city / f"{city}_000000_000019_leftImg8bit.{suffix}")
        write_label(tmp_path / "gtFine/val" / city / f"{city}_000000_000019_gtFine_{kind}.png", value)
        write_label(tmp_path / "gtFine/val" / city / f"{city}_000000_000019_gtFine_instanceIds.png", 99)
    data = load(kind="cityscapes", root=tmp_path, split="val", labels=labels)
    assert [data.name(index) for index in range(len(data))] == [
        "aachen/aachen_000000_000019",
        "bonn/bonn_000000_000019",
    ]
    assert only_class(data, 1) == "road|lane"
    assert data.sample(0).dataset == "cityscapes/val"


@pytest.mark.parametrize(
    ("encoding", "raw", "kind", "value"), [("color", "9 8 7", "color", (9, 8, 7)), ("id", 50, "labelIds", 50)]
)
def test_cityscapes_with_a_label_file_of_ones_own(
    tmp_path: Path, encoding: str, raw: object, kind: str, value: Any
) -> None:
    rules = {"drive": {"pole": ["mast"]}}
    content = {"name": "mine", "source": "us", "encoding": encoding, "raw": {raw: "mast"}, "onto": rules}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    write_frame(tmp_path / "leftImg8bit/val/ulm/a_leftImg8bit.png")
    for each in ("color", "labelIds"):
        write_label(tmp_path / f"gtFine/val/ulm/a_gtFine_{each}.png", 0)
    write_label(tmp_path / f"gtFine/val/ulm/a_gtFine_{kind}.png", value)
    data = load(kind="cityscapes", root=tmp_path, split="val", labels=tmp_path / "mine.yaml")
    assert only_class(data, 0) == "pole"


def copied(tmp_path: Path, labels: str, **changes: str) -> Path:
    """A shipped label file under another name."""
    content = yaml.safe_load((configs() / f"labels/{labels}.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "copy.yaml"
    path.write_text(yaml.safe_dump({**content, "name": "copy", **changes}))
    return path


def test_a_copied_label_file_reads_the_same_pictures(tmp_path: Path) -> None:
    write_frame(tmp_path / "leftImg8bit/val/ulm/a_leftImg8bit.png")
    write_label(tmp_path / "gtFine/val/ulm/a_gtFine_labelIds.png", 7)
    write_label(tmp_path / "gtFine/val/ulm/a_gtFine_labelTrainIds.png", 13)
    source = {"kind": "cityscapes", "root": tmp_path, "split": "val"}
    assert only_class(load(**source, labels=copied(tmp_path, "cityscapes-trainids")), 0) == "vehicle"
    with pytest.raises(
        SegError,
        match=r"copy\.yaml: cityscapes has no label pictures 'trainIds' \(`pictures`\); did you mean 'labelTrainIds'",
    ):
        load(**source, labels=copied(tmp_path, "cityscapes-trainids", pictures="trainIds"))


def test_camvid_small_release(tmp_path: Path) -> None:
    camvid_tree(tmp_path, {"train": 3, "val": 2})
    expected = write_frame(tmp_path / "train/train_1.png", seed=77)
    data = load(kind="camvid", root=tmp_path, split="train")
    assert len(data) == 3
    sample = data.sample(1)
    assert np.array_equal(sample.frame_HWC, expected)
    assert sample.label_HW.dtype == np.uint8
    assert data.files(1) == (tmp_path / "train/train_1.png", tmp_path / "trainannot/train_1.png")
    assert [only_class(data, index) for index in range(3)] == ["pole", "road|lane", "background"]


def original_camvid(root: Path) -> Path:
    for name, color in (("0001TP_1", (128, 0, 192)), ("0001TP_2", (192, 192, 128)), ("0001TP_3", (0, 0, 0))):
        write_frame(root / "701_StillsRaw_full" / f"{name}.png")
        write_label(root / "LabeledApproved_full" / f"{name}_L.png", color)
    return root


def test_camvid_original_release(tmp_path: Path) -> None:
    data = load(kind="camvid", root=original_camvid(tmp_path), split="all")
    assert [only_class(data, index) for index in range(3)] == ["lane", "pole", "ignore"]


@pytest.mark.parametrize(
    "line", ["0001TP_2", "0001TP_2.png", "/SegNet/CamVid/val/0001TP_2.png /SegNet/CamVid/valannot/0001TP_2.png"]
)
def test_camvid_original_release_with_a_split_file(tmp_path: Path, line: str) -> None:
    original_camvid(tmp_path)
    (tmp_path / "val.txt").write_text(f"{line}\n\n")
    data = load(kind="camvid", root=tmp_path, split="val")
    assert [data.name(index) for index in range(len(data))] == ["0001TP_2"]
    (tmp_path / "val.txt").write_text("0001TP_9\n")
    with pytest.raises(SegError, match=r"lists 1 frames that are not there: \['0001TP_9'\]"):
        load(kind="camvid", root=tmp_path, split="val")
    with pytest.raises(SegError, match=r"test\.txt: no such split file"):
        load(kind="camvid", root=tmp_path, split="test")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_carla(tmp_path: Path, suffix: str) -> None:
    write_frame(tmp_path / f"train/Town01/Town01_000_img.{suffix}")
    write_label(tmp_path / "train/Town01/Town01_000_labelIds.png", 24)
    data = load(kind="carla", root=tmp_path, split="train")
    assert data.name(0) == "Town01/Town01_000"
    assert only_class(data, 0) == "lane"


def test_comma10k_validates_on_names_that_end_with_9(tmp_path: Path) -> None:
    for index in range(8, 21):
        write_frame(tmp_path / f"imgs/{index:04d}_abc_{index}.png")
        write_label(tmp_path / f"masks/{index:04d}_abc_{index}.png", (255, 0, 0) if index == 9 else (64, 32, 32))
    val = load(kind="comma10k", root=tmp_path, split="val")
    assert [val.name(index) for index in range(len(val))] == ["0009_abc_9", "0019_abc_19"]
    assert [only_class(val, index) for index in range(2)] == ["lane", "road"]
    assert len(load(kind="comma10k", root=tmp_path, split="train")) == 11
    assert len(load(kind="comma10k", root=tmp_path, split="all")) == 13
    with pytest.raises(SegError, match="unknown split 'test'; expected train, val or all"):
        load(kind="comma10k", root=tmp_path, split="test")


def test_bdd100k(tmp_path: Path) -> None:
    write_frame(tmp_path / "images/10k/val/a.jpg")
    write_label(tmp_path / "labels/sem_seg/masks/val/a.png", 13)
    data = load(kind="bdd100k", root=tmp_path, split="val")
    assert only_class(data, 0) == "vehicle"
    assert len(data.files(0)) == 2


def test_bdd100k_with_lanes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_frame(tmp_path / f"images/10k/val/{name}.jpg")
        write_label(tmp_path / f"labels/sem_seg/masks/val/{name}.png", 0)
    # one byte a pixel: bit 3 where there is no marking; kinds: 6 single white, 4 road curb, 0 crosswalk, 2 double white
    lanes = np.array([[8, 255, 6, 4, 0, 32 + 16 + 2]] * HEIGHT, dtype=np.uint8)
    (tmp_path / "labels/lane/masks/train").mkdir(parents=True)
    Image.fromarray(lanes).save(tmp_path / "labels/lane/masks/train/a.png")
    data = load(kind="bdd100k", root=tmp_path, split="val", labels="bdd100k-lanes")
    assert len(data) == 1  # b has no lane mask
    assert len(data.files(0)) == 3
    label = data.sample(0).label_HW[0]
    assert [data.space.name(int(value)) for value in label] == ["road", "road", "lane", "road", "road", "lane"]
    write_label(tmp_path / "labels/lane/masks/train/a.png", 8, size=(HEIGHT, WIDTH + 1))
    assert len(load(kind="bdd100k", root=tmp_path, split="val", labels=copied(tmp_path, "bdd100k-lanes"))) == 1
    with pytest.raises(SegError, match=r"bdd100k has no label pictures 'lane' .*did you mean 'lanes'"):
        load(kind="bdd100k", root=tmp_path, split="val", labels=copied(tmp_path, "bdd100k-lanes", pictures="lane"))
    with pytest.raises(SegError, match=r"the lane mask is 7x4, but .*a\.png is 6x4"):
        data.sample(0)


MAPILLARY = ["construction--flat--road", "marking--general", "void--unlabeled"]


def mapillary_tree(root: Path, labels: str, config: str, names: list[str], value: int) -> Path:
    write_frame(root / "training/images/a.jpg")
    write_label(root / f"training/{labels}/a.png", value)
    (root / config).write_text(json.dumps({"labels": [{"name": name} for name in names]}))
    return root


@pytest.mark.parametrize(
    ("labels", "config"),
    [("v2.0/labels", "config_v2.0.json"), ("v1.2/labels", "config_v1.2.json"), ("labels", "config.json")],
)
def test_mapillary_ids_come_from_its_config(tmp_path: Path, labels: str, config: str) -> None:
    mapillary_tree(tmp_path, labels, config, MAPILLARY, 1)
    data = load(kind="mapillary", root=tmp_path, split="training")
    assert only_class(data, 0) == "lane"
    mapillary_tree(tmp_path, labels, config, MAPILLARY[::-1], 0)
    assert only_class(load(kind="mapillary", root=tmp_path, split="training"), 0) == "ignore"


def test_mapillary_prefers_the_newer_version(tmp_path: Path) -> None:
    mapillary_tree(tmp_path, "v1.2/labels", "config_v1.2.json", MAPILLARY, 0)
    mapillary_tree(tmp_path, "v2.0/labels", "config_v2.0.json", MAPILLARY, 1)
    assert only_class(load(kind="mapillary", root=tmp_path, split="training"), 0) == "lane"


def test_mapillary_without_a_usable_config(tmp_path: Path) -> None:
    mapillary_tree(tmp_path, "v2.0/labels", "config_v2.0.json", ["object--spaceship"], 0)
    with pytest.raises(SegError, match="does not map"):
        load(kind="mapillary", root=tmp_path, split="training")
    (tmp_path / "config_v2.0.json").write_text("[]")
    with pytest.raises(SegError, match="expected Mapillary's config"):
        load(kind="mapillary", root=tmp_path, split="training")
    (tmp_path / "config_v2.0.json").unlink()
    with pytest.raises(SegError, match=r"no .*config_v2\.0\.json"):
        load(kind="mapillary", root=tmp_path, split="training")


def folder_tree(root: Path) -> Path:
    for name in ("day/a", "day/b", "night/a"):
        write_frame(root / f"pictures/{name}_cam.jpg")
        write_label(root / f"truth/{name}.png", 3)
    return root


FOLDER = {"kind": "folder", "images": "pictures/{name}_cam.jpg", "masks": "truth/{name}.png", "labels": "camvid11"}


def test_folder_names_may_hold_slashes(tmp_path: Path) -> None:
    data = load(root=folder_tree(tmp_path), **FOLDER)
    assert [data.name(index) for index in range(len(data))] == ["day/a", "day/b", "night/a"]
    assert only_class(data, 2) == "road|lane"


def test_folder_with_a_split_file(tmp_path: Path) -> None:
    folder_tree(tmp_path)
    (tmp_path / "val.txt").write_text("night/a\nday/b\n")
    data = load(root=tmp_path, split_file="val.txt", **FOLDER)
    assert {data.name(index) for index in range(len(data))} == {"night/a", "day/b"}
    (tmp_path / "val.txt").write_text("night/a\nnight/zebra\n")
    with pytest.raises(SegError, match=r"names 1 frames that do not fit .*: night/zebra"):
        load(root=tmp_path, split_file="val.txt", **FOLDER)
    (tmp_path / "val.txt").write_text("\n")
    with pytest.raises(SegError, match="the split file is empty"):
        load(root=tmp_path, split_file="val.txt", **FOLDER)


def test_folder_that_fits_nothing(tmp_path: Path) -> None:
    folder_tree(tmp_path)
    with pytest.raises(
        SegError, match=r"no file fits .*{name}\.bmp; .*/truth holds day/a\.png, day/b\.png, night/a\.png"
    ):
        load(root=tmp_path, **{**FOLDER, "masks": "truth/{name}.bmp"})
    with pytest.raises(SegError, match=r"no file fits .*; there is no folder .*/lables"):
        load(root=tmp_path, **{**FOLDER, "masks": "lables/{name}.png"})
    with pytest.raises(SegError, match=r"no folder .*nowhere"):
        load(root=tmp_path / "nowhere", **FOLDER)


def test_folder_patterns_start_from_the_root(tmp_path: Path) -> None:
    folder_tree(tmp_path)
    with pytest.raises(ValueError, match="images starts from `root`"):
        load(root=tmp_path, **{**FOLDER, "images": f"{tmp_path}/pictures/{{name}}_cam.jpg"})
    data = load(root=tmp_path / "truth", **{**FOLDER, "images": "../pictures/{name}_cam.jpg", "masks": "{name}.png"})
    assert len(data) == 3


def test_synthetic_scenes() -> None:
    data = load(kind="synthetic", count=3, first=5, seed=2, size=(64, 96))
    assert [data.name(index) for index in range(len(data))] == ["000005", "000006", "000007"]
    assert data.files(0) == ()
    sample = data.sample(1)
    assert sample.frame_HWC.shape == (64, 96, 3)
    assert sample.label_HW.shape == (64, 96)
    assert np.array_equal(sample.frame_HWC, data.frame(1))
    assert np.array_equal(sample.label_HW, data.sample(1).label_HW)
    with pytest.raises(SegError, match="synthetic: size must be"):
        load(kind="synthetic", count=3, size=(8, 8))


@pytest.mark.real_data
def test_real_camvid(seg_data: Path) -> None:
    counts = {}
    for split in ("train", "val"):
        data = load(kind="camvid", root=seg_data / "camvid", split=split)
        counts[split] = len(data)
        sample = data.sample(0)
        assert sample.frame_HWC.shape == (360, 480, 3)
        assert set(np.unique(sample.label_HW)) <= {*range(len(data.space.sets)), 255}
    assert counts == {"train": 367, "val": 101}


@pytest.mark.real_data
def test_real_carla_tells_road_and_lane_apart(seg_data: Path) -> None:
    data = load(kind="carla", root=seg_data / "carla", split="train")
    assert len(data) == 2
    sample = data.sample(0)
    assert sample.frame_HWC.shape == (1024, 2048, 3)
    pixels = {data.space.name(value): int((sample.label_HW == value).sum()) for value in range(5)}
    assert pixels["road"] == 664864
    assert pixels["lane"] == 70234
    assert pixels["pole"] == 34696
