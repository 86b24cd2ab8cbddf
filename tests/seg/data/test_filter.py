"""`include` and `exclude` choose among a source's frames by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trees import camvid_tree, load, source, write_frame, write_label

from seg.classes import load_ontology
from seg.config import DataConfig, RunConfig, dump_yaml, load_run_config
from seg.data.open import open_data
from seg.errors import SegError

SEQUENCES = {"train": ("0001TP_1", "0001TP_2", "0006R0_1", "0016E5_1"), "val": ("0016E5_2", "0016E5_3")}


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    """The small release with frames of three driving sequences."""
    for split, frames in SEQUENCES.items():
        for seed, name in enumerate(frames):
            write_frame(tmp_path / split / f"{name}.png", seed)
            write_label(tmp_path / f"{split}annot" / f"{name}.png")
    return tmp_path


def names(root: Path, **keys: Any) -> list[str]:
    data = load(kind="camvid", root=root, split="train", **keys)
    return [data.name(index) for index in range(len(data))]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, ["0001TP_1", "0001TP_2", "0006R0_1", "0016E5_1"]),
        ({"include": [], "exclude": []}, ["0001TP_1", "0001TP_2", "0006R0_1", "0016E5_1"]),
        ({"include": ["0001TP_*"]}, ["0001TP_1", "0001TP_2"]),
        ({"include": ["0001TP_*", "0016E5_*"]}, ["0001TP_1", "0001TP_2", "0016E5_1"]),
        ({"exclude": ["0001TP_*"]}, ["0006R0_1", "0016E5_1"]),
        ({"include": ["*_1"], "exclude": ["0006*", "0016*"]}, ["0001TP_1"]),
        ({"include": ["0006R0_1"]}, ["0006R0_1"]),
        ({"exclude": ["*_1"], "limit": 1}, ["0001TP_2"]),
        ({"exclude": ["0001tp_*", "TP"]}, ["0001TP_1", "0001TP_2", "0006R0_1", "0016E5_1"]),
    ],
)
def test_names_are_chosen_before_the_limit_counts(camvid: Path, keys: dict[str, Any], expected: list[str]) -> None:
    assert names(camvid, **keys) == expected


def test_folds_over_the_sequences_of_two_splits_share_no_frame_and_lose_none(camvid: Path) -> None:
    found: dict[str, list[str]] = {}
    for fold in ("0001TP_*", "0006R0_*", "0016E5_*"):
        splits = ("train", "val") if fold == "0016E5_*" else ("train",)
        data = open_data(
            [source(kind="camvid", root=camvid, split=split, include=[fold]) for split in splits],
            load_ontology("camvid11"),
        )
        found[fold] = [data.name(index) for index in range(len(data))]
    assert [len(one) for one in found.values()] == [2, 1, 3]
    everything = sorted(name for split in SEQUENCES.values() for name in split)
    assert sorted(name for one in found.values() for name in one) == everything


def test_what_leaves_nothing_is_an_error_that_names_patterns_and_frames(camvid: Path) -> None:
    with pytest.raises(SegError, match=r"camvid: include \['0001tp_\*'\].*none of 4 frames.*such as 0001TP_1"):
        names(camvid, include=["0001tp_*"])
    with pytest.raises(SegError, match=r"include \[\] and exclude \['\*'\] leave none"):
        names(camvid, exclude=["*"])


def test_frames_that_are_not_chosen_need_no_label(camvid: Path) -> None:
    write_frame(camvid / "train" / "Seq05VD_1.png")
    write_label(camvid / "trainannot" / "Seq05VD_2.png")
    with pytest.raises(SegError, match="1 frames have no label"):
        names(camvid)
    assert names(camvid, exclude=["Seq05VD_*"]) == list(SEQUENCES["train"])


def test_a_star_stands_for_folders_too(tmp_path: Path) -> None:
    for town in ("Town01", "Town10HD"):
        for number in (33, 108):
            write_frame(tmp_path / "train" / town / f"{town}_{number}_img.jpg", number)
            write_label(tmp_path / "train" / town / f"{town}_{number}_labelIds.png", value=1)
    data = load(kind="carla", root=tmp_path, split="train", include=["*_33"], exclude=["Town01/*"])
    assert [data.name(index) for index in range(len(data))] == ["Town10HD/Town10HD_33"]


def test_a_folder_of_ones_own_is_filtered_after_its_split_file(tmp_path: Path) -> None:
    camvid_tree(tmp_path, {"train": 4})
    (tmp_path / "names.txt").write_text("train_0\ntrain_1\ntrain_2\n")
    keys = {
        "kind": "folder", "root": tmp_path, "images": "train/{name}.png", "masks": "trainannot/{name}.png",
        "labels": "camvid11", "split_file": "names.txt",
    }  # fmt: skip
    data = load(**keys, exclude=["*_1"])
    assert [data.name(index) for index in range(len(data))] == ["train_0", "train_2"]
    with pytest.raises(SegError, match=r"folder: include \['train_3'\].*none of 3 frames"):
        load(**keys, include=["train_3"])


def test_the_keys_are_part_of_a_runs_record_and_unknown_to_scenes(tmp_path: Path) -> None:
    chosen = source(kind="camvid", root="/data", split="train", include=["0001TP_*"], exclude=["*_1"])
    config = RunConfig(data=DataConfig(train=(chosen,), val=(chosen,)), augment={"crop": (8, 8)})  # type: ignore[arg-type]
    path = tmp_path / "config.yaml"
    path.write_text(dump_yaml(config))
    assert load_run_config(path) == config
    path.write_text("data: {train: [{kind: synthetic, count: 1, include: [a]}], val: []}\naugment: {crop: [8, 8]}\n")
    with pytest.raises(SegError, match=r"unknown key 'data\.train\.0\.include'"):
        load_run_config(path)
