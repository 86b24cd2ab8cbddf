"""The decoded cache: the same samples as without it, each file decoded once, and nothing stale, torn or in the way."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from trees import HEIGHT, WIDTH, camvid_tree, source, write_frame, write_label

import seg.data.base
import seg.data.cache
from seg.classes import load_ontology
from seg.config import DataConfig, dump_yaml
from seg.data.base import LabelledData
from seg.data.open import open_data
from seg.errors import SegError
from seg.paths import configs


def opened(root: Path, cache: Path | None, ontology: str = "drive", **keys: Any) -> LabelledData:
    camvid = source(**{"kind": "camvid", "root": root, "split": "train", **keys})
    return open_data([camvid], load_ontology(ontology), cache=str(cache) if cache else None)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The frame files that were decoded, in order."""
    paths: list[Path] = []
    read = seg.data.base.read_rgb
    monkeypatch.setattr(seg.data.base, "read_rgb", lambda path: paths.append(path) or read(path))
    return paths


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def equal(data: LabelledData, other: LabelledData) -> bool:
    pairs = [(data.sample(index), other.sample(index)) for index in range(len(data))]
    return all(
        np.array_equal(a.frame_HWC, b.frame_HWC)
        and np.array_equal(a.label_HW, b.label_HW)
        and (a.name, a.dataset) == (b.name, b.dataset)
        for a, b in pairs
    )


def test_the_same_samples_with_each_file_decoded_once(tmp_path: Path, decoded: list[Path]) -> None:
    plain = opened(camvid_tree(tmp_path / "data", {"train": 3}), None)
    data = opened(tmp_path / "data", tmp_path / "cache")
    assert equal(data, plain)
    decoded.clear()
    again = pickle.loads(pickle.dumps(opened(tmp_path / "data", tmp_path / "cache")))  # as a worker gets it
    for index in range(3):
        again.sample(index)
        data.sample(index)
    assert decoded == []
    assert equal(again, plain)
    sample = again.sample(0)
    assert not sample.frame_HWC.flags.writeable
    assert type(sample.frame_HWC) is np.ndarray  # a memmap would stay one through pickling and arithmetic
    assert sample.frame_HWC.dtype == sample.label_HW.dtype == np.uint8


def test_what_it_takes_is_one_byte_a_value(tmp_path: Path) -> None:
    data = opened(camvid_tree(tmp_path / "data", {"train": 1}), tmp_path / "cache")
    data.sample(0)
    sizes = sorted(path.stat().st_size for path in entries(tmp_path / "cache"))
    assert sizes == [128 + HEIGHT * WIDTH, 128 + 3 * HEIGHT * WIDTH]  # 128 bytes of .npy header


def rewrite(file: Path, seed: int) -> np.ndarray:
    before = file.stat()
    picture = write_frame(file, seed)
    # a tick later at least, whatever the file system's clock
    os.utime(file, ns=(before.st_atime_ns, max(file.stat().st_mtime_ns, before.st_mtime_ns + 1)))
    return picture


def test_a_changed_frame_is_decoded_again_and_takes_the_place_of_the_old(tmp_path: Path) -> None:
    data = opened(camvid_tree(tmp_path / "data", {"train": 2}), tmp_path / "cache")
    before = [data.sample(index).label_HW.copy() for index in range(2)]
    kept = entries(tmp_path / "cache")
    for seed in (70, 71):
        picture = rewrite(tmp_path / "data/train/train_0.png", seed)
        assert np.array_equal(data.sample(0).frame_HWC, picture)
        assert np.array_equal(data.sample(0).frame_HWC, picture)  # and from the cache
    now = entries(tmp_path / "cache")
    assert len(now) == len(kept) == 4
    assert len(set(now) & set(kept)) == 3
    assert np.array_equal(data.sample(1).label_HW, before[1])


def test_a_changed_label_is_decoded_again(tmp_path: Path) -> None:
    data = opened(camvid_tree(tmp_path / "data", {"train": 1}), tmp_path / "cache")
    assert data.space.name(int(data.sample(0).label_HW[0, 0])) == "pole"
    file = tmp_path / "data/trainannot/train_0.png"
    stamp = file.stat().st_mtime_ns + 1
    write_label(file, 8)
    os.utime(file, ns=(stamp, stamp))
    assert data.space.name(int(data.sample(0).label_HW[0, 0])) == "vehicle"
    assert len(entries(tmp_path / "cache")) == 2


def test_ontologies_and_label_files_share_frames_but_not_labels(tmp_path: Path, decoded: list[Path]) -> None:
    root = camvid_tree(tmp_path / "data", {"train": 1})
    shipped = (configs() / "labels/camvid11.yaml").read_text(encoding="utf-8")
    other = yaml.safe_load(shipped)
    drive = other["onto"]["drive"]
    drive["pole"].remove("pole")
    drive["background"].append("pole")
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(other), encoding="utf-8")
    variants: list[dict[str, Any]] = [{}, {"ontology": "camvid11"}, {"labels": str(tmp_path / "other.yaml")}]
    for turn in range(2):
        for variant in variants:
            assert equal(opened(root, tmp_path / "cache", **variant), opened(root, None, **variant)), (turn, variant)
    assert len(entries(tmp_path / "cache")) == 1 + len(variants)
    assert len(decoded) == 3 + 6  # with the cache once for each variant, and six times without it


