"""A source that falls silent is told, and nobody hangs with it."""

import os
import threading
import time
from queue import Queue

import numpy as np
import pytest
from media import write_video

from seg.errors import SegError
from seg.frame import Frame
from seg.sources import guard
from seg.sources.base import Source
from seg.sources.guard import Guarded
from seg.sources.open import open_source


class Steps(Source):
    """Frames, and a wait for an event after so many of them."""

    kind = "video"
    name = "made"

    def __init__(self, count, silent_after=None, wake=None):
        self._count, self._silent_after, self._wake = count, silent_after, wake
        self.closed = threading.Event()

    def frames(self):
        for index in range(self._count):
            if index == self._silent_after:
                self._wake.wait(30)
            yield Frame(np.zeros((1, 1, 3), np.uint8), index, 0, "made")
        self.problem = "damaged"

    def close(self):
        self.closed.set()


def test_frames_and_problems_come_through():
    steps = Steps(5)
    with Guarded(lambda: steps, "made", 10) as source:
        assert [frame.index for frame in source] == [0, 1, 2, 3, 4]
        assert (source.problem, source.kind, source.name) == ("damaged", "video", "made")
    assert steps.closed.wait(10)


def test_one_that_falls_silent_is_told():
    wake = threading.Event()
    steps = Steps(5, 3, wake)
    with Guarded(lambda: steps, "made", 0.2) as source:
        assert [frame.index for frame in source] == [0, 1, 2]
        assert source.problem == "made: fell silent after 3 frames, for 0.2 s"
    wake.set()
    assert steps.closed.wait(10)  # nothing is left behind once the source lets go


def test_one_that_cannot_be_opened_is_refused_as_it_was():
    def connect():
        raise SegError("made: not a video")

    with pytest.raises(SegError, match="made: not a video"):
        Guarded(connect, "made", 10)


def test_what_reading_raises_is_raised():
    class Broken(Steps):
        def frames(self):
            yield from super().frames()
            raise OSError("gone")

    with Guarded(lambda: Broken(2), "made", 10) as source, pytest.raises(OSError, match="gone"):
        list(source)


def test_interrupted_it_lets_go_of_who_waits():
    wake = threading.Event()
    source = Guarded(lambda: Steps(5, 1, wake), "made", 30)
    taken = []
    reader = threading.Thread(target=lambda: taken.extend(source))
    reader.start()
    source.interrupt()
    reader.join(10)
    assert not reader.is_alive()
    wake.set()


def test_interrupted_before_anybody_waits():
    """The one frame that there is room for is there already."""
    wake = threading.Event()
    source = Guarded(lambda: Steps(5, 1, wake), "made", 30)
    deadline = time.monotonic() + 10
    while not source._given.full():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    source.interrupt()
    assert list(source) == []
    wake.set()


@pytest.mark.parametrize("how", ["unwanted", "Ctrl-C"])
def test_opening_is_given_up_where_nobody_wants_it(monkeypatch, how):
    unwanted, let_go, steps = threading.Event(), threading.Event(), Steps(3)

    def connect():
        if how == "unwanted":
            unwanted.set()
        let_go.wait(30)
        return steps

    class Interrupted(Queue):
        def get(self, *_, **__):
            raise KeyboardInterrupt

    if how == "Ctrl-C":
        monkeypatch.setattr(guard, "Queue", Interrupted)
    with pytest.raises((SegError, KeyboardInterrupt), match=r"made: not wanted any more|^$"):
        Guarded(connect, "made", 30, 30, unwanted=unwanted)
    let_go.set()
    assert steps.closed.wait(10)


def test_left_early_the_thread_lets_go():
    steps = Steps(1000)
    with Guarded(lambda: steps, "made", 10) as source:
        next(iter(source))
    assert steps.closed.wait(10)


def test_a_pipe_that_nobody_writes_to(tmp_path, monkeypatch):
    monkeypatch.setattr(guard.Guarded.__init__, "__defaults__", (0.3, 0.3))
    os.mkfifo(tmp_path / "pipe.ts")
    with pytest.raises(SegError, match=r"pipe\.ts: gave nothing for 0\.3 s; is anybody sending\?"):
        open_source(tmp_path / "pipe.ts")
    os.close(os.open(tmp_path / "pipe.ts", os.O_WRONLY))  # lets the thread go


def test_a_pipe_that_a_video_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe.mkv")
    video = write_video(tmp_path / "v.mkv", count=6)
    writer = threading.Thread(target=lambda: (tmp_path / "pipe.mkv").write_bytes(video.read_bytes()))
    writer.start()
    with open_source(tmp_path / "pipe.mkv") as source:
        assert len(list(source)) == 6
    writer.join(10)
