"""Frames from video files and network streams, decoded by PyAV. Damage is counted and told, never passed over."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Generator, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from seg.errors import SegError
from seg.frame import Frame
from seg.paths import local
from seg.sources.account import Account
from seg.sources.base import DEFAULT_FPS, Kind, Source, without_secrets
from seg.sources.upright import turned

if TYPE_CHECKING:
    import av
    from av.buffer import Buffer
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_SECOND_NS = 1_000_000_000
_OPEN_AND_READ_TIMEOUT_S = (10.0, 10.0)
_ONE_CORE = 1920 * 1080
_SLACK_S = 0.15
"""How much shorter than declared a video may be, where only its length is declared and not its frames; never more than
one and a half frames."""
_FASTEST_FPS = 240
_HD_HEIGHT = 720
_UNSPECIFIED = 2
"""A frame's `colorspace` where the stream does not say (AVCOL_SPC_UNSPECIFIED)."""


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
        self._stream.thread_type = _threads(self._stream)
        self._account = Account()
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
                self.problem = self._told(done)

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

    def _told(self, done: int) -> str | None:
        """What is missing or damaged after `done` frames; None if nothing is.

        A fragmented MP4 lists its frames fragment by fragment, and nothing in it declares the whole length. One that is
        cut inside a fragment's frames is told; one that is cut between fragments, or inside a fragment's list, looks
        whole.
        """
        account, parts = self._account, []
        missing_s = (self._declared_s or 0) - (account.end_s - self._first_s)
        # the lists of later fragments may have been read since the file was opened
        entries = max(self._entries, len(self._stream.index_entries)) if self._entries else 0
        # some recorders write their clock's rate for that of the frames
        count = entries or (self.count if self.fps <= _FASTEST_FPS else None)
        if entries and (account.packets < entries or account.cut):
            least = "at least " if self._stream.frames < entries else ""
            parts.append(f"ended early: {done} of {least}{entries} frames decoded")
        elif self._broken:
            parts.append(f"ended early: {done} frames decoded ({self._broken})")
        elif not self._entries and account.end_s and missing_s > min(_SLACK_S, 1.5 / self.fps):
            parts.append(f"ended early: {done} frames decoded, the last {missing_s:.1f} s are missing")
        elif missing := account.missing(done, entries > 0, count):
            parts.append(f"{done} of {done + missing} frames decoded, {missing} missing")
        parts += account.told()
        return f"{self.name}: {', '.join(parts)}" if parts else None

    def _decode(self) -> Generator[Frame, None, None]:
        """Frames, packet by packet, so that a damaged packet costs its own frames and not those behind it."""
        import av

        index = 0
        # of a Matroska file all packets: what stands between them is damage
        close = "matroska" in self._container.format.name
        of_all = self._container.demux() if close else self._container.demux(self._stream)
        packets = cast("Iterator[Packet[VideoStream]]", of_all)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, OSError) as error:
                self._broken = _reason(error)
                packet = None
            if packet is not None:
                if close:
                    self._account.count_bytes(packet)
                if packet.stream_index != self._stream.index:
                    continue
                if packet.size:
                    self._account.count_packet(packet)
            try:
                # at the end, or where reading broke, the decoder still holds frames: None flushes them
                pictures = self._stream.codec_context.decode(None) if packet is None else packet.decode()
            except av.FFmpegError:
                self._account.refused += 1
                pictures = []
            for picture in pictures:
                assert isinstance(picture, av.VideoFrame)
                self._account.count_picture(picture)
                yield self._frame(picture, index)
                index += 1
            if packet is None:
                return

    def _frame(self, picture: av.VideoFrame, index: int) -> Frame:
        if picture.pts is None or picture.time_base is None:
            time_ns = round(index * _SECOND_NS / self.fps)
        else:
            time_ns = round(picture.pts * picture.time_base * _SECOND_NS)
        return Frame(_upright_rgb(picture), index, time_ns, self.name)


class VideoSource(_Decoded):
    """A video file."""

    kind: Kind = "video"

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)
        super().__init__(local(path), {}, None)

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


def _threads(stream: VideoStream) -> str:
    """How the stream is decoded by several threads.

    Decoding several frames at once costs more work in all, which only frames that one core is too slow for are worth. The
    decoder of H.264 finds no errors inside a frame whose slices are decoded at once.
    """
    if stream.width * stream.height > _ONE_CORE:
        return "AUTO"
    return "NONE" if stream.codec_context.name == "h264" else "SLICE"


def _upright_rgb(picture: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """The decoded picture as uint8 RGB of shape (H, W, 3), as its display matrix wants it seen (a phone's, mostly)."""
    from av.video.reformatter import Colorspace

    # HD is BT.709 where nothing else is said; swscale would take it for BT.601, as players take what is smaller
    is_hd = picture.colorspace == _UNSPECIFIED and picture.height >= _HD_HEIGHT and not picture.format.is_rgb
    given_HWC = picture.to_ndarray(format="rgb24", src_colorspace=Colorspace.ITU709 if is_hd else None)
    rgb_HWC = given_HWC.astype(np.uint8, copy=False)  # uint8 already; this says so
    matrix = cast("Mapping[str, Buffer]", picture.side_data).get("DISPLAYMATRIX")
    if matrix is not None:
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
        rgb_HWC = turned(rgb_HWC, a, b, c, d)
    return np.ascontiguousarray(rgb_HWC)


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
