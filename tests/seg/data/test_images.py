"""Pictures become uint8 RGB; labels stay exactly what is stored."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seg.data.images import read_color_label, read_label, read_rgb
from seg.errors import SegError


def colors(seed: int = 0, shape: tuple[int, ...] = (5, 7, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def test_rgb_comes_as_rgb(tmp_path: Path) -> None:
    picture = colors()
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert np.array_equal(read_rgb(tmp_path / "a.png"), picture)


def test_jpeg_comes_as_rgb(tmp_path: Path) -> None:
    Image.new("RGB", (16, 8), (250, 10, 30)).save(tmp_path / "a.jpg", quality=95)
    picture = read_rgb(tmp_path / "a.jpg")
    assert picture.shape == (8, 16, 3)
    assert np.abs(picture.astype(int) - (250, 10, 30)).max() <= 3


def test_grey_is_repeated(tmp_path: Path) -> None:
    grey = colors(shape=(5, 7))
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert np.array_equal(read_rgb(tmp_path / "a.png"), np.stack([grey] * 3, axis=2))


def test_sixteen_bit_grey_keeps_its_upper_byte(tmp_path: Path) -> None:
    deep = np.array([[0, 255, 256, 65535, 0x1234]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    assert read_rgb(tmp_path / "a.png")[0, :, 0].tolist() == [0, 0, 1, 255, 0x12]


def test_sixteen_bit_colour_keeps_its_upper_byte(tmp_path: Path) -> None:
    import cv2

    deep = np.random.default_rng(1).integers(0, 65536, (4, 6, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), deep[..., ::-1])
    assert np.array_equal(read_rgb(tmp_path / "a.png"), (deep >> 8).astype(np.uint8))


def test_alpha_is_dropped(tmp_path: Path) -> None:
    picture = colors(shape=(5, 7, 4))
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert np.array_equal(read_rgb(tmp_path / "a.png"), picture[..., :3])
    Image.fromarray(picture[..., :2].copy(), mode="LA").save(tmp_path / "b.png")
    assert np.array_equal(read_rgb(tmp_path / "b.png")[..., 0], picture[..., 0])


def palette_png(path: Path, ids: np.ndarray) -> None:
    picture = Image.fromarray(ids, mode="P")
    picture.putpalette([value for index in range(256) for value in (255 - index, index, 77)])
    picture.save(path)


def test_a_palette_label_gives_indices_and_a_palette_picture_colours(tmp_path: Path) -> None:
    ids = colors(shape=(5, 7))
    palette_png(tmp_path / "a.png", ids)
    assert np.array_equal(read_label(tmp_path / "a.png"), ids)
    assert read_rgb(tmp_path / "a.png")[2, 3].tolist() == [255 - ids[2, 3], ids[2, 3], 77]
    assert np.array_equal(read_color_label(tmp_path / "a.png"), read_rgb(tmp_path / "a.png"))


def test_a_small_palette_is_packed_and_still_gives_indices(tmp_path: Path) -> None:
    ids = np.array([[0, 1, 2, 3, 2, 1, 0]], dtype=np.uint8)
    picture = Image.fromarray(ids, mode="P")
    picture.putpalette([9, 9, 9, 8, 8, 8, 7, 7, 7, 6, 6, 6])
    picture.save(tmp_path / "a.png", bits=2)
    assert np.array_equal(read_label(tmp_path / "a.png"), ids)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_ids_come_as_stored(tmp_path: Path, dtype: type) -> None:
    ids = np.array([[0, 1, 254, np.iinfo(dtype).max]], dtype=dtype)
    Image.fromarray(ids).save(tmp_path / "a.png")
    assert read_label(tmp_path / "a.png").dtype == dtype
    assert np.array_equal(read_label(tmp_path / "a.png"), ids)


def test_two_values_may_be_stored_as_bits(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert read_label(tmp_path / "a.png").tolist() == [[1, 0]]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_grey_values_of_few_bits_are_not_spread_over_the_byte(tmp_path: Path, depth: int) -> None:
    ids = np.arange(1 << depth, dtype=np.uint8).repeat(8 // depth)  # a whole byte of each
    packed = np.packbits(np.unpackbits(ids[:, None], axis=1)[:, -depth:])
    header = struct.pack(">IIBBBBB", len(ids), 1, depth, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + packed.tobytes())), (b"IEND", b""))
    coded = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(coded))
    assert read_label(tmp_path / "a.png").tolist() == [ids.tolist()]


def test_ids_of_32_bits_are_not_cut_to_16(tmp_path: Path) -> None:
    Image.fromarray(np.array([[65543, 7]], dtype=np.int32)).save(tmp_path / "a.tif")
    assert read_label(tmp_path / "a.tif").tolist() == [[65543, 7]]


@pytest.mark.parametrize("read", [read_rgb, read_label])
def test_floats_are_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    Image.fromarray(np.array([[0.25, 1.0]], dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(SegError, match=r"a\.tif: holds (32-bit )?floats"):
        read(tmp_path / "a.tif")


def test_colour_labels_come_as_rgb_without_alpha(tmp_path: Path) -> None:
    picture = colors(shape=(5, 7, 4))
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert np.array_equal(read_color_label(tmp_path / "a.png"), picture[..., :3])
    assert read_label(tmp_path / "a.png").shape == (5, 7, 3)


@pytest.mark.parametrize("read", [read_rgb, read_label, read_color_label])
def test_files_that_cannot_be_read_are_named(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(SegError, match=r"none\.png: no such file"):
        read(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(SegError, match=r"text\.png: cannot be read as a picture"):
        read(tmp_path / "text.png")
    Image.fromarray(colors(shape=(60, 70, 3))).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SegError, match=r"cut\.png: cannot be read as a picture"):
        read(tmp_path / "cut.png")
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(SegError, match=r"empty\.png: cannot be read"):
        read(tmp_path / "empty.png")
    with pytest.raises(SegError, match="cannot be read"):
        read(tmp_path)


def test_a_truncated_jpeg_is_an_error(tmp_path: Path) -> None:
    Image.fromarray(colors(shape=(60, 70, 3))).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SegError, match=r"cut\.jpg: cannot be read as a picture"):
        read_rgb(tmp_path / "cut.jpg")


@pytest.mark.parametrize("read", [read_label, read_color_label])
def test_a_lossy_label_is_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    Image.fromarray(colors(shape=(8, 8))).save(tmp_path / "a.jpg")
    with pytest.raises(SegError, match="JPEG cannot hold labels"):
        read(tmp_path / "a.jpg")
