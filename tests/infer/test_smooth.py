"""Steady masks: noise goes, what moves is followed, and what is new stands alone."""

import cv2
import numpy as np
import pytest
from media import write_video
from onnx_models import save_bands

from infer import Segmenter, Watch, open_source
from infer.smooth import Smooth, TemporalFilter
from seg.errors import SegError
from seg.metrics import Flicker

H, W = 96, 128
SURE = np.full((H, W), 230, np.uint8)


def texture(seed=0, size=(H, W + 64)):
    """Something for the flow to hold on to."""
    noise = np.random.default_rng(seed).uniform(0, 255, (*size, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip((blurred - 128) * 6 + 128, 0, 255).astype(np.uint8)


def box(left):
    classes = np.zeros((H, W), np.uint8)
    classes[30:70, left : left + 40] = 2
    return classes


def test_the_first_frame_is_answered_as_it_is():
    classes, confidence = TemporalFilter((H, W))(texture()[:, :W], box(20), SURE)
    np.testing.assert_array_equal(classes, box(20))
    np.testing.assert_array_equal(confidence, SURE)


def test_noise_over_a_picture_that_stands_goes():
    random, steady, rgb = np.random.default_rng(0), TemporalFilter((H, W)), texture()[:, :W]
    raw, smooth = Flicker(), Flicker()
    for _ in range(12):
        wrong = random.random((H, W)) < 0.1
        noisy = np.where(wrong, 4, box(20)).astype(np.uint8)
        found, _ = steady(rgb, noisy, np.where(wrong, 120, 230).astype(np.uint8))
        raw.add(rgb, noisy)
        smooth.add(rgb, found)
    assert raw.share > 0.15
    assert smooth.share < raw.share / 5
    assert (found != box(20)).mean() < 0.01


def test_what_moves_is_followed():
    steady, picture = TemporalFilter((H, W)), texture()
    for step in range(10):
        rgb = np.ascontiguousarray(picture[:, 3 * step : 3 * step + W])
        found, _ = steady(rgb, box(60 - 3 * step), SURE)
    still = TemporalFilter((H, W), kept=0.9, change=1e9)
    assert (found != box(60 - 27)).mean() < 0.005
    for step in range(10):  # were the past not moved along, its trail would be seen
        trail, _ = still(texture()[:, :W], box(60 - 3 * step), SURE)
    assert (trail != box(60 - 27)).mean() > 0.02


def test_after_a_cut_the_new_frame_stands_alone():
    steady = TemporalFilter((H, W))
    for _ in range(5):
        steady(np.full((H, W, 3), 20, np.uint8), box(20), SURE)
    found, _ = steady(np.full((H, W, 3), 240, np.uint8), box(80), SURE)
    np.testing.assert_array_equal(found, box(80))


def test_it_works_at_the_networks_size_and_answers_at_the_frames():
    steady = TemporalFilter((48, 64))
    large = cv2.resize(texture()[:, :W], (300, 200))
    classes = cv2.resize(box(20)[::2, ::2], (300, 200), interpolation=cv2.INTER_NEAREST)
    found, confidence = steady(large, classes, np.full((200, 300), 230, np.uint8))
    assert found.shape == confidence.shape == (200, 300)
    assert (found != classes).mean() < 0.01


def test_a_class_that_is_gone_is_forgotten():
    steady, rgb = TemporalFilter((H, W)), texture()[:, :W]
    steady(rgb, box(20), SURE)
    for _ in range(60):
        steady(rgb, np.zeros((H, W), np.uint8), SURE)
    assert list(steady._evidence) == [0]


def test_an_unsure_frame_hardly_speaks_against_a_sure_past():
    rgb, unsure = texture()[:, :W], np.full((H, W), 110, np.uint8)
    for sure, kept in ((1.0, False), (3.0, True)):
        steady = TemporalFilter((H, W), kept=0.5, sure=sure)
        steady(rgb, box(20), SURE)
        steady(rgb, box(60), unsure)
        found, confidence = steady(rgb, box(60), unsure)
        assert bool((found[:, 30] == box(20)[:, 30]).all()) is kept
        assert confidence.max() <= 230


def test_where_nothing_is_sure_what_is_seen_counts():
    steady, rgb = TemporalFilter((H, W)), texture()[:, :W]
    for left in (20, 24, 28):
        found, _ = steady(rgb, box(left), np.full((H, W), 3, np.uint8))
        np.testing.assert_array_equal(found, box(left))


def test_in_a_stream_and_under_a_watch(tmp_path):
    segmenter = Segmenter(save_bands(tmp_path / "m.onnx", novelty=True), threads=1)
    with open_source(write_video(tmp_path / "v.mp4", count=5)) as source:
        watch = Watch(segmenter, model=Smooth(segmenter, segmenter.spec))
        answers = [answer for _, answer in watch.stream(source)]
    assert len(answers) == watch.frames == 5
    assert all({"smooth", "watch", "network"} <= answer.timings.keys() for answer in answers)
    assert all(answer.novelty is not None for answer in answers)


def test_a_file_of_any_size_has_none_to_work_at(tmp_path):
    segmenter = Segmenter(save_bands(tmp_path / "m.onnx", dynamic=True), threads=1)
    with pytest.raises(SegError, match="frames of any size"):
        Smooth(segmenter, segmenter.spec)
