"""The run as a whole: every frame into every sink, interruptions between frames, all outputs or none."""

import json
import os
import signal
import threading

import pytest
from media import read_video

from infer import open_source, run
from infer.encode import MaskVideo, OverlayVideo
from infer.sinks import MaskFolder, Painter, Sink, Stats
from seg.errors import SegError


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
