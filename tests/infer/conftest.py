"""A tiny model and a small video for the tests of inference."""

from __future__ import annotations

import pytest
from media import write_video
from onnx_models import save_bands


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return save_bands(tmp_path_factory.mktemp("model") / "bands.onnx", novelty=True)


@pytest.fixture(scope="session")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "drive.mp4")


@pytest.fixture
def segmenter(model):
    from infer import Segmenter

    return Segmenter(model, threads=1)
