"""The sound of a video file, copied packet by packet beside the painted pictures; nothing is decoded.

Sound is what pictures are not worth losing for: what the output's format does not take, and what is damaged, is left out and
said in a warning of the log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.bitstream import BitStreamFilterContext
    from av.container import OutputContainer

CODECS = {
    ".mkv": None,  # takes nearly all; the others it refuses by itself
    ".mp4": {"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"},
    ".mov": {"aac", "ac3", "alac", "eac3", "mp3", "pcm_s16le", "pcm_s24le"},
}
"""What an output of this suffix may hold so that players play it."""

_log = logging.getLogger(__name__)


class Sound:
    """The audio streams of a file on their way into an output."""

    def __init__(self, path: Path, output: OutputContainer, suffix: str) -> None:
        """Add the streams to the output, before anything has been written into it."""
        import av

        self._path, self._output = path, output
        self._streams: dict[int, Any] = {}
        self._filters: dict[int, BitStreamFilterContext] = {}
        self._last: dict[int, int] = {}
        self._next: Any = None
        self._input: Any = None
        try:
            self._input = av.open(str(path))
        except (av.FFmpegError, OSError, ValueError) as error:
            self._give_up(error)
            return
        for stream in self._input.streams.audio:
            self._add(stream, CODECS[suffix])
        self._packets = self._demuxed()
        self._next = next(self._packets, None) if self._streams else None

    def until(self, seconds: float) -> None:
        """Write what sounds before this time of the video."""
        import av

        while self._next is not None and float(self._next.pts * self._next.time_base) < seconds:
            packet, number = self._next, self._next.stream.index
            self._next = next(self._packets, None)
            if packet.dts is None or packet.dts <= self._last.get(number, packet.dts - 1):
                continue  # where files were joined the clock jumps back, which no output takes
            self._last[number] = packet.dts
            try:
                for whole in self._filters[number].filter(packet) if number in self._filters else [packet]:
                    whole.stream = self._streams[number]
                    self._output.mux(whole)
            except (av.FFmpegError, ValueError) as error:
                self._next = None
                self._give_up(error)

    def close(self) -> None:
        """Let go of the file."""
        if self._input is not None:
            self._input.close()

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

    def _demuxed(self) -> Iterator[Any]:
        """The packets of the streams that are taken; a damaged rest is silence."""
        import av

        packets = self._input.demux(*[stream for stream in self._input.streams.audio if stream.index in self._streams])
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError):
                return
            if packet is None:
                return
            if packet.pts is not None and packet.size:  # the last ones only flush decoders
                yield packet
