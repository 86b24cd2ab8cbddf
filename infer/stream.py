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
from contextlib import contextmanager
from queue import Empty, Queue
from typing import Generic, Protocol, TypeAlias, TypeVar

from seg.errors import SegError, one_line
from seg.frame import Frame

AHEAD = 2
"""Frames of each thread that may wait to be taken."""

AHEAD_BYTES = 2 << 30
"""Bytes of frames, being answered or waiting to be taken, at which no more are asked for: 20 frames of 8K. Reached only with
large frames on many cores."""

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


class StageError(SegError):
    """What broke in a stage of the pipeline and is no mistake of the user's: stage, frame and error in one line.

    Its cause (`__cause__`) is the error itself.
    """

    exit_code = 1


@contextmanager
def in_stage(stage: str, at: str) -> Iterator[None]:
    """Errors of the block tell the stage and, in `at`, the frame.

    A SegError or OSError, which tells its matter already, gets them as a note, unless it has one, and so does the want of
    an installed module; any other becomes a StageError.
    """
    try:
        yield
    except (SegError, OSError, ImportError) as error:
        if not isinstance(error, StageError) and not hasattr(error, "__notes__"):
            error.add_note(f"{stage}, {at}")
        raise
    except Exception as error:
        raise StageError(f"{stage}, {at}: {type(error).__name__}: {one_line(error)}") from error


class _Waiting(threading.local):
    """Whether this thread waits for a frame and does nothing else: an interruption of it tears nothing then."""

    now = False

    def __enter__(self) -> None:
        self.now = True

    def __exit__(self, *_: object) -> None:
        self.now = False


waiting = _Waiting()


class Streaming(Protocol):
    """What `infer.run` needs of a model: a `Segmenter`, a `RestoreJob`."""

    def stream(self, source: Iterable[Frame]) -> Answers[Answer]:
        """Each frame of a source with the answer to it, in order."""


def answered(source: Iterable[Frame], answer: Callable[[Frame], A], streams: int = 1) -> Answers[A]:
    """Each frame with its answer, in order; the time that the source took for the frame is `timings["decode"]`.

    What the source or the model raises is raised here, when the frames before it have been given, with its stage and frame
    (`in_stage`). When this generator is closed no thread is left behind.

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
        self._at, self._bytes = "the first frame", 0
        self._room = threading.Condition()
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
        while (pair := self._next()) is not None:
            self._holds(-pair[0].rgb_HWC.nbytes)
            yield pair

    def _next(self) -> tuple[Frame, A] | None:
        with waiting:
            return self._given.get().result()

    def stop(self) -> None:
        """No frame is asked for any more; waits for the threads, which end with the frame that they have."""
        self._over = True
        self._holds(0)
        deadline = time.monotonic() + PATIENCE_S
        for thread in self._threads:
            while thread.is_alive() and time.monotonic() < deadline:
                try:  # one may stand before the full queue
                    self._given.get_nowait()
                except Empty:
                    thread.join(0.01)

    def _work(self) -> None:
        """Turn by turn. Whatever happens to a future that was given is its result or its error, or `take` would hang."""
        while True:
            future: Future[tuple[Frame, A] | None] = Future()
            with self._turn:
                self._wait_for_room()
                if self._over:
                    return
                self._given.put(future)
                if self._over:  # while it waited for room
                    return
                try:
                    before = time.perf_counter()
                    with in_stage("decode", self._at):
                        frame = next(self._frames, None)
                    decode = time.perf_counter() - before
                    if frame is not None:
                        self._at = f"frame {frame.index + 1}"
                        self._holds(frame.rgb_HWC.nbytes)
                except BaseException as error:
                    self._over = True
                    future.set_exception(error)
                    return
                if frame is None:
                    self._over = True
                    future.set_result(None)
                    return
            try:
                with self._free, in_stage("network", f"frame {frame.index} of {frame.source}"):
                    answer = self._answer(frame)
                    answer.timings["decode"] = decode
            except BaseException as error:
                future.set_exception(error)
                return
            future.set_result((frame, answer))

    def _holds(self, more: int) -> None:
        """So many more bytes of frames are held, or fewer."""
        with self._room:
            self._bytes += more
            self._room.notify()

    def _wait_for_room(self) -> None:
        with self._room:  # held by frames, each of which will be taken
            while self._bytes >= AHEAD_BYTES and not self._over:
                self._room.wait()


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
