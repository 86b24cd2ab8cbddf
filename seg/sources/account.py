"""What became of a video's packets: which gave frames, which did not, and what of the file was no packet at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av
    from av.packet import Packet

_GAP_BYTES = 256
"""Between two packets of a Matroska file stand headers of some ten bytes."""

_ODD_GAP = 8
"""How many times wider than the others a gap is that is no header: some files keep more than headers beside each frame."""


class Account:
    """Counts, kept while a video is read.

    Attributes:
        packets: of the video, that came.
        hidden: of them, those that an edit list hides: others are made from them, but their frames are not given.
        refused: packets that the decoder could make nothing of.
        damaged: frames that were given, with errors in them.
        fields: whether the video is interlaced, where each half of a frame may be a packet of its own.
        cut: whether the last packet is not whole.
        end_s: when the last frame ends, in seconds; 0 where nothing says so.
    """

    def __init__(self) -> None:
        self.packets = self.hidden = self.refused = self.damaged = 0
        self.fields = self.cut = False
        self.end_s = 0.0
        self._begin = self._end = 0
        self._gaps = self._all_bytes = self._widest_bytes = 0

    def count_packet(self, packet: Packet[Any]) -> None:
        """A packet of the video, whether it can be decoded or not."""
        self.packets += 1
        self.hidden += packet.is_discard
        self.cut = packet.is_corrupt  # of the last one, where the file ends inside it
        self.end_s = max(self.end_s, _end_s(packet))

    def count_picture(self, picture: av.VideoFrame) -> None:
        """A frame that came out of the decoder."""
        self.damaged += picture.is_corrupt
        self.fields |= picture.interlaced_frame

    def count_bytes(self, packet: Packet[Any]) -> None:
        """A packet of any stream, of a file whose packets follow each other closely: Matroska, WebM.

        Its reader goes on at the next thing that it knows after damage, and says nothing: only the gap tells.
        """
        if packet.pos is None:
            return
        if self._end and packet.pos == self._begin:  # small packets share a block
            self._end += packet.size
            return
        if self._end:
            gap_bytes = max(0, packet.pos - self._end)
            self._gaps += 1
            self._all_bytes += gap_bytes
            self._widest_bytes = max(self._widest_bytes, gap_bytes)
        self._begin, self._end = packet.pos, packet.pos + packet.size

    @property
    def torn(self) -> bool:
        """Whether bytes that were packets once were jumped over."""
        others_bytes = (self._all_bytes - self._widest_bytes) / max(1, self._gaps - 1)
        return self._widest_bytes > max(_GAP_BYTES, _ODD_GAP * others_bytes)

    def missing(self, done: int, listed: bool, count: int | None) -> int:
        """How many frames are missing between the first and the last.

        A frame that a file does not have (a camera that left one out, a rate that varies) is none: without a list of the
        frames, there has to be a sign of damage.

        Args:
            done: frames that were given.
            listed: whether the file lists its frames, as an MP4 does.
            count: how many frames it says it has, None if it does not.
        """
        if self.torn:
            return max(0, (count or 0) - done)
        if self.fields or not (listed or self.refused or self.damaged):
            return 0
        given = self.packets - self.hidden
        return max(0, (given if count is None else min(given, count)) - done)

    def told(self) -> Iterator[str]:
        """What is damaged, each kind with its count."""
        if self.torn:
            yield "a part of the file cannot be read"
        if self.refused:
            yield f"{self.refused} packet{'s' * (self.refused > 1)} too damaged to decode"
        if self.damaged:
            yield f"{self.damaged} damaged frame{'s' * (self.damaged > 1)}"


def _end_s(packet: Packet[Any]) -> float:
    """When the packet's frame ends, in seconds; 0 where it does not say."""
    begin = packet.dts if packet.pts is None else packet.pts
    if begin is None or packet.time_base is None:
        return 0.0
    return float((begin + (packet.duration or 0)) * packet.time_base)
