"""Small pictures and videos for tests, made and read back without any of our code."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 48_000
TIME_BASE = Fraction(1, 90_000)


def picture(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Smooth, so that a lossy codec keeps it, and different for each index."""
    y, x = np.mgrid[:height, :width]
    red = 200 * x / width + 2 * index
    return (
        np.stack([red, 200 * y / height, np.full_like(red, 40 + 5 * (index % 30))], axis=2)
        .clip(0, 255)
        .astype(np.uint8)
    )


def write_video(path: Path, count: int = 12, size=(48, 64), times_ms=None, codec="libx264", rotation: int = 0) -> Path:
    """A video of `count` pictures at 25 frames/s, or at the times given. A key frame every 5."""
    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": "5"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        # AVI counts a frame for each tick of its clock
        time_base = Fraction(1, 25) if path.suffix == ".avi" else TIME_BASE
        stream.time_base = stream.codec_context.time_base = time_base
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(picture(index, height, width), format="rgb24")
            frame.pts = round((times_ms[index] if times_ms else 40 * index) / 1000 / time_base)
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_video(path: Path, pixels: str = "rgb24"):
    """Times in ms and frames of a video."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [round(float(frame.time * 1000), 3) for frame in frames], [
        frame.to_ndarray(format=pixels) for frame in frames
    ]


def truncate(path: Path, target: Path, share: float = 0.6) -> Path:
    data = path.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def atoms(path: Path) -> list[str]:
    """The top-level boxes of an MP4, in order."""
    data, names, at = path.read_bytes(), [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        names.append(data[at + 4 : at + 8].decode("latin1"))
        at += size or len(data)
    return names


def with_sound(path, count=30, codec="aac", begin=0):
    """`count` pictures at 25 frames/s and as much of a tone; `begin` shifts both, in pictures."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = out.add_stream(codec, rate=RATE)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = index + begin, Fraction(1, 25)
            out.mux(video.encode(frame))
        samples = RATE * count // 25
        kind = {"pcm_s16le": "s16", "flac": "s16", "libmp3lame": "fltp"}.get(codec, "fltp")
        tone = np.sin(np.arange(samples) * 2 * np.pi * 440 / RATE)
        tone = (20_000 * tone).astype(np.int16) if kind == "s16" else tone.astype(np.float32)
        for start in range(0, samples, 1024):
            sound = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format=kind, layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = RATE, start + begin * RATE // 25, Fraction(1, RATE)
            out.mux(audio.encode(sound))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    return path


def sound_of(path):
    """Times in ms and bytes of the audio packets."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return [], []
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        return [round(1000 * float(packet.pts * packet.time_base)) for packet in packets], list(map(bytes, packets))
