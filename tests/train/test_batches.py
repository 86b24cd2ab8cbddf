"""Batches from worker processes, and what a bad file among them looks like."""

import numpy as np
import pytest
import runs
import torch

from seg.classes import load_ontology
from seg.config import load_run_config
from seg.data.open import open_data
from seg.errors import SegError
from train.batches import samples, training_batches
from train.plan import BatchPlan, PlannedBatches


@pytest.fixture
def config(tmp_path):
    data = runs.folder_data(tmp_path / "data")
    return load_run_config(runs.write_config(tmp_path / "tiny.yaml", data=data))


def batches(config, workers, cache=None):
    data = open_data(config.data.train, load_ontology("drive"), cache=cache)
    planned = PlannedBatches(BatchPlan(len(data), 6, 2, seed=0), 0, 3, 0, 1)
    return training_batches(data, config.augment, planned, workers)


def test_workers_change_nothing(config):
    alone, helped = list(batches(config, 0)), list(batches(config, 2))
    assert len(alone) == len(helped) == 3
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one.rgb_B3HW, other.rgb_B3HW)
        assert torch.equal(one.labels_BHW, other.labels_BHW)
        assert one.indices == other.indices
        assert one.rgb_B3HW.is_contiguous(memory_format=torch.channels_last)


def test_a_cache_that_workers_fill_changes_nothing(config, tmp_path):
    plain = list(batches(config, 0))
    for workers in (2, 2, 0):  # filled by both at once, then read
        for one, other in zip(plain, batches(config, workers, str(tmp_path / "cache")), strict=True):
            assert torch.equal(one.rgb_B3HW, other.rgb_B3HW)
            assert torch.equal(one.labels_BHW, other.labels_BHW)
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 12


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_file_is_one_line_that_names_it(config, tmp_path, workers):
    file = tmp_path / "data/train/images/3.png"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(SegError, match=r"3\.png") as caught:
        list(batches(config, workers))
    assert "Traceback" not in str(caught.value)
    data = open_data(config.data.train, load_ontology("drive"))
    with pytest.raises(SegError, match=r"3\.png") as caught:
        list(samples(data, range(len(data)), workers))
    assert "Traceback" not in str(caught.value)


def test_samples_come_in_order(config):
    data = open_data(config.data.train, load_ontology("drive"))
    read = list(samples(data, range(1, 5), workers=2))
    assert [sample.name for sample in read] == [data.name(index) for index in range(1, 5)]
    np.testing.assert_array_equal(read[0].frame_HWC, data.frame(1))
