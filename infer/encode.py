"""The sinks that encode video with PyAV: overlays that play in a browser, and class maps without loss."""

from __future__ import annotations

import errno
import logging
import math
from abc import abstractmethod
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from infer.clock import TIME_BASE, Clock
from infer.fragments import copy_frames, frames_in, growing, indexed, whole_groups
from infer.segmenter import Segmentation
from infer.sink import Sink, check_suffix
from infer.sinks import Paint
from infer.sound import Sound
from seg.errors import SegError
from seg.files import atomic
from seg.frame import Frame
from seg.geometry import fit_frame, fit_map
from seg.paths import local

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import OutputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")

H264_SIDE = 16384  # pixels, what x264 takes at most

_ALIKE = (
    *("width", "height", "pix_fmt", "time_base", "framerate", "flags"),
    *("sample_aspect_ratio", "color_range", "colorspace", "color_primaries", "color_trc"),
)
"""What encoders that take turns at one stream have in common, besides their options."""

_log = logging.getLogger(__name__)


class _Video(Sink):
    """A file with one video stream, each frame at its own time. The first frame fixes the size; others are fitted.

    With `sound`, the video file that the frames are of, its audio is copied beside them, all of it where its last frame comes,
    and the pixels have the shape of its own.

    A killed process loses less than two seconds of it: a group of pictures begins each second, and the encoder, which holds
    some frames back, has to give them up where frames are so seldom that these are a second.
    """

    def __init__(self, path: Path, fps: Fraction, *, sound: Path | None = None, overwrite: bool = False) -> None:
        super().__init__(path, overwrite=overwrite)
        self._fps, self._clock = fps, Clock(fps)
        self._sound_of = sound
        self._sound: Sound | None = None
        self._ended = False  # whether the last frame is the last of that file
        self._held: set[int] = set()  # times of the frames that the encoder has not given back
        self._last_dts: int | None = None
        self._container: OutputContainer | None = None
        self._growing: Path | None = None
        self._encoder: VideoCodecContext

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            if self._growing is not None:  # less than the part that it is a copy of
                self._growing.unlink(missing_ok=True)

    def keepable(self, most: int | None) -> int:
        """Whole groups of pictures."""
        return whole_groups(self.partial, most)

    def _skip(self, frame: Frame) -> None:
        if self._container is None:  # the first: what is kept goes into a new file
            self._growing = self._copied
            container = self._open(frame, self._growing)
            container.start_encoding()
            begin = max(0.0, frame.time_ns / 1e9)
            self._kept = copy_frames(self.partial, self._keep, begin, container, self._stream)
        self._copy(self._time(frame))

    def _write(self, frame: Frame, answer: Any) -> None:
        if self._container is None:
            self._open(frame, self._temporary)
        with self._making("painting", frame):
            picture = self._encode(frame, answer)
        pts = picture.pts = self._time(frame)
        picture.time_base = TIME_BASE
        self._ended = self._sound is not None and self._sound.ends(float((pts + 1) * TIME_BASE))
        if self._clock.starts_group():
            picture.pict_type = 1  # a key frame
        self._held.add(pts)
        with self._making("encoding", frame):
            packets = self._encoder.encode(picture)
        self._mux(packets)
        if self._held and self._clock.too_seldom(min(self._held)):
            self._mux(self._encoder.encode(None))
            self._encoder, self._clock.key = self._another(), None
        if self._sound is not None:
            self._sound.until(float(pts * TIME_BASE + 1 / self._fps))

    def _close(self) -> None:
        if self._container is None:
            return
        try:
            self._mux(self._encoder.encode(None))
            if self._sound is not None and self._ended:
                self._sound.until(math.inf)
        finally:
            if self._sound is not None:
                self._sound.close()
            container, self._container = self._container, None
            container.close()

    def _complete(self) -> None:
        if self._growing is not None and frames_in(self._growing) >= self._keep:
            self._take_over()
        if (held := frames_in(self._temporary)) != self.frames:
            raise OSError(errno.EIO, f"only {held} of {self.frames} frames are on the disk; is it full?")
        if self.path.suffix.lower() == ".mkv":
            return
        try:
            with atomic(self._temporary, self._copied) as finished:
                indexed(self._temporary, finished)
        except (OSError, ValueError) as error:  # mostly a disk with no room for a second copy
            reason = getattr(error.__cause__ or error, "strerror", None) or error
            _log.warning("%s: whole, and plays; but its index could not be put in front (%s)", self.path, reason)

    def _forget(self) -> None:
        super()._forget()
        self._copied.unlink(missing_ok=True)

    @property
    def _copied(self) -> Path:
        """Where the part is copied to, until it is whole again; a copy that was killed is overwritten by the next."""
        return self.partial.with_name(f".{self.partial.name}")

    def _open(self, frame: Frame, path: Path) -> OutputContainer:
        """Begin a file for frames of this one's size."""
        import av

        self._size = (frame.rgb_HWC.shape[0], frame.rgb_HWC.shape[1])
        self._container = av.open(local(path), "w", options=growing(path.suffix))
        self._stream = self._open_stream(self._container, *self._size)
        self._encoder = self._stream.codec_context
        self._options = dict(self._encoder.options)
        self._stream.time_base = self._encoder.time_base = TIME_BASE
        if self._sound_of is not None:
            self._sound = Sound(self._sound_of, self._container, self.path.suffix.lower())
            if aspect := self._sound.aspect(*self._size):
                self._encoder.sample_aspect_ratio = aspect
        return self._container

    def _another(self) -> VideoCodecContext:
        """An encoder that goes on behind this one, which has given back all frames and takes no more."""
        from av import CodecContext

        made = cast("VideoCodecContext", CodecContext.create(self._encoder.name, "w"))
        for name in _ALIKE:
            if (value := getattr(self._encoder, name)) is not None:
                setattr(made, name, value)
        made.options = self._options
        return made

    def _time(self, frame: Frame) -> int:
        first, moved = self._clock.last is None, self._clock.moved
        pts = self._clock.time(frame.time_ns)
        if self._sound is not None and self._clock.moved != moved:
            self._sound.goes_on(float(self._clock.moved * TIME_BASE), joined=not first)
        return pts

    def _copy(self, pts: int) -> None:
        """One frame that is kept, with the sound up to its time; the encoder goes on behind the last."""
        for (_, dts), base in islice(self._kept, 1):
            self._last_dts = round(dts * base / TIME_BASE)
        if self.frames + 1 == self._keep:
            self._kept.close()
        if self._sound is not None:
            self._sound.until(float(pts * TIME_BASE))

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        assert self._container is not None
        for packet in packets:
            self._held.discard(packet.pts)
            packet.stream = self._stream
            if self._last_dts is not None and packet.dts is not None and packet.dts <= self._last_dts:
                packet.dts = self._last_dts + 1  # behind frames that are kept: the encoder counts from its own first
            if packet.dts is not None:
                self._last_dts = packet.dts
            if self._ended and not self._held and self._sound is not None and self._sound.last_s:
                packet.duration = round(self._sound.last_s / TIME_BASE)
            self._container.mux(packet)
            if self._growing is not None and packet.is_keyframe and whole_groups(self._growing) >= self._keep:
                self._take_over()

    def _take_over(self) -> None:
        """The new file holds all that the old part does: it takes its place."""
        if self._growing is not None:
            self._growing.replace(self._temporary)
            self._growing = None

    @abstractmethod
    def _open_stream(self, container: OutputContainer, height: int, width: int) -> VideoStream:
        """The stream for frames of this size."""

    @abstractmethod
    def _encode(self, frame: Frame, answer: Any) -> VideoFrame:
        """The picture in the stream's pixel format."""


