"""`seg embed`, `seg search`, `seg index` and `seg curate` as a user types them, and one line for each mistake."""

import csv
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from media import picture, truncate, write_video
from onnx_models import save_bands
from PIL import Image
from tables import save_table

from infer.codes import Codes


@pytest.fixture
def model(tmp_path):
    return save_bands(tmp_path / "bands.onnx", novelty=True, codes=True)


@pytest.fixture
def pictures(tmp_path):
    """Twenty pictures whose colour, and so whose code and hash, moves from one to the next."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(20):
        Image.fromarray(np.full((24, 32, 3), [10 * index, 200 - 9 * index, 40], np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def table(seg, model, pictures, tmp_path):
    path = tmp_path / "codes.parquet"
    assert seg("embed", model, pictures, "--out", path, "--threads", 1)[0] == 0
    return path


def mistake(result, *words):
    """One line on stderr, which has these words."""
    code, _, err = result
    assert code == 2, err
    assert len(err.strip().splitlines()) == 1, err
    for word in words:
        assert str(word) in err, err


def listing(folder):
    return sorted(entry.name for entry in folder.iterdir())


def found(out):
    """Rank, row, bits, cosine of each line."""
    lines = [line.split() for line in out.splitlines()[1:]]
    return [(int(one[0]), int(one[1]), int(one[2]), float(one[3])) for one in lines if one[0].isdigit()]


def test_embed_several_sources(seg, model, pictures, tmp_path):
    videos = [write_video(tmp_path / f"{name}.mp4", count=4) for name in ("monday", "tuesday")]
    code, out, err = seg("embed", model, *videos, pictures, "--out", tmp_path / "new" / "t.parquet", "--every", 2)
    assert (code, err) == (0, "")
    assert "14 frames in" in out
    assert str(tmp_path / "new" / "t.parquet") in out
    assert Codes(tmp_path / "new" / "t.parquet").column("index").tolist() == [0, 2, 0, 2, *range(0, 20, 2)]
    mistake(seg("embed", model, pictures, "-o", tmp_path / "new" / "t.parquet"), "t.parquet", "--overwrite")
    assert seg("embed", model, pictures, "-o", tmp_path / "new" / "t.parquet", "--overwrite")[0] == 0
    assert Codes(tmp_path / "new" / "t.parquet").rows == 20


def test_embed_mistakes(seg, model, pictures, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    bare = save_bands(tmp_path / "bare.onnx")
    mistake(
        seg("embed", bare, pictures, "--out", out / "t.parquet"), "bare.onnx", "no code and no hash", "seg calibrate"
    )
    mistake(seg("embed", model, "--out", out / "t.parquet"), "name what to run it on")
    mistake(seg("embed", model, out, "--out", out / "t.parquet"), "no images there")
    mistake(seg("embed", model, pictures, "none.mp4", "--out", out / "t.parquet"), "none.mp4: no such file")
    mistake(seg("embed", model, pictures, "--out", out / "t.csv"), "t.csv", ".parquet")
    mistake(seg("embed", model, pictures, "--out", pictures), "is an input")
    assert listing(out) == []
    assert len(listing(pictures)) == 20


def test_embed_keeps_what_can_be_read_and_tells(seg, model, pictures, tmp_path):
    half = truncate(write_video(tmp_path / "whole.avi", count=60, size=(144, 192)), tmp_path / "half.avi", 0.5)
    (pictures / "3.png").write_text("no picture")
    result = seg("embed", model, half, pictures, "--out", tmp_path / "t.parquet")
    mistake(result, "half.avi: ended early", "(and 1 more problem)")
    rows = Codes(tmp_path / "t.parquet")
    assert 19 < rows.rows < 79
    assert f"the outputs hold the {rows.rows} frames" in result[2]
    assert rows.column("source").tolist().count(str(half)) == rows.rows - 19


def test_ctrl_c_keeps_a_whole_table(model, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(frames / "00000.png")
    for index in range(1, 5000):
        (frames / f"{index:05d}.png").hardlink_to(frames / "00000.png")
    process = subprocess.Popen(
        [sys.executable, "-m", "seg.cli", "embed", str(model), str(frames), "--out", str(tmp_path / "t.parquet")],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 120
    while not any(entry.stat().st_size > 1000 for entry in tmp_path.glob(".t.partial*")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    rows = Codes(tmp_path / "t.parquet").rows
    assert f"kept, finished: {tmp_path / 't.parquet'} ({rows} frames)" in stderr
    assert 0 < rows < 5000
    assert not list(tmp_path.glob(".*"))


def test_search_by_row_and_by_picture_agree(seg, model, table, pictures, tmp_path):
    code, out, err = seg("search", table, "--row", 8, "-k", 4)
    assert (code, err) == (0, "")
    by_row = found(out)
    assert [rank for rank, *_ in by_row] == [1, 2, 3, 4]
    assert {row for _, row, *_ in by_row[:2]} == {7, 9}
    assert 8 not in {row for _, row, *_ in by_row}
    cosines = [cosine for *_, cosine in by_row]
    assert cosines == sorted(cosines, reverse=True)
    assert f"{pictures / '7.png'}" in out
    code, out, err = seg("search", table, pictures / "8.png", "--model", model, "-k", 5)
    assert (code, err) == (0, "")
    assert found(out)[0][1:] == (8, 0, 1.0)
    assert [row for _, row, *_ in found(out)[1:]] == [row for _, row, *_ in by_row]


def test_search_draws_a_sheet(seg, model, table, pictures, tmp_path):
    code, out, _ = seg("search", table, "--row", 8, "-k", 6, "--sheet", tmp_path / "s.png")
    assert code == 0
    assert out.splitlines()[-1] == str(tmp_path / "s.png")
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.size == (4 * 320 + 3 * 4, 2 * 240 + 4)
        assert sheet.getpixel((160, 200)) == (80, 128, 40)
    mistake(seg("search", table, "--row", 8, "--sheet", tmp_path / "s.png"), "s.png", "--overwrite")
    mistake(seg("search", table, "--row", 8, "--sheet", tmp_path / "s.gif"), "s.gif", ".png")
    (pictures / "7.png").unlink()
    again = seg("search", table, "--row", 8, "-k", 6, "--sheet", tmp_path / "s.png", "--overwrite")
    mistake(again, "1 pictures of the sheet could not be read", "7.png")
    assert len(found(again[1])) == 6


def test_an_index_is_kept_and_checked(seg, model, table, tmp_path):
    code, out, _ = seg("index", table)
    assert code == 0
    assert out.strip() == f"{tmp_path / 'codes.index'}: 20 frames, codes of 3 values"
    with_index = seg("search", table, "--row", 3)
    assert with_index[0] == 0
    mistake(seg("index", table), "codes.index", "--overwrite")
    assert seg("embed", model, tmp_path / "pictures", "--every", 2, "--out", table, "--overwrite")[0] == 0
    for command in (["search", table, "--row", 3], ["curate", table, "-k", 2, "-o", tmp_path / "out"]):
        mistake(seg(*command), "codes.index", "another table", "seg index")
    assert not (tmp_path / "out").exists()
    other = save_bands(tmp_path / "other.onnx", novelty=True, codes=True, size=(24, 32))
    assert seg("embed", other, tmp_path / "pictures", "--out", table, "--overwrite")[0] == 0
    mistake(seg("search", table, "--row", 3), "codes.index", "another model")
    assert seg("index", table, "--overwrite")[0] == 0
    assert seg("search", table, "--row", 3)[0] == 0


def test_search_mistakes(seg, model, table, pictures, tmp_path):
    other = save_bands(tmp_path / "other.onnx", codes=True, size=(24, 32))
    image = pictures / "8.png"
    mistake(seg("search", table, image, "--model", other), "other.onnx", "is not the model that made", "codes.parquet")
    mistake(seg("search", table, image, "--model", tmp_path / "none.onnx"), "none.onnx: no such file", "'bands'")
    mistake(seg("search", table, tmp_path / "none.png", "--model", model), "none.png: no such file")
    mistake(seg("search", table, "--row", 20), "codes.parquet: has no row 20; expected 0 to 19")
    mistake(seg("search", table), "a picture or --row")
    mistake(seg("search", table, image, "--row", 3), "one of the two")
    mistake(seg("search", tmp_path / "none.parquet", "--row", 3), "none.parquet: no such file")
    short = truncate(table, tmp_path / "short.parquet", 0.7)
    mistake(seg("search", short, "--row", 3), "short.parquet: not a whole Parquet file")
    mistake(seg("index", short), "short.parquet: not a whole Parquet file")
    assert not (tmp_path / "short.index").exists()


def test_curate_as_a_user_types_it(seg, table, pictures, tmp_path):
    code, out, err = seg("curate", table, "-k", 3, "-o", tmp_path / "out")
    assert (code, err) == (0, "")
    assert "3 of 20 frames" in out
    assert str(tmp_path / "out" / "index.html") in out
    assert listing(tmp_path / "out") == ["frames", "index.html", "list.csv"]
    with (tmp_path / "out" / "list.csv").open(newline="", encoding="utf-8") as file:
        rows = [int(row["row"]) for row in csv.DictReader(file)]
    assert {0, 19} <= set(rows)  # the two ends of a line of colours are the farthest apart
    code, out, _ = seg("curate", table, "-k", 2, "-o", tmp_path / "novel", "--by", "novel")
    assert code == 0
    with (tmp_path / "novel" / "list.csv").open(newline="", encoding="utf-8") as file:
        why = [row["why"] for row in csv.DictReader(file)]
    assert all(one.startswith("novelty ") for one in why)


def test_curate_tells_of_fewer_and_of_what_it_could_not_read(seg, table, pictures, tmp_path):
    copies = save_table(
        tmp_path / "copies.parquet", np.ones((9, 2)), [7] * 9, places=[(str(pictures / "1.png"), 1)] * 9
    )
    code, out, _ = seg("curate", copies, "-k", 5, "-o", tmp_path / "one")
    assert code == 0
    assert "1 of 9 frames; 8 others are near-duplicates of these" in out
    assert "fewer than the 5 asked for" in out
    (pictures / "0.png").unlink()
    (pictures / "19.png").write_text("no picture")
    result = seg("curate", table, "-k", 4, "-o", tmp_path / "rest")
    mistake(result, "2 of 4 frames could not be read", "holds the others")
    assert len(listing(tmp_path / "rest" / "frames")) == 2


def test_curate_mistakes(seg, table, tmp_path):
    out = tmp_path / "out"
    mistake(seg("curate", table, "-k", 21, "-o", out), "-k 21: the table has 20 rows")
    mistake(seg("curate", table, "-k", 2, "-o", out, "--by", "size"), "'different' or 'novel', got 'size'")
    mistake(seg("curate", tmp_path / "none.parquet", "-k", 2, "-o", out), "no such file")
    mistake(seg("curate", table, "-k", 2, "-o", tmp_path / "pictures"), "pictures: exists already")
    mistake(seg("curate", table, "-k", 2, "-o", tmp_path / "pictures", "--overwrite"), "did not write")
    assert not out.exists()
    assert len(listing(tmp_path / "pictures")) == 20


def test_frames_of_a_video_come_back(seg, model, tmp_path):
    video = write_video(tmp_path / "drive.mp4", count=12)
    assert seg("embed", model, video, "--out", tmp_path / "t.parquet")[0] == 0
    assert seg("curate", tmp_path / "t.parquet", "-k", 2, "-o", tmp_path / "out", "--by", "novel")[0] == 0
    with (tmp_path / "out" / "list.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["index"] == "11"  # the brightest
    with Image.open(tmp_path / "out" / rows[0]["file"]) as got:
        assert np.abs(np.asarray(got).astype(int) - picture(11)).mean() < 4


def test_a_sheet_replaces_no_input(seg, table, model, pictures, tmp_path):
    before = (pictures / "3.png").read_bytes()
    other = tmp_path / "street.png"
    other.write_bytes(before)
    for query in (["--row", 3], [other, "--model", model]):
        mistake(seg("search", table, *query, "--sheet", pictures / "3.png", "--overwrite"), "3.png: is an input")
    mistake(seg("search", table, other, "--model", model, "--sheet", other, "--overwrite"), "street.png: is an input")
    assert (pictures / "3.png").read_bytes() == other.read_bytes() == before
