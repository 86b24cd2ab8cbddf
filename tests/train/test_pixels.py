"""Pixel counts behind the class weights: as training meets the classes, whatever the sizes of sources and frames."""

import json

import numpy as np
import pytest

from seg.classes import load_ontology
from seg.data.base import LabelledData, Reader
from seg.labels import LabelSpace, load_label_set
from train.pixels import measure_pixels
from train.run import RunDirectory

DRIVE = load_ontology("drive")
LANES = load_label_set("synthetic-lanes", DRIVE)


class Plain(Reader):
    """Frames of one class each."""

    label_set = LANES

    def __init__(self, raw, count, size=(4, 6)):
        self.dataset, self.raw, self.count, self.size = f"plain-{raw}", raw, count, size

    def __len__(self):
        return self.count

    def name(self, index):
        return f"{index:06d}"

    def read_frame(self, index):
        return np.zeros((*self.size, 3), np.uint8)

    def read_raw(self, index):
        return np.full(self.size, self.raw, np.int64)


def raw_of(name):
    return next(raw for raw, members in LANES.members.items() if [DRIVE.names[m] for m in members] == [name])


def counted(tmp_path, readers, weights, frames=500):
    data = LabelledData(readers, LabelSpace(DRIVE, [LANES]), weights)
    run = RunDirectory(tmp_path / "run")
    measure_pixels(data, run, frames)
    pixels = json.loads(run.label_pixels.read_text())
    return {name: count / sum(pixels.values()) for name, count in pixels.items() if count}


@pytest.mark.parametrize("first", ["small", "large"])
def test_a_small_source_counts_by_its_weight(tmp_path, first):
    """Two frames beside a hundred thousand, listed before or after them."""
    sources = [(Plain(raw_of("lane"), 2), 0.4), (Plain(raw_of("road"), 100_000), 0.6)]
    if first == "large":
        sources.reverse()
    readers, weights = zip(*sources, strict=True)
    assert counted(tmp_path, readers, weights) == pytest.approx({"lane": 0.4, "road": 0.6}, abs=1e-3)


def test_without_weights_sources_count_by_their_frames(tmp_path):
    shares = counted(tmp_path, [Plain(raw_of("lane"), 30), Plain(raw_of("road"), 90)], [None, None])
    assert shares == pytest.approx({"lane": 0.25, "road": 0.75}, abs=1e-3)


def test_a_large_frame_counts_no_more_than_a_small_one(tmp_path):
    shares = counted(tmp_path, [Plain(raw_of("lane"), 5, (40, 60)), Plain(raw_of("road"), 5)], [None, None])
    assert shares == pytest.approx({"lane": 0.5, "road": 0.5}, abs=1e-3)


def test_a_rare_source_is_seen_at_all(tmp_path):
    shares = counted(tmp_path, [Plain(raw_of("lane"), 50), Plain(raw_of("road"), 50)], [1e-4, 1.0], frames=10)
    assert shares["lane"] > 0
