"""Frames without labels: pictures of a folder, and frames of videos, each decoded once into the cache."""

from __future__ import annotations

import pickle
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media import TIME_BASE, read_video, truncate, write_video
from trees import HEIGHT, WIDTH, camvid_tree, load, source, write_frame, write_label

import seg.data.cache
import seg.data.taken
import seg.sources.video
from seg.classes import IGNORE, load_ontology
from seg.config import DataConfig
from seg.data.base import LabelledData
from seg.data.check import audit
from seg.data.open import label_space, open_data
from seg.data.sheet import contact_sheet
from seg.errors import SegError


def names(data: LabelledData) -> list[str]:
    return [data.name(index) for index in range(len(data))]


# Pictures


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    root = tmp_path / "fleet"
    for seed, name in enumerate(["b/frame10.png", "b/frame2.jpg", "a.bmp", "b/c/deep.webp"]):
        write_frame(root / name, seed)
    for name in (
        ".hidden.png",
        ".thumbnails/a.png",
        "a.overlay.png",
        "a.restored.png",
        "a.overlay.seg-partial1.png",
        "b/.deep.overlay.png",
    ):
        write_frame(root / name, 9)
    (root / "notes.txt").write_text("no picture", encoding="utf-8")
    (root / "folder.png").mkdir()
    return root


def images(root: Path, **keys: Any) -> LabelledData:
    return load(kind="images", root=root, **keys)


def test_every_picture_at_any_depth_in_natural_order(pictures: Path) -> None:
    data = images(pictures)
    assert names(data) == ["a", "b/c/deep", "b/frame2", "b/frame10"]
    assert data.files(3) == (pictures / "b/frame10.png",)
    assert data.readers[0].dataset == "images/fleet"
    assert np.array_equal(data.frame(3), write_frame(pictures / "b/frame10.png", 0))


def test_behind_links_too(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "drive").symlink_to(pictures, target_is_directory=True)
    assert [name.removeprefix("drive/") for name in names(images(tmp_path / "linked"))] == names(images(pictures))


def test_two_files_of_one_stem_keep_their_suffixes(pictures: Path) -> None:
    write_frame(pictures / "a.png")
    assert names(images(pictures)) == ["a.bmp", "a.png", "b/c/deep", "b/frame2", "b/frame10"]


def test_names_are_chosen_before_the_limit_counts(pictures: Path) -> None:
    assert names(images(pictures, include=["b/*"], exclude=["*deep"])) == ["b/frame2", "b/frame10"]
    assert names(images(pictures, include=["b/*"], limit=2)) == ["b/c/deep", "b/frame2"]
    with pytest.raises(SegError, match=r"images: include \['c/\*'\].*leave none of 4 frames"):
        images(pictures, include=["c/*"])


