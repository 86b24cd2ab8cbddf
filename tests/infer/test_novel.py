"""What a `Watch` marks and counts: novel frames by their threshold, frozen cameras, and when it fails."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from media import picture
from onnx_models import make_spec, save_bands

from infer import Segmenter, run
from infer.frozen import RUN
from infer.segmenter import Segmentation
from infer.sinks import Painter, Stats
from infer.watch import NovelFramesError, Watch, Watched
from seg.errors import SegError
from seg.frame import Frame

RED = (230, 0, 30)


class Frames(list):
    """A source that is a list of frames."""

    problem = None

    def interrupt(self):
        pass


def flat(brightness, index=0):
    """A frame of one brightness, which is what the model of the tests answers as novelty."""
    return Frame(np.full((48, 64, 3), brightness, np.uint8), index, 40_000_000 * index, "flat")


def watched(segmenter, brightnesses, **options):
    watch = Watch(segmenter, **options)
    return watch, [answer for _, answer in watch.stream(map(flat, brightnesses, range(len(brightnesses))))]


def test_a_frame_above_the_threshold_is_novel(segmenter):
    watch, answers = watched(segmenter, [0, 1, 0, 200])
    assert [answer.novel for answer in answers] == [False, True, False, True]  # 0.99 where none is given
    assert (watch.frames, watch.novel, watch.alarms) == (4, 2, 2)
    assert watch.told() == ["2 of 4 frames (50.0 %) are novel: above 0.99"]
    _, answers = watched(segmenter, [0, 1], novel_above=1)
    assert [answer.novel for answer in answers] == [False, False]  # the threshold itself is not above it


def test_the_answer_is_the_segmenters_own(segmenter):
    frame = Frame(picture(2), 0, 0, "")
    ((_, answer),) = Watch(segmenter).stream([frame])
    expected = segmenter(frame)
    np.testing.assert_array_equal(answer.classes, expected.classes)
    np.testing.assert_array_equal(answer.confidence, expected.confidence)
    assert (answer.novelty, answer.code, answer.hash) == (expected.novelty, expected.code, expected.hash)
    assert set(answer.timings) == {"decode", "preprocess", "network", "postprocess", "watch"}
    assert set(asdict(answer)) - set(asdict(expected)) == {"novel", "frozen"}


def test_a_novelty_that_is_no_number_is_novel(segmenter):
    class Broken:
        spec = segmenter.spec

        def stream(self, source):
            for frame in source:
                yield frame, Segmentation(np.zeros((48, 64), np.uint8), None, float("nan"))

    _, (answer,) = watched(Broken(), [0])
    assert answer.novel


def test_a_frozen_camera_counts_and_images_of_a_folder_do_not(segmenter):
    dark = [0] * (RUN + 5)
    watch, answers = watched(segmenter, dark)
    assert [answer.frozen for answer in answers] == [False] * RUN + [True] * 5
    assert (watch.novel, watch.frozen, watch.alarms) == (0, 5, 5)
    assert watch.told()[1] == "5 of 15 frames (33.3 %) are of a frozen camera: at least 10 repeats in a row"
    watch, answers = watched(segmenter, dark, one_camera=False)
    assert {answer.frozen for answer in answers} == {None}
    assert watch.alarms == 0


def test_a_frame_that_is_both_counts_once(segmenter):
    watch, answers = watched(segmenter, [9] * (RUN + 1))
    assert answers[-1].alarm == "novel 9.000, frozen"
    assert (watch.novel, watch.frozen, watch.alarms) == (RUN + 1, 1, RUN + 1)


@pytest.mark.parametrize(("share", "fails"), [(None, False), (0, True), (0.24, True), (0.25, False), (1, False)])
def test_more_than_the_share_fails_with_code_3(segmenter, share, fails):
    watch, _ = watched(segmenter, [0, 0, 0, 200], fail_novel=share)
    if not fails:
        watch.check()
        return
    with pytest.raises(NovelFramesError, match=r"^1 of 4 frames \(25.0 %\) are novel or frozen, more than") as raised:
        watch.check()
    assert raised.value.exit_code == 3


def test_no_frame_is_no_failure(segmenter):
    watch, _ = watched(segmenter, [], fail_novel=0)
    watch.check()
    assert watch.told() == []


@pytest.mark.parametrize("option", ["novel_above", "fail_novel"])
@pytest.mark.parametrize("value", [-0.1, 1.1, 99, float("nan")])
def test_numbers_outside_0_to_1_are_refused(segmenter, option, value):
    with pytest.raises(SegError, match=f"--{option.replace('_', '-')}: expected a number from 0 to 1"):
        Watch(segmenter, **{option: value})


@pytest.mark.parametrize("profile", ["frame", "logits", "argmax"])
def test_without_novelty_in_the_file(tmp_path, profile):
    segmenter = Segmenter(save_bands(tmp_path / "plain.onnx", profile=profile))
    for option in ("novel_above", "fail_novel"):
        with pytest.raises(SegError, match=r"answers no novelty; run `seg calibrate`.*`seg export` again"):
            Watch(segmenter, **{option: 0.5})
    watch, answers = watched(segmenter, [200] * (RUN + 1))  # a frozen camera shows without it
    assert [answer.novel for answer in answers] == [None] * (RUN + 1)
    assert [answer.alarm for answer in answers] == [""] * RUN + ["frozen"]
    assert watch.told() == ["1 of 11 frames (9.1 %) are of a frozen camera: at least 10 repeats in a row"]


def test_alarms_have_a_red_border():
    painter = Painter(make_spec())
    frame = Frame(picture(1, 240, 320), 0, 0, "")
    plain = Segmentation(np.zeros((240, 320), np.uint8), None, 0.997)
    calm, novel = (Watched(plain.classes, None, 0.997, novel=novel, frozen=False) for novel in (False, True))
    np.testing.assert_array_equal(painter(frame, calm), painter(frame, plain))
    marked = painter(frame, novel)
    for edge in (marked[:4], marked[-4:], marked[:, :4], marked[:, -4:]):
        assert (edge == RED).all()
    assert (marked[60:-4, 4:-4] == painter(frame, plain)[60:-4, 4:-4]).all()
    assert (marked[4:24, 4:60] == 255).all(axis=-1).any()  # the words


def test_stats_say_novelty_and_frozen(segmenter, tmp_path):
    watch = Watch(segmenter)
    stats = Stats(tmp_path / "s.jsonl", segmenter.spec)
    run(watch, Frames(flat(100, index) for index in range(RUN + 2)), [stats])
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [line["frozen"] for line in lines] == [False] * RUN + [True] * 2
    assert {line["novelty"] for line in lines} == {100.0}
    assert "watch" in lines[0]["seconds"]
