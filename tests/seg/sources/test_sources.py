"""Sources: every frame once, at its time, upright, as uint8 RGB; what is missing is told."""

import http.server
import threading
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from media import picture, read_video, truncate, write_video
from PIL import Image

from seg.errors import SegError
from seg.sources.base import without_secrets
from seg.sources.open import natural_key, open_source


def frames_of(source):
    with source:
        return list(source)


def test_video(video):
    source = open_source(video)
    assert (source.kind, source.size, source.fps, source.count) == ("video", (48, 64), Fraction(25), 12)
    frames = frames_of(source)
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time_ns for frame in frames] == [40_000_000 * index for index in range(12)]
    assert source.problem is None
    for frame in frames:
        assert frame.rgb_HWC.dtype == np.uint8
        assert np.abs(frame.rgb_HWC.astype(int) - picture(frame.index)).mean() < 6


def test_variable_rate_times(tmp_path):
    times = [0, 40, 41, 300, 333, 1000]
    path = write_video(tmp_path / "vfr.mp4", count=6, times_ms=times)
    assert [frame.time_ns / 1e6 for frame in frames_of(open_source(path))] == times


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_metadata_turns_the_frames(tmp_path, rotation):
    path = write_video(tmp_path / "phone.mp4", count=2, rotation=rotation)
    source = open_source(path)
    frame = frames_of(source)[0]
    _, stored = read_video(path)
    assert source.size == ((48, 64) if rotation == 180 else (64, 48))
    # a display matrix counts degrees against the clock, as numpy does
    np.testing.assert_array_equal(frame.rgb_HWC, np.rot90(stored[0], rotation // 90))


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_truncated_video_gives_its_frames_and_tells(tmp_path, suffix):
    # a small file keeps its index in front, so that half of it is still a video
    whole = write_video(tmp_path / f"whole{suffix}", count=60, size=(144, 192), codec="libx264")
    if suffix == ".mp4":
        import av

        with (
            av.open(str(whole)) as given,
            av.open(str(tmp_path / "front.mp4"), "w", options={"movflags": "faststart"}) as out,
        ):
            stream = out.add_stream_from_template(given.streams.video[0])
            for packet in given.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
        whole = tmp_path / "front.mp4"
    source = open_source(truncate(whole, tmp_path / f"half{suffix}", 0.5))
    frames = frames_of(source)
    assert 0 < len(frames) < 60
    assert "ended early" in source.problem
    assert str(len(frames)) in source.problem
    assert [frame.index for frame in frames] == list(range(len(frames)))


def fragmented(source, target):
    """The same packets as dashcams write them: a list of frames before each fragment, none for the whole file."""
    import av

    options = {"movflags": "frag_keyframe+empty_moov"}
    with av.open(str(source)) as given, av.open(str(target), "w", options=options) as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    return target


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_truncated_fragmented_video_tells(tmp_path, share):
    whole = fragmented(write_video(tmp_path / "whole.mp4", count=60, size=(144, 192)), tmp_path / "dashcam.mp4")
    source = open_source(whole)
    assert len(frames_of(source)) == 60
    assert source.problem is None
    # inside the frames of a fragment, not in its list: behind the first `mdat` after that share of the file
    data = whole.read_bytes()
    cut = data.index(b"mdat", int(len(data) * share) - 400) + 20
    (tmp_path / "cut.mp4").write_bytes(data[:cut])
    source = open_source(tmp_path / "cut.mp4")
    frames = frames_of(source)
    assert 0 < len(frames) < 60
    assert f"ended early: {len(frames)} of at least" in source.problem


@pytest.mark.parametrize("fragments", [1, 6, 11])
def test_a_last_frame_that_is_cut_is_missed(tmp_path, fragments):
    """As many packets come as the lists of the fragments (of five frames) name: only the last is not whole."""
    import av

    whole = fragmented(write_video(tmp_path / "whole.mp4", count=60, size=(144, 192)), tmp_path / "dashcam.mp4")
    with av.open(str(whole)) as container:
        ends = [packet.pos + packet.size for packet in container.demux(video=0) if packet.size]
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[: sorted(ends)[5 * fragments - 1] - 4])
    source = open_source(tmp_path / "cut.mp4")
    assert 0 < len(frames_of(source)) < 60
    assert "ended early" in source.problem


def test_frames_that_an_edit_list_hides_are_not_missed(tmp_path):
    import av

    given_path, path = write_video(tmp_path / "whole.mp4", count=20), tmp_path / "trimmed.mp4"
    with av.open(str(given_path)) as given, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                packet.pts, packet.dts = packet.pts - 3 * packet.duration, packet.dts - 3 * packet.duration
                out.mux(packet)
    with av.open(str(path)) as container:
        hidden = sum(packet.is_discard for packet in container.demux(video=0))
    source = open_source(path)
    assert (len(frames_of(source)), hidden) == (17, 3)
    assert source.problem is None


@pytest.mark.parametrize("fps", [0, -1, 0.0, float("nan"), float("inf"), -float("inf"), 1e-9, 0.0009, 1001])
def test_what_is_no_frame_rate_is_refused(tmp_path, fps):
    Image.fromarray(picture(0)).save(tmp_path / "0.png")
    with pytest.raises(SegError, match="frame rate"):
        open_source(tmp_path, fps=fps)


def test_damage_in_the_middle_costs_only_its_frames(tmp_path, video):
    data = bytearray(video.read_bytes())
    start = data.index(b"mdat") + 4
    middle = start + (len(data) - start) // 3
    data[middle : middle + 40] = bytes(40)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    source = open_source(damaged)
    frames = frames_of(source)
    assert len(frames) >= 6
    assert "damaged" in source.problem


@pytest.mark.parametrize("mode", ["L", "I;16", "RGBA", "LA", "P", "RGB"])
def test_any_picture_becomes_rgb(tmp_path, mode):
    rgb = picture(3)
    grey = rgb[..., 0]
    made = {
        "L": Image.fromarray(grey),
        "I;16": Image.fromarray(grey.astype(np.uint16) << 8 | 0x7F),
        "RGBA": Image.fromarray(np.dstack([rgb, np.full_like(grey, 9)])),
        "LA": Image.fromarray(np.dstack([grey, np.full_like(grey, 9)]), mode="LA"),
        "P": Image.fromarray(grey // 64 * 64).convert("P"),
        "RGB": Image.fromarray(rgb),
    }[mode]
    path = tmp_path / "picture.png"
    made.save(path)
    (frame,) = frames_of(open_source(path))
    assert frame.rgb_HWC.shape == (48, 64, 3)
    assert frame.rgb_HWC.dtype == np.uint8
    expected = (
        rgb if mode in {"RGB", "RGBA"} else np.repeat((grey // 64 * 64 if mode == "P" else grey)[..., None], 3, 2)
    )
    np.testing.assert_array_equal(frame.rgb_HWC, expected)


@pytest.mark.parametrize("pattern", ["", "*.png", "**/frame*.png"])
def test_folder_and_glob_in_natural_order(tmp_path, pattern):
    for index in (10, 2, 1):
        Image.fromarray(picture(index)).save(tmp_path / f"frame{index}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    if not pattern:  # a glob takes what it names; a folder leaves out what was painted beside its pictures
        Image.fromarray(picture(3)).save(tmp_path / "frame1.overlay.png")
    source = open_source(tmp_path / pattern, fps=10)
    assert (source.kind, source.count, source.path) == ("folder", 3, tmp_path)
    frames = frames_of(source)
    assert [frame.source for frame in frames] == [str(tmp_path / f"frame{index}.png") for index in (1, 2, 10)]
    assert [frame.time_ns for frame in frames] == [0, 100_000_000, 200_000_000]


def test_unreadable_image_in_a_folder_is_told_and_the_others_come(tmp_path):
    Image.fromarray(picture(1)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    Image.fromarray(picture(2)).save(tmp_path / "c.png")
    source = open_source(tmp_path)
    assert [frame.index for frame in frames_of(source)] == [0, 2]
    assert "1 of 3 images" in source.problem
    assert "b.png" in source.problem


def test_camera(monkeypatch):
    import cv2

    class Camera:
        def __init__(self, index):
            self.left = 3 if index == 7 else 0

        def isOpened(self):
            return self.left > 0

        def read(self):
            self.left -= 1
            return self.left >= 0, picture(0)[..., ::-1].copy()

        def get(self, what):
            return 30.0

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    source = open_source("7")
    frames = frames_of(source)
    assert (source.kind, source.fps, len(frames)) == ("camera", Fraction(30), 3)
    np.testing.assert_array_equal(frames[0].rgb_HWC, picture(0))
    with pytest.raises(SegError, match="camera 8"):
        open_source("8")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_network_stream(video):
    handler = partial(_Quiet, directory=str(video.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            source = open_source(f"http://user:secret@127.0.0.1:{server.server_port}/{video.name}?token=hidden")
            frames = frames_of(source)
        finally:
            server.shutdown()
    assert (source.kind, len(frames), source.problem) == ("stream", 12, None)
    assert not any(word in text for word in ("secret", "hidden") for text in (source.name, frames[0].source))


def test_passwords_stay_out_of_errors():
    with pytest.raises(SegError) as caught:
        open_source("rtsp://user:secret@127.0.0.1:1/live?key=hidden")
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert without_secrets("rtsp://u:p@s@host/x") == "rtsp://***@host/x"


def test_natural_key(tmp_path):
    names = [tmp_path / name for name in ("b1", "a10", "a2", "a02b")]
    assert [path.name for path in sorted(names, key=natural_key)] == ["a2", "a02b", "a10", "b1"]
