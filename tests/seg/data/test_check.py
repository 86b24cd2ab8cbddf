"""`seg data check` finds everything that can be wrong with data, lists it all and exits non-zero."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image
from trees import HEIGHT, WIDTH, camvid_tree, write_frame, write_label

from seg.classes import load_ontology
from seg.cli import main
from seg.config import DataConfig
from seg.data import check
from seg.data.base import LabelledData
from seg.data.check import Audit, audit
from seg.data.open import open_data
from seg.data.sheet import contact_sheet


def config_of(root: Path) -> DataConfig:
    sources = [{"kind": "camvid", "root": str(root), "split": split} for split in ("train", "val")]
    return DataConfig.model_validate({"train": sources[:1], "val": sources[1:]})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return camvid_tree(tmp_path / "camvid", {"train": 6, "val": 3})


def run_audit(root: Path, workers: int = 1) -> Audit:
    return audit(config_of(root), load_ontology("drive"), workers)


def test_sound_data_have_no_problems(tree: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = audit(config_of(tree), load_ontology("drive"), progress=lambda done, total: seen.append((done, total)))
    assert result.problems == []
    assert result.frames == {"train: camvid/train": 6, "val: camvid/val": 3}
    assert seen == [(done, 9) for done in range(1, 10)]


def test_shares_of_pixels(tree: Path) -> None:
    write_label(tree / "valannot/val_0.png", 11)
    shares = run_audit(tree).shares()
    # the tree labels pole, road and pavement in turn
    train = {"background": 1 / 3, "road": 0.0, "lane": 0.0, "vehicle": 0.0, "pole": 1 / 3, "road|lane": 1 / 3}
    assert shares["train: camvid/train"] == pytest.approx({**train, "ignore": 0.0})
    assert shares["val: camvid/val"]["ignore"] == pytest.approx(1 / 3)
    assert shares["total"]["pole"] == pytest.approx(2 / 9)
    for column in shares.values():
        assert sum(column.values()) == pytest.approx(1.0)


def spoil(tree: Path) -> dict[str, str]:
    """One of each fault; the words by which each must be reported."""
    (tree / "trainannot/train_0.png").unlink()
    (tree / "train/train_1.png").unlink()
    (tree / "train/train_2.png").write_bytes(b"no picture")
    write_label(tree / "trainannot/train_3.png", 3, size=(HEIGHT, WIDTH + 1))
    write_label(tree / "trainannot/train_4.png", 99)
    whole = (tree / "trainannot/train_5.png").read_bytes()
    (tree / "trainannot/train_5.png").write_bytes(whole[:40])
    (tree / "val/val_0.png").write_bytes((tree / "train/train_5.png").read_bytes())
    return {
        "no label": "train/train_0.png: this frame has no label",
        "no frame": "trainannot/train_1.png: this label has no frame",
        "unreadable frame": "train/train_2.png: cannot be read",
        "size": "trainannot/train_3.png: the label is 7x4",
        "unmapped": "(99: 24 px)",
        "unreadable label": "trainannot/train_5.png: cannot be read",
        "overlap": "one frame stands in both train and val",
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_every_fault_is_listed(tree: Path, workers: int) -> None:
    expected = spoil(tree)
    problems = run_audit(tree, workers).problems
    for words in expected.values():
        assert sum(words in problem for problem in problems) == 1, words
    assert len(problems) == len(expected)
    overlap = next(problem for problem in problems if "both train and val" in problem)
    assert "train/train_5.png" in overlap
    assert "val/val_0.png" in overlap


def test_a_part_without_a_labelled_pixel_is_a_fault(tree: Path) -> None:
    for path in (tree / "valannot").iterdir():
        write_label(path, 11)
    assert run_audit(tree).problems == ["none of the frames of val has a labelled pixel"]


def test_labels_that_nobody_mapped_are_not_called_missing_too(tree: Path) -> None:
    for path in (tree / "valannot").iterdir():
        write_label(path, 99)
    problems = run_audit(tree).problems
    assert len(problems) == 3
    assert all("raw labels that" in problem for problem in problems)


def test_sizes_of_frames_are_counted(tree: Path) -> None:
    write_frame(tree / "val/val_0.png", size=(2 * HEIGHT, 3 * WIDTH))
    write_label(tree / "valannot/val_0.png", 3, size=(2 * HEIGHT, 3 * WIDTH))
    sizes = run_audit(tree).sizes
    assert sizes["train: camvid/train"] == {(HEIGHT, WIDTH): 6}
    assert sizes["val: camvid/val"] == {(HEIGHT, WIDTH): 2, (2 * HEIGHT, 3 * WIDTH): 1}


def test_overlap_is_found_by_content_in_whatever_file(tree: Path) -> None:
    picture = Image.open(tree / "train/train_2.png").convert("RGBA")
    (tree / "val/val_1.png").unlink()
    picture.save(tree / "val/val_1.png", compress_level=1)
    (problem,) = run_audit(tree).problems
    assert "train_2.png" in problem
    assert "val_1.png" in problem


def test_overlaps_are_counted_in_the_order_of_train(tree: Path) -> None:
    frames = {name: (tree / f"train/{name}.png").read_bytes() for name in ("train_1", "train_2")}
    (tree / "train/train_5.png").write_bytes(frames["train_2"])
    (tree / "val/val_0.png").write_bytes(frames["train_2"])
    (tree / "val/val_1.png").write_bytes(frames["train_1"])
    (tree / "val/val_2.png").write_bytes(frames["train_1"])
    first, second = run_audit(tree).problems
    assert first.endswith(f"{tree}/train/train_1.png and {tree}/val/val_1.png (and 1 more)")
    assert second.endswith(f"{tree}/train/train_2.png (and 1 more) and {tree}/val/val_0.png")


def test_no_more_than_a_window_is_sent_to_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[int] = []
    most: list[int] = []

    class Pool:
        """Keeps what it is sent until it is asked for."""

        def __init__(self, *_: object, initializer: object, initargs: tuple[LabelledData], **__: object) -> None:
            monkeypatch.setattr(check, "_data", initargs[0])

        def submit(self, work: Callable[[range], object], chunk: range) -> SimpleNamespace:
            waiting.append(chunk.start)
            most.append(len(waiting))

            def result() -> object:
                waiting.remove(chunk.start)
                return work(chunk)

            return SimpleNamespace(result=result)

        def shutdown(self, **_: object) -> None:
            pass

    monkeypatch.setattr(check, "ProcessPoolExecutor", Pool)
    scene = {"kind": "synthetic", "size": [64, 64]}
    config = DataConfig.model_validate(
        {"train": [{**scene, "count": 101}], "val": [{**scene, "first": 101, "count": 50}]}
    )
    result = audit(config, load_ontology("drive"), workers=2)
    assert result.problems == []
    assert sum(pixels.sum() for pixels in result.pixels.values()) == 151 * 64 * 64
    assert max(most) == 2 * check.AHEAD < len(most)


def test_a_frame_twice_in_one_part_is_no_error(tree: Path) -> None:
    (tree / "train/train_0.png").write_bytes((tree / "train/train_1.png").read_bytes())
    assert run_audit(tree).problems == []


def test_synthetic_scenes_overlap_by_their_numbers() -> None:
    scene = {"kind": "synthetic", "size": [64, 64]}
    config = DataConfig.model_validate({"train": [{**scene, "count": 3}], "val": [{**scene, "first": 2, "count": 2}]})
    (problem,) = audit(config, load_ontology("drive")).problems
    assert "synthetic/0 000002" in problem


def test_one_data_set_twice_keeps_two_columns(tree: Path) -> None:
    one = {"kind": "camvid", "root": str(tree), "split": "train"}
    other = {"kind": "camvid", "root": str(tree), "split": "val"}
    config = DataConfig.model_validate({"train": [one, one], "val": [other]})
    assert list(audit(config, load_ontology("drive")).frames) == [
        "train: camvid/train",
        "train: camvid/train (2)",
        "val: camvid/val",
    ]


def sheet_data(tree: Path) -> LabelledData:
    config = config_of(tree)
    return open_data([*config.train, *config.val], load_ontology("drive"))


def test_sets_are_painted_in_the_mean_colour_of_their_members(tree: Path) -> None:
    space = sheet_data(tree).space
    palette, drive = space.palette_S3, space.ontology
    assert np.array_equal(palette[:5], drive.palette_C3)
    road_lane = [space.name(value) for value in range(len(palette))].index("road|lane")
    mean = (drive.palette_C3[1].astype(int) + drive.palette_C3[2]) / 2
    assert np.abs(palette[road_lane] - mean).max() <= 0.5


def test_contact_sheet_shows_labels_and_skips_what_cannot_be_read(tree: Path) -> None:
    data = sheet_data(tree)
    sheet = contact_sheet(data, count=4)
    assert sheet is not None
    assert sheet.dtype == np.uint8
    assert sheet.ndim == 3
    for path in (tree / "train").iterdir():
        path.write_bytes(b"")
    for path in (tree / "val").iterdir():
        path.write_bytes(b"")
    assert contact_sheet(data, count=4) is None


@pytest.fixture
def run_file(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOME_ROOT", str(tree))
    sources = [{"kind": "camvid", "root": "${SOME_ROOT}", "split": split} for split in ("train", "val")]
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({"data": {"train": sources[:1], "val": sources[1:]}, "augment": {"crop": [32, 32]}}))
    return path


def exit_code(*arguments: str | Path) -> int | str | None:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return caught.value.code


def test_command_prints_shares_and_writes_the_sheet(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("data", "check", run_file, "--workers", "1") == 0
    out = capsys.readouterr().out
    assert "9 frames, no errors" in out
    assert "33.333" in out
    assert f"{WIDTH}x{HEIGHT}" in out
    with Image.open("out/data-check/tiny.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.mode == "RGB"


def test_command_lists_all_errors_and_exits_with_1(
    run_file: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = spoil(tree)
    assert exit_code("data", "check", run_file, "--sheet", tmp_path / "sheet.png", "--workers", "1") == 1
    out = capsys.readouterr().out
    for words in expected.values():
        assert words in out
    assert f"{len(expected)} errors" in out
    assert (tmp_path / "sheet.png").is_file()  # what can be seen is shown all the same


def test_command_takes_overrides(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("data", "check", run_file, "data.train.0.limit=2", "ontology=camvid11", "--workers", "1") == 0
    out = capsys.readouterr().out
    assert "5 frames, no errors" in out
    assert "pavement" in out


def test_command_keeps_a_sheet_that_exists(run_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(b"mine")
    assert exit_code("data", "check", run_file, "--sheet", sheet) == 2
    assert "exists already; give --overwrite" in capsys.readouterr().err
    assert sheet.read_bytes() == b"mine"
    assert exit_code("data", "check", run_file, "--sheet", sheet, "--overwrite", "--workers", "1") == 0
    assert sheet.read_bytes()[:4] == b"\x89PNG"


def test_a_sheet_never_replaces_a_frame_and_says_so_before_the_audit(
    run_file: Path, tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the audit began")

    monkeypatch.setattr("seg.data.check.audit", never)
    frame = tree / "train/train_0.png"
    before = frame.read_bytes()
    assert exit_code("data", "check", run_file, "--sheet", frame, "--overwrite") == 2
    assert str(frame) in capsys.readouterr().err
    assert frame.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.yaml"], "none.yaml: no such file"),
        (["tiny.yaml", "data.train.0.rot=x"], "did you mean 'root'"),
        (["tiny.yaml", "data.train.0.root=nowhere"], "camvid: no folder nowhere"),
        (["tiny.yaml", "data.val.0.split=tset"], "no frames of split 'tset'"),
        (["tiny.yaml", "data.train.0.labels=camvid99"], "no label set named 'camvid99'"),
        (["tiny.yaml", "ontology=drvie"], "did you mean 'drive'"),
    ],
)
def test_command_says_in_one_line_what_is_wrong(
    run_file: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("data", "check", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("seg: ")
    assert message in error
    assert error.count("\n") == 1
    assert not list(Path("out").rglob("*.png"))


INTERRUPTED = """
import os, signal
import seg.data.check
from seg.cli import main