def test_a_damaged_entry_is_made_again(tmp_path: Path) -> None:
    plain = opened(camvid_tree(tmp_path / "data", {"train": 1}), None)
    data = opened(tmp_path / "data", tmp_path / "cache")
    data.sample(0)
    for damage in (lambda whole: whole[:-1], lambda whole: whole[:60], lambda _: b"", lambda _: b"no array"):
        for path in entries(tmp_path / "cache"):
            path.write_bytes(damage(path.read_bytes()))
        assert equal(data, plain)
        assert equal(data, plain)
    assert all(path.stat().st_size >= 128 for path in entries(tmp_path / "cache"))


def test_a_folder_deleted_meanwhile_is_filled_again(tmp_path: Path) -> None:
    data = opened(camvid_tree(tmp_path / "data", {"train": 1}), tmp_path / "cache")
    sample = data.sample(0)
    mapped = data.sample(0).frame_HWC
    for path in entries(tmp_path / "cache"):
        path.unlink()
    assert np.array_equal(mapped, sample.frame_HWC)  # what is in use stays
    assert np.array_equal(data.sample(0).frame_HWC, sample.frame_HWC)
    assert len(entries(tmp_path / "cache")) == 2


def test_a_disk_that_fills_up_is_said_once_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[Path]
) -> None:
    plain = opened(camvid_tree(tmp_path / "data", {"train": 3}), None)
    data = opened(tmp_path / "data", tmp_path / "cache")
    data.sample(0)
    monkeypatch.setattr(seg.data.cache, "RESERVE", 1 << 60)
    with pytest.warns(UserWarning, match=r"data\.cache takes no more.*cache: less than \d+ MiB free") as warned:
        assert equal(data, plain)
    assert len(warned) == 1
    assert len(entries(tmp_path / "cache")) == 2
    decoded.clear()
    data.sample(0)
    assert decoded == []  # what it holds is still of use


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = opened(camvid_tree(tmp_path / "data", {"train": 1}), tmp_path / "cache")

    def half(file: Path, array: np.ndarray) -> None:
        Path(file).write_bytes(array.tobytes()[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", half)
    with pytest.warns(UserWarning, match="No space left on device"):
        data.sample(0)
    assert entries(tmp_path / "cache") == []


def test_errors_are_those_without_a_cache(tmp_path: Path) -> None:
    root = camvid_tree(tmp_path / "data", {"train": 4})
    write_label(root / "trainannot/train_0.png", 99)
    write_label(root / "trainannot/train_1.png", size=(HEIGHT, WIDTH + 2))
    cut = root / "train/train_2.png"
    cut.write_bytes(cut.read_bytes()[:40])
    data = opened(root, tmp_path / "cache")
    (root / "train/train_3.png").unlink()
    for _ in range(2):
        for index, text in enumerate(
            [
                r"trainannot/train_0\.png: .*\(99: 24 px\)",
                "the label is 8x4, but its frame",
                r"train_2\.png: cannot be read as a picture",
                r"train/train_3\.png: cannot be read \(No such file",
            ]
        ):
            with pytest.raises(SegError, match=text):
                data.sample(index)
    assert entries(tmp_path / "cache") == []


def test_a_frame_that_outgrows_its_label_is_an_error(tmp_path: Path) -> None:
    data = opened(camvid_tree(tmp_path / "data", {"train": 1}), tmp_path / "cache")
    data.sample(0)
    write_frame(tmp_path / "data/train/train_0.png", size=(HEIGHT, WIDTH + 2))
    with pytest.raises(SegError, match="the label is 6x4, but its frame"):
        data.sample(0)


def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    camvid_tree(tmp_path / "data", {"train": 1})
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(SegError, match=r"file.*cannot be made"):
        opened(tmp_path / "data", tmp_path / "file")


def test_colour_labels_and_scenes(tmp_path: Path) -> None:
    write_frame(tmp_path / "data/701_StillsRaw_full/a.png")
    write_label(tmp_path / "data/LabeledApproved_full/a_L.png", (128, 64, 128))
    plain, data = (opened(tmp_path / "data", cache, split="all") for cache in (None, tmp_path / "cache"))
    assert equal(data, plain)
    assert equal(data, plain)
    assert len(entries(tmp_path / "cache")) == 2
    scenes = source(kind="synthetic", count=1, size=[64, 96])
    made = open_data([scenes], load_ontology("drive"), cache=str(tmp_path / "scenes"))
    assert equal(made, open_data([scenes], load_ontology("drive")))
    assert entries(tmp_path / "scenes") == []  # they have no files


def test_the_folder_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camvid_tree(tmp_path / "data", {"train": 1})
    monkeypatch.setenv("SEG_CACHE", str(tmp_path / "named"))
    opened(tmp_path / "data", Path("${SEG_CACHE}/camvid")).sample(0)
    assert len(entries(tmp_path / "named/camvid")) == 2
    monkeypatch.delenv("SEG_CACHE")
    with pytest.raises(SegError, match="SEG_CACHE is not set"):
        opened(tmp_path / "data", Path("${SEG_CACHE}/camvid"))


def test_it_is_no_part_of_a_runs_record(tmp_path: Path) -> None:
    scenes = {"kind": "synthetic", "count": 1}
    config = DataConfig.model_validate({"train": [scenes], "val": [scenes], "cache": str(tmp_path / "here")})
    assert config.cache == str(tmp_path / "here")
    assert "here" not in dump_yaml(config)


def test_palette_labels_stay_ids(tmp_path: Path) -> None:
    root = camvid_tree(tmp_path / "data", {"train": 1})
    picture = Image.fromarray(np.full((HEIGHT, WIDTH), 2, np.uint8), mode="P")
    picture.putpalette([200, 100, 50] * 256)
    picture.save(root / "trainannot/train_0.png")
    data = opened(root, tmp_path / "cache")
    assert equal(data, opened(root, None))
    assert data.space.name(int(data.sample(0).label_HW[0, 0])) == "pole"
