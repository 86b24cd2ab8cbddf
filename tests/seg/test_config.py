"""Run configs: strict keys, overrides, and a dump that reads back."""

from __future__ import annotations

from pathlib import Path

import pytest

from seg.config import FolderData, PublishedData, RunConfig, SyntheticData, dump_yaml, load_run_config
from seg.errors import SegError
from seg.paths import expand

TEXT = """
data:
  train: [{kind: camvid, root: /data/camvid, split: train}]
  val: [{kind: synthetic, count: 4}]
augment: {crop: [64, 128]}
"""


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(TEXT)
    return path


def test_a_short_config_is_enough(run_file: Path) -> None:
    config = load_run_config(run_file)
    assert config.ontology == "drive"
    assert config.data.train == (PublishedData(kind="camvid", root="/data/camvid", split="train"),)
    assert config.augment.crop == (64, 128)


def test_overrides_reach_every_depth(run_file: Path) -> None:
    config = load_run_config(
        run_file,
        [
            "optimizer.lr=0.5",
            "data.train.0.split=val",
            "model.encoder=resnet18",
            "augment.crop=[32, 32]",
            "batch_size=4",
        ],
    )
    assert config.optimizer.lr == 0.5
    assert config.data.train[0].model_dump()["split"] == "val"
    assert config.model.encoder == "resnet18"
    assert config.augment.crop == (32, 32)
    assert config.batch_size == 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.l=1", "unknown key 'optimizer.l'; did you mean 'lr'"),
        ("epoch=3", "unknown key 'epoch'; did you mean 'epochs'"),
        ("modell.encoder=x", "unknown key 'modell'; did you mean 'model'"),
        ("data.train.0.rot=x", "did you mean 'root'"),
        ("epochs=many", "epochs: Input should be a valid integer"),
        ("optimizer.lr=-1", "optimizer.lr"),
        ("epochs", "expected key=value"),
        ("=3", "expected key=value"),
        ("epochs=[", "not valid YAML"),
        ("data.train.5.root=x", "'5' is not a position in a list of 1"),
        ("seed.deep=1", "seed: Input should be a valid integer"),
        ("data.train.0.kind=camvidd", "camvidd"),
        ("precision=float16", "precision"),
    ],
)
def test_bad_overrides_are_named(run_file: Path, override: str, message: str) -> None:
    with pytest.raises(SegError, match=message):
        load_run_config(run_file, [override])


def test_an_override_below_a_value_is_refused(run_file: Path) -> None:
    run_file.write_text(TEXT + "seed: 3\n")
    with pytest.raises(SegError, match=r"seed has no keys below it"):
        load_run_config(run_file, ["seed.deep=1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT + "epohcs: 3\n", "unknown key 'epohcs'; did you mean 'epochs'"),
        (TEXT + "batch_size: 8\naccumulate: 3\n", "not a multiple"),
        ("augment: {crop: [8, 8]}\n", "missing key 'data'"),
        ("- 1\n", "expected a mapping"),
        ("", "expected a mapping"),
        (TEXT.replace("split: train", "split: train, wieght: 2"), "did you mean 'weight'"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(SegError, match=message) as caught:
        load_run_config(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("text", ["", "- 1\n", "just words\n"])
def test_overrides_of_a_file_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(SegError, match="expected a mapping of keys"):
        load_run_config(path, ["epochs=3"])


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(SegError, match="no such file"):
        load_run_config(tmp_path / "none.yaml")


def test_a_dumped_config_reads_back_equal(run_file: Path, tmp_path: Path) -> None:
    config = load_run_config(run_file, ["epochs=7", "val_size=[96, 160]"])
    again = tmp_path / "again.yaml"
    again.write_text(dump_yaml(config))
    assert load_run_config(again) == config
    assert isinstance(config, RunConfig)


def test_folder_patterns_need_one_name() -> None:
    with pytest.raises(ValueError, match="masks must contain"):
        FolderData(kind="folder", root=".", images="{name}.png", masks="all.png", labels="camvid11")


def test_paths_name_a_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_PLACE", raising=False)
    with pytest.raises(SegError, match="NO_SUCH_PLACE is not set"):
        expand("${NO_SUCH_PLACE}/camvid")
    assert expand("${NO_SUCH_PLACE:-/tmp}/camvid") == Path("/tmp/camvid")
    monkeypatch.setenv("NO_SUCH_PLACE", "/here")
    assert expand("${NO_SUCH_PLACE}/camvid") == Path("/here/camvid")


def test_a_base_gives_what_a_file_leaves_out(tmp_path):
    (tmp_path / "whole.yaml").write_text(
        "data:\n  train: [{kind: synthetic, count: 8}]\n  val: [{kind: synthetic, count: 2}]\n"
        "augment: {crop: [32, 64], flip: 0.25}\nepochs: 3\n"
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "middle.yaml").write_text("base: ../whole.yaml\naugment: {rotate: 7.0}\nepochs: 5\n")
    own = tmp_path / "own.yaml"
    own.write_text("base: sub/middle.yaml\ndata: {train: [{kind: synthetic, count: 4, seed: 1}]}\n")
    config = load_run_config(own, ["epochs=9"])
    assert (config.epochs, config.augment.flip, config.augment.rotate) == (9, 0.25, 7.0)
    (source,) = config.data.train
    assert source == SyntheticData(kind="synthetic", count=4, seed=1)
    assert config.data.val[0] == SyntheticData(kind="synthetic", count=2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("base: own.yaml\n", "leads back to itself"),
        ("base: missing.yaml\n", "missing.yaml: no such file"),
        ("base: 3\n", "expected the path of a YAML file"),
    ],
)
def test_a_base_that_cannot_be_read_is_named(tmp_path, text, told):
    own = tmp_path / "own.yaml"
    own.write_text(text)
    with pytest.raises(SegError, match=told):
        load_run_config(own)


@pytest.mark.parametrize("override", ["augment.crop=[48]", "val_size=[60]", "augment.crop=48"])
def test_a_size_of_one_number_is_named(tmp_path, override):
    path = tmp_path / "run.yaml"
    path.write_text(TEXT)
    with pytest.raises(
        SegError, match=rf"{override.partition('=')[0]}: expected \[height, width\], such as \[512, 1024\]"
    ):
        load_run_config(path, [override])
