"""The sound of a video file, copied packet by packet beside the painted pictures: nothing is decoded, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.errors import SegError

if TYPE_CHECKING:
    from av.container import OutputContainer

CODECS = {
    ".mkv": None,  # takes all
    ".mp4": {"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"},
    ".mov": {"aac", "ac3", "alac", "eac3", "mp3", "pcm_s16le", "pcm_s24le"},
}
"""What an output of this suffix may hold so that players play it."""


class Sound:
    """The audio streams of a file on their way into an output; those that its format does not take are left out."""

    def __init__(self, path: Path, output: OutputContainer, suffix: str) -> None:
        """Add the streams to the output, before anything has been written into it.

        Raises:
            SegError: where the file cannot be read any more.
        """
        import av

        try:
            self._input = av.open(str(path))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SegError(f"{path}: its sound cannot be read ({getattr(error, 'strerror', None) or error})") from None
        allowed = CODECS[suffix]
        self._output = output
        self._streams = {
            stream.index: output.add_stream_from_template(stream)
            for stream in self._input.streams.audio
            if stream.codec_context is not None and (allowed is None or stream.codec_context.name in allowed)
        }
        self._packets = self._demuxed() if self._streams else iter(())
        self._next = next(self._packets, None)

    def until(self, seconds: float) -> None:
        """Write what sounds before this time of the video."""
        while self._next is not None and float(self._next.pts * self._next.time_base) < seconds:
            packet = self._next
            self._next = next(self._packets, None)
            packet.stream = self._streams[packet.stream.index]
            self._output.mux(packet)

    def close(self) -> None:
        """Let go of the file."""
        self._input.close()

    def _demuxed(self) -> Iterator[Any]:
        """The packets of the streams that are taken; a damaged rest is silence."""
        import av

        wanted = [stream for stream in self._input.streams.audio if stream.index in self._streams]
        packets = self._input.demux(*wanted)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError):
                return
            if packet is None:
                return
            if packet.pts is not None and packet.size:  # the last ones only flush decoders
                yield packet
