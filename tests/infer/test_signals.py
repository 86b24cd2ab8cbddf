"""A runtime must not change what signals do: Python's handlers work as before, whatever threads loaded and dropped."""

import subprocess
import sys

import pytest
import runs

LOADED_HERE_DROPPED_THERE = """
import faulthandler, os, signal, threading
from seg.doctor import TINY_ONNX
from seg.runtime import load

faulthandler.enable()
came = []
signal.signal(signal.SIGUSR1, lambda number, frame: came.append(number))
networks = [load(TINY_ONNX, {provider!r}, streams=streams) for streams in (1, 3)]
for order in (0, -1):
    thread = threading.Thread(target=networks.pop, args=(order,))
    thread.start()
    thread.join()
    os.kill(os.getpid(), signal.SIGUSR1)
print(len(came), "signals handled")
"""


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_a_handler_runs_after_another_thread_dropped_the_network(provider):
    """In a process of its own: where this fails it dies of SIGSEGV, without a word."""
    pytest.importorskip(provider if provider == "openvino" else "onnxruntime")
    ended = subprocess.run(
        [sys.executable, "-c", LOADED_HERE_DROPPED_THERE.format(provider=provider)],
        cwd=runs.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "2 signals handled\n"), ended.stderr
