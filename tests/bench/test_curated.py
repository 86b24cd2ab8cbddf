"""The study of curated frames: which frames its arms label."""

import shlex
import sys

import numpy as np
import pytest
from PIL import Image
from tables import save_table

from bench import curated
from bench.curated import Curated
from bench.label_study import RECIPE, SEEDS
from infer.codes import Codes
from infer.curate import select
from infer.index import index_of
from seg.config import load_run_config
from seg.errors import SegError

FRAMES = 100


@pytest.fixture
def root(tmp_path):
    """A CamVid of a hundred frames."""
    for folder in ("train", "trainannot", "val", "valannot"):
        (tmp_path / "camvid" / folder).mkdir(parents=True)
        for index in range(FRAMES):
            Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "camvid" / folder / f"a_{index:02}.png")
    return tmp_path / "camvid"


def coded(root, frames=FRAMES):
    """A table of codes of its train frames, the last frame first."""
    random = np.random.default_rng(0)
    places = [(str(root / "train" / f"a_{index:02}.png"), 0) for index in reversed(range(frames))]
    hashes = random.integers(0, 2**32, frames)
    return save_table(root.parent / f"{frames}.parquet", random.standard_normal((frames, 8)), hashes, None, places)


def test_one_arm_labels_what_curate_chooses_and_the_other_as_many_others(root, tmp_path):
    table = Codes(coded(root))
    study = Curated(root, tmp_path / "runs", table)
    with index_of(table) as index:
        rows = select(index, 40).rows
    assert study.labelled(40, "curated", 0) == [f"a_{FRAMES - 1 - row:02}" for row in rows]
    draws = [study.labelled(40, "random", seed) for seed in SEEDS]
    assert [len(set(draw)) for draw in draws] == [40, 40, 40]
    assert draws[0] != draws[1] != draws[2]
    assert draws[0] == study.labelled(40, "random", 0)


def test_the_arms_differ_in_nothing_but_their_frames(root, tmp_path):
    study = Curated(root, tmp_path / "runs", Codes(coded(root)))
    configs = {
        (budget, arm): load_run_config(RECIPE, study.overrides(budget, arm, 1))
        for budget in study.budgets
        for arm in study.arms
    }
    for (budget, arm), config in configs.items():
        assert [*config.data.train[0].include] == study.labelled(budget, arm, 1)
        data = config.data.model_copy(update={"train": ()})
        other = configs[80, "random"]
        assert config.model_copy(update={"data": data}) == other.model_copy(update={"data": data})
    lines = [shlex.split(line) for line in study.commands()]
    assert len({line[line.index("--out") + 1] for line in lines}) == 12


def test_a_table_of_other_frames_is_refused(root, tmp_path):
    with pytest.raises(SegError, match=r"60\.parquet: expected a row for each of the 100 train frames .* got 60 rows"):
        Curated(root, tmp_path / "runs", Codes(coded(root, 60)))


def test_the_command(root, tmp_path, monkeypatch, capsys):
    table = coded(root)
    monkeypatch.setattr(
        sys, "argv", ["curated", str(table), "--data", str(root), "--runs", str(tmp_path), "--commands"]
    )
    curated.main()
    assert capsys.readouterr().out.splitlines() == Curated(root, tmp_path, Codes(table)).commands()
