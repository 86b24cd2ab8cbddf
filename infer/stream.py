"""What a model is to the pipeline, whatever it answers, and how several frames of a source are answered at once.

Threads take turns at the source. Each takes a frame, answers it, and comes back for another, so that one decodes while
others compute, and a frame stays in one core's cache from decoding to the class map. Answers leave in the order of
their frames, and a thread that is too far ahead of the slowest reader waits: memory is bounded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from queue import Empty, Queue
from typing import Generic, Protocol, TypeAlias, TypeVar

from seg.frame import Frame

AHEAD = 2
"""Frames of each thread that may wait to be taken."""

PATIENCE_S = 15.0
"""How long a source may hold up the end after it was left early: the read timeout of a stream, and some."""


class Answer(Protocol):
    """What a model says about a frame: a `Segmentation`, a `Restoration`."""

    @property
    def timings(self) -> dict[str, float]:
        """Seconds by stage; the pipeline adds its own."""


A = TypeVar("A", bound=Answer, covariant=True)
Answers: TypeAlias = Generator[tuple[Frame, A], None, None]
"""Frames with their answers, in order. To be closed where it is left before its end (`contextlib.closing`)."""


class Streaming(Protocol):
    """What `infer.run` needs of a model: a `Segmenter`, a `RestoreJob`."""

    def stream(self, source: Iterable[Frame]) -> Answers[Answer]:
        """Each frame of a source with the answer to it, in order."""


def answered(source: Iterable[Frame], answer: Callable[[Frame], A], streams: int = 1) -> Answers[A]:
    """Each frame with its answer, in order; the time that the source took for the frame is `timings["decode"]`.

    What the source or the model raises is raised here, when the frames before it have been given; the model's with a note
    that says at which frame. When this generator is closed no thread is left behind.

    Args:
        source: frames; only one thread at a time asks for the next.
        answer: the model, called by at most `streams` threads at once. There is one thread more, so that the next frame is
            decoded by the time that the network is free.
        streams: how many frames the model answers at once.
    """
    turns = _Turns(source, answer, streams)
    try:
        with _one_opencv_thread:
            yield from turns.take()
    finally:
        turns.stop()


class _Turns(Generic[A]):
    def __init__(self, source: Iterable[Frame], answer: Callable[[Frame], A], streams: int) -> None:
        self._frames, self._answer = iter(source), answer
        self._turn = threading.Lock()
        self._free = threading.BoundedSemaphore(streams)
        self._over = False
        # in the order of the frames; None ends it. Its bound is what keeps the threads from running ahead
        self._given: Queue[Future[tuple[Frame, A] | None]] = Queue(AHEAD * streams)
        self._threads = [
            threading.Thread(target=self._work, name=f"seg-answer-{number}", daemon=True)
            for number in range(streams + 1)
        ]

    def take(self) -> Iterator[tuple[Frame, A]]:
        """What the threads make, in order, until the source ends or something is raised."""
        for thread in self._threads:
            thread.start()
        while (pair := self._given.get().result()) is not None:
            yield pair

    def stop(self) -> None:
        """No frame is asked for any more; waits for the threads, which end with the frame that they have."""
        self._over = True
        deadline = time.monotonic() + PATIENCE_S
        for thread in self._threads:
            while thread.is_alive() and time.monotonic() < deadline:
                try:  # one may stand before the full queue
                    self._given.get_nowait()
                except Empty:
                    thread.join(0.01)

    def _work(self) -> None:
        while True:
            future: Future[tuple[Frame, A] | None] = Future()
            with self._turn:
                if self._over:
                    return
                self._given.put(future)
                if self._over:  # while it waited for room
                    return
                try:
                    before = time.perf_counter()
                    frame = next(self._frames, None)
                    decode = time.perf_counter() - before
                except BaseException as error:
                    self._over = True
                    future.set_exception(error)
                    return
                if frame is None:
                    self._over = True
                    future.set_result(None)
                    return
            try:
                with self._free:
                    answer = self._answer(frame)
            except BaseException as error:
                error.add_note(f"at frame {frame.index} of {frame.source}")
                future.set_exception(error)
                return
            answer.timings["decode"] = decode
            future.set_result((frame, answer))


class _OneOpenCVThread:
    """OpenCV keeps to the thread that calls it: its own threads would take cores from those that answer frames.

    The setting is the process's: it comes back when the last stream that wants it has ended.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = self._before = 0

    def __enter__(self) -> None:
        import cv2

        with self._lock:
            if not self._inside:
                self._before = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        import cv2

        with self._lock:
            self._inside -= 1
            if not self._inside:
                cv2.setNumThreads(self._before)


_one_opencv_thread = _OneOpenCVThread()