class OverlayVideo(_Video):
    """The painted (or restored) frames as H.264, yuv420p, index in front (faststart): it plays in a browser while it loads.

    Size and times are the source's; H.264 takes even sizes only, so an odd edge is doubled. BT.709, limited range. The
    preset `superfast` takes half of what `veryfast` takes, for files that are larger by half at a higher PSNR. The sound of a
    video file is kept where the format takes it.
    """

    kind = "overlay"

    def __init__(
        self, path: Path, painter: Paint, fps: Fraction, *, sound: Path | None = None, overwrite: bool = False
    ) -> None:
        """`fps` is the nominal rate (`Source.fps`), `sound` the video file that the frames are of, if they are of one.

        Raises:
            SegError: where the suffix is not .mp4, .mov or .mkv, or the path may not be written.
        """
        check_suffix(path, VIDEO_SUFFIXES)
        super().__init__(path, fps, sound=sound, overwrite=overwrite)
        self._painter = painter

    def _open_stream(self, container: OutputContainer, height: int, width: int) -> VideoStream:
        from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

        if max(height, width) > H264_SIDE:
            limit = f"H.264 takes at most {H264_SIDE} pixels a side"
            raise SegError(f"{self.path}: {limit}, and these frames are {height}x{width}; use --masks, or shrink them")
        # kept: a frame's own `reformat` plans the conversion anew, which takes longer than converting
        self._reformatter = VideoReformatter()
        stream = container.add_stream("libx264", rate=self._fps, options={"preset": "superfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        codec = stream.codec_context
        codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
        codec.color_primaries = codec.color_trc = 1  # BT.709, as the colour space
        return stream

    def _encode(self, frame: Frame, answer: Any) -> VideoFrame:
        from av import VideoFrame
        from av.video.reformatter import ColorRange, Colorspace

        rgb_HWC = fit_frame(self._painter(frame, answer), self._size)
        height, width = self._size
        if height % 2 or width % 2:
            rgb_HWC = np.asarray(
                cv2.copyMakeBorder(rgb_HWC, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), dtype=np.uint8
            )
        return self._reformatter.reformat(
            VideoFrame.from_ndarray(rgb_HWC, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )


class MaskVideo(_Video):
    """Class ids as grey values, FFV1 in Matroska: without loss. Matroska rounds times to a millisecond."""

    kind = "mask_video"

    def __init__(self, path: Path, fps: Fraction, *, overwrite: bool = False) -> None:
        """SegError where the suffix is not .mkv."""
        check_suffix(path, (".mkv",))
        super().__init__(path, fps, overwrite=overwrite)

    def _open_stream(self, container: OutputContainer, height: int, width: int) -> VideoStream:
        stream = container.add_stream("ffv1", rate=self._fps, options={"level": "3"})
        stream.width, stream.height, stream.pix_fmt = width, height, "gray"
        # this encoder counts frames, whatever their times
        stream.codec_context.gop_size = max(1, min(round(self._fps), 25))
        return stream

    def _encode(self, frame: Frame, segmentation: Segmentation) -> VideoFrame:
        from av import VideoFrame

        classes_HW: npt.NDArray[np.uint8] = fit_map(segmentation.classes, self._size)
        return VideoFrame.from_ndarray(np.ascontiguousarray(classes_HW), format="gray")
