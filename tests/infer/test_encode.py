"""Encoded video: what a killed process leaves, times that begin anew, the source's last picture, errors that tell their stage."""

import errno
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from media import RATE, TIME_BASE, picture, read_video, sound_of, with_sound
from onnx_models import make_spec

from infer import encode, open_source
from infer.clock import SECOND, Clock
from infer.encode import MaskVideo, OverlayVideo
from infer.sinks import MaskFolder, OverlayImage, Stats
from infer.stream import StageError
from seg.errors import SegError
from seg.frame import Frame

FPS = Fraction(25)


def bare(frame, _):
    return frame.rgb_HWC


def frame_at(index, seconds):
    return Frame(picture(index), index, round(seconds * 1e9), "made")


def clip(path, times, sound_s=0.0, last_s=None, aspect=None, rotation=0):
    """Pictures at these times in seconds, which may be below zero, beside so many seconds of a tone from zero on."""
    with av.open(str(path), "w", container_options={"avoid_negative_ts": "disabled"}) as out:
        video = out.add_stream("libx264", rate=25, options={"bf": "0"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.time_base = video.codec_context.time_base = TIME_BASE
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        if rotation:
            video.set_display_rotation(rotation)
        sound = out.add_stream("aac", rate=RATE) if sound_s else None
        packets = []
        for index, seconds in enumerate(times):
            made = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            made.pts, made.time_base = round(seconds / TIME_BASE), TIME_BASE
            packets += video.encode(made)
        packets += video.encode(None)
        if last_s:
            packets[-1].duration = round(last_s / TIME_BASE)
        for packet in packets:
            out.mux(packet)
        for start in range(0, int(RATE * sound_s), 1024):
            heard = np.sin(np.arange(start, start + 1024) * 0.05).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(heard, format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = RATE, start, Fraction(1, RATE)
            out.mux(sound.encode(samples))
        if sound:
            out.mux(sound.encode(None))
    return path


def painted(video, path, count=None, error=None):
    """The video through an overlay: all of it, or `count` frames and then the error."""
    with open_source(video) as source, OverlayVideo(path, bare, source.fps, sound=video) as sink:
        for frame in source:
            if frame.index == count:
                if error:
                    raise error
                break
            sink.write(frame, None)
    return path


def gone_on_with(video, path, stop, least):
    """Painted up to a frame where it breaks, and then to its end; at least so many frames are kept."""
    with pytest.raises(RuntimeError):
        painted(video, path, count=stop, error=RuntimeError())
    with open_source(video) as source:
        sink = OverlayVideo(path, bare, source.fps, sound=video)
        kept = sink.keepable(None)
        assert kept >= least
        sink.keep(kept)
        with sink:
            for frame in source:
                sink.skip(frame) if frame.index < kept else sink.write(frame, None)
    return sink


def duration_of(path):
    with av.open(str(path)) as made:
        stream = made.streams.video[0]
        return float(stream.duration * stream.time_base)


# A killed process: what is on the disk at any moment is what it would leave.


def playable_to(path):
    try:
        return read_video(path)[0][-1] / 1000
    except (av.FFmpegError, IndexError):
        return -1.0


def spaced(*gaps):
    times = [0.0]
    while times[-1] < 6:
        times.append(times[-1] + gaps[len(times) % len(gaps)])
    return times


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("nominal", "times"),
    [
        (30, spaced(1 / 3)),  # a camera in real time, and a network that keeps up with a tenth of it
        (25, spaced(1.0)),
        (25, spaced(0.7)),
        (30, spaced(1 / 30, 1 / 30, 1 / 5)),
        (1000, spaced(0.033, 0.03, 0.037)),  # what browsers record declares its clock as its rate
    ],
)
def test_killed_at_any_rate_it_plays_up_to_two_seconds_before(tmp_path, suffix, nominal, times):
    sink = OverlayVideo(tmp_path / f"o{suffix}", bare, Fraction(nominal))
    looked_at = range(len(times) // 2, len(times), 1 + len(times) // 16)
    with sink:
        for index, (seconds, following) in enumerate(pairwise(times)):
            sink.write(frame_at(index, seconds), None)
            if index in looked_at:  # killed just before the next is written
                assert playable_to(sink.partial) >= following - 2.01
    made = [time / 1000 for time in read_video(sink.path)[0]]
    np.testing.assert_allclose(made, times[:-1], atol=0.001)


def test_sound_that_has_ended_holds_no_pictures_back(tmp_path):
    video = clip(tmp_path / "v.mp4", [index / 25 for index in range(100)], sound_s=1)
    with open_source(video) as source, OverlayVideo(tmp_path / "o.mp4", bare, source.fps, sound=video) as sink:
        for frame in source:
            sink.write(frame, None)
            if frame.index == 95:
                assert playable_to(sink.partial) >= frame.time_ns / 1e9 - 2


def test_masks_of_any_nominal_rate_can_be_gone_on_with(tmp_path):
    sink = MaskVideo(tmp_path / "m.mkv", Fraction(1000))
    answer = type("Answer", (), {"classes": np.zeros((48, 64), np.uint8)})
    with sink:
        for index in range(100):
            sink.write(frame_at(index, index / 30), answer)
        assert sink.keepable(None) >= 50


# Times


def test_a_recording_that_begins_anew_goes_on_behind_the_last():
    clock = Clock(Fraction(30))
    seconds = [5, 5.04, 5.08, 5.08, 5.04, 5.12, 0.5, 0.54, 0.1, 0.04, 0.0, 0.08]
    times = [clock.time(round(each * 1e9)) / SECOND for each in seconds]
    joint = 5.12 + (5.12 - 5.08 - 2 / SECOND)  # the spacing as it was last, behind two frames that stuttered
    expected = [5, 5.04, 5.08, 5.08 + 1 / SECOND, 5.08 + 2 / SECOND, 5.12, joint, joint + 0.04]
    np.testing.assert_allclose(times[:8], expected, atol=1e-9)
    assert times == sorted(set(times))


def test_times_below_zero_begin_at_zero():
    clock = Clock(Fraction(25))
    times = [clock.time(round(each * 1e9)) / SECOND for each in (-2, -1.96, -1, 0, 1, -2)]
    np.testing.assert_allclose(times, [0, 0.04, 1, 2, 3, 4], atol=1e-9)


EARLY = [index / 25 - 1.2 for index in range(60)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_pictures_below_zero_are_all_there_and_their_sound_with_them(tmp_path, suffix):
    video = clip(tmp_path / "v.ts", EARLY, sound_s=1.0)
    with open_source(video) as source:
        assert [round(frame.time_ns / 1e9, 2) for frame in source] == [round(each, 2) for each in EARLY]
    made = painted(video, tmp_path / f"o{suffix}")
    np.testing.assert_allclose(read_video(made)[0], [40 * index for index in range(60)], atol=1)
    given, found = sound_of(video)[0], sound_of(made)[0]
    np.testing.assert_allclose(found, np.array(given) + 1200, atol=2)


def test_pictures_below_zero_are_gone_on_with(tmp_path):
    video = clip(tmp_path / "v.ts", EARLY, sound_s=1.0)
    whole = painted(video, tmp_path / "whole.mp4")
    sink = gone_on_with(video, tmp_path / "o.mp4", stop=55, least=20)
    assert read_video(sink.path)[0] == read_video(whole)[0]
    assert sound_of(sink.path) == sound_of(whole)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_joined_recordings_follow_each_other_with_their_sound(tmp_path, suffix):
    part = with_sound(tmp_path / "part.ts", count=50)
    (tmp_path / "v.ts").write_bytes(part.read_bytes() * 2)
    made = painted(tmp_path / "v.ts", tmp_path / f"o{suffix}")
    np.testing.assert_allclose(np.diff(read_video(made)[0]), 40, atol=1)
    sounds = sound_of(made)[0]
    assert np.diff(sounds).max() < 100
    assert sounds[-1] - sounds[0] > 3900
    assert len(sounds) > 1.95 * len(sound_of(part)[0])


def test_joined_recordings_are_gone_on_with(tmp_path):
    part = with_sound(tmp_path / "part.ts", count=30)
    video = tmp_path / "v.ts"
    video.write_bytes(part.read_bytes() * 2)
    whole = painted(video, tmp_path / "whole.mp4")
    sink = gone_on_with(video, tmp_path / "o.mp4", stop=58, least=31)  # behind the joint
    assert read_video(sink.path)[0] == read_video(whole)[0]
    assert sound_of(sink.path) == sound_of(whole)


# What the source says of itself


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_behind_the_last_picture_is_kept(tmp_path, suffix):
    video = clip(tmp_path / "v.mp4", [index / 25 for index in range(25)], sound_s=4)
    assert sound_of(painted(video, tmp_path / f"o{suffix}"))[1] == sound_of(video)[1]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt()])
def test_sound_behind_the_last_picture_is_not_that_of_a_part(tmp_path, error):
    video = clip(tmp_path / "v.mp4", [index / 25 for index in range(25)], sound_s=4)
    if error:
        with pytest.raises(KeyboardInterrupt):
            painted(video, tmp_path / "o.mp4", count=20, error=error)
    else:
        painted(video, tmp_path / "o.mp4", count=20)
    assert 700 < sound_of(tmp_path / "o.mp4")[0][-1] <= 800


@pytest.mark.parametrize("times", [[0, 0.04, 0.08, 0.12], [0, 2, 4, 6]])
def test_the_last_picture_stays_as_long_as_the_source_says(tmp_path, times):
    video = clip(tmp_path / "v.mp4", times, last_s=3)
    assert duration_of(painted(video, tmp_path / "o.mp4")) == pytest.approx(times[-1] + 3, abs=0.1)
    assert duration_of(painted(video, tmp_path / "part.mp4", count=3)) < times[2] + 2.5


def test_pixels_that_are_not_square(tmp_path):
    for name, rotation, expected in (("wide", 0, Fraction(4, 3)), ("turned", 90, Fraction(3, 4))):
        video = clip(tmp_path / f"{name}.mp4", [0, 0.04], aspect=Fraction(4, 3), rotation=rotation)
        for suffix in (".mp4", ".mkv"):
            with av.open(str(painted(video, tmp_path / f"{name}.o{suffix}"))) as made:
                assert made.streams.video[0].sample_aspect_ratio == expected


# Errors


def fill(sink, count=60, error=None):
    with sink:
        for index in range(count):
            sink.write(frame_at(index, index / 25), None)
        if error:
            raise error


def test_without_room_for_a_second_copy_the_first_gets_the_name(tmp_path, monkeypatch, caplog):
    def full(source, output):
        output.write_bytes(source.read_bytes()[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(encode, "indexed", full)
    sink = OverlayVideo(tmp_path / "o.mp4", bare, FPS)
    fill(sink)
    assert sink.kept
    assert [path.name for path in tmp_path.iterdir()] == ["o.mp4"]
    assert len(read_video(tmp_path / "o.mp4")[0]) == 60
    assert "o.mp4: whole, and plays; but its index could not be put in front (No space left on device)" in caplog.text


def test_without_room_to_go_on_the_part_stays_and_is_named(tmp_path, monkeypatch):
    sink = OverlayVideo(tmp_path / "o.mp4", bare, FPS)
    with pytest.raises(RuntimeError):
        fill(sink, error=RuntimeError())
    before = sink.partial.read_bytes()

    def full(self, pts):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(OverlayVideo, "_copy", full)
    again = OverlayVideo(tmp_path / "o.mp4", bare, FPS)
    again.keep(again.keepable(None))
    with pytest.raises(SegError, match=r"No space .*; what could be written is in o\.seg-partial\.mp4"), again:
        again.skip(frame_at(0, 0))
    assert [path.name for path in tmp_path.iterdir()] == ["o.seg-partial.mp4"]
    assert sink.partial.read_bytes() == before


@pytest.mark.parametrize("name", ["o.mp4", "o.png"])
def test_what_fails_in_painting_is_not_the_disks(tmp_path, name):
    def paint(frame, _):
        if name == "o.png" or frame.index == 2:
            raise ValueError("operands could not be broadcast")
        return frame.rgb_HWC

    sink = OverlayVideo(tmp_path / name, paint, FPS) if name == "o.mp4" else OverlayImage(tmp_path / name, paint)
    with pytest.raises(StageError, match="painting failed") as caught:
        fill(sink)
    assert "ValueError: operands could not be broadcast" in str(caught.value)
    assert caught.value.__notes__ == [f"at frame {2 if name == 'o.mp4' else 0} of made"]
    assert "cannot be written" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


def test_what_fails_in_encoding_is_not_the_disks(tmp_path):
    class Refusing:
        def __init__(self, encoder):
            self._encoder = encoder

        def encode(self, picture):
            if picture is None:
                return self._encoder.encode(None)
            raise av.ArgumentError(errno.EINVAL, "Invalid argument")

    with OverlayVideo(tmp_path / "o.mp4", bare, FPS) as sink:
        sink.write(frame_at(0, 0), None)
        sink._encoder = Refusing(sink._encoder)
        with pytest.raises(StageError, match=r"encoding failed .*Invalid argument"):
            sink.write(frame_at(1, 0.04), None)


def test_what_fails_in_counting_is_not_the_disks(tmp_path):
    with pytest.raises(StageError, match="counting failed"):
        fill(Stats(tmp_path / "s.jsonl", make_spec()))


def test_names_of_masks_of_a_video_are_not_remembered(tmp_path):
    answer = type("Answer", (), {"classes": np.zeros((48, 64), np.uint8)})
    sink = MaskFolder(tmp_path / "masks", make_spec())
    with sink:
        for index in range(5):
            sink.write(frame_at(index, index / 25), answer)
        assert not sink._used
    assert len(list((tmp_path / "masks").iterdir())) == 5


def test_more_pixels_than_the_format_takes(tmp_path):
    said = r"H\.264 takes at most 16384 pixels a side, and these frames are 4x16386"
    with pytest.raises(SegError, match=said), OverlayVideo(tmp_path / "o.mp4", bare, FPS) as sink:
        sink.write(Frame(np.zeros((4, 16386, 3), np.uint8), 0, 0, "made"), None)
    with OverlayVideo(tmp_path / "o.mp4", bare, FPS) as sink:
        sink.write(Frame(np.zeros((4, 16384, 3), np.uint8), 0, 0, "made"), None)
    assert read_video(tmp_path / "o.mp4")[1][0].shape == (4, 16384, 3)


def test_names_that_look_like_a_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clip(tmp_path / "2024-05-01T10:30:00.mp4", [0, 0.04, 0.08], sound_s=0.1)
    made = painted(Path("2024-05-01T10:30:00.mp4"), Path("11:22.mp4"))
    assert made.is_file()
    assert read_video(made.absolute())[0] == [0, 40, 80]
    assert sound_of(made.absolute())[1]
