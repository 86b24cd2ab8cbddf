"""What a segmenter saw and did not know: novel frames and a frozen camera, marked frame by frame and counted."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

from infer.frozen import RUN, FrozenCamera
from infer.segmenter import Segmentation, Segmenter
from infer.stream import Answers, Streaming
from seg.errors import SegError
from seg.frame import Frame

NOVEL_ABOVE = 0.99
"""The usual threshold: beyond 99 % of normal frames."""


class NovelFramesError(SegError):
    """More frames are novel than was allowed. The outputs are all there."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Watched(Segmentation):
    """A segmentation with what a `Watch` says of it.

    Attributes:
        novel: its novelty is above the threshold; None where the file answers no novelty.
        frozen: the camera repeats itself; None where the frames are not those of one camera.
    """

    novel: bool | None = None
    frozen: bool | None = None

    @property
    def alarm(self) -> str:
        """What to tell of it, such as `novel 0.997, frozen`; empty where there is nothing."""
        words = [f"novel {self.novelty:.3f}"] if self.novel else []
        return ", ".join([*words, "frozen"] if self.frozen else words)


class Watch:
    """A segmenter whose answers say which frames are novel, and when the camera is frozen; give it to `infer.run`.

    Attributes:
        frames: how many frames it has seen.
        novel: how many of them were novel.
        frozen: how many were of a frozen camera.
        alarms: how many were one of the two, or both.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        *,
        novel_above: float | None = None,
        fail_novel: float | None = None,
        one_camera: bool = True,
        model: Streaming | None = None,
    ) -> None:
        """Watch what `segmenter` answers.

        Args:
            segmenter: an ONNX file, with or without novelty.
            model: what answers in its place: a `Live` or a `Smooth` over it.
            novel_above: novelty that is more than this is novel, 0..1; None for NOVEL_ABOVE.
            fail_novel: the share of novel (or frozen) frames, 0..1, from which on `check` raises; None for any.
            one_camera: whether the frames follow each other in time; a folder's images need not.

        Raises:
            SegError: for a number outside 0..1, or one that was given although the file answers no novelty.
        """
        given = {"--novel-above": novel_above, "--fail-novel": fail_novel}
        answers = any(output.name == "novelty" for output in segmenter.spec.outputs)
        for option, value in given.items():
            if value is None:
                continue
            if not 0 <= value <= 1:
                raise SegError(f"{option}: expected a number from 0 to 1, got {value}")
            if not answers:
                raise SegError(
                    f"{option}: {segmenter.spec.name} (profile {segmenter.spec.profile}) answers no novelty; "
                    "run `seg calibrate` on its run, then `seg export` again, in profile frame"
                )
        self._model: Streaming = model or segmenter
        self._fail_novel = fail_novel
        self._threshold = (NOVEL_ABOVE if novel_above is None else novel_above) if answers else None
        self._camera = FrozenCamera() if one_camera else None
        self.frames = self.novel = self.frozen = self.alarms = 0

    def stream(self, source: Iterable[Frame]) -> Answers[Watched]:
        """Each frame of a source with its segmentation, in order, as `Segmenter.stream`; `timings["watch"]` is ours."""
        with closing(self._model.stream(source)) as answers:
            for frame, answer in answers:
                assert isinstance(answer, Segmentation)
                before = time.perf_counter()
                watched = self._judge(frame, answer)
                watched.timings["watch"] = time.perf_counter() - before
                yield frame, watched

    def told(self) -> list[str]:
        """What was seen, in lines: how many frames are novel, where the file answers it; and frozen, where any are."""
        lines = []
        if self._threshold is not None and self.frames:
            lines.append(f"{self._share(self.novel)} novel: above {self._threshold:g}")
        if self.frozen:
            lines.append(f"{self._share(self.frozen)} of a frozen camera: at least {RUN} repeats in a row")
        return lines

    def check(self) -> None:
        """NovelFramesError (exit code 3) if more than the share `fail_novel` of the frames were novel or frozen."""
        if self._fail_novel is not None and self.alarms > self._fail_novel * self.frames:
            raise NovelFramesError(
                f"{self._share(self.alarms)} novel or frozen, more than --fail-novel {self._fail_novel:g} allows"
            )

    def _judge(self, frame: Frame, answer: Segmentation) -> Watched:
        novel = frozen = None
        if self._threshold is not None and answer.novelty is not None:
            novel = not answer.novelty <= self._threshold  # what is no number is novel too
        if self._camera is not None:
            frozen = self._camera(frame.rgb_HWC)
        self.frames += 1
        self.novel += bool(novel)
        self.frozen += bool(frozen)
        self.alarms += bool(novel or frozen)
        return Watched(
            answer.classes,
            answer.confidence,
            answer.novelty,
            answer.code,
            answer.hash,
            answer.timings,
            novel,
            frozen,
        )

    def _share(self, count: int) -> str:
        what = f"{count} of {self.frames} frame{'s' * (self.frames > 1)} ({100 * count / self.frames:.1f} %)"
        return f"{what} {'is' if self.frames == 1 else 'are'}"
