"""The loader's measurement runs, on small frames: every loader delivers, and the usual pipeline is the measure."""

import re
import sys

import numpy as np
import pytest

from bench import loader


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(loader, "HEIGHT", 128)
    monkeypatch.setattr(loader, "WIDTH", 256)
    monkeypatch.setattr(loader, "AUGMENT", loader.AUGMENT.model_copy(update={"crop": (64, 128)}))
    monkeypatch.delenv("SEG_DATA", raising=False)


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["loader", *arguments])
    loader.main()


def test_every_loader_is_measured(small, monkeypatch, capsys):
    call(monkeypatch, "--rounds", "1", "--frames", "8", "--passes", "1", "--workers", "1")
    rows = dict(re.findall(r"^(usual.*?|ours.*?)  .* images/s +([\d.]+) x$", capsys.readouterr().out, re.MULTILINE))
    assert list(rows) == ["usual pipeline", "ours, without cache", "ours, cache being filled", "ours, cache filled"]
    assert float(rows["usual pipeline"]) == 1
    assert all(float(ratio) > 0 for ratio in rows.values())


def test_too_few_frames_are_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        call(monkeypatch, "--frames", "8", "--workers", "2")
    assert "expected more than 8" in capsys.readouterr().err


def test_frames_differ_and_both_loaders_give_crops(small, tmp_path):
    labels = loader.write_frames(tmp_path, 8)
    files = sorted((tmp_path / "images").iterdir())
    assert len({file.read_bytes() for file in files}) == len(files) == 8
    frames, masks = next(iter(loader.usual(tmp_path, 2, 1)))
    assert (frames.shape, masks.shape) == ((4, 3, 64, 128), (4, 64, 128))
    batch = next(iter(loader.ours(labels, tmp_path / "cache")(tmp_path, 2, 0)))
    assert (batch.rgb_B3HW.shape, batch.labels_BHW.shape) == ((4, 3, 64, 128), (4, 64, 128))
    assert len(np.unique(batch.labels_BHW)) > 1
