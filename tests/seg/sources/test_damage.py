"""What is damaged inside a video is told, each kind with its count; what a good file leaves out is not."""

import re
from fractions import Fraction
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from media import TIME_BASE, picture, with_sound, write_video

from seg.sources.account import Account
from seg.sources.open import open_source


def drive(path, count=30, options=None):
    """A picture that moves sideways, H.264, a key frame every 10: each packet holds something to be damaged.

    A smaller one would be decoded by one thread anyway.
    """
    texture = cv2.resize(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8), (160, 120))
    with av.open(str(path), "w", options=options or {}) as out:
        stream = out.add_stream("libx264", rate=25, options={"g": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(np.roll(texture, 2 * index, axis=1), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def with_damage(path, numbers, damage):
    """The video with the bytes of these packets changed by `damage`."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for pos, size in (places[number] for number in numbers):
        data[pos : pos + size] = damage(data[pos : pos + size])
    path.write_bytes(data)
    return path


def flipped(data):
    data[len(data) * 6 // 10] ^= 0x5A
    return data


def zeroed(data):
    return bytes(len(data))


def read(path):
    with open_source(path) as source:
        return len(list(source)), source.problem


def test_errors_inside_frames_are_counted(tmp_path):
    """Not all of them, because a byte may be changed into another that can be decoded."""
    path = with_damage(drive(tmp_path / "v.mp4"), range(2, 26, 3), flipped)
    done, problem = read(path)
    assert done == 30
    assert re.fullmatch(rf"{re.escape(str(path))}: [2-8] damaged frames", problem)


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_packets_that_cannot_be_decoded_are_counted_apart_from_frames(tmp_path, suffix):
    path = with_damage(drive(tmp_path / f"v{suffix}"), (3, 14), zeroed)
    assert read(path) == (28, f"{path}: 28 of 30 frames decoded, 2 missing, 2 packets too damaged to decode")


def test_what_is_jumped_over_in_matroska_is_missed(tmp_path):
    """Where a packet's header is damaged, the reader looks for the next cluster (here a key frame) and says nothing."""
    path = drive(tmp_path / "v.mkv", 60, {"cluster_time_limit": "300"})
    assert read(path) == (60, None)
    done, problem = read(with_damage(path, (14, 35), zeroed))
    assert done < 58
    assert problem == f"{path}: {done} of 60 frames decoded, {60 - done} missing, a part of the file cannot be read"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_frames_that_were_never_there_are_not_missed(tmp_path, suffix):
    """A camera that left out some, a screen that stood still."""
    times = [40 * index for index in range(60) if index not in (5, 6, 20) and not 30 <= index < 50]
    codec = "libvpx" if suffix == ".webm" else "libx264"
    path = write_video(tmp_path / f"v{suffix}", count=len(times), times_ms=times, codec=codec)
    assert read(path) == (len(times), None)


def test_what_stands_between_the_packets_of_a_good_file_is_no_damage(tmp_path):
    """Sound, which is not read, and a clock's rate in place of the frames'."""
    assert read(with_sound(tmp_path / "v.mkv", codec="flac")) == (30, None)
    path = tmp_path / "browser.webm"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libvpx", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = 33 * index + index % 3, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert read(path) == (20, None)


def test_transport_streams_that_were_joined_are_whole(tmp_path):
    first, second = (write_video(tmp_path / f"{name}.ts", count=20) for name in "ab")
    (tmp_path / "joined.ts").write_bytes(first.read_bytes() + second.read_bytes())
    assert read(tmp_path / "joined.ts") == (40, None)


def packet(pos=0, size=100, **more):
    given = {"pts": 0, "dts": 0, "duration": 0, "time_base": TIME_BASE, "is_discard": False, "is_corrupt": False}
    return SimpleNamespace(pos=pos, size=size, **{**given, **more})


def account(packets, **counts):
    made = Account()
    for _ in range(packets):
        made.count_packet(packet())
    for name, value in counts.items():
        setattr(made, name, value)
    return made


def test_what_is_missing_goes_by_the_list_or_by_a_sign_of_damage():
    assert account(100, refused=3).missing(85, listed=True, count=100) == 15  # frames that were made from the three
    assert account(100, hidden=4).missing(96, listed=True, count=100) == 0
    assert account(100).missing(60, listed=False, count=100) == 0
    assert account(105, refused=1).missing(99, listed=False, count=100) == 1  # some packets of VP8 are no frames
    assert account(90, refused=1).missing(89, listed=False, count=300) == 1  # a varying rate: 300 is a guess
    assert account(100, fields=True).missing(50, listed=True, count=100) == 0  # a packet a field


@pytest.mark.parametrize(
    ("gaps", "torn"),
    [
        ([7] * 20, False),
        ([7] * 20 + [200], False),
        ([7] * 20 + [3000], True),
        ([7] * 20 + [3000, 5000], True),
        ([900, 1500] * 10, False),  # beside each frame stands something more, such as its transparency
    ],
)
def test_bytes_that_are_no_packets(gaps, torn):
    made, pos = Account(), 500
    for gap in [0, *gaps]:
        pos += gap
        for _ in range(3):  # of sound, in one block
            made.count_bytes(packet(pos, 400))
        pos += 1200
    assert made.torn is torn
