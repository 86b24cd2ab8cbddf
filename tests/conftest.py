"""Fixtures for every room's tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from media import write_video

from seg.cli import main


@pytest.fixture
def seg_data() -> Path:
    """The folder of real data that SEG_DATA names; without it the test skips, and says so."""
    folder = os.environ.get("SEG_DATA")
    if not folder:
        pytest.skip("SEG_DATA is not set: no real data here")
    return Path(folder).resolve(strict=True)


@pytest.fixture
def seg(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int | str, str, str]]:
    """The command line as a function: arguments in; exit code, standard output and standard error out."""

    def call(*arguments: object) -> tuple[int | str, str, str]:
        capsys.readouterr()
        code: int | str = 0
        try:
            main(list(map(str, arguments)))
        except SystemExit as ended:
            code = ended.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of twelve frames."""
    return write_video(tmp_path_factory.mktemp("video") / "drive.mp4")