def test_a_root_from_the_environment(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET", str(pictures))
    assert len(images(Path("${FLEET}/b"))) == 3


def test_folders_that_are_missing_or_hold_no_picture(tmp_path: Path) -> None:
    with pytest.raises(SegError, match=r"images: no folder .*absent; set `root`"):
        images(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/readme.md").write_text("none", encoding="utf-8")
    with pytest.raises(SegError, match=r"images: no pictures under .*empty; expected one of \.bmp, "):
        images(tmp_path / "empty")


def test_a_label_set_is_refused(pictures: Path) -> None:
    with pytest.raises(SegError, match="images: has no labels to read with 'camvid11'"):
        images(pictures, labels="camvid11")


@pytest.mark.parametrize("ontology", ["drive", "camvid11"])
def test_every_pixel_is_ignore_in_any_ontology(pictures: Path, ontology: str) -> None:
    data = load(kind="images", root=pictures, ontology=ontology)
    sample = data.sample(0)
    assert sample.label_HW.shape == (HEIGHT, WIDTH)
    assert sample.label_HW.dtype == np.uint8
    assert (sample.label_HW == IGNORE).all()
    frame, raw = data.readers[0].read(0)
    assert (data.encode(0, raw) == sample.label_HW).all()
    assert np.array_equal(frame, sample.frame_HWC)
    assert np.array_equal(data.readers[0].read_raw(0), raw)


def test_the_cache_keeps_the_frames_alone(pictures: Path, tmp_path: Path) -> None:
    sources = [source(kind="images", root=pictures)]
    data = open_data(sources, load_ontology("drive"), cache=str(tmp_path / "cache"))
    before = [data.sample(index).frame_HWC.copy() for index in range(4)]
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 4
    again = data.sample(0)
    assert not again.frame_HWC.flags.writeable  # from the cache
    assert (again.label_HW == IGNORE).all()
    assert np.array_equal(again.frame_HWC, before[0])


# Videos


def write_levels(path: Path, levels: list[int], fps: int = 10) -> Path:
    """A video of evenly grey pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"qp": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = TIME_BASE
        for index, level in enumerate(levels):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(Fraction(index, fps) / TIME_BASE), TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the videos that were opened, in order."""
    opened: list[str] = []

    class Counted(seg.sources.video.VideoSource):
        def __init__(self, path: Path) -> None:
            opened.append(path.name)
            super().__init__(path)

    monkeypatch.setattr(seg.sources.video, "VideoSource", Counted)
    return opened


def frames_of(files: Path | str, cache: Path | None, **keys: Any) -> LabelledData:
    sources = [source(**{"kind": "video", "files": str(files), **keys})]
    return open_data(sources, load_ontology("drive"), cache=str(cache) if cache else None)


def times(data: LabelledData) -> list[float]:
    return [float(name.split("@")[1]) for name in names(data)]


def test_a_frame_every_so_many_seconds(video: Path, cache: Path) -> None:
    data = frames_of(video, cache, every=0.1)  # a frame each 0.04 s
    assert names(data) == ["drive@0.000", "drive@0.120", "drive@0.200", "drive@0.320", "drive@0.400"]
    assert data.files(2) == (video,)
    assert data.readers[0].dataset == "video/drive"
    _, decoded = read_video(video)
    for index, number in enumerate([0, 3, 5, 8, 10]):
        sample = data.sample(index)
        assert np.array_equal(sample.frame_HWC, decoded[number])
        assert sample.label_HW.shape == decoded[number].shape[:2]
        assert (sample.label_HW == IGNORE).all()


def test_the_multiples_of_a_variable_rate(tmp_path: Path, cache: Path) -> None:
    at_ms = [0, 400, 990, 1010, 1020, 3100, 3150, 3999, 4000, 8500]
    video = write_video(tmp_path / "vfr.mkv", len(at_ms), times_ms=at_ms)
    # of the multiples that fall into a gap, the frame after it stands for all
    assert times(frames_of(video, cache, every=1)) == [0, 1.01, 3.1, 4, 8.5]
    assert times(frames_of(video, cache, every=0.01)) == [time / 1000 for time in at_ms]
    assert times(frames_of(video, cache, every=100)) == [0]


def test_time_counts_from_the_first_frame_and_anew_where_the_clock_starts_anew() -> None:
    sampling = seg.data.taken._Sampling(1.0, None)
    grey = np.zeros((4, 4, 3), np.uint8)
    at_s = [0.5, 1.1, 1.7, 2.3, 2.9, 50.1, 50.4, 50.6, 0.2, 0.8, 1.4]
    frames = [seg.data.taken.Frame(grey, index, round(time * 1e9), "joined") for index, time in enumerate(at_s)]
    assert [at_s[frame.index] for frame in frames if sampling.takes(frame)] == [0.5, 1.7, 2.9, 50.1, 50.6, 0.2, 1.4]


def test_a_change_of_scene(tmp_path: Path, cache: Path) -> None:
    levels = [50] * 5 + [100] * 5 + [110] * 2 + [120] * 2 + [140] * 2 + [20] + [240] * 3
    video = write_levels(tmp_path / "cuts.mp4", levels)  # ten a second
    # 100, then 140: the steps between are compared with the last one taken, and together they are enough
    expected = {0.05: [0.0, 0.5, 1.2, 1.4, 1.6, 1.7], 0.13: [0.0, 0.5, 1.4, 1.6, 1.7], 0.5: [0.0, 1.7], 0.95: [0.0]}
    for scene_change, at_s in expected.items():
        assert times(frames_of(video, cache, every=0.1, scene_change=scene_change)) == at_s
    # 20 at 1.6 comes too soon after 1.4, and 240 after 0.5 s
    assert times(frames_of(video, cache, every=0.25, scene_change=0.13)) == [0.0, 0.5, 1.4, 1.7]


def test_a_pattern_takes_all_videos_in_natural_order(tmp_path: Path, cache: Path, openings: list[str]) -> None:
    made = ("2.overlay.mp4", "2.restored.mp4", "2.overlay.seg-partial.mp4", "2.overlay.seg-partial1.mp4")
    for name in ("drives/10.mp4", "drives/2.mp4", "drives/deep/1.mkv", *(f"drives/{name}" for name in made)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(tmp_path / name, 6)
    assert names(frames_of(tmp_path / "drives/*.mp4", cache, every=0.2)) == [
        "2@0.000",
        "2@0.200",
        "10@0.000",
        "10@0.200",
    ]
    assert openings == ["2.mp4", "10.mp4"]
    deep = frames_of(tmp_path / "drives/**/*.m*", cache, every=0.2)
    assert names(deep)[-2:] == ["1@0.000", "1@0.200"]
    assert deep.readers[0].dataset == "video/drives"
    assert openings == ["2.mp4", "10.mp4", "1.mkv"]


def test_a_limit_counts_frames_over_all_files(tmp_path: Path, cache: Path, openings: list[str]) -> None:
    for name in ("1.mp4", "2.mp4", "3.mp4"):
        write_video(tmp_path / name, 6)
    keys: dict[str, Any] = {"every": 0.1}
    assert names(frames_of(tmp_path / "*.mp4", cache, limit=4, **keys)) == [
        "1@0.000", "1@0.120", "1@0.200", "2@0.000"
    ]  # fmt: skip
    assert openings == ["1.mp4", "2.mp4"]
    assert len(frames_of(tmp_path / "*.mp4", cache, limit=2, **keys)) == 2
    assert len(frames_of(tmp_path / "*.mp4", cache, limit=4, **keys)) == 4
    assert openings == ["1.mp4", "2.mp4"]
    assert len(frames_of(tmp_path / "*.mp4", cache, **keys)) == 9  # only one frame of the second was taken so far
    assert openings == ["1.mp4", "2.mp4", "2.mp4", "3.mp4"]


def test_names_are_unique(tmp_path: Path, cache: Path) -> None:
    for name in ("a/front.mp4", "b/front.mp4", "b/front.mkv", "c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_video(tmp_path / name, 2)
    data = frames_of(tmp_path / "**/*.m*", cache)
    assert names(data) == ["a/front.mp4@0.000", "b/front.mkv@0.000", "b/front.mp4@0.000", "c@0.000"]
    data = frames_of(tmp_path / "**/*.mp4", cache)
    assert names(data) == ["a/front@0.000", "b/front@0.000", "c@0.000"]
    assert len({data.readers[0].origin(index) for index in range(3)}) == 3
    fast = write_video(tmp_path / "fast.mp4", 3, times_ms=[0, 0.2, 0.4])
    assert names(frames_of(fast, cache, every=0.0001)) == ["fast@0.000", "fast@0.000#2", "fast@0.000#3"]


def test_each_video_is_decoded_once_for_each_setting(video: Path, cache: Path, openings: list[str]) -> None:
    first = frames_of(video, cache, every=0.1)
    kept = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}
    again = frames_of(video, cache, every=0.1)
    assert openings == ["drive.mp4"]
    assert names(again) == names(first)
    for index in range(len(first)):
        assert np.array_equal(again.sample(index).frame_HWC, first.sample(index).frame_HWC)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()} == kept
    assert len(frames_of(video, cache, every=0.2)) == 3
    assert len(frames_of(video, cache, every=0.1, scene_change=0.9)) == 1
    assert openings == ["drive.mp4"] * 3
    assert len(frames_of(video, cache, every=0.1)) == 5  # the other settings have not touched it
    assert openings == ["drive.mp4"] * 3


def test_a_changed_video_is_decoded_again_and_its_old_frames_go(
    tmp_path: Path, cache: Path, openings: list[str]
) -> None:
    video = write_levels(tmp_path / "a.mp4", [50] * 10)
    frames_of(video, cache, every=0.1)
    frames_of(video, cache, every=0.2)
    write_levels(video, [200] * 5)
    data = frames_of(video, cache, every=0.1)
    assert openings == ["a.mp4"] * 3
    assert len(data) == 5
    assert abs(float(data.sample(4).frame_HWC.mean()) - 200) < 5
    assert len(list(cache.rglob("*.npy"))) == 5
    frames_of(video, cache, every=0.1)
    assert openings == ["a.mp4"] * 3


def test_a_run_killed_while_decoding_leaves_nothing_wrong(
    video: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = seg.data.cache.DecodedCache.write
    written: list[Path] = []

    def killed_at_the_third(self: seg.data.cache.DecodedCache, entry: Path, array: np.ndarray) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(entry)
        write(self, entry, array)

    with monkeypatch.context() as patch:
        patch.setattr(seg.data.cache.DecodedCache, "write", killed_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            frames_of(video, cache, every=0.1)
    stamps = [path.stat().st_mtime_ns for path in written]
    assert len(list(cache.rglob("*.npy"))) == 2
    data = frames_of(video, cache, every=0.1)
    assert [path.stat().st_mtime_ns for path in written] == stamps  # it goes on
    _, decoded = read_video(video)
    for index, number in enumerate([0, 3, 5, 8, 10]):
        assert np.array_equal(data.sample(index).frame_HWC, decoded[number])


@pytest.mark.parametrize("damage", ["gone", "cut", "index"])
def test_what_was_damaged_in_the_cache_is_made_again(
    video: Path, cache: Path, openings: list[str], damage: str
) -> None:
    data = frames_of(video, cache, every=0.1)
    third = sorted(cache.rglob("*.npy"))[2]
    if damage == "gone":
        third.unlink()
    elif damage == "cut":
        third.write_bytes(third.read_bytes()[:-5])
    else:
        next(cache.rglob("index.json")).write_text('{"frames": [[0', encoding="utf-8")
    if damage != "index":
        with pytest.raises(SegError, match=r"drive\.mp4 at 0\.200 s: no longer in data\.cache .*start again"):
            data.sample(2)
    again = frames_of(video, cache, every=0.1)
    assert openings == ["drive.mp4"] * 2
    assert np.array_equal(again.sample(2).frame_HWC, read_video(video)[1][5])


def test_a_video_needs_a_cache(video: Path) -> None:
    with pytest.raises(SegError, match=r"kind: video needs data\.cache: its frames are decoded once into that folder"):
        frames_of(video, None)


def test_a_full_cache_is_an_error(video: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seg.data.cache, "RESERVE", 1 << 60)
    with pytest.raises(SegError, match=r"drive\.mp4: data\.cache takes no more, .*MiB free on its disk"):
        frames_of(video, cache)
    assert list(cache.rglob("*.npy")) == []


def test_a_video_that_ends_early_warns_and_gives_what_it_has(tmp_path: Path, cache: Path, openings: list[str]) -> None:
    whole = write_video(tmp_path / "whole.mkv", 50)
    cut = truncate(whole, tmp_path / "cut.mkv")
    for _ in range(2):  # the second time from the cache
        with pytest.warns(UserWarning, match=r"cut\.mkv: ended early: \d+ frames decoded.*; frames taken of it: \d"):
            data = frames_of(cut, cache, every=0.2)
    assert openings == ["cut.mkv"]
    assert 3 <= len(data) < 10
    assert times(data) == [round(0.2 * index, 3) for index in range(len(data))]
    assert data.sample(len(data) - 1).frame_HWC.shape == (48, 64, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames_of(whole, cache)


def test_files_that_give_no_frame(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(SegError, match=r"video: no file fits .*none\.mp4"):
        frames_of(tmp_path / "none.mp4", cache)
    with pytest.raises(SegError, match=r"video: no file fits .*\*\.mp4"):
        frames_of(tmp_path / "*.mp4", cache)
    with pytest.raises(SegError, match=r"is a folder; name its videos with a pattern"):
        frames_of(tmp_path, cache)
    (tmp_path / "bad.mp4").write_text("no video", encoding="utf-8")
    with pytest.raises(SegError, match=r"bad\.mp4: not a video that can be read"):
        frames_of(tmp_path / "*.mp4", cache)
    with pytest.raises(SegError, match="video: has no labels to read with 'drive'"):
        frames_of(tmp_path / "*.mp4", cache, labels="drive")


# Together


@pytest.fixture
def mixed(video: Path, pictures: Path, tmp_path: Path, cache: Path) -> DataConfig:
    camvid = camvid_tree(tmp_path / "camvid", {"train": 3, "val": 2})
    train = [
        {"kind": "camvid", "root": str(camvid), "split": "train", "weight": 3},
        {"kind": "images", "root": str(pictures), "weight": 1},
        {"kind": "video", "files": str(video), "every": 0.2},
    ]
    val = [{"kind": "camvid", "root": str(camvid), "split": "val"}]
    return DataConfig.model_validate({"train": train, "val": val, "cache": str(cache)})


def test_unlabelled_frames_beside_labelled_ones(mixed: DataConfig) -> None:
    ontology = load_ontology("drive")
    space = label_space(mixed, ontology)
    data = open_data(mixed.train, ontology, space, mixed.cache)
    assert [len(reader) for reader in data.readers] == [3, 4, 3]
    shipped = pickle.loads(pickle.dumps(data))  # as a worker gets it
    for _ in range(2):
        ignored = [bool((shipped.sample(index).label_HW == IGNORE).all()) for index in range(10)]
        assert ignored == [False] * 3 + [True] * 7
    weights = data.weights()
    assert weights[:3].sum() == pytest.approx(3 * weights[3:7].sum())
    assert space.sets == label_space(mixed.model_copy(update={"train": mixed.train[:1]}), ontology).sets


@pytest.mark.parametrize("workers", [1, 2])
def test_the_audit_takes_them_as_they_are(mixed: DataConfig, workers: int) -> None:
    result = audit(mixed, load_ontology("drive"), workers)
    assert result.problems == []
    assert list(result.frames.values()) == [3, 4, 3, 2]
    assert result.shares()["train: video/drive"]["ignore"] == 1
    assert contact_sheet(result.data) is not None


def test_the_audit_names_what_is_wrong_with_them(mixed: DataConfig, pictures: Path, video: Path) -> None:
    (pictures / "a.bmp").write_bytes(b"no picture")
    both = mixed.model_copy(update={"val": (*mixed.val, mixed.train[2].model_copy(update={"limit": 1}))})
    problems = audit(both, load_ontology("drive")).problems
    assert len(problems) == 2
    assert "a.bmp: cannot be read as a picture" in problems[0]
    assert problems[1] == f"one frame stands in both train and val: {video} at 0.000 s and {video} at 0.000 s"


def test_a_labelled_frame_and_the_same_one_without_label_share_a_cache(tmp_path: Path, cache: Path) -> None:
    write_frame(tmp_path / "data/train/a.png")
    write_label(tmp_path / "data/trainannot/a.png", 3)
    sources = [
        source(kind="camvid", root=tmp_path / "data", split="train"),
        source(kind="images", root=tmp_path / "data/train"),
    ]
    for _ in range(2):
        data = open_data(sources, load_ontology("drive"), cache=str(cache))
        assert (data.sample(1).label_HW == IGNORE).all()
        assert (data.sample(0).label_HW != IGNORE).all()
    assert len(list(cache.rglob("*.npy"))) == 2
