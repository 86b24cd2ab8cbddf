"""A live stream that breaks and comes back: its frames go on, the gap is measured and told."""

import http.server
import logging
import threading
import time
from fractions import Fraction

import av
import numpy as np
import pytest
from media import picture

from seg.errors import SegError
from seg.frame import Frame
from seg.sources.base import Source
from seg.sources.open import open_source
from seg.sources.reconnect import PAUSES_S, Reconnecting


class Part(Source):
    """A connection of so many frames, 40 ms apart from any time on."""

    kind = "stream"
    name = "rtsp://***@camera"
    size = (4, 4)

    def __init__(self, count, tick, problem=None, side=4, shade=0):
        self._count, self._tick, self._said, self._side, self._shade = count, tick, problem, side, shade
        self.closed = False

    def frames(self):
        for index in range(self._count):
            self._tick(0.04)
            rgb_HWC = np.full((self._side, self._side, 3), self._shade, np.uint8)
            yield Frame(rgb_HWC, index, 5_000_000_000 + 40_000_000 * index, "x")
        self.problem = self._said

    def close(self):
        self.closed = True


class Clock:
    def __init__(self):
        self.now = 100.0
        self.pauses = []

    def __call__(self):
        return self.now

    def tick(self, seconds):
        self.now += seconds

    def pause(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


def stream(clock, *connections, **options):
    """A stream whose connections are these, one after the other; None refuses."""
    left = list(connections)

    def connect():
        part = left.pop(0) if left else None
        if part is None:
            raise SegError("cannot be opened")
        return part

    return Reconnecting(connect, clock=clock, pause=clock.pause, **options)


def test_frames_go_on_and_the_gap_is_told(caplog):
    clock = Clock()
    parts = [Part(3, clock.tick, "it broke"), Part(2, clock.tick, side=8)]
    source = stream(clock, parts[0], None, None, parts[1], patience_s=20)
    with caplog.at_level(logging.WARNING):
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.rgb_HWC.shape[0] for frame in frames] == [4, 4, 4, 8, 8]
    times = [frame.time_ns / 1e9 for frame in frames]
    assert times == sorted(times)
    waited = sum(PAUSES_S[:3])
    assert times[3] - times[2] == pytest.approx(waited + 0.04, abs=0.01)
    assert source.gaps_s == [pytest.approx(waited + 0.04)]
    assert clock.pauses[:3] == list(PAUSES_S[:3])
    assert parts[0].closed
    assert f"back after a gap of {waited:.1f} s" in caplog.text
    assert "it broke" in caplog.text
    assert (
        source.problem
        == f"rtsp://***@camera: ended after 5 frames and did not come back, 1 gap, {waited:.1f} s together"
    )


def test_one_that_stays_away_ends():
    clock = Clock()
    source = stream(clock, Part(1, clock.tick), patience_s=100)
    assert len(list(source)) == 1
    assert source.problem == "rtsp://***@camera: ended after 1 frames and did not come back"
    assert sum(clock.pauses) == pytest.approx(100)
    assert clock.pauses[:-1] == sorted(clock.pauses[:-1])


def test_one_that_declares_its_length_ends_where_it_ends():
    clock = Clock()
    part = Part(3, clock.tick, "2 damaged frames")
    part.count = 3
    source = stream(clock, part, Part(9, clock.tick))
    assert len(list(source)) == 3
    assert (source.problem, source.gaps_s, clock.pauses) == ("2 damaged frames", [], [])


def test_a_connection_that_comes_when_nobody_wants_it_is_closed():
    clock = Clock()
    late = Part(3, clock.tick)
    parts = [Part(1, clock.tick)]

    def connect():
        if parts:
            return parts.pop()
        source.interrupt()  # while it connects
        return late

    source = Reconnecting(connect, clock=clock, pause=clock.pause)
    assert len(list(source)) == 1
    assert late.closed


def test_a_file_that_begins_again_has_ended():
    clock = Clock()
    source = stream(clock, Part(3, clock.tick), Part(3, clock.tick), Part(3, clock.tick), replays=True)
    assert len(list(source)) == 3
    assert (source.problem, source.gaps_s) == (None, [])


@pytest.mark.parametrize("look", [{"shade": 9}, {"side": 8}])
def test_a_live_stream_whose_clock_begins_again_goes_on(look):
    clock = Clock()
    source = stream(clock, Part(3, clock.tick), Part(2, clock.tick, **look), replays=True)
    assert len(list(source)) == 5
    assert len(source.gaps_s) == 1


def test_time_does_not_run_back_where_frames_come_faster_than_they_play():
    clock = Clock()
    source = stream(clock, Part(50, lambda _: None), Part(2, lambda _: None), patience_s=1)
    times = [frame.time_ns for frame in source]
    assert len(times) == 52
    assert times == sorted(set(times))


def test_closing_ends_the_wait():
    clock = Clock()
    parts = [Part(1, clock.tick)]

    def connect():
        if not parts:
            raise SegError("away")
        return parts.pop()

    source = Reconnecting(connect)
    taken = []
    thread = threading.Thread(target=lambda: taken.extend(source))
    thread.start()
    while not taken:
        time.sleep(0.001)
    source.close()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("end", ["interrupt", "close"])
def test_who_connects_anew_is_told_that_nobody_wants_it(end):
    closed = threading.Event()
    source = Reconnecting(lambda: Part(1, Clock().tick), closed=closed)
    assert not closed.is_set()
    getattr(source, end)()
    assert closed.is_set()


def test_a_stream_that_cannot_be_opened_at_first_is_an_error():
    with pytest.raises(SegError, match="cannot be opened"):
        stream(Clock())


def transport_stream(path, count, begin):
    """What a camera sends, which declares no length, from this frame on."""
    with av.open(str(path), "w", format="mpegts") as out:
        video = out.add_stream("libx264", rate=25, options={"tune": "zerolatency", "g": "5"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = Fraction(1, 25)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = begin + index, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path.read_bytes()


def test_a_server_that_hangs_up_is_called_again(tmp_path, monkeypatch):
    monkeypatch.setattr("seg.sources.reconnect.PAUSES_S", (0.01,))
    parts, calls = [transport_stream(tmp_path / f"{begin}.ts", 12, begin) for begin in (0, 100)], []

    class Camera(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            calls.append(self.path)
            if len(calls) > 2:
                self.send_error(503)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(parts[len(calls) - 1])

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with open_source(f"http://127.0.0.1:{server.server_port}/camera") as source:
            source._patience_s = 0.5
            frames = list(source)
        server.shutdown()
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert len(frames) >= 22  # the last of a connection may be cut off with it
    assert len(source.gaps_s) == 1
    assert "did not come back, 1 gap" in source.problem
