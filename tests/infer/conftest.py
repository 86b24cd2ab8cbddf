"""A tiny model for the tests of inference."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from onnx_models import save_bands


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return save_bands(tmp_path_factory.mktemp("model") / "bands.onnx", novelty=True)


@pytest.fixture
def segmenter(model):
    from infer import Segmenter

    return Segmenter(model, threads=1)


@pytest.fixture
def seg_infer(capsys):
    """Run `seg infer` in this process; the answer has `returncode`, `stdout` and `stderr`."""
    return _command(capsys, "infer")


@pytest.fixture
def seg_restore(capsys):
    """Run `seg restore` in this process, likewise."""
    return _command(capsys, "restore")


def _command(capsys, name):
    from seg.cli import main

    def call(*arguments):
        capsys.readouterr()
        try:
            main([name, *map(str, arguments)])
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        said = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=said.out, stderr=said.err)

    return call
