"""Runs `latency_checks.py` in a process of its own: with OpenVINO in both precisions beside torch's threads, a later test
of this process crashed."""

import subprocess
import sys
from pathlib import Path


def test_the_checks_of_the_latency_measurement_pass():
    checks = Path(__file__).with_name("latency_checks.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(checks)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-1000:]
