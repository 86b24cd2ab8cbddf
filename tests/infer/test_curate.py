"""Which frames to label: a good cover of all codes, nothing nearly twice, and a folder that shows it."""

import csv
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import picture
from PIL import Image
from tables import save_table

from infer import curate_map
from infer.codes import Codes
from infer.curate import NEAR_BITS, NEAR_COSINE, curate, select
from infer.curate_map import draw_map
from infer.index import index_of
from seg.data.images import read_rgb
from seg.errors import SegError

UNLIKE = [0x00000000, 0xFFFF0000, 0x0000FFFF, 0xFF00FF00, 0x00FF00FF, 0xF0F0F0F0, 0x0F0F0F0F, 0xFFFFFFFF, 0x33333333]
"""Hashes of which no two are near."""


def table_of(folder, code_NK, hashes, **options):
    (folder / "t.parquet").unlink(missing_ok=True)
    return Codes(save_table(folder / "t.parquet", code_NK, hashes, **options))


def select_from(folder, code_NK, hashes, k, novelty=None):
    with index_of(table_of(folder, code_NK, hashes)) as index:
        return select(index, k, None if novelty is None else np.asarray(novelty, np.float32))


def near(code_NK, hashes, a, b):
    cosine = np.dot(code_NK[a], code_NK[b]) / np.linalg.norm(code_NK[a]) / np.linalg.norm(code_NK[b])
    return bin(int(hashes[a]) ^ int(hashes[b])).count("1") <= NEAR_BITS and cosine >= NEAR_COSINE


@pytest.fixture
def groups():
    """Five unlike frames, each eight times with a little noise; the groups of the rows, their codes and hashes."""
    random = np.random.default_rng(0)
    group = random.permutation(np.repeat(np.arange(5), 8))
    code_NK = np.eye(5)[group] + 0.01 * random.normal(size=(40, 5))
    return group, code_NK, np.array(UNLIKE)[group]


@pytest.fixture
def frames(tmp_path):
    """Nine unlike pictures and a table of them."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    places = []
    for index in range(9):
        path = folder / f"{index}<b>.png"
        Image.fromarray(picture(3 * index)).save(path)
        places.append((str(path), index))
    return table_of(tmp_path, np.eye(9), UNLIKE, places=places, novelty=np.linspace(0.9, 0.1, 9))


def test_one_of_each_group_and_no_more(tmp_path, groups):
    group, code_NK, hashes = groups
    five = select_from(tmp_path, code_NK, hashes, 5)
    assert sorted(group[five.rows]) == list(range(5))
    assert five.near == 35
    all_there_is = select_from(tmp_path, code_NK, hashes, 40)
    assert all_there_is.rows == five.rows
    three = select_from(tmp_path, code_NK, hashes, 3)
    assert three.rows == five.rows[:3]
    assert three.near == 21


def test_a_near_hash_or_a_near_code_alone_is_no_duplicate(tmp_path):
    codes = np.array([[1, 0], [1, 0], [0, 1]])
    too_far, near = 2 ** (NEAR_BITS + 1) - 1, 2**NEAR_BITS - 1  # of so many bits
    assert len(select_from(tmp_path, codes, [0, too_far, too_far], 3).rows) == 3
    assert len(select_from(tmp_path, codes, [0, near, near], 3).rows) == 2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.integers(4, 9), st.integers(1, 3))
def test_the_cover_is_at_most_twice_as_wide_as_the_best(tmp_path_factory, seed, count, k):
    """The bound of greedy k-center (Gonzalez, 1985), against all choices of k rows."""
    code_NK = np.random.default_rng(seed).normal(size=(count, 3))
    chosen = select_from(tmp_path_factory.mktemp("t"), code_NK, UNLIKE[:count], k).rows
    at_NK = code_NK / np.linalg.norm(code_NK, axis=1, keepdims=True)
    apart_NN = np.linalg.norm(at_NK[:, None] - at_NK, axis=2)

    def radius(rows):
        return apart_NN[:, list(rows)].min(axis=1).max()

    assert radius(chosen) <= 2 * min(map(radius, itertools.combinations(range(count), k))) + 1e-6


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 30), st.booleans())
def test_no_two_are_near_and_all_that_is_left_is_near(tmp_path_factory, seed, count, by_novelty):
    random = np.random.default_rng(seed)
    code_NK = np.eye(3)[random.integers(0, 3, count)] + 0.03 * random.normal(size=(count, 3))
    hashes = np.array(UNLIKE)[random.integers(0, 3, count)] ^ random.integers(0, 8, count)
    novelty = random.random(count) if by_novelty else None
    got = select_from(tmp_path_factory.mktemp("t"), code_NK, hashes, count, novelty)
    assert not any(near(code_NK, hashes, a, b) for a, b in itertools.combinations(got.rows, 2))
    others = set(range(count)) - set(got.rows)
    assert all(any(near(code_NK, hashes, row, chosen) for chosen in got.rows) for row in others)
    assert got.near == len(others)
    assert len(got.why) == len(got.rows)


def test_the_most_novel_of_each_group_in_order(tmp_path, groups):
    group, code_NK, hashes = groups
    novelty = np.random.default_rng(1).random(40)
    got = select_from(tmp_path, code_NK, hashes, 4, novelty)
    best = [max(np.flatnonzero(group == one), key=lambda row: novelty[row]) for one in range(5)]
    assert got.rows == sorted(best, key=lambda row: -novelty[row])[:4]
    assert got.why[0] == f"novelty {novelty[got.rows[0]]:.4f}"


def test_codes_of_zeros_are_chosen_once_each(tmp_path):
    got = select_from(tmp_path, np.zeros((3, 4)), [5, 5, 5], 3)
    assert sorted(got.rows) == [0, 1, 2]


@pytest.mark.parametrize("k", [0, 10])
def test_more_than_there_are_is_refused(frames, tmp_path, k):
    with pytest.raises(SegError, match=f"-k {k}: the table has 9 rows; give 1 to 9"):
        curate(frames, tmp_path / "out", k)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


class Page(HTMLParser):
    """Tags and what they lead to."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.links, self.ids, self.pictures = [], [], set(), []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.ids |= {given.get("id")}
        self.links += [given[name] for name in ("href", "src") if name in given and not given[name].startswith("data:")]
        self.pictures += [given["src"]] if tag == "img" else []


