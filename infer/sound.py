"""The file that painted pictures are of, read a second time: its sound, its last picture's end, the shape of its pixels.

Sound is copied packet by packet beside the pictures; nothing is decoded. It is what pictures are not worth losing for: what
the output's format does not take, and what is damaged, is left out and said in a warning of the log.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infer.clock import JUMP_S
from seg.paths import local

if TYPE_CHECKING:
    from av.bitstream import BitStreamFilterContext
    from av.container import OutputContainer

CODECS = {
    ".mkv": None,  # takes nearly all; the others it refuses by itself
    ".mp4": {"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"},
    ".mov": {"aac", "ac3", "alac", "eac3", "mp3", "pcm_s16le", "pcm_s24le"},
}
"""What an output of this suffix may hold so that players play it."""

_AHEAD = 10_000
"""Packets of sound behind which no other picture is looked for: three minutes of AAC."""

_APART = 10.0
"""How far behind its pictures, in seconds, sound is looked for in a file."""

_log = logging.getLogger(__name__)


class Sound:
    """The audio streams of a video file on their way into an output. All times are the output's, in seconds.

    Attributes:
        last_s: how long the last picture is shown, once `ends` has said that it is the last; None where nothing says so.
    """

    def __init__(self, path: Path, output: OutputContainer, suffix: str) -> None:
        """Add the streams to the output, before anything has been written into it."""
        import av
        from av.stream import Disposition

        self._path, self._output = path, output
        self._streams: dict[int, Any] = {}
        self._filters: dict[int, BitStreamFilterContext] = {}
        self._last: dict[int, int] = {}
        self._waiting: deque[tuple[Any, int]] = deque()
        self._moved = [0.0]  # by recording, where several were joined
        self._pictures: Any = None
        self._newest = (0, -math.inf, 0.0)  # recording, time and duration of the latest picture that was read
        self._part, self._decoded = 0, -math.inf  # recording and decoding time of the picture that was read last
        self._packets: Iterator[Any] = iter(())
        self._input: Any = None
        self.last_s: float | None = None
        try:
            self._input = av.open(local(path))
        except (av.FFmpegError, OSError, ValueError) as error:
            self._give_up(error)
            return
        videos = (one for one in self._input.streams.video if not one.disposition & Disposition.attached_pic)
        self._pictures = next(videos, None)
        for stream in self._input.streams.audio:
            self._add(stream, CODECS[suffix])
        pictures = [] if self._pictures is None else [self._pictures]
        self._packets = self._input.demux(
            *pictures, *(one for one in self._input.streams.audio if one.index in self._streams)
        )

    def aspect(self, height: int, width: int) -> Fraction | None:
        """The width of a pixel over its height, in pictures of this size; None where it is not said."""
        found = self._pictures and self._pictures.sample_aspect_ratio
        if not found:
            return None
        coded = self._pictures.height, self._pictures.width
        return (
            Fraction(found) if coded == (height, width) else 1 / Fraction(found) if coded == (width, height) else None
        )

    def goes_on(self, seconds: float, *, joined: bool) -> None:
        """The pictures' times are later by so much in the output, from the first one on or from another recording of the file
        that was `joined` to the one before."""
        self._moved[0 if not joined else len(self._moved) :] = [seconds]

    def ends(self, seconds: float) -> bool:
        """Whether no picture of the file comes later than this time."""
        while not self._later(seconds) and len(self._waiting) < _AHEAD and self._read():
            continue
        ended = self._input is not None and not self._later(seconds)
        self.last_s = self._newest[2] or None if ended else None
        return ended

    def until(self, seconds: float) -> None:
        """Write what sounds before this time."""
        import av

        while self._waiting or (self._streams and not self._later(seconds + _APART) and self._read()):
            if not self._waiting:
                continue
            packet, part = self._waiting[0]
            if self._at(part, float(packet.pts * packet.time_base)) >= seconds:
                return
            self._waiting.popleft()
            try:
                self._write(packet, round(self._moved[part] / packet.time_base))
            except (av.FFmpegError, ValueError) as error:
                self._packets = iter(())
                self._waiting.clear()
                self._give_up(error)

    def close(self) -> None:
        """Let go of the file."""
        if self._input is not None:
            self._input.close()

    def _write(self, packet: Any, moved: int) -> None:
        number = packet.stream.index
        packet.pts += moved
        if packet.dts is None or packet.dts + moved <= self._last.get(number, packet.dts + moved - 1):
            return  # a clock that jumps back, which no output takes
        packet.dts += moved
        self._last[number] = packet.dts
        for whole in self._filters[number].filter(packet) if number in self._filters else [packet]:
            whole.stream = self._streams[number]
            self._output.mux(whole)

    def _at(self, part: int, seconds: float) -> float:
        """The output's time; infinite where the pictures have not come to that recording."""
        return seconds + self._moved[part] if part < len(self._moved) else math.inf

    def _later(self, seconds: float) -> bool:
        return self._at(*self._newest[:2]) > seconds

    def _add(self, stream: Any, allowed: set[str] | None) -> None:
        import av
        from av.bitstream import BitStreamFilterContext

        context = stream.codec_context
        name = "unknown" if context is None else context.codec.canonical_name
        try:
            if context is None or (allowed is not None and name not in allowed):
                raise ValueError(f"the format does not take {name}")
            self._streams[stream.index] = self._output.add_stream_from_template(stream)
            if name == "aac" and not context.extradata:  # a transport stream's, with a header in each packet
                self._filters[stream.index] = BitStreamFilterContext("aac_adtstoasc", stream)
        except (av.FFmpegError, ValueError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        _log.warning("%s: its sound is left out (%s)", self._path, getattr(error, "strerror", None) or error)

    def _read(self) -> bool:
        """Take one packet of the file: sound waits, pictures are noted. False at its end; a damaged rest is silence."""
        import av

        try:
            packet = next(self._packets, None)
        except (av.FFmpegError, OSError):
            packet = None
        if packet is None:
            return False
        shown = packet.dts if packet.pts is None else packet.pts
        if shown is None or not packet.size:  # the last ones only flush decoders
            return True
        if packet.stream.index in self._streams:
            if packet.pts is not None:
                self._waiting.append((packet, self._part))
            return True
        if packet.is_discard:  # others are made from it, but it is not shown
            return True
        base = float(packet.time_base)
        decoded = base * (shown if packet.dts is None else packet.dts)
        if decoded < self._decoded - JUMP_S:
            self._part += 1
        self._decoded = decoded
        self._newest = max(self._newest, (self._part, shown * base, (packet.duration or 0) * base))
        return True
