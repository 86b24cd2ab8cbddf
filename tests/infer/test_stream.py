"""Several frames answered at once: in order, bounded, and nothing left behind whatever happens."""

import threading
import time
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infer import stream
from infer.stream import AHEAD, StageError, answered
from seg.errors import SegError
from seg.frame import Frame


@dataclass
class Answer:
    index: int
    timings: dict[str, float] = field(default_factory=dict)


def frames(count):
    for index in range(count):
        yield Frame(np.zeros((1, 1, 3), np.uint8), index, 0, "made")


def collect(seen, answers):
    for frame, _ in answers:
        seen.append(frame.index)


def ours():
    return [thread for thread in threading.enumerate() if thread.name.startswith("seg-answer")]


@settings(max_examples=20, deadline=None)
@given(count=st.integers(0, 20), streams=st.integers(1, 4), waits=st.lists(st.sampled_from([0, 0.001, 0.004])))
def test_answers_leave_in_the_order_of_their_frames(count, streams, waits):
    def answer(frame):
        time.sleep(waits[frame.index] if frame.index < len(waits) else 0)
        return Answer(frame.index)

    pairs = list(answered(frames(count), answer, streams))
    assert [(frame.index, made.index) for frame, made in pairs] == [(index, index) for index in range(count)]
    assert all(made.timings["decode"] >= 0 for _, made in pairs)
    assert not ours()


class Asked:
    """A source that notices when two ask it at once."""

    def __init__(self, count):
        self._frames, self._inside = frames(count), False

    def __iter__(self):
        return self

    def __next__(self):
        assert not self._inside
        self._inside = True
        time.sleep(0.0005)
        self._inside = False
        return next(self._frames)


def test_as_many_are_answered_at_once_as_was_asked_for_and_the_source_is_asked_by_one():
    lock, now, most = threading.Lock(), [], []

    def answer(frame):
        with lock:
            now.append(frame.index)
            most.append(len(now))
        time.sleep(0.005)
        with lock:
            now.remove(frame.index)
        return Answer(frame.index)

    assert len(list(answered(Asked(40), answer, 2))) == 40
    assert max(most) == 2


def test_overlapping_streams_leave_opencv_as_it_was():
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3)
        first, second = (answered(frames(9), lambda frame: Answer(frame.index)) for _ in range(2))
        next(first)
        next(second)
        assert cv2.getNumThreads() == 1
        first.close()
        assert cv2.getNumThreads() == 1
        second.close()
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def noted(taken):
    """A hundred frames; the index of each that is asked for goes into `taken`."""
    for frame in frames(100):
        taken.append(frame.index)
        yield frame


def test_one_that_reads_slowly_keeps_the_threads_from_running_ahead():
    taken = []
    answers = answered(noted(taken), lambda frame: Answer(frame.index), 2)
    next(answers)
    time.sleep(0.1)
    assert len(taken) <= 1 + AHEAD * 2 + 1  # given, waiting, and the one that waits for room
    answers.close()
    assert not ours()


def test_large_frames_keep_the_threads_from_running_ahead_too(monkeypatch):
    monkeypatch.setattr(stream, "AHEAD_BYTES", 7)  # of frames of 3
    taken = []
    answers = answered(noted(taken), lambda frame: Answer(frame.index), 8)
    next(answers)
    time.sleep(0.1)
    assert len(taken) <= 1 + 3
    assert len(list(answers)) == 99
    answers = answered(frames(100), lambda frame: Answer(frame.index), 8)
    next(answers)
    answers.close()  # while one waits for room
    assert not ours()


@pytest.mark.parametrize("streams", [1, 3])
def test_what_the_model_raises_comes_after_the_frames_before_it_and_names_the_frame(streams):
    def answer(frame):
        if frame.index == 5:
            raise ValueError("no")
        return Answer(frame.index)

    seen = []
    with pytest.raises(StageError) as caught:
        collect(seen, answered(frames(50), answer, streams))
    assert seen == [0, 1, 2, 3, 4]
    assert str(caught.value) == "network, frame 5 of made: ValueError: no"
    assert isinstance(caught.value.__cause__, ValueError)
    assert not ours()


def test_what_tells_its_matter_is_raised_as_it_is_with_stage_and_frame():
    def answer(frame):
        raise SegError("refused")

    with pytest.raises(SegError, match="refused") as caught:
        list(answered(frames(3), answer, 1))
    assert type(caught.value) is SegError
    assert caught.value.__notes__ == ["network, frame 0 of made"]


def test_an_answer_that_takes_no_timings_is_an_error_not_a_hang():
    caught = []

    def take():
        try:
            list(answered(frames(5), lambda frame: object(), 2))
        except StageError as error:
            caught.append(error)

    taker = threading.Thread(target=take, daemon=True)
    taker.start()
    taker.join(20)
    assert "network, frame 0 of made: AttributeError: 'object' object has no attribute 'timings'" in str(caught)
    assert not ours()


def test_what_the_source_raises_comes_after_the_frames_before_it():
    def source():
        yield from frames(3)
        raise OSError("gone")

    seen = []
    with pytest.raises(OSError, match="gone") as caught:
        collect(seen, answered(source(), lambda frame: Answer(frame.index), 2))
    assert seen == [0, 1, 2]
    assert caught.value.__notes__ == ["decode, frame 3"]
    assert not ours()


def test_a_source_that_hangs_does_not_hang_the_end(monkeypatch):
    monkeypatch.setattr("infer.stream.PATIENCE_S", 0.2)
    let_go = threading.Event()

    def source():
        yield from frames(1)
        let_go.wait(30)

    answers = answered(source(), lambda frame: Answer(frame.index), 2)
    next(answers)
    before = time.monotonic()
    answers.close()
    assert time.monotonic() - before < 5
    let_go.set()
    for thread in ours():
        thread.join(10)
    assert not ours()