def test_the_folder_holds_list_frames_and_page(frames, tmp_path):
    done = curate(frames, tmp_path / "deep" / "out", 4, "novel")
    out = tmp_path / "deep" / "out"
    assert (done.frames, done.problem, done.stopped) == (4, None, None)
    assert sorted(path.name for path in out.iterdir()) == ["frames", "index.html", "list.csv"]
    with (out / "list.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["why"] for row in rows] == ["novelty 0.9000", "novelty 0.8000", "novelty 0.7000", "novelty 0.6000"]
    for index, row in enumerate(rows):
        assert (row["index"], row["time_s"]) == (str(index), f"{0.04 * index:.3f}")
        assert Path(row["source"]).name == f"{index}<b>.png"
        np.testing.assert_array_equal(read_rgb(out / row["file"]), picture(3 * index))
    page = Page(out / "index.html")
    assert set(map(unquote, page.links)) == {row["file"] for row in rows} | {f"#f{rank}" for rank in range(1, 5)}
    assert all((out / unquote(link)).is_file() or link.removeprefix("#") in page.ids for link in page.links)
    assert len(page.pictures) == 4
    assert all(one.startswith("data:image/jpeg;base64,") for one in page.pictures)
    assert "0&lt;b&gt;.png" in page.text
    assert "0<b>" not in page.text.replace('="frames/', "")
    assert page.tags.count("circle") == 9 + 4
    assert "4 of 9 frames of t.parquet, the most novel" in page.text


def test_a_frame_that_is_gone_is_told_and_the_others_are_kept(frames, tmp_path):
    Path(frames.places([3])[0].source).unlink()
    done = curate(frames, tmp_path / "out", 9)
    assert done.frames == 8
    assert re.match(r"1 of 9 frames could not be read \(first: .*3<b>\.png: no such file", done.problem)
    with (tmp_path / "out" / "list.csv").open(newline="", encoding="utf-8") as file:
        files = {row["row"]: row["file"] for row in csv.DictReader(file)}
    assert files["3"] == ""
    assert all((tmp_path / "out" / name).is_file() for row, name in files.items() if row != "3")
    assert len(list((tmp_path / "out" / "frames").iterdir())) == 8
    assert Page(tmp_path / "out" / "index.html").text.count("could not be read") == 1


def test_ctrl_c_keeps_the_frames_read_until_then(frames, tmp_path):
    def stop(done):
        if done == 2:
            raise KeyboardInterrupt

    done = curate(frames, tmp_path / "out", 5, progress=stop)
    assert (done.frames, type(done.stopped)) == (2, KeyboardInterrupt)
    assert len(list((tmp_path / "out" / "frames").iterdir())) == 2
    assert len((tmp_path / "out" / "list.csv").read_text().splitlines()) == 6


def test_only_a_folder_of_ours_is_replaced(frames, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    curate(frames, out, 3)  # an empty folder is as good as none
    with pytest.raises(SegError, match="--overwrite"):
        curate(frames, out, 2)
    curate(frames, out, 2, overwrite=True)
    assert len(list((out / "frames").iterdir())) == 2
    (out / "frames" / "labels.png").write_text("hours of work")
    with pytest.raises(SegError, match=r"frames/labels\.png.*did not write"):
        curate(frames, out, 2, overwrite=True)
    assert (out / "frames" / "labels.png").read_text() == "hours of work"
    (tmp_path / "file").write_text("text")
    with pytest.raises(SegError, match="is a file"):
        curate(frames, tmp_path / "file", 2, overwrite=True)


def test_frames_that_the_table_is_of_are_not_replaced(frames, tmp_path):
    out = tmp_path / "out"
    curate(frames, out, 3)
    chosen = sorted((out / "frames").iterdir())
    again = table_of(tmp_path, np.eye(3), UNLIKE[:3], places=[(str(path), 0) for path in chosen])
    with pytest.raises(SegError, match="is never replaced"):
        curate(again, out, 1, overwrite=True)
    assert sorted((out / "frames").iterdir()) == chosen
    assert curate(again, tmp_path / "other", 1).frames == 1


@pytest.mark.parametrize("stem", ["50% #2 été?", "ü" * 120])
def test_names_that_a_page_or_a_disk_could_mistake(tmp_path, stem):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f"{stem}.png")
    table = table_of(tmp_path, np.eye(1), [1], places=[(str(tmp_path / f"{stem}.png"), 0)])
    assert curate(table, tmp_path / "out", 1).problem is None
    leads = [link for link in Page(tmp_path / "out" / "index.html").links if not link.startswith("#")]
    (written,) = (tmp_path / "out" / "frames").iterdir()
    assert [unquote(urlsplit(link).path) for link in leads] == [f"frames/{written.name}"]
    assert stem[:50] in written.name


def test_novelty_that_the_model_does_not_answer(tmp_path):
    table = table_of(tmp_path, np.eye(4), UNLIKE[:4])
    with pytest.raises(SegError, match=r"without novelty.*seg calibrate"):
        curate(table, tmp_path / "out", 2, "novel")
    with pytest.raises(SegError, match="'different' or 'novel', got 'odd'"):
        curate(table, tmp_path / "out", 2, "odd")
    assert not (tmp_path / "out").exists()


def test_the_map_has_every_chosen_row_and_a_bounded_number_of_others(tmp_path, groups, monkeypatch):
    monkeypatch.setattr(curate_map, "POINTS", 20)
    _, code_NK, hashes = groups
    with index_of(table_of(tmp_path, code_NK, hashes)) as index:
        codes = draw_map(index, [39, 1])
    assert {0, 1, 39} <= set(codes.rows_P.tolist())
    assert len(codes.rows_P) <= 22
    assert (np.diff(codes.rows_P) > 0).all()
    assert codes.xy_P2.min() == 0
    assert codes.xy_P2.max() == 1
    assert (np.diff(np.bincount(codes.group_P)) <= 0).all()


def test_groups_that_are_far_apart_are_found_and_stand_together(tmp_path, groups, monkeypatch):
    monkeypatch.setattr(curate_map, "GROUPS", 5)
    group, code_NK, hashes = groups
    with index_of(table_of(tmp_path, code_NK, hashes)) as index:
        codes = draw_map(index, [0])
    assert len({(a, b) for a, b in zip(group.tolist(), codes.group_P.tolist(), strict=True)}) == 5
    apart_PP = np.linalg.norm(codes.xy_P2[:, None] - codes.xy_P2, axis=2) + 9 * np.eye(40)
    assert (group[apart_PP.argmin(axis=1)] == group).mean() > 0.9


@pytest.mark.parametrize("count", [1, 2, 3, 12])
def test_a_map_of_few_or_equal_rows(tmp_path, count):
    with index_of(table_of(tmp_path, np.ones((count, 3)), [1] * count)) as index:
        codes = draw_map(index, [0])
    assert np.isfinite(codes.xy_P2).all()
    assert set(codes.group_P.tolist()) == {0}
    assert codes.method == ("t-SNE" if count == 12 else "PCA")
