"""The judge of novelty: its ranks are the usual ones, and it runs from frames to tables and plot."""

import json
import sys

import numpy as np
import pytest
from media import picture
from onnx_models import save_bands
from PIL import Image
from scipy.stats import spearmanr

from bench import novelty
from bench.conditions import CONDITIONS, LEVELS


@pytest.mark.parametrize("seed", range(5))
def test_spearman_is_scipys(seed):
    random = np.random.default_rng(seed)
    a, b = random.integers(0, 12, 30).astype(float), random.normal(size=30)  # the first has ties
    assert novelty.spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)


def test_spearman_of_what_never_changes():
    assert novelty.spearman([1, 2, 3], [4, 4, 4]) is None


def test_auroc_counts_ties_half():
    assert novelty.auroc([0, 1], [1, 2]) == pytest.approx(3.5 / 4)


@pytest.mark.parametrize(
    ("length", "count", "expected"), [(101, 3, [0, 50, 100]), (4, 50, [0, 1, 2, 3]), (5, 2, [0, 4])]
)
def test_frames_are_spread_evenly(length, count, expected):
    assert novelty.spread(length, count) == expected


def test_correlation_is_between_falling_quality_and_rising_novelty():
    def level(name, number, iou, score):
        return {"name": name, "level": number, "mean_iou": iou, "mean_novelty": score, "mean_doubt": 1 - score}

    rows = [level("clean", 0, 0.7, 0.5), {"name": "CARLA", "level": None}]
    for name in CONDITIONS:
        rows += [level(name, number, 0.7 - 0.1 * number, 0.5 + 0.05 * number) for number in range(1, LEVELS + 1)]
    found = novelty.correlations(rows)
    assert list(found) == [*CONDITIONS, "all"]
    for ranks in found.values():
        assert ranks == {"novelty": pytest.approx(1), "doubt": pytest.approx(-1)}


@pytest.fixture
def camvid(tmp_path):
    """Four frames in CamVid's layout, labelled with nothing but road and sky."""
    for index in range(4):
        for folder, pixels in {"val": picture(index), "valannot": np.repeat([[0], [3]], 24, 0).repeat(64, 1)}.items():
            (tmp_path / "camvid" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "camvid" / folder / f"frame_{index}.png")
    return tmp_path / "camvid"


def judge(monkeypatch, *arguments):
    monkeypatch.delenv("SEG_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", ["novelty", *map(str, arguments)])
    novelty.main()


def test_from_frames_to_tables_and_plot(monkeypatch, capsys, camvid, tmp_path):
    model = save_bands(tmp_path / "bands.onnx", novelty=True)
    outputs = ["--json", tmp_path / "n.json", "--plot", tmp_path / "n.png"]
    judge(monkeypatch, model, "--data", camvid, "--frames", 3, "--exclude", "*_3", *outputs)
    said = capsys.readouterr().out
    figures = json.loads((tmp_path / "n.json").read_text())
    rows = {(row["name"], row["level"]): row for row in figures["rows"]}
    assert len(rows) == 1 + len(CONDITIONS) * LEVELS + 2 + 2  # turned, torn; scenes, no roads
    clean, dark, bright = rows["clean", 0], rows["night", 5], rows["overexposure", 5]
    assert clean["novelty"] == pytest.approx([picture(index).mean() for index in range(3)], rel=1e-3)
    assert dark["auroc_novelty"] == 0  # brightness is this model's novelty
    assert bright["auroc_novelty"] == 1
    assert "auroc_novelty" in clean
    assert clean["auroc_novelty"] is None
    assert rows["upside down", None]["mean_iou"] == pytest.approx(clean["mean_iou"])  # labels are turned too
    assert all(f"\n| {name} | " in said for name in [*CONDITIONS, "clean", "torn frame", "rendered scenes", "no roads"])
    with Image.open(tmp_path / "n.png") as made:
        assert made.width == 2 * 960


def test_a_file_without_novelty_is_refused(monkeypatch, camvid, tmp_path):
    with pytest.raises(SystemExit, match="answers no novelty; run `seg calibrate`"):
        judge(monkeypatch, save_bands(tmp_path / "plain.onnx"), "--data", camvid)
