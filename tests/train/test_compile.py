"""torch.compile as an option of a run."""

import shutil

import pytest
import runs


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_a_compiled_run_learns_the_same(tmp_path):
    changes = {"epochs": 1, "model": {"encoder": "resnet18", "encoder_options": {"depth": 3}, "decoder": "detail"}}
    losses = []
    for compiled in (False, True):
        config = runs.write_config(tmp_path / "tiny.yaml", **changes, compile=compiled)
        ended = runs.seg(tmp_path, "train", config, "-o", tmp_path / str(compiled))
        assert ended.code == 0, ended.stderr
        losses.append([record[2] for record in runs.losses(tmp_path / str(compiled)) if record[1] == "train"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-4)
