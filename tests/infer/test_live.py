"""Real time: the newest frame wins, and every frame is answered, dropped, or counted as late."""

import math
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infer import live, run
from infer.latency import Percentiles
from infer.live import STAGES, Live, paced
from infer.sink import Sink
from seg.errors import SegError
from seg.frame import Frame
from seg.sources.base import Source

MS = 1_000_000


@dataclass
class Answer:
    index: int
    timings: dict[str, float] = field(default_factory=dict)


def frame(index, time_ns=0):
    return Frame(np.zeros((1, 1, 3), np.uint8), index, time_ns, "made")


def ours():
    return [thread for thread in threading.enumerate() if thread.name == "seg-live"]


def test_the_newest_frame_wins_and_the_others_are_counted():
    """The source gives three frames while the first is answered, four while the next is, and then ends."""
    busy, given_all = threading.Event(), threading.Event()
    groups = [3, 4]

    def source():
        index = 0
        yield frame(index)
        for group in groups:
            busy.wait(10)
            busy.clear()
            for _ in range(group):
                index += 1
                yield frame(index)
            given_all.set()

    def answer(taken):
        if groups_left.pop():
            busy.set()
            given_all.wait(10)
            given_all.clear()
        return Answer(taken.index)

    groups_left = [False, True, True]
    model = Live(answer)
    assert [(taken.index, made.index) for taken, made in model.stream(source())] == [(0, 0), (3, 3), (7, 7)]
    assert (model.read, model.answered, model.dropped) == (8, 3, 5)
    assert not ours()


def test_a_model_that_keeps_up_drops_nothing():
    answered = threading.Semaphore(1)

    def source():
        for index in range(20):
            answered.acquire(timeout=10)
            yield frame(index)

    model = Live(lambda taken: Answer(taken.index))
    for _ in model.stream(source()):
        answered.release()
    assert (model.read, model.answered, model.dropped) == (20, 20, 0)
    assert all(model.latency[stage].count == 20 for stage in STAGES)


def test_left_early_all_that_was_read_is_accounted_for():
    model = Live(lambda taken: Answer(taken.index))
    stream = model.stream(frame(index) for index in range(100_000))
    for _ in range(3):
        next(stream)
    stream.close()
    assert not ours()
    assert model.answered == 3
    assert model.read == model.answered + model.dropped


def test_late_is_what_leaves_the_outputs_after_the_deadline(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(live.time, "perf_counter", lambda: clock[0])
    turn = threading.Semaphore(1)

    def source():
        for index in range(4):
            turn.acquire(timeout=10)
            yield frame(index)

    def answer(taken):
        clock[0] += 0.010 * (taken.index + 1)
        return Answer(taken.index)

    model = Live(answer, deadline_ms=35)
    for taken, made in model.stream(source()):
        assert made.timings["latency"] == pytest.approx(0.010 * (taken.index + 1))
        clock[0] += 0.010  # writing
        turn.release()
    assert model.late == 2  # 20, 30, 40 and 50 ms
    assert model.latency["all"].at(100) == pytest.approx(0.050, rel=0.01)
    assert model.latency["network"].at(50) == pytest.approx(0.020, rel=0.01)
    assert model.told()[:2] == [
        "0 of 4 frames dropped for newer ones",
        "2 of 4 frames after their deadline of 35 ms",
    ]


def test_finishing_the_outputs_after_ctrl_c_is_nobodys_latency(monkeypatch, tmp_path):
    clock = [0.0]
    monkeypatch.setattr(live.time, "perf_counter", lambda: clock[0])

    class Slow(Sink):
        kind = "slow"

        def _write(self, frame, answer):
            self._temporary.touch()
            raise_now.set()

        def _close(self):
            clock[0] += 1000.0

    class Made(Source):
        kind, name = "camera", "made"

        def frames(self):
            yield frame(0)
            raise_now.wait(10)
            yield frame(1)

    def interrupted(_):
        raise KeyboardInterrupt

    raise_now = threading.Event()
    model = Live(lambda taken: Answer(taken.index), deadline_ms=50)
    with pytest.raises(KeyboardInterrupt):
        run(model, Made(), [Slow(tmp_path / "out")], interrupted)
    assert (model.answered, model.late) == (1, 0)
    assert model.latency["all"].at(100) < 1
    assert not ours()


@pytest.mark.parametrize("where", ["source", "model"])
def test_what_fails_is_raised_here(where):
    def source():
        yield frame(0)
        if where == "source":
            raise OSError("gone")

    def answer(taken):
        if where == "model":
            raise SegError("refused")
        return Answer(taken.index)

    with pytest.raises((OSError, SegError), match=r"gone|refused") as caught:
        list(Live(answer).stream(source()))
    assert caught.value.__notes__ == ["decode, frame 1" if where == "source" else "network, frame 0 of made"]
    assert not ours()


@pytest.mark.parametrize("deadline", [0, -1, math.nan])
def test_a_deadline_is_above_zero(deadline):
    with pytest.raises(SegError, match="more than 0"):
        Live(Answer, deadline)


def test_a_file_is_given_at_its_times(monkeypatch):
    clock, slept = [100.0], []
    monkeypatch.setattr(live.time, "perf_counter", lambda: clock[0])

    def sleep(seconds):
        slept.append(round(1000 * seconds))
        clock[0] += seconds

    captured = []
    for taken, when in paced(
        (frame(index, ms * MS) for index, ms in enumerate([500, 540, 580, 700, 710, 0, 40])), sleep
    ):
        captured.append(round(1000 * (when - 100)))
        clock[0] += 0.050 if taken.index == 1 else 0.0  # the reader was slow
    assert slept == [40, 110, 10, 40]
    assert captured == [0, 40, 80, 200, 210, 210, 250]  # where time jumps back it is counted anew


def test_a_file_is_decoded_before_its_time_but_given_when_a_camera_could(monkeypatch):
    clock, given = [0.0], []
    monkeypatch.setattr(live.time, "perf_counter", lambda: clock[0])

    def source():
        for index, decoding in enumerate([0.010, 0.010, 0.060, 0.050, 0.010, 0.010]):
            clock[0] += decoding
            yield frame(index, 40 * index * MS)

    def sleep(seconds):
        clock[0] += seconds

    for _, captured in paced(source(), sleep):
        given.append((round(1000 * captured), round(1000 * clock[0])))
    assert given == [(0, 10), (40, 50), (80, 140), (120, 190), (160, 200), (200, 210)]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.floats(1e-5, 100), min_size=1, max_size=200), st.floats(0, 100))
def test_percentiles_are_within_one_per_cent(times, percent):
    found = Percentiles()
    for each in times:
        found.add(each)
    exact = float(np.percentile(times, percent, method="inverted_cdf"))
    assert exact * 0.999999 <= found.at(percent) <= exact * 1.0101


def test_percentiles_of_nothing_and_of_extremes():
    found = Percentiles()
    assert math.isnan(found.at(50))
    for each in (0.0, 1e9):
        found.add(each)
    assert found.at(50) <= 1e-6
    assert 600 < found.at(100) < math.inf