real = seg.data.check.audit

def audit(data, ontology, workers, progress):
    # what Ctrl-C in a terminal does: the signal goes to the whole process group, here after 20 frames
    def report(done, total):
        if done == 20:
            SEND
        progress(done, total)
    return real(data, ontology, workers, report)

signal.signal(signal.SIGINT, signal.default_int_handler)
seg.data.check.audit = audit
main(["data", "check", "big.yaml", "--workers", "2"])
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
@pytest.mark.parametrize(
    ("send", "code", "word"),
    [
        ("os.killpg(0, signal.SIGINT)", 130, "interrupted"),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, "terminated"),
    ],
)
def test_a_signal_has_its_exit_code_and_leaves_nothing(tmp_path: Path, send: str, code: int, word: str) -> None:
    scenes = {"kind": "synthetic", "count": 5000, "size": [64, 64]}
    sources = {"train": [scenes], "val": [{**scenes, "first": 5000}]}
    (tmp_path / "big.yaml").write_text(yaml.safe_dump({"data": sources, "augment": {"crop": [32, 32]}}))
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.replace("SEND", send)],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    # ends only when every process that holds the pipes has ended, the workers among them
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert error == f"seg: {word}; no contact sheet was written\n"
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.real_data
def test_real_camvid_is_sound(seg_data: Path) -> None:
    config = config_of(seg_data / "camvid")
    result = audit(config, load_ontology("drive"), workers=2)
    assert result.problems == []
    assert result.frames == {"train: camvid/train": 367, "val: camvid/val": 101}
    assert result.shares()["train: camvid/train"]["road|lane"] == pytest.approx(0.317, abs=0.001)


def test_the_frame_is_hashed_with_its_shape(tree: Path) -> None:
    flat = write_frame(tree / "train/train_0.png", seed=50)
    Image.fromarray(flat.reshape(HEIGHT * 2, WIDTH // 2, 3)).save(tree / "val/val_0.png")
    write_label(tree / "valannot/val_0.png", 3, size=(HEIGHT * 2, WIDTH // 2))
    assert run_audit(tree).problems == []
