"""Hash first, then code: nothing is missed that comparing everything would find, and no index serves another table."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import truncate
from tables import OTHER, save_table

from infer.codes import Codes
from infer.index import BITS, FrameIndex, beside, hamming, index_of, unit, write_index
from seg.errors import SegError

HASHES = st.integers(0, 2**BITS - 1)


class InParts(Codes):
    """A table that is read a few rows at a time, as a large one is."""

    def codes(self, rows=7):
        return super().codes(rows)


def make(folder, count, size=4, seed=0, kind=Codes):
    random = np.random.default_rng(seed)
    path = folder / f"{count}-{seed}.parquet"
    hashes = random.integers(0, 2**BITS, count)
    table = kind(save_table(path, random.normal(size=(count, size)), hashes))
    write_index(table, beside(path))
    return table, FrameIndex(beside(path), table)


def cosines(index, query_K):
    """Of all rows, by the definition."""
    code_NK = index.codes(np.arange(index.rows)).astype(np.float64)
    query_K = np.asarray(query_K, dtype=np.float64)
    return code_NK @ query_K / np.linalg.norm(query_K)


@given(st.lists(HASHES, min_size=1, max_size=20), HASHES)
def test_hamming_is_the_number_of_bits_that_differ(hashes, value):
    got = hamming(np.array(hashes, dtype=np.uint32), value)
    assert got.tolist() == [bin(one ^ value).count("1") for one in hashes]


@given(HASHES, HASHES, HASHES)
def test_hamming_is_a_metric(a, b, c):
    def between(x, y):
        return int(hamming(np.array([x], dtype=np.uint32), y)[0])

    assert between(a, b) == between(b, a) <= BITS
    assert (between(a, b) == 0) == (a == b)
    assert between(a, c) <= between(a, b) + between(b, c)


def test_unit_codes_have_length_1_and_what_has_no_direction_is_zero():
    code_NK = unit([[3, 4], [0, 0], [np.nan, 1], [np.inf, 1], [1e-30, 0]])
    np.testing.assert_allclose(code_NK, [[0.6, 0.8], [0, 0], [0, 0], [0, 0], [1, 0]])
    assert code_NK.dtype == np.float32


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 120), st.integers(1, 20), st.integers(0, 2**16), st.integers(1, 12))
def test_where_candidates_cover_all_it_is_the_exact_search(tmp_path_factory, count, size, seed, k):
    _, index = make(tmp_path_factory.mktemp("t"), count, size, seed, InParts)
    query_K = np.random.default_rng(seed + 1).normal(size=size).astype(np.float32)
    found = index.search(query_K, seed, k)
    assert len(found.rows) == min(k, count) == len(set(found.rows.tolist()))
    all_N = cosines(index, query_K)
    np.testing.assert_allclose(found.cosines, np.sort(all_N)[::-1][:k], atol=1e-5)
    np.testing.assert_allclose(found.cosines, all_N[found.rows], atol=1e-5)
    np.testing.assert_array_equal(found.bits, hamming(index.hash_N[found.rows], seed))


@settings(max_examples=15, deadline=None)
@given(st.integers(30, 120), st.integers(0, 2**16), st.integers(5, 20))
def test_fewer_candidates_are_the_nearest_by_hash_the_best_by_code(tmp_path_factory, count, seed, candidates):
    _, index = make(tmp_path_factory.mktemp("t"), count, 6, seed, InParts)
    query_K = np.random.default_rng(seed + 1).normal(size=6).astype(np.float32)
    found = index.search(query_K, seed, 5, candidates)
    bits_N, all_N = hamming(index.hash_N, seed), cosines(index, query_K)
    farthest = np.sort(bits_N)[candidates - 1]
    assert (found.bits <= farthest).all()
    surely = np.flatnonzero(bits_N < farthest)  # of those that are just as far as the last one, some are candidates
    outdone = surely[all_N[surely] > found.cosines.min() + 1e-5]
    assert set(outdone.tolist()) <= set(found.rows.tolist())


def test_a_row_is_not_its_own_neighbour_even_among_copies(tmp_path):
    code_NK = np.repeat(np.eye(3), [1, 30, 2], axis=0)
    table = Codes(save_table(tmp_path / "t.parquet", code_NK, np.repeat([1, 2, 7], [1, 30, 2])))
    with index_of(table) as index:
        for row in (1, 15, 30):
            found = index.like_row(row, 5)
            assert len(found.rows) == 5
            assert row not in found.rows
            assert set(found.bits) == {0}
            np.testing.assert_allclose(found.cosines, 1, rtol=1e-6)
        assert index.like_row(0, 100).rows.tolist()[-1] != 0
        assert len(index.like_row(0, 100).rows) == 32


def test_bad_queries(tmp_path):
    _, index = make(tmp_path, 10)
    with pytest.raises(SegError, match="code of 4 values"):
        index.search(np.zeros(5, np.float32), 0, 3)
    with pytest.raises(SegError, match="at least 1"):
        index.search(np.zeros(4, np.float32), 0, 0)


def test_all_codes_come_once_in_parts_and_by_row(tmp_path):
    table, index = make(tmp_path, 50, kind=InParts)
    parts = list(index.parts())
    assert len(parts) > 5
    code_NK = np.concatenate([part for _, part in parts])
    assert [number for rows, _ in parts for number in range(rows.start, rows.stop)] == list(range(50))
    np.testing.assert_array_equal(code_NK, unit(np.concatenate([code for _, code in table.codes()])))
    rows = np.array([49, 0, 7, 7, 30])
    np.testing.assert_array_equal(index.codes(rows), code_NK[rows])


def test_an_index_beside_the_table_is_used_and_without_one_none_is_left(tmp_path, monkeypatch):
    table, saved = make(tmp_path, 20)
    monkeypatch.setattr("infer.index.write_index", lambda *_: pytest.fail("an index is there"))
    with index_of(table) as index:
        np.testing.assert_array_equal(index.hash_N, saved.hash_N)
    monkeypatch.undo()
    beside(table.path).unlink()
    with index_of(table) as index:
        np.testing.assert_array_equal(index.hash_N, saved.hash_N)
    assert [entry.name for entry in tmp_path.iterdir()] == [table.path.name]


def test_an_index_of_another_model_table_or_time_is_refused(tmp_path):
    code_NK, hashes = np.eye(3), [1, 2, 3]
    table = Codes(save_table(tmp_path / "t.parquet", code_NK, hashes))
    for name, path in {
        "other model": save_table(tmp_path / "m.parquet", code_NK, hashes, model=OTHER),
        "other table": save_table(tmp_path / "o.parquet", code_NK, [4, 5, 6]),
    }.items():
        write_index(Codes(path), beside(table.path))
        words = "another model.*'bands'.*aaaaaaaaaaaa.*bbbbbbbbbbbb" if name == "other model" else "another table"
        with pytest.raises(SegError, match=words) as caught, index_of(table):
            pass
        assert "\n" not in str(caught.value)
        assert "t.index" in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.3, 0.95])
def test_an_index_cut_short_is_one_line(tmp_path, share):
    table, _ = make(tmp_path, 200)
    whole = beside(table.path).rename(tmp_path / "whole")
    truncate(whole, beside(table.path), share)
    with (
        pytest.raises(SegError, match=r"not a whole index.*seg index .*parquet --overwrite") as caught,
        index_of(table),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_a_missing_library_names_the_extra(tmp_path, monkeypatch):
    table, _ = make(tmp_path, 5)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(SegError, match=r"faiss is not installed.*\[codes\]"), index_of(table):
        pass


def test_a_table_that_is_called_like_an_index_is_refused_and_kept(tmp_path):
    path = save_table(tmp_path / "t.parquet", np.eye(3), [1, 2, 3]).rename(tmp_path / "t.index")
    with pytest.raises(SegError, match=r"t\.index: is where its own index would stand; call the table t\.parquet"):
        beside(path)
    with pytest.raises(SegError, match="call the table"), index_of(Codes(path)):
        pass
