"""The table of codes: what it says of each frame, whole or not at all; and the sources that it is made from."""

import os
import sys
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from media import picture, truncate, write_video
from onnx_models import expected_classes, save_bands
from PIL import Image
from tables import MODEL, OTHER, answer, save_table

from infer import Segmenter, open_source, run
from infer.codes import Codes
from infer.sources import Several, read_again
from infer.table import ROW_GROUP, ModelIdentity, Table, check_answers_codes
from seg.errors import SegError
from seg.files import sha256


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    return save_bands(tmp_path_factory.mktemp("coded") / "bands.onnx", novelty=True, codes=True)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in (1, 2, 10):
        Image.fromarray(picture(index)).save(folder / f"{index}.png")
    return folder


def numbers(count, size=3):
    random = np.random.default_rng(count)
    return random.normal(size=(count, size)).astype(np.float32), random.integers(0, 2**32, count)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def embed(model, texts, path, every=1):
    segmenter = Segmenter(model, threads=1)
    with Several([str(text) for text in texts], every) as source:
        summary = run(segmenter, source, [Table(path, ModelIdentity.of(segmenter.spec, sha256(model)))])
    return summary, pq.read_table(path)


def test_a_row_says_what_the_model_answers(coded, video, pictures, tmp_path):
    summary, table = embed(coded, [video, pictures], tmp_path / "t.parquet")
    assert (summary.frames, summary.problem) == (15, None)
    rows = table.to_pylist()
    assert [row["source"] for row in rows] == [str(video)] * 12 + [str(pictures / f"{name}.png") for name in (1, 2, 10)]
    assert [row["index"] for row in rows] == [*range(12), 0, 1, 2]
    assert [row["time_s"] for row in rows] == pytest.approx([0.04 * i for i in range(12)] + [0, 0.04, 0.08])
    segmenter = Segmenter(coded, threads=1)
    with open_source(video) as source:
        for row, frame in zip(rows, source, strict=False):
            mean = frame.rgb_HWC.mean(axis=(0, 1))
            assert row["code"] == pytest.approx(mean, abs=0.01)
            assert row["hash"] == segmenter(frame).hash == pytest.approx(mean.mean(), abs=1)
            assert row["novelty"] == pytest.approx(mean.mean(), abs=0.01)
            counts = np.bincount(expected_classes(frame.rgb_HWC).ravel(), minlength=5)
            shares = [row[f"share_{name}"] for name in segmenter.spec.as_ontology().names]
            assert shares == pytest.approx(counts / counts.sum(), abs=1e-6)


def test_other_programs_see_the_types_and_the_model(coded, video, tmp_path):
    _, table = embed(coded, [video], tmp_path / "t.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert {name: types[name] for name in list(types)[:6]} == {
        "source": "string",
        "index": "int64",
        "time_s": "double",
        "code": "fixed_size_list<element: float not null>[3]",
        "hash": "uint32",
        "novelty": "float",
    }
    shares = [f"share_{name}" for name in ("background", "road", "lane", "vehicle", "pole")]
    assert [types[name] for name in shares] == ["float"] * 5
    assert len(types) == 11
    model = Codes(tmp_path / "t.parquet").model
    assert (model.name, model.sha256) == ("bands", sha256(coded))
    assert model.classes == ("background", "road", "lane", "vehicle", "pole")


def test_hashes_use_all_32_bits_and_novelty_may_be_unknown(tmp_path):
    save_table(tmp_path / "t.parquet", np.eye(3), [0, 2**31, 2**32 - 1])
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.column("hash").to_pylist() == [0, 2**31, 2**32 - 1]
    assert table.column("novelty").to_pylist() == [None] * 3
    assert np.isnan(Codes(tmp_path / "t.parquet").column("novelty")).all()


def test_rows_are_written_in_groups_and_none_is_lost(tmp_path):
    code_NK, hashes = numbers(2 * ROW_GROUP + 3)
    save_table(tmp_path / "t.parquet", code_NK, hashes)
    groups = pq.ParquetFile(tmp_path / "t.parquet").metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [ROW_GROUP, ROW_GROUP, 3]
    parts = list(Codes(tmp_path / "t.parquet").codes(rows=100))
    assert max(len(part) for part, _ in parts) <= 100
    np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), hashes)
    np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), code_NK)


def test_memory_does_not_grow_with_the_rows(tmp_path):
    def peak(groups):
        code_NK, hashes = numbers(groups * ROW_GROUP, size=64)
        tracemalloc.start()
        save_table(tmp_path / f"{groups}.parquet", code_NK, hashes)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)  # what is imported and kept at first use
    assert peak(6) < 1.3 * peak(2)


def test_nothing_stands_under_the_name_before_the_end(tmp_path):
    with Table(tmp_path / "t.parquet", MODEL) as table:
        table.write(*answer(0, [1, 2, 3], 4))
        assert not table.path.exists()
    assert names(tmp_path) == ["t.parquet"]


