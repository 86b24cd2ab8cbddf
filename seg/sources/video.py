"""Frames from video files and network streams, decoded by PyAV. Damage is counted and told, never passed over."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seg.errors import SegError
from seg.frame import Frame
from seg.sources.base import DEFAULT_FPS, Kind, Source, without_secrets

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_SECOND_NS = 1_000_000_000
_OPEN_AND_READ_TIMEOUT_S = (10.0, 10.0)
_ONE_CORE = 1920 * 1080
_SLACK_S = 0.15
"""How much shorter than declared a video may be, where only its length is declared and not its frames; never more than
one and a half frames."""


class _Decoded(Source):
    """What a video file and a stream have in common: a container, its first video stream, and an account of damage."""

    def __init__(self, address: str, options: dict[str, str], timeout: tuple[float, float] | None) -> None:
        import av
        from av.stream import Disposition

        try:
            self._container: InputContainer = av.open(address, options=options, timeout=timeout)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SegError(self._why_not(error)) from None
        streams = [
            stream
            for stream in self._container.streams.video
            if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic
        ]
        if not streams:
            self._container.close()
            raise SegError(f"{self.name}: has no video in it that can be decoded; expected a video file or stream")
        self._stream: VideoStream = streams[0]
        # decoding several frames at once costs more work in all, which only frames that one core is too slow for are worth
        self._stream.thread_type = "AUTO" if self._stream.width * self._stream.height > _ONE_CORE else "SLICE"
        self._packets = self._discarded = self._damaged = 0
        self._cut = False
        self._end_s = 0.0
        self._broken: str | None = None
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = Fraction(rate) if rate else DEFAULT_FPS
        self._frames = self._decode()
        # the first frame is decoded now: its size is the true one, and a video without frames is told before any
        # output is made
        self._first = next(self._frames, None)
        if self._first is None:
            self._container.close()
            raise SegError(f"{self.name}: no frame in it can be decoded; is the file whole?")
        self.size = (self._first.rgb_HWC.shape[0], self._first.rgb_HWC.shape[1])
        self._first_s = self._first.time_ns / _SECOND_NS
        # an MP4's index says exactly how many packets there are, 0 means unsaid; other files declare a length at most
        self._entries = len(self._stream.index_entries) if "mp4" in self._container.format.name else 0
        self._declared_s = _declared_s(self._container, self._stream)
        self.count = self._entries or (round(self._declared_s * self.fps) if self._declared_s else None)

    def frames(self) -> Generator[Frame, None, None]:
        """The decoded frames, once through; afterwards `problem` tells of what is missing."""
        frame, self._first = self._first, None
        while frame is not None:
            done = frame.index + 1
            yield frame
            frame = next(self._frames, None)
            if frame is None:
                self.problem = self._account(done)

    def close(self) -> None:
        """Close the file or connection."""
        try:
            self._frames.close()
        except ValueError:  # a thread still waits in it for a file that hangs: not to be closed under its hands
            return
        self._container.close()

    @abstractmethod
    def _why_not(self, error: Exception) -> str:
        """Why it cannot be opened, in one line."""

    def _account(self, done: int) -> str | None:
        """What is missing or damaged after `done` frames; None if nothing is.

        A fragmented MP4 lists its frames fragment by fragment, and nothing in it declares the whole length. One that is
        cut inside a fragment's frames is told; one that is cut between fragments, or inside a fragment's list, looks
        whole.
        """
        parts = []
        missing_s = (self._declared_s or 0) - (self._end_s - self._first_s)
        # an edit list hides frames that others are made from: their packets are there, the frames are not given
        wanted = self._packets - self._discarded
        # the lists of later fragments may have been read since the file was opened
        entries = max(self._entries, len(self._stream.index_entries)) if self._entries else 0
        if entries and (self._packets < entries or self._cut):
            least = "at least " if self._stream.frames < entries else ""
            parts.append(f"ended early: {done} of {least}{entries} frames decoded")
        elif self._broken:
            parts.append(f"ended early: {done} frames decoded ({self._broken})")
        elif not self._entries and self._end_s and missing_s > min(_SLACK_S, 1.5 / self.fps):
            parts.append(f"ended early: {done} frames decoded, the last {missing_s:.1f} s are missing")
        elif entries and done < wanted and not self._damaged:
            parts.append(f"{done} of {wanted} frames decoded, the others cannot be")
        if self._damaged:
            parts.append(f"{self._damaged} damaged frame{'s' if self._damaged > 1 else ''}")
        return f"{self.name}: {', '.join(parts)}" if parts else None

    def _decode(self) -> Generator[Frame, None, None]:
        """Frames, packet by packet, so that a damaged packet costs its own frames and not those behind it."""
        import av

        index = 0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, OSError) as error:
                self._broken = _reason(error)
                packet = None
            try:
                # at the end, or where reading broke, the decoder still holds frames: None flushes them
                pictures = self._stream.codec_context.decode(None) if packet is None else packet.decode()
            except av.FFmpegError:
                self._damaged += 1
                pictures = []
            if packet is not None and packet.size:
                self._packets += 1
                self._discarded += packet.is_discard
                self._cut = packet.is_corrupt  # of the last one, where the file ends inside it
                self._end_s = max(self._end_s, self._end_of(packet))
            for picture in pictures:
                assert isinstance(picture, av.VideoFrame)
                self._damaged += picture.is_corrupt
                yield self._frame(picture, index)
                index += 1
            if packet is None:
                return

    @staticmethod
    def _end_of(packet: Packet[VideoStream]) -> float:
        """When the packet's frame ends, in seconds; 0 where it does not say."""
        begin = packet.dts if packet.pts is None else packet.pts
        if begin is None or packet.time_base is None:
            return 0.0
        return float((begin + (packet.duration or 0)) * packet.time_base)

    def _frame(self, picture: av.VideoFrame, index: int) -> Frame:
        if picture.pts is None or picture.time_base is None:
            time_ns = round(index * _SECOND_NS / self.fps)
        else:
            time_ns = round(picture.pts * picture.time_base * _SECOND_NS)
        rgb_HWC = picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False)  # uint8 already; this says so
        if picture.rotation % 90 == 0 and picture.rotation % 360:  # the display matrix of a phone's portrait video
            rgb_HWC = np.rot90(rgb_HWC, picture.rotation // 90)
        return Frame(np.ascontiguousarray(rgb_HWC), index, time_ns, self.name)


class VideoSource(_Decoded):
    """A video file."""

    kind: Kind = "video"

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)
        super().__init__(str(path), {}, None)

    def _why_not(self, error: Exception) -> str:
        if isinstance(error, PermissionError):
            return f"{self.name}: not readable (permission denied)"
        return f"{self.name}: not a video that can be read ({_reason(error)})"


class StreamSource(_Decoded):
    """A network stream. Opening and each read give up after ten seconds; passwords stay out of every message."""

    kind: Kind = "stream"

    def __init__(self, url: str) -> None:
        self.name = without_secrets(url)
        options = {"rtsp_transport": "tcp"} if url.lower().startswith("rtsp") else {}
        super().__init__(url, options, _OPEN_AND_READ_TIMEOUT_S)

    def _why_not(self, error: Exception) -> str:
        return f"{self.name}: cannot be opened ({_reason(error)}); is the address right and the camera on?"


def _reason(error: Exception) -> str:
    """FFmpeg's reason alone: its whole message repeats the address, password and all."""
    return str(getattr(error, "strerror", None) or "unknown format").lower()


def _declared_s(container: InputContainer, stream: VideoStream) -> float | None:
    """How long the file says its video is, in seconds; None where it does not say."""
    match = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))  # Matroska, stream by stream
    if match:
        return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    if stream.frames and stream.average_rate:  # AVI; its duration is an estimate where the index is cut off
        return float(stream.frames / stream.average_rate)
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration and len(container.streams) == 1:
        return container.duration / 1_000_000
    return None
