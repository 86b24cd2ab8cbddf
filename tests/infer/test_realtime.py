"""Real time under overload, in simulated time: latency stays bounded, and every frame is accounted for exactly."""

import math
import os
import signal
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from infer import live, run
from infer.live import Live
from infer.sink import Sink
from seg.frame import Frame
from seg.sources.base import Source

MS = 1_000_000
PERIOD = 0.040


@dataclass
class Answer:
    timings: dict[str, float] = field(default_factory=dict)


def frame(index, time_ns):
    return Frame(np.zeros((1, 1, 3), np.uint8), index, time_ns, "made")


class Simulated(threading.Condition):
    """A condition whose waits take simulated time: it goes on to the next event where every thread waits."""

    def __init__(self, threads):
        super().__init__()
        self.now, self._threads, self._sleepers = 0.0, threads, []

    def wait(self, timeout=None):
        self._sleep([self.now + (math.inf if timeout is None else timeout), True])

    def notify_all(self):
        self._sleepers = [each for each in self._sleepers if not each[1]]
        super().notify_all()

    def work(self, seconds):
        """What keeps a thread busy for so long."""
        with self:
            self._sleep([self.now + seconds, False])

    def leave(self):
        """A thread has ended."""
        with self:
            self._threads -= 1
            self._go_on()

    def _sleep(self, mine):
        self._sleepers.append(mine)
        self._go_on()
        while any(each is mine for each in self._sleepers):
            assert super().wait(20), "the simulation stands"

    def _go_on(self):
        if len(self._sleepers) == self._threads:
            first = min(self._sleepers)
            if first[0] < math.inf:
                self.now = first[0]
                self._sleepers = [each for each in self._sleepers if each is not first]
                super().notify_all()


@dataclass
class Played:
    """What a simulated run did: the frames answered, and how long after their times (the first's is 0) each had its mask."""

    model: Live
    indices: list[int] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)


@pytest.fixture
def play(monkeypatch):
    def played(times_ms, service, decode=0.0, output=0.0, deadline_ms=None):
        clock = Simulated(2)
        monkeypatch.setattr(live, "Condition", lambda: clock)
        monkeypatch.setattr(live.time, "perf_counter", lambda: clock.now)

        def source():
            for index, ms in enumerate(times_ms):
                if decode:
                    clock.work(decode)
                yield frame(index, round(ms * MS))
            clock.leave()

        def answer(_):
            clock.work(service)
            return Answer()

        made = Played(Live(answer, deadline_ms, pace=True))
        for taken, given in made.model.stream(source()):
            made.indices.append(taken.index)
            made.lateness.append(clock.now - taken.time_ns / 1e9)
            made.answers.append(given)
            if output:
                clock.work(output)
        assert [given.timings["latency"] for given in made.answers] == pytest.approx(made.lateness)
        assert made.model.answered == len(made.indices)
        assert made.model.read == len(times_ms) == made.model.answered + made.model.dropped
        return made

    return played


def steady(count):
    return [40 * index for index in range(count)]


@pytest.mark.parametrize(("network", "output"), [(0.060, 0), (0.045, 0.015)])
def test_at_one_and_a_half_times_the_load_latency_stays_under_two_periods(play, network, output):
    """60 ms of service, a frame every 40: one that waited 20 would be 80 ms old. Every second one is answered, at once."""
    made = play(steady(97), network, output=output)
    assert max(made.lateness) + output < 2 * PERIOD
    assert made.indices == list(range(0, 97, 2))
    assert (made.model.read, made.model.answered, made.model.dropped) == (97, 49, 48)
    assert made.model.told()[0] == "48 of 97 frames dropped for newer ones"


def test_that_bound_holds_to_the_last_frame(play):
    made = play(steady(98), 0.060)
    assert max(made.lateness) < 2 * PERIOD
    assert (made.model.answered, made.model.dropped) == (49, 49)


def test_at_less_load_as_many_frames_are_answered_as_can_be_in_time(play):
    """50 ms of service: three of four frames, at 50, 60 and 70 ms; the fourth would be 80 ms old."""
    made = play(steady(81), 0.050)
    assert made.indices == [index for index in range(81) if index % 4 != 3]
    assert made.lateness[:6] == pytest.approx([0.050, 0.060, 0.070] * 2)


