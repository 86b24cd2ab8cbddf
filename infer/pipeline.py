"""From a source through the network into sinks.

Decoding and the network run in threads of `infer.stream`, several frames at once; drawing and encoding here, in order.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from infer.sink import Sink
from infer.stream import Answer, Answers, Streaming, in_stage, waiting
from seg.frame import Frame
from seg.sources.base import Source

Progress = Callable[[int], None]
"""Called with the number of frames done, after each frame."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did.

    Attributes:
        frames: how many were answered.
        seconds: from the first frame asked for to the last output finished.
        problem: why frames of the source are missing or damaged, None if none are.
        outputs: the files and folders made.
    """

    frames: int
    seconds: float
    problem: str | None
    outputs: tuple[Path, ...]

    @property
    def frames_per_second(self) -> float:
        """Frames over seconds."""
        return self.frames / self.seconds if self.seconds else 0.0


def run(
    model: Streaming, source: Source, sinks: Sequence[Sink], progress: Progress | None = None, begin: int = 0
) -> Summary:
    """Send every frame of `source` with the model's answer into every sink; sinks are opened and closed here.

    The model is a `Segmenter`, a `Watch` over one, or a `RestoreJob`; the sinks are those that take its answers. The time of each sink goes
    into the answer's timings, for the sinks after it to see. Ctrl-C (and SIGTERM,
    where the program turns it into an exception) takes effect between two frames, or while the next is waited for: the
    outputs are finished and named, then KeyboardInterrupt goes on. A second one takes effect at once.

    With `begin`, the sinks hold the first frames already (`infer.resume.Job`): they are decoded and passed by, and nothing
    answers them.

    Raises:
        SegError: where an output cannot be written or the network refuses a frame; no output is kept then.
        StageError: a SegError too, where a stage breaks for another reason; the error is its cause.
        KeyboardInterrupt: as above; `Sink.kept` and `Sink.frames` tell what there is.
    """
    start = time.perf_counter()
    frames = 0
    with ExitStack() as stack:
        for sink in sinks:
            stack.enter_context(sink)
        with _between_frames(source.interrupt) as interrupt_now:
            try:
                rest = _behind(source, begin, sinks, interrupt_now)
                with closing(model.stream(rest)) as answers:
                    for frame, answer in _each(answers):
                        for sink in sinks:
                            before = time.perf_counter()
                            with in_stage(sink.kind, f"frame {frame.index} of {frame.source}"):
                                sink.write(frame, answer)
                            answer.timings[sink.kind] = time.perf_counter() - before
                        frames += 1
                        if progress is not None:
                            progress(begin + frames)
                        interrupt_now()
            except KeyboardInterrupt:
                _finish(sinks)
                raise
            _finish(sinks)
    outputs = tuple(sink.path for sink in sinks if sink.kept)
    return Summary(frames, time.perf_counter() - start, source.problem, outputs)


def _each(answers: Answers[Answer]) -> Answers[Answer]:
    """The answers. What breaks around the network (smoothing, the watch) tells behind which frame."""
    at = "the first frame"
    while True:
        with in_stage("answer", at):
            pair = next(answers, None)
        if pair is None:
            return
        yield pair
        at = f"the frame behind {pair[0].index} of {pair[0].source}"


def _behind(source: Source, begin: int, sinks: Sequence[Sink], interrupt_now: Callable[[], None]) -> Iterator[Frame]:
    """The frames behind the first `begin`, which the sinks pass by."""
    frames = iter(source)
    for number in range(begin):
        with in_stage("decode", f"frame {number}"):
            frame = next(frames, None)
        if frame is None:
            break
        for sink in sinks:
            with in_stage(sink.kind, f"frame {frame.index} of {frame.source}"):
                sink.skip(frame)
        interrupt_now()
    return frames


def _finish(sinks: Sequence[Sink]) -> None:
    """All are complete before the first gets its name, so that a disk that fills up here leaves none, not some."""
    for sink in sinks:
        with in_stage(sink.kind, "finishing it"):
            sink.finish()


@contextmanager
def _between_frames(interrupt: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C and SIGTERM back until the function given is called, so that no sink is torn out of a frame.

    They are not held back while the next frame is waited for, which may be long. `interrupt` lets go of a source that a
    thread waits for.
    """
    held: list[tuple[int, FrameType | None]] = []
    previous: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            previous[number](number, frame)
        held.append((number, frame))
        interrupt()
        if waiting.now:
            previous[number](number, frame)

    def release() -> None:
        if held:
            number, frame = held[0]
            previous[number](number, frame)

    if threading.current_thread() is threading.main_thread():
        for wanted in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(wanted)
            if callable(handler):  # one that is ignored, or left to the system, stays so
                previous[wanted] = handler
                signal.signal(wanted, hold)
    try:
        yield release
        release()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
