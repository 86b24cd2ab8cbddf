"""The sinks that encode video with PyAV: overlays that play in a browser, and class maps without loss."""

from __future__ import annotations

import errno
from abc import abstractmethod
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from infer.fragments import copy_frames, frames_in, growing, indexed, whole_groups
from infer.segmenter import Segmentation
from infer.sink import Sink, check_suffix
from infer.sinks import Paint
from infer.sound import Sound
from seg.files import atomic
from seg.frame import Frame
from seg.geometry import fit_frame, fit_map

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import OutputContainer
    from av.video.stream import VideoStream

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")

TIME_BASE = Fraction(1, 90_000)
"""The clock of encoded files: fine enough for any frame rate, variable ones too."""


class _Video(Sink):
    """A file with one video stream, each frame at its own time. The first frame fixes the size; others are fitted.

    With `sound`, a video file whose times the frames have, its audio is copied beside them.
    """

    def __init__(self, path: Path, fps: Fraction, *, sound: Path | None = None, overwrite: bool = False) -> None:
        super().__init__(path, overwrite=overwrite)
        self._fps = fps
        self._sound_of = sound
        self._sound: Sound | None = None
        self._last_pts: int | None = None
        self._last_dts: int | None = None
        self._container: OutputContainer | None = None
        self._growing: Path | None = None

    def keepable(self, most: int | None) -> int:
        """Whole groups of pictures."""
        return whole_groups(self.partial, most)

    def _skip(self, frame: Frame) -> None:
        if self._container is None:  # the first: what is kept goes into a new file
            self._open(frame, self._copied)
            self._growing = self._copied
            self._copy(frame.time_ns / 1e9)

    def _write(self, frame: Frame, answer: Any) -> None:
        if self._container is None:
            self._open(frame, self._temporary)
        picture = self._encode(frame, answer)
        pts = (frame.time_ns * 9 + 50_000) // 100_000
        if self._last_pts is not None:  # encoders refuse a clock that stands or runs backwards
            pts = max(pts, self._last_pts + 1)
        picture.pts = self._last_pts = pts
        picture.time_base = TIME_BASE
        picture.duration = round(1 / (self._fps * TIME_BASE))
        self._mux(self._stream.encode(picture))
        if self._sound is not None:
            self._sound.until(float(pts * TIME_BASE + 1 / self._fps))

    def _close(self) -> None:
        if self._container is None:
            return
        try:
            self._mux(self._stream.encode(None))
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
        if self.path.suffix.lower() != ".mkv":
            with atomic(self._temporary, self._copied) as finished:
                indexed(self._temporary, finished)

    def _forget(self) -> None:
        super()._forget()
        self._copied.unlink(missing_ok=True)

    @property
    def _copied(self) -> Path:
        """Where the part is copied to, until it is whole again; a copy that was killed is overwritten by the next."""
        return self.partial.with_name(f".{self.partial.name}")

    def _open(self, frame: Frame, path: Path) -> None:
        """Begin a file for frames of this one's size."""
        import av

        self._size = (frame.rgb_HWC.shape[0], frame.rgb_HWC.shape[1])
        self._container = av.open(str(path), "w", options=growing(path.suffix))
        self._stream = self._open_stream(self._container, *self._size)
        self._stream.time_base = self._stream.codec_context.time_base = TIME_BASE
        # a group of pictures a second: the part that a killed run loses
        self._stream.codec_context.gop_size = max(1, round(self._fps))
        if self._sound_of is not None:
            self._sound = Sound(self._sound_of, self._container, self.path.suffix.lower())

    def _copy(self, begin: float) -> None:
        """The frames that are kept, with their sound; the encoder goes on behind them."""
        assert self._container is not None
        self._container.start_encoding()
        for (pts, dts), base in copy_frames(self.partial, self._keep, begin, self._container, self._stream):
            self._last_pts = max(self._last_pts or 0, round(pts * base / TIME_BASE))
            self._last_dts = round(dts * base / TIME_BASE)
            if self._sound is not None:
                self._sound.until(pts * base)

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        assert self._container is not None
        for packet in packets:
            if self._last_dts is not None and packet.dts is not None and packet.dts <= self._last_dts:
                packet.dts = self._last_dts + 1  # behind frames that are kept: the encoder counts from its own first
            if packet.dts is not None:
                self._last_dts = packet.dts
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
        return stream

    def _encode(self, frame: Frame, segmentation: Segmentation) -> VideoFrame:
        from av import VideoFrame

        classes_HW: npt.NDArray[np.uint8] = fit_map(segmentation.classes, self._size)
        return VideoFrame.from_ndarray(np.ascontiguousarray(classes_HW), format="gray")
