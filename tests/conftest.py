"""Fixtures for every room's tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from media import write_video


@pytest.fixture
def seg_data() -> Path:
    """The folder of real data that SEG_DATA names; without it the test skips, and says so."""
    folder = os.environ.get("SEG_DATA")
    if not folder:
        pytest.skip("SEG_DATA is not set: no real data here")
    return Path(folder).resolve(strict=True)


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of twelve frames."""
    return write_video(tmp_path_factory.mktemp("video") / "drive.mp4")
