"""The judge of restoration: a network that mends everything passes, one that mends nothing does not."""

import numpy as np
import pytest
import torch
from PIL import Image

from bench import restoration_kinds
from bench.restoration import TASKS, answers, colour_error, damaged, picture, restoration, restored, table
from bench.restoration_kinds import Kind, kinds, pictures, psnr, resized
from seg.config import EncoderConfig
from seg.model.autoencoder import Autoencoder

SIZE = (96, 128)


def frame(seed):
    """A coloured scene of soft blobs: smooth, so that a smaller picture holds most of it."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return np.asarray(small.resize(SIZE[::-1], Image.Resampling.BICUBIC))


@pytest.fixture
def camvid(tmp_path):
    """Three frames to learn from and three others, as PNG files."""
    for split, first in (("train", 0), ("val", 10)):
        (tmp_path / "camvid" / split).mkdir(parents=True)
        for index in range(3):
            Image.fromarray(frame(first + index)).save(tmp_path / "camvid" / split / f"{index}.png")
    return tmp_path


def perfect(rgb):
    """The frame that a corrupted one is nearest to, whatever was done to it."""
    known = [frame(seed) for seed in range(10, 13)]
    luma = np.float32([0.299, 0.587, 0.114])
    return min(known, key=lambda one: float(np.median(np.abs(one @ luma - rgb @ luma))))


def test_a_perfect_network_meets_every_task(camvid):
    frames = pictures(camvid / "camvid/val")
    rows = restoration(perfect, frames, [0, 1, 2], SIZE)
    judged = {row.task: row for row in rows if row.met is not None}
    assert list(judged) == list(TASKS)
    assert all(row.met for row in judged.values())
    assert judged["denoise"].restored == 100  # the most there is
    assert judged["denoise"].corrupted == pytest.approx(20, abs=1)
    assert judged["colourise"].restored < 2 < 20 < judged["colourise"].corrupted


def test_a_network_that_copies_meets_none(camvid):
    rows = restoration(lambda rgb: rgb, pictures(camvid / "camvid/val"), [0, 1], SIZE)
    assert not any(row.met for row in rows if row.met is not None)
    assert all(row.restored == pytest.approx(row.corrupted, abs=0.05) for row in rows)


def test_inpainting_takes_nothing_but_the_erased_pixels():
    rgb = frame(0)
    corrupted, changed = damaged(rgb, "inpaint", 3)
    assert 0.1 < changed.mean() < 0.2
    made = restored(lambda _: np.full_like(rgb, 7), corrupted, changed, "inpaint")
    assert np.array_equal(made[~changed], rgb[~changed])
    assert (made[changed] == 7).all()


def test_colourising_takes_the_colour_and_keeps_the_lightness():
    rgb = frame(1)
    grey, _ = damaged(rgb, "colourise", 0)
    made = restored(lambda _: rgb, grey, np.zeros(SIZE, bool), "colourise")
    assert colour_error(made, rgb) < 0.15 * colour_error(grey, rgb)
    other = restored(lambda _: 255 - rgb, grey, np.zeros(SIZE, bool), "colourise")
    assert colour_error(other, rgb) > colour_error(grey, rgb)


def test_psnr_by_hand():
    black, grey = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 51, np.uint8)
    assert psnr(black, grey) == pytest.approx(-20 * np.log10(0.2))
    assert psnr(black, black) == 100
    half = grey.copy()
    half[0] = 0
    assert psnr(black, half, np.array([[True, True], [False, False]])) == 100
    assert psnr(black, half, np.array([[False, False], [True, True]])) == pytest.approx(-20 * np.log10(0.2))


def test_a_smaller_picture_holds_as_many_numbers_as_the_code(monkeypatch):
    sizes = []
    real = restoration_kinds.cv2.resize
    monkeypatch.setattr(restoration_kinds.cv2, "resize", lambda *a, **k: sizes.append(a[1]) or real(*a, **k))
    rgb = frame(2)
    assert np.array_equal(resized(rgb, 3), rgb)
    sizes.clear()
    assert psnr(resized(rgb, 0.75), rgb) > psnr(resized(rgb, 0.1), rgb)
    assert sizes[0] == (64, 48)  # three numbers for each pixel, a quarter of the pixels
    assert sizes[1] == (128, 96)


def test_kinds_that_are_not_there_are_left_out_and_noise_is_hardest(camvid):
    found = kinds(lambda rgb: resized(rgb, 0.75), camvid, SIZE, 0.75)
    assert [kind.kind for kind in found] == [
        "CamVid train, learned from", "CamVid val, unseen", "CamVid val, upside down", "rendered scenes", "uniform noise",
    ]  # fmt: skip
    assert [kind.frames for kind in found] == [3, 3, 3, 20, 20]
    assert all(kind.gain == 0 for kind in found)
    assert min(found, key=lambda kind: kind.network).kind == "uniform noise"


def test_the_network_answers_frames_of_any_size_and_all_of_it_is_shown(camvid):
    torch.manual_seed(0)
    config = EncoderConfig(encoder="resnet18", encoder_options={"depth": 3}, code_channels=4, reconstruction_width=16)
    network = answers(Autoencoder(config).eval())
    made = network(frame(0)[:50, :71])
    assert made.shape == (50, 71, 3)
    assert made.dtype == np.uint8
    sheet = picture(network, pictures(camvid / "camvid/val"), SIZE)
    assert sheet.shape == (4 * SIZE[0] + 3 * 4, 6 * SIZE[1] + 5 * 4, 3)
    rows = restoration(network, pictures(camvid / "camvid/val"), [0], SIZE)
    text = table(rows, [Kind("noise", 2, 10.0, 12.5)])
    assert "| denoise | PSNR, dB |" in text
    assert "| NO |" in text
    assert "| noise | 2 | 10.00 | 12.50 | -2.50 |" in text
