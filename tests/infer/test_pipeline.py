"""The run as a whole: every frame into every sink, interruptions between frames, all outputs or none."""

import json
import os
import signal
import threading
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from media import read_video

from infer import open_source, run, stream
from infer.encode import MaskVideo, OverlayVideo
from infer.sinks import MaskFolder, Painter, Sink, Stats
from infer.stream import StageError, answered
from seg.errors import SegError
from seg.frame import Frame
from seg.sources.base import Source


def make_sinks(segmenter, source, folder):
    return [
        OverlayVideo(folder / "o.mp4", Painter(segmenter.spec), source.fps),
        MaskVideo(folder / "m.mkv", source.fps),
        MaskFolder(folder / "masks", segmenter.spec),
        Stats(folder / "s.jsonl", segmenter.spec),
    ]


def test_every_frame_reaches_every_sink(segmenter, video, tmp_path):
    seen = []
    with open_source(video) as source:
        sinks = make_sinks(segmenter, source, tmp_path)
        summary = run(segmenter, source, sinks, seen.append)
    assert (summary.frames, summary.problem) == (12, None)
    assert summary.frames_per_second == pytest.approx(summary.frames / summary.seconds)
    assert summary.outputs == tuple(sink.path for sink in sinks)
    assert seen == list(range(1, 13))
    for name in ("o.mp4", "m.mkv"):
        assert read_video(tmp_path / name)[0] == [40.0 * index for index in range(12)]
    assert len(list((tmp_path / "masks").iterdir())) == 12
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    stages = {"decode", "preprocess", "network", "postprocess", "overlay", "mask_video", "masks"}
    assert all(set(line["seconds"]) == stages for line in lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_waits_for_the_frame_and_keeps_all(segmenter, video, tmp_path, number):
    class Stopped(KeyboardInterrupt):
        pass

    def stop(*_):
        raise Stopped

    class Sender(Sink):
        """Not the last sink: those after it still have to get the frame."""

        kind = "sender"

        def _write(self, frame, segmentation):
            self._temporary.touch()
            if frame.index == 4:
                os.kill(os.getpid(), number)

        def _close(self):
            pass

    before = signal.signal(number, stop)
    try:
        with open_source(video) as source:
            sinks = [Sender(tmp_path / "sender"), *make_sinks(segmenter, source, tmp_path)]
            with pytest.raises(Stopped):
                run(segmenter, source, sinks)
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)
    assert [sink.frames for sink in sinks] == [5] * 5
    assert all(sink.kept for sink in sinks)
    for name in ("o.mp4", "m.mkv"):
        assert len(read_video(tmp_path / name)[0]) == 5


class _Full(Stats):
    """A sink whose disk is full, when writing or only when finishing."""

    def __init__(self, *arguments, when):
        super().__init__(*arguments)
        self._when = when

    def _write(self, frame, segmentation):
        super()._write(frame, segmentation)
        if frame.index == self._when:
            raise OSError(28, "No space left on device")

    def _close(self):
        super()._close()
        if self._when == "finish":
            raise OSError(28, "No space left on device")


@pytest.mark.parametrize("when", [0, 5, "finish"])
def test_a_full_disk_names_none_of_the_outputs(segmenter, video, tmp_path, when):
    with open_source(video) as source:
        full = _Full(tmp_path / "full.jsonl", segmenter.spec, when=when)
        sinks = make_sinks(segmenter, source, tmp_path)
        with pytest.raises(SegError, match="No space left on device"):
            run(segmenter, source, [*sinks[:2], full, *sinks[2:]])
    assert all(".seg-" in left.name for left in tmp_path.iterdir())


def test_in_another_thread_signals_are_left_alone(segmenter, video, tmp_path):
    answers = []

    def work():
        with open_source(video) as source:
            answers.append(run(segmenter, source, make_sinks(segmenter, source, tmp_path)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert answers[0].frames == 12


def test_a_file_that_fails_to_begin_is_told(segmenter, video, tmp_path):
    with open_source(video) as source:
        sink = OverlayVideo(tmp_path / "gone" / "o.mp4", Painter(segmenter.spec), source.fps)
        (tmp_path / "gone").rmdir()
        with pytest.raises(SegError, match="cannot be written"):
            run(segmenter, source, [sink])


class Silent(Source):
    """One frame, and then nothing, not even where it is interrupted."""

    kind, name = "camera", "made"

    def __init__(self):
        self.let_go, self.asked_again = threading.Event(), threading.Event()

    def frames(self):
        yield Frame(np.zeros((1, 1, 3), np.uint8), 0, 0, "made")
        self.asked_again.set()
        self.let_go.wait(60)


def test_ctrl_c_acts_while_the_next_frame_is_waited_for(monkeypatch, tmp_path):
    monkeypatch.setattr(stream, "PATIENCE_S", 0.1)
    source, sink = Silent(), Touch(tmp_path / "out")

    def press():
        source.asked_again.wait(20)
        time.sleep(0.1)  # by now the main thread waits; if it does not, Ctrl-C acts behind the frame
        os.kill(os.getpid(), signal.SIGINT)
        source.let_go.wait(20)
        source.let_go.set()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    presser = threading.Thread(target=press)
    presser.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(Echo(), source, [sink])
        assert not source.let_go.is_set()
    finally:
        signal.signal(signal.SIGINT, before)
        source.let_go.set()
        presser.join()
    assert (sink.frames, sink.kept) == (1, True)


class Touch(Sink):
    kind = "touch"

    def _write(self, frame, answer):
        self._temporary.touch()

    def _close(self):
        pass


class Echo:
    """Answers nothing but the time."""

    def stream(self, source):
        return answered(source, lambda frame: SimpleNamespace(timings={}))


@pytest.mark.parametrize("error", [RuntimeError("boom"), MemoryError(), cv2.error("no")])
def test_what_breaks_in_a_sink_tells_its_stage_and_frame(video, tmp_path, error):
    class Broken(Touch):
        def _write(self, frame, answer):
            super()._write(frame, answer)
            if frame.index == 7:
                raise error

    with open_source(video) as source, pytest.raises(StageError) as caught:
        run(Echo(), source, [Broken(tmp_path / "out")])
    assert str(caught.value).startswith(f"touch, frame 7 of {video}: {type(error).__name__}")
    assert caught.value.__cause__ is error


def test_what_breaks_around_the_network_tells_behind_which_frame(video, tmp_path):
    class Around(Echo):
        def stream(self, source):
            for frame, answer in super().stream(source):
                if frame.index == 3:
                    raise IndexError("out of range")
                yield frame, answer

    with open_source(video) as source, pytest.raises(StageError, match=r"answer, the frame behind 2 of .*: IndexError"):
        run(Around(), source, [Touch(tmp_path / "out")])
