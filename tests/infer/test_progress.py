"""Progress: on a terminal frames a second and the time left, elsewhere nothing."""

import io
import sys

import pytest

from infer.progress import terminal_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("count", [None, 40])
def test_on_a_terminal(monkeypatch, count):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with terminal_progress(count) as progress:
        for done in range(1, 41):
            progress(done)
    assert "frames/s" in terminal.getvalue()
    assert "40/40" in terminal.getvalue() if count else "40" in terminal.getvalue()


def test_elsewhere(monkeypatch):
    quiet = io.StringIO()
    monkeypatch.setattr(sys, "stderr", quiet)
    with terminal_progress(40) as progress:
        assert progress is None
    assert quiet.getvalue() == ""