def test_without_overload_nothing_is_dropped(play):
    made = play(steady(50), 0.039)
    assert made.indices == list(range(50))
    assert max(made.lateness) == pytest.approx(0.039)


def test_where_no_frame_can_be_in_time_the_newest_wins_and_the_network_never_waits(play):
    made = play(steady(100), 0.091)
    assert made.indices[:5] == [0, 2, 4, 6, 9]
    begun = [40 * index + 1000 * late - 91 for index, late in zip(made.indices, made.lateness, strict=True)]
    assert np.diff(begun) == pytest.approx(91)
    assert max(made.lateness[:-1]) < 0.091 + PERIOD  # nothing newer came than the last


def test_a_deadline_is_the_bound_where_one_is_given(play):
    made = play(steady(100), 0.061, deadline_ms=100)
    assert made.model.late == 0
    assert max(made.lateness) < 0.100
    assert made.model.answered > 60  # with two periods as the bound it is 50
    made = play(steady(100), 0.061, deadline_ms=50)
    assert (made.model.late, made.model.dropped) == (made.model.answered, 100 - made.model.answered)


def test_one_slow_frame_is_no_measure():
    """The first frames of a network take long: that is forgotten at once."""
    patience = live._Patience(80)
    patience.served(0.0, 0.300)
    assert patience.left(captured=0.230, decoded=0.230, now=0.300) == 0
    patience.served(1.0, 1.020)
    assert patience.left(captured=1.0, decoded=1.0, now=1.020) == 0
    assert patience.left(captured=0.950, decoded=0.950, now=1.020) == pytest.approx(0.010)


def test_a_frame_that_waited_too_long_is_answered_where_nothing_newer_comes(play):
    made = play([0, 40, 60_000, 120_000], 0.060)
    assert made.indices == [0, 1, 2, 3]
    assert made.lateness == pytest.approx([0.060, 0.080 + 0.060, 0.060, 0.060])


def test_decoding_is_part_of_the_latency(play):
    made = play(steady(20), 0.015, decode=0.010)
    assert made.indices == list(range(20))
    assert made.lateness == pytest.approx([0.025] * 20)
    assert made.answers[7].timings == pytest.approx({"decode": 0.010, "wait": 0.0, "latency": 0.025})
    assert [line.split(":")[0] for line in made.model.told()[1:]] == [f"latency, {stage}" for stage in live.STAGES]


def test_decoding_that_is_slower_than_the_frames_come_is_told(play):
    """60 ms for each, every 40: the 50th is decoded a second too late. What is overdue is dropped, but never all of it."""
    made = play(steady(50), 0.001, decode=0.060, deadline_ms=80)
    assert made.lateness[-1] > 0.9
    assert made.lateness == pytest.approx([0.020 * index + 0.061 for index in made.indices])
    assert made.indices == [0, *range(2, 50, 2)]
    assert made.model.late == made.model.answered - 1
    assert made.model.latency["decode"].at(99) > 0.9


class Timed(Source):
    """Two frames, the second of which is due in 20 seconds."""

    kind, name = "video", "made"

    def frames(self):
        yield frame(0, 0)
        yield frame(1, 20_000 * MS)


class Kept(Sink):
    kind = "kept"

    def _write(self, frame, answer):
        self._temporary.touch()

    def _close(self):
        pass


def test_ctrl_c_acts_while_a_file_waits_for_its_time(monkeypatch, tmp_path):
    sink = Kept(tmp_path / "out")

    class Interrupting(threading.Condition):
        def wait(self, timeout=None):
            if threading.current_thread() is threading.main_thread() and sink.frames:
                os.kill(os.getpid(), signal.SIGINT)
            return super().wait(timeout)

    monkeypatch.setattr(live, "Condition", Interrupting)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        model = Live(lambda _: Answer(), pace=True)
        with pytest.raises(KeyboardInterrupt):
            run(model, Timed(), [sink])
    finally:
        signal.signal(signal.SIGINT, before)
    assert (sink.frames, sink.kept) == (1, True)
    assert (model.read, model.answered) == (1, 1)
    assert not [thread for thread in threading.enumerate() if thread.name == "seg-live"]