def test_ctrl_c_keeps_a_whole_table(tmp_path):
    def interrupted():
        with Table(tmp_path / "t.parquet", MODEL) as table:
            for index in range(ROW_GROUP + 5):
                table.write(*answer(index, [index, 2, 3], index))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == ["t.parquet"]
    assert Codes(tmp_path / "t.parquet").column("index").tolist() == list(range(ROW_GROUP + 5))


def test_an_error_or_no_frame_leaves_nothing(tmp_path):
    def broken():
        with Table(tmp_path / "t.parquet", MODEL) as table:
            table.write(*answer(0, [1, 2, 3], 4))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    with Table(tmp_path / "t.parquet", MODEL):
        pass
    assert names(tmp_path) == []


def test_an_older_table_is_replaced_only_where_asked(tmp_path):
    save_table(tmp_path / "t.parquet", np.eye(3), [1, 2, 3])
    with pytest.raises(SegError, match="--overwrite"):
        Table(tmp_path / "t.parquet", MODEL)
    with pytest.raises(SegError, match=r"\.parquet"):
        Table(tmp_path / "t.csv", MODEL)
    with Table(tmp_path / "t.parquet", OTHER, overwrite=True) as table:
        table.write(*answer(7, [1, 2], 3))
    assert Codes(tmp_path / "t.parquet").column("index").tolist() == [7]


def test_a_model_without_codes_is_refused(coded, model):
    check_answers_codes(Segmenter(coded).spec, coded)
    with pytest.raises(SegError, match=r"no code and no hash.*seg calibrate"):
        check_answers_codes(Segmenter(model).spec, model)


def test_a_name_that_is_no_unicode_is_said(coded, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(picture(1)).save(tmp_path / "in" / os.fsdecode(b"caf\xe9.png"))
    with pytest.raises(
        SegError, match=r"caf\\udce9.png': its name is not Unicode, which a table cannot hold; rename it"
    ):
        embed(coded, [tmp_path / "in"], tmp_path / "t.parquet")
    assert names(tmp_path) == ["in"]


def test_places_in_the_order_asked_for(tmp_path):
    count = ROW_GROUP + 2
    places = [(f"{row % 2}.mp4", row) for row in range(count)]
    path = save_table(tmp_path / "t.parquet", *numbers(count), novelty=np.linspace(0, 1, count), places=places)
    table = Codes(path)
    wanted = [count - 1, 0, 5, 0]
    found = table.places(wanted)
    assert [row.number for row in found] == wanted
    assert [(row.source, row.index) for row in found] == [places[number] for number in wanted]
    assert [row.time_s for row in found] == pytest.approx([0.04 * number for number in wanted])
    assert [row.novelty for row in found] == pytest.approx([number / (count - 1) for number in wanted])
    for number in (-1, count):
        with pytest.raises(SegError, match=f"no row {number}; expected 0 to {count - 1}"):
            table.places([0, number])
    with pytest.raises(SegError, match=r"'hush'.*hash"):
        table.column("hush")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_table_cut_short_is_one_line(tmp_path, share):
    path = save_table(tmp_path / "whole.parquet", *numbers(700))
    short = truncate(path, tmp_path / "short.parquet", share)
    with pytest.raises(SegError, match=r"short\.parquet: not a whole Parquet file") as caught:
        Codes(short)
    assert "\n" not in str(caught.value)
    assert Codes(path).rows == 700


def test_a_table_damaged_inside_is_told_when_it_is_read(tmp_path):
    path = save_table(tmp_path / "t.parquet", *numbers(700, size=16))
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 4000] = bytes(4000)
    path.write_bytes(data)
    table = Codes(path)
    with pytest.raises(SegError, match="damaged") as caught:
        list(table.codes())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("at", [0.2, 0.5, 0.8])
def test_one_damaged_byte_is_told(tmp_path, at):
    """Codes hardly shrink: their pages hold them nearly as they are, and any byte is a number."""
    path = save_table(tmp_path / "t.parquet", np.random.default_rng(0).normal(size=(100, 64)), range(100))
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(SegError, match=r"t\.parquet: damaged"):
        list(Codes(path).codes())


@pytest.mark.parametrize("name", ["code", "hash"])
def test_a_row_without_code_or_hash_is_told(tmp_path, name):
    columns = pq.read_table(save_table(tmp_path / "t.parquet", np.eye(3), [1, 2, 3]))
    kind = columns.schema.field(name).type
    kind = pa.list_(pa.float32(), 3) if name == "code" else kind
    holed = pa.array([*columns.column(name).to_pylist()[:2], None], kind)
    pq.write_table(columns.set_column(columns.schema.get_field_index(name), name, holed), tmp_path / "t.parquet")
    with pytest.raises(SegError, match=r"t\.parquet: holds rows without code or hash"):
        list(Codes(tmp_path / "t.parquet").codes())


