"""What is looked at before the first step."""

from types import SimpleNamespace

import numpy as np
import pytest
import runs
import torch
from hypothesis import given
from hypothesis import strategies as st

from seg.classes import IGNORE, load_ontology
from seg.config import AugmentConfig, RunConfig
from seg.data.base import LabelledData
from seg.errors import SegError
from seg.labels import LabelSpace, load_label_set
from train.distributed import World
from train.precheck import check_validation, unseen_scale
from train.run import RunDirectory
from train.setup import prepare

DRIVE = load_ontology("drive")
CAMVID = load_label_set("camvid11", DRIVE)
SPACE = LabelSpace(DRIVE, [CAMVID])


class Frames:
    """So many frames of which no pixel is labelled, but for those named; counts what is read."""

    space, label_sets = SPACE, (CAMVID,)

    def __init__(self, count, labelled=(), broken=(), label=0):
        self.count, self.labelled, self.broken, self.label, self.read = count, labelled, broken, label, []

    def __len__(self):
        return self.count

    def spread(self, count):
        return LabelledData.spread(self, count)

    def sample(self, index):
        self.read.append(index)
        if index in self.broken:
            raise SegError(f"{index}.png: broken")
        return SimpleNamespace(label_HW=np.full((2, 2), self.label if index in self.labelled else IGNORE, np.uint8))


def test_a_few_frames_are_enough_where_they_have_labels():
    frames = Frames(1000, labelled=[0])
    check_validation(frames)
    assert len(frames.read) == 16


@pytest.mark.parametrize("labelled", [999, 501, 1])
def test_one_labelled_frame_among_many_is_found(labelled):
    check_validation(Frames(1000, labelled=[labelled]))


def test_no_labelled_frame_at_all():
    with pytest.raises(SegError, match="no pixel of the validation frames has a label that tells one class"):
        check_validation(Frames(50))


def test_labels_that_leave_open_what_the_metric_asks():
    """Where another source tells two classes apart and the frames say only "one of the two", nothing can be measured."""
    told = load_label_set("synthetic", DRIVE)
    space = LabelSpace(DRIVE, [told, load_label_set("synthetic-lanes", DRIVE)])
    frames = Frames(3, labelled=range(3), label=space.sets.index(frozenset({0, 3})))
    frames.space, frames.label_sets = space, (told, load_label_set("synthetic-lanes", DRIVE))
    with pytest.raises(SegError, match="no pixel of the validation frames"):
        check_validation(frames)


def test_a_broken_label_is_found_before_the_first_step():
    with pytest.raises(SegError, match=r"^500\.png: broken"):
        check_validation(Frames(1000, labelled=[0], broken=[500]))


@pytest.mark.parametrize(
    ("crop", "scale", "frame", "size", "fits"),
    [
        ((512, 1024), (0.75, 2.0), (1024, 2048), (512, 1024), True),
        ((512, 1024), (0.75, 2.0), (1024, 2048), (1024, 2048), True),
        ((352, 640), (0.6, 1.8), (1080, 1920), (1080, 1920), False),  # at 0.2 to 0.6 times in training
        ((320, 416), (0.85, 1.7), (360, 480), (360, 480), True),
        ((512, 1024), (0.75, 1.2), (256, 512), (256, 512), False),  # shown larger, never at its own size
        ((512, 512), (0.6, 1.8), (1080, 1920), (512, 512), False),  # squeezed, which training never does
        ((128, 192), (1.0, 1.8), (360, 480), (128, 192), False),  # a rounded proposal must not fall below
    ],
)
def test_a_scale_that_training_never_shows(crop, scale, frame, size, fits):
    note = unseen_scale(AugmentConfig(crop=crop, scale=scale), frame, size)
    assert (note is None) == fits
    if note:
        proposed = tuple(int(side) for side in note.partition("val_size=[")[2].partition("]")[0].split(","))
        assert unseen_scale(AugmentConfig(crop=crop, scale=scale), frame, proposed) is None


@given(
    crop=st.tuples(st.integers(64, 1024), st.integers(64, 1024)),
    low=st.floats(0.3, 1.5),
    wider=st.floats(1.0, 3.0),
    frame=st.tuples(st.integers(64, 2160), st.integers(64, 3840)),
)
def test_what_is_proposed_fits(crop, low, wider, frame):
    config = AugmentConfig(crop=crop, scale=(low, low * wider))
    note = unseen_scale(config, frame, (8, 8))
    if note and "would fit" in note:
        proposed = tuple(int(side) for side in note.partition("val_size=[")[2].partition("]")[0].split(","))
        assert unseen_scale(config, frame, proposed) is None


def test_a_run_says_so_at_its_start(tmp_path):
    for size, count in ([60, 92], 0), ([256, 384], 1):
        config = RunConfig.model_validate(runs.config(val_size=size))
        parts = prepare(config, RunDirectory(tmp_path), World(), torch.device("cpu"))
        assert len(parts.notes) == count
