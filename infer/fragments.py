"""Encoded video that a killed process leaves playable, and that another one goes on with: packets are copied, not decoded."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.paths import local

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_AT_ONCE = {"flush_packets": "1", "max_interleave_delta": "100000"}
"""Pictures wait a tenth of a second for sound to be written beside them, no longer: there may be none any more."""

FRAGMENTED = {"movflags": "+frag_keyframe+delay_moov+default_base_moof", **_AT_ONCE}
"""An MP4 or MOV whose index grows with it, a group of pictures at a time: what is written plays, whatever comes then.
`delay_moov`, because only then do frames that are decoded before they are shown keep their times."""

CLUSTERED = {"cluster_time_limit": "500", **_AT_ONCE}
"""A Matroska file plays as far as it is written; it writes half a second at a time."""


def growing(suffix: str) -> dict[str, str]:
    """The muxer's options for a file of this suffix that has to be playable while it grows."""
    return CLUSTERED if suffix.lower() == ".mkv" else FRAGMENTED


def whole_groups(path: Path, most: int | None = None) -> int:
    """How many frames of a file that was cut can be kept: whole groups of pictures, of at most `most` frames in all.

    The last group never counts, because nothing behind it says that it is whole.
    """
    starts = (number for number, packet in enumerate(_packets(path)) if packet.is_keyframe)
    return max((start for start in starts if most is None or start <= most), default=0)


def copy_frames(
    path: Path, count: int, begin: float, output: OutputContainer, stream: VideoStream
) -> Generator[tuple[Any, float], None, None]:
    """Write the first `count` frames, which are whole groups, into an output of the same encoder, one by one.

    `begin` is the first frame's time in seconds: Matroska has no negative times, and moves all behind sound that begins early.

    Yields:
        The frame's (presentation, decoding) time in units of its time base, and the base in seconds.
    """
    kept = islice(_packets(path, as_encoded=True), count)
    # Matroska has no decoding times: those of the first frames, before any is shown, are not known
    head: list[Packet[VideoStream]] = []
    for packet in kept:
        head.append(packet)
        if packet.dts is not None:
            break
    known = (head[-1].dts if head else None) or 0
    for ahead, packet in enumerate(reversed(head)):
        packet.dts = known - ahead
    moved = 0
    for packet in chain(head, kept):
        if packet is head[0] and packet.pts is not None and packet.time_base is not None:
            moved = packet.pts - round(begin / packet.time_base)
        packet.pts, packet.dts = (None if time is None else time - moved for time in (packet.pts, packet.dts))
        times = packet.pts, packet.dts
        base = float(packet.time_base or 0)
        packet.stream = stream
        output.mux(packet)
        yield times, base


def frames_in(path: Path) -> int:
    """How many frames are there to be read: muxers pass over some errors of a full disk."""
    return sum(1 for _ in _packets(path))


def indexed(source: Path, output: Path) -> None:
    """Copy a fragmented MP4 or MOV into one whose index stands in front, which all players find their way in."""
    import av

    with av.open(local(source)) as opened, av.open(local(output), "w", options={"movflags": "+faststart"}) as made:
        streams = {stream.index: made.add_stream_from_template(stream) for stream in opened.streams}
        for packet in opened.demux():
            if packet.dts is not None and packet.size:
                packet.stream = streams[packet.stream.index]
                made.mux(packet)


def _packets(path: Path, *, as_encoded: bool = False) -> Iterator[Packet[VideoStream]]:
    """The video packets that are whole; none where there is no file, or nothing to be read in it.

    Files hold H.264 with lengths between its units, encoders give start codes; `as_encoded` wants the latter.
    """
    import av
    from av.bitstream import BitStreamFilterContext

    try:
        container = av.open(local(path))
    except (av.FFmpegError, OSError, ValueError):
        return
    with container:
        if not container.streams.video:
            return
        stream = container.streams.video[0]
        starts = BitStreamFilterContext("h264_mp4toannexb", stream) if as_encoded and stream.name == "h264" else None
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError):
                return
            if packet is None or packet.is_corrupt:
                return
            if packet.size:  # the last ones only flush decoders
                yield from starts.filter(packet) if starts else [packet]
