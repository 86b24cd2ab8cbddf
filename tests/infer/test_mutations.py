"""Damaged videos: none hangs, none ends in a traceback, and what is lost is told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mutations import COPIES, FRAMES

PROGRAM = Path(__file__).with_name("mutations.py")
UNSEEN = 0.03
"""The share of copies whose loss cannot be seen: a transport stream declares nothing, a damaged index may say less."""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    words = [sys.executable, str(PROGRAM), str(tmp_path_factory.mktemp("mutations"))]
    done = subprocess.run(words, capture_output=True, text=True, cwd=PROGRAM.parents[2], check=False)
    assert done.returncode == 0, done.stderr[-3000:]  # the watchdog's stacks, if one hung
    return json.loads(done.stdout)


def test_every_copy_is_read_or_refused_in_one_line(found):
    assert len(found) == COPIES
    refused = [one for one in found if "refused" in one]
    assert all(one["refused"] and "\n" not in one["refused"] for one in refused)
    assert not any(one["kept"] for one in refused)
    assert 0.1 * COPIES < len(refused) < 0.8 * COPIES
    assert {one["kind"] for one in found if "frames" in one} == {one["kind"] for one in found}


def test_every_frame_that_was_decoded_is_in_the_outputs(found):
    assert all(one["lines"] == one["frames"] == one["alone"] for one in found if "frames" in one)


def test_what_is_lost_is_told(found):
    read = [one for one in found if "frames" in one and one["of"] != ".ts"]
    silent = [one for one in read if one["frames"] < FRAMES and one["problem"] is None]
    assert any(one["problem"] for one in read)
    assert len(silent) <= UNSEEN * COPIES, silent