def test_what_is_no_table_of_ours(tmp_path):
    columns = pq.read_table(save_table(tmp_path / "t.parquet", np.eye(3), [1, 2, 3]))
    listed = columns.set_column(3, "code", columns.column("code").cast(pa.list_(pa.float32())))
    made = {
        "words.parquet": None,
        "bare.parquet": columns.replace_schema_metadata(None),
        "list.parquet": listed,
        "less.parquet": columns.drop_columns(["hash"]),
        "empty.parquet": columns.slice(0, 0),
    }
    said = {
        "words.parquet": "not a whole Parquet file",
        "bare.parquet": "which model made it.*seg embed",
        "list.parquet": "code of type list",
        "less.parquet": "no hash",
        "empty.parquet": "no rows",
        "none.parquet": "no such file",
        "": "is a folder",
    }
    (tmp_path / "words.parquet").write_text("these are words\n" * 50)
    for name, table in made.items():
        if table is not None:
            pq.write_table(table, tmp_path / name)
    for name, words in said.items():
        with pytest.raises(SegError, match=words):
            Codes(tmp_path / name)


def test_a_changed_table_has_another_fingerprint(tmp_path):
    code_NK, hashes = numbers(20)
    one = Codes(save_table(tmp_path / "1.parquet", code_NK, hashes)).fingerprint
    assert Codes(save_table(tmp_path / "2.parquet", code_NK, hashes)).fingerprint == one
    assert Codes(save_table(tmp_path / "3.parquet", code_NK[:19], hashes[:19])).fingerprint != one
    hashes[0] = 2**32 - 1
    assert Codes(save_table(tmp_path / "4.parquet", code_NK, hashes)).fingerprint != one


def test_a_missing_library_names_the_extra(tmp_path, monkeypatch):
    path = save_table(tmp_path / "t.parquet", np.eye(3), [1, 2, 3])
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    for call in (lambda: Codes(path), lambda: Table(tmp_path / "new.parquet", MODEL)):
        with pytest.raises(SegError, match=r"pyarrow is not installed.*\[codes\]"):
            call()


def test_every_nth_frame_of_each_source(video, pictures):
    with Several([str(video), str(pictures)], every=5) as source:
        assert source.count == 4
        assert [(frame.source, frame.index) for frame in source] == [
            (str(video), 0),
            (str(video), 5),
            (str(video), 10),
            (str(pictures / "1.png"), 0),
        ]
    with pytest.raises(SegError, match="every 0"):
        Several([str(video)], every=0)


def test_sources_that_are_not_there_are_errors_at_once(video, tmp_path):
    (tmp_path / "empty").mkdir()
    for text, words in (("none.mp4", "no such file"), (str(tmp_path / "empty"), "no images there")):
        with pytest.raises(SegError, match=words):
            Several([str(video), text])


def test_a_source_that_cannot_be_read_is_told_and_the_others_are_read(video, pictures, tmp_path):
    (tmp_path / "words.mp4").write_text("these are words\n" * 50)
    (pictures / "2.png").write_text("neither is this a picture")
    texts = [str(tmp_path / "words.mp4"), str(video), str(pictures)]
    with Several(texts) as source:
        assert source.count == 15
        assert len(list(source)) == 14
        assert "words.mp4" in source.problem
        assert "(and 1 more problem)" in source.problem
        assert set(source.inputs()) == {video, *pictures.iterdir()}
    with pytest.raises(SegError, match=r"words\.mp4"):
        Several(texts[:1])


def test_an_image_named_alone_is_told_when_its_turn_comes(pictures):
    (pictures / "1.png").write_text("no picture")
    with Several([str(pictures / "1.png"), str(pictures / "2.png")]) as source:
        assert [frame.source for frame in source] == [str(pictures / "2.png")]
        assert "1.png" in source.problem


def test_frames_are_read_again_each_in_its_place(video, pictures, monkeypatch):
    with open_source(video) as source:
        frames = [frame.rgb_HWC for frame in source]
    opened = []
    monkeypatch.setattr("infer.sources.open_source", lambda path: opened.append(path) or open_source(path))
    places = [
        (str(video), 7),
        (str(pictures / "10.png"), 2),
        (str(video), 3),
        (str(video), 99),
        ("gone.mp4", 0),
        (str(video), 7),
    ]
    got = dict(read_again(places))
    assert sorted(got) == list(range(6))
    np.testing.assert_array_equal(got[0], frames[7])
    np.testing.assert_array_equal(got[5], frames[7])
    np.testing.assert_array_equal(got[2], frames[3])
    np.testing.assert_array_equal(got[1], picture(10))
    assert "no frame 99" in str(got[3])
    assert "gone.mp4: no such file" in str(got[4])
    assert opened == [video]


def test_reading_again_stops_at_the_last_frame_that_is_wanted(tmp_path):
    """A video that is cut further on does no harm."""
    whole = write_video(tmp_path / "whole.avi", count=60, size=(144, 192))
    half = truncate(whole, tmp_path / "half.avi", 0.5)
    assert [type(got) for _, got in read_again([(str(half), 2)])] == [np.ndarray]
    ((position, got),) = read_again([(str(half), 59)])
    assert (position, type(got)) == (0, SegError)
