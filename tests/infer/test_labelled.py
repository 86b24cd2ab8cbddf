"""Frames of a data set in the pipeline of videos: each sample with its own answer, in order, mistakes at their place."""

import numpy as np
import pytest
from onnx_models import expected_classes, save_bands

from infer import Segmenter
from infer.labelled import segmented
from seg.classes import load_ontology
from seg.config import DataConfig
from seg.data.open import open_data
from seg.errors import SegError


@pytest.fixture
def data():
    source = {"kind": "synthetic", "count": 9, "size": [64, 96]}
    config = DataConfig.model_validate({"train": [source], "val": [source]})
    return open_data(config.val, load_ontology("drive"))


@pytest.mark.parametrize("streams", [1, 3])
def test_each_sample_with_its_own_answer(tmp_path, data, streams):
    segmenter = Segmenter(save_bands(tmp_path / "m.onnx", size=(64, 96)), streams=streams)
    pairs = list(segmented(segmenter, data))
    assert len(pairs) == 9
    for index, (sample, classes) in enumerate(pairs):
        np.testing.assert_array_equal(sample.frame_HWC, data.frame(index))
        np.testing.assert_array_equal(classes, expected_classes(sample.frame_HWC))


def test_a_frame_that_cannot_be_read_is_told_where_it_stands(tmp_path, data, monkeypatch):
    real = type(data).sample

    def sample(self, index):
        if index == 4:
            raise SegError("frame 4 is damaged")
        return real(self, index)

    monkeypatch.setattr(type(data), "sample", sample)
    answers = segmented(Segmenter(save_bands(tmp_path / "m.onnx", size=(64, 96)), streams=3), data)
    for _ in range(4):
        next(answers)
    with pytest.raises(SegError, match="frame 4 is damaged"):
        next(answers)
