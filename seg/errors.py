"""Errors that the user can mend: each says what was expected, what came and what to do."""

from __future__ import annotations


class SegError(ValueError):
    """A mistake in what the user gave. The command line prints it as one line and exits with `exit_code`."""

    exit_code = 2


class InterruptedRunError(SegError):
    """Ctrl-C (130) or SIGTERM (143) ended a run that kept what it had; the message says where."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def one_line(error: Exception) -> str:
    """Another library's error as a part of a line of ours."""
    return " ".join(str(error).split())[:200]
