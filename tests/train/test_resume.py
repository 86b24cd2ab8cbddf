"""A run that is killed, stopped or refused: what it leaves, and that `--resume` ends as if nothing had happened."""

import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import runs
from PIL import Image

from seg.errors import SegError
from seg.model.checkpoint import find_checkpoint, load_meta, load_network
from train.loop import _same_data

WRITTEN = ("weights.safetensors", "trained.safetensors", "optimizer.safetensors", "state.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run that every other one has to equal."""
    return runs.trained(tmp_path_factory)


@pytest.fixture
def train(tmp_path):
    config = runs.write_config(tmp_path / "tiny.yaml")

    def call(*arguments, **options):
        return runs.seg(tmp_path, "train", config, "-o", tmp_path / "run", *arguments, **options)

    return call


def assert_same_run(run, whole):
    for name in WRITTEN:
        made, expected = (root / "checkpoints" / "last" / name for root in (run, whole))
        assert made.read_bytes() == expected.read_bytes(), name
    best = "checkpoints/best/weights.safetensors"
    assert (run / best).read_bytes() == (whole / best).read_bytes()
    assert runs.losses(run) == runs.losses(whole)
    assert not list((run / "checkpoints").glob(".*"))


# three steps an epoch, a checkpoint every second step and after each validation; a checkpoint to resume from is three
# files, that of the best network one
KILLS = {
    "before the first checkpoint": (runs.before_call, ("train.loop", "train_step", 2)),
    "mid-epoch": (runs.before_call, ("train.loop", "train_step", 6)),
    "writing the first checkpoint": (runs.half_written, (2,)),
    "writing a later checkpoint": (runs.half_written, (12,)),
    "writing the best": (runs.half_written, (7,)),
    "before the old checkpoint steps aside": (runs.before_call, ("pathlib", "Path.rename", 2)),
    "between the two renames": (runs.before_call, ("seg.model.checkpoint", "Path.rename", 3)),
    "after a validation's record, before its checkpoint": (runs.before_call, ("train.monitor", "write_report", 2)),
    "before the last checkpoint": (runs.before_call, ("train.loop", "save_last", 6)),
}


@pytest.mark.parametrize("moment", KILLS)
def test_killed_and_resumed_is_bit_identical(train, whole, tmp_path, moment):
    hook, given = KILLS[moment]
    assert train(hook=hook, given=given).code == -signal.SIGKILL
    ended = train("--resume")
    assert ended.code == 0, ended.stderr
    assert_same_run(tmp_path / "run", whole)


def test_a_run_directory_stands_for_its_config(train, whole, tmp_path):
    """With the changes of the command that began it."""
    hook, given = KILLS["mid-epoch"]
    given_up = train("optimizer.lr=0.001", hook=hook, given=given)
    assert given_up.code == -signal.SIGKILL
    refused = train("--resume")
    assert refused.code == 2
    assert "cannot resume with another config (optimizer.lr" in refused.stderr
    assert runs.seg(tmp_path, "train", tmp_path / "run", "--resume").code == 0
    assert load_meta(tmp_path / "run/checkpoints/last").config.optimizer.lr == 0.001
    assert len(runs.losses(tmp_path / "run")) == len(runs.losses(whole))
    nothing = runs.seg(tmp_path, "train", tmp_path)
    assert nothing.code == 2
    assert nothing.stderr.splitlines()[-1] == f"seg: {tmp_path / 'config.yaml'}: no such file"


def test_killed_again_and_again(train, whole, tmp_path):
    """Each time between the two renames, where only the checkpoint of before is left."""
    checkpoints = tmp_path / "run" / "checkpoints"
    for number in (
        3,
        4,
        5,
    ):  # a save before the first validation, the one after it, and that again after a best of its own
        assert (
            train("--resume", hook=runs.before_call, given=("pathlib", "Path.rename", number)).code == -signal.SIGKILL
        )
        assert (checkpoints / ".last.old").is_dir()
        assert not (checkpoints / "last").exists()
    # the next save meets the checkpoint that stepped aside, and dies before the new one has its name
    assert train("--resume", hook=runs.before_call, given=("pathlib", "Path.rename", 1)).code == -signal.SIGKILL
    assert train("--resume").code == 0
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize(("module", "where"), [("loop", "train_step"), ("segmentation", "network_predictor")])
def test_a_signal_saves_and_says_where(train, whole, tmp_path, sent, code, module, where):
    ended = train(hook=runs.before_call, given=(f"train.{module}", where, 1, sent))
    assert ended.code == code
    step = 1 if where == "train_step" else 3
    assert re.search(
        rf"^seg: stopped at step {step} of 6; saved \S+/checkpoints/last; go on with --resume$", ended.stderr, re.M
    )
    assert "Traceback" not in ended.stderr
    assert load_network(tmp_path / "run")[1].steps == step
    assert train("--resume").code == 0
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_workers_too(tmp_path, whole, sent):
    """As a terminal sends Ctrl-C, and a service manager SIGTERM: to every process of the group."""
    config = runs.write_config(tmp_path / "tiny.yaml", workers=2)
    given = ("train.loop", "train_step", 2, sent, True)
    ended = runs.seg(tmp_path, "train", config, "-o", tmp_path / "run", hook=runs.before_call, given=given)
    assert ended.code == 128 + sent, ended.stderr
    assert "saved" in ended.stderr
    assert load_network(tmp_path / "run")[1].steps == 2
    ended = runs.seg(tmp_path, "train", config, "-o", tmp_path / "run", "--resume")
    assert ended.code == 0, ended.stderr
    assert_same_run(tmp_path / "run", whole)  # the number of workers changes nothing


def test_resuming_a_finished_run_changes_nothing(train, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    ended = train("--resume")
    assert ended.code == 0, ended.stderr
    assert "mean IoU" in ended.stdout
    assert_same_run(tmp_path / "run", whole)


def test_a_run_that_is_there_is_not_replaced(train, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    ended = train()
    assert ended.code == 2
    assert (
        ended.stderr
        == f"seg: {tmp_path / 'run'}: holds a run already; continue it with --resume, or choose another --out\n"
    )
    assert_same_run(tmp_path / "run", whole)


def test_another_config_is_refused(train, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    ended = train("batch_size=3", "--resume")
    assert ended.code == 2
    assert "cannot resume with another config (batch_size: was 2, now 3)" in ended.stderr
    assert f"init={tmp_path / 'run'} and another --out" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert_same_run(tmp_path / "run", whole)


def test_a_cut_checkpoint_is_one_line(train, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    weights = tmp_path / "run" / "checkpoints" / "last" / "trained.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    ended = train("--resume")
    assert ended.code == 2
    assert ended.stderr.startswith(f"seg: {weights}: not a readable safetensors file")
    assert ended.stderr.count("\n") == 1


def test_a_loss_that_is_not_finite_names_the_files(tmp_path):
    data = runs.folder_data(tmp_path / "data")
    config = runs.write_config(
        tmp_path / "tiny.yaml", data=data, checkpoint_every=1, optimizer={"lr": 1e30, "warmup": 0}
    )
    ended = runs.seg(tmp_path, "train", config, "-o", tmp_path / "run")
    assert ended.code == 2
    (line,) = ended.stderr.splitlines()
    step = int(re.search(r"not finite at step (\d+)", line)[1])
    named = re.findall(rf"{re.escape(str(tmp_path))}/data/train/(?:images|labels)/\d\.png", line)
    assert len(set(named)) == 4  # two frames and their labels
    # a resume would meet the same step again, and takes no other rate: what the line advises is done
    assert "--resume" not in line
    advice = re.search(r"(init=\S+) (optimizer\.lr=\S+) and another --out", line).groups()
    network, meta = load_network(tmp_path / "run", "last")
    assert meta.steps == step > 0
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))
    assert all(value.isfinite().all() for value in network.state_dict().values())
    assert Path(advice[0].removeprefix("init=")) == find_checkpoint(tmp_path / "run", "last")
    assert float(advice[1].removeprefix("optimizer.lr=")) == pytest.approx(3e29)


def test_a_loss_that_is_not_finite_before_anything_was_saved(tmp_path):
    config = runs.write_config(tmp_path / "tiny.yaml", optimizer={"lr": 1e38, "warmup": 0}, checkpoint_every=100)
    ended = runs.seg(tmp_path, "train", config, "-o", tmp_path / "run", "epochs=1", "epoch_size=400")
    assert ended.code == 2
    assert "start again with a lower rate" in ended.stderr
    assert "init=" not in ended.stderr


def own_labels(tmp_path, data):
    """Let `data` be read by a copy of its label file, which may then be edited."""
    labels = tmp_path / "mine.yaml"
    labels.write_text((runs.ROOT / "configs/labels/synthetic.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    for sources in data.values():
        sources[0]["labels"] = str(labels)

    def edit(*changes):
        text = labels.read_text(encoding="utf-8")
        for before, after in changes:
            assert before in text
            text = text.replace(before, after, 1)
        labels.write_text(text, encoding="utf-8")

    return edit


@pytest.mark.parametrize("mended", ["picture", "label file"])
def test_what_a_validation_cannot_read_costs_no_epoch(tmp_path, mended):
    """The steps before are kept, and a resume goes on once the picture or the label file is mended."""
    data = runs.folder_data(tmp_path / "data", val=40)
    edit = own_labels(tmp_path, data)
    odd = tmp_path / "data" / "val" / "labels" / "1.png"
    Image.fromarray(np.full((64, 96), 99, dtype=np.uint8)).save(odd)
    config = runs.write_config(tmp_path / "tiny.yaml", data=data, checkpoint_every=100)
    ended = runs.seg(tmp_path, "train", config, "-o", tmp_path / "run")
    assert ended.code == 2
    assert f"{odd}: raw labels that" in ended.stderr
    assert load_meta(tmp_path / "run" / "checkpoints" / "last").steps == 3
    if mended == "picture":
        Image.fromarray(np.zeros((64, 96), dtype=np.uint8)).save(odd)
    else:
        edit(("  13: cyclist", "  13: cyclist\n  99: tram"), ("vehicle: [vehicle]", "vehicle: [vehicle, tram]"))
    resumed = runs.seg(tmp_path, "train", config, "-o", tmp_path / "run", "--resume")
    assert resumed.code == 0, resumed.stderr
    assert ("99" in load_meta(tmp_path / "run" / "checkpoints" / "best").labels[1].reads) == (mended != "picture")


def test_records_that_a_kill_cut_short(train, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    metrics = tmp_path / "run" / "metrics.jsonl"
    text = metrics.read_text(encoding="utf-8")
    metrics.write_text(
        text + json.dumps({"kind": "train", "step": 7, "loss": 1.0}) + '\n{"kind": "tr', encoding="utf-8"
    )
    assert train("--resume").code == 0
    assert metrics.read_text(encoding="utf-8") == text


def test_labels_that_are_read_otherwise_by_now_are_refused(tmp_path):
    data = runs.folder_data(tmp_path / "data")
    edit = own_labels(tmp_path, data)
    config = runs.write_config(tmp_path / "tiny.yaml", data=data, epochs=1)
    assert runs.seg(tmp_path, "train", config, "-o", tmp_path / "run").code == 0
    # both classes are there before and after: no set of classes comes or goes
    edit(("road: [road]", "road: [road, pavement]"), ("building, pavement,", "building,"))
    ended = runs.seg(tmp_path, "train", tmp_path / "run", "--resume")
    assert ended.code == 2
    assert "labels are read otherwise than when the run began (synthetic: 4 was background, is road)" in ended.stderr
    measured = runs.seg(tmp_path, "eval", tmp_path / "run")
    assert measured.code == 0
    assert "labels are read otherwise than in training: synthetic: 4 was background, is road" in measured.stderr
    edit(("name: synthetic", "name: another"))
    assert "another: 4 was background" in runs.seg(tmp_path, "train", tmp_path / "run", "--resume").stderr


def test_a_run_from_before_labels_were_kept_goes_on_and_keeps_them(whole):
    meta = load_meta(whole / "checkpoints" / "last")
    assert _same_data(meta.model_copy(update={"labels": None}), meta).labels == meta.labels


def test_other_data_are_refused(whole):
    meta = load_meta(whole / "checkpoints" / "last")
    assert _same_data(meta, meta) == meta
    with pytest.raises(SegError, match=r"synthetic/0 \(6 frames\), now synthetic/0 \(7 frames\)"):
        _same_data(meta, meta.model_copy(update={"data_hash": "0", "data": ("synthetic/0 (7 frames)",)}))


DETAIL = {"encoder": "resnet18", "encoder_options": {"depth": 3}, "decoder": "detail", "code_channels": 8}


RECIPES = {
    "bf16": {"precision": "bf16", "loss": {"dice": 1.0}, "model": DETAIL},
    # everything that draws at random in a step, or that an optimiser keeps
    "muon": {
        "optimizer": {"kind": "muon", "lr": 0.002},
        "model": {
            "encoder": "dilated",
            "encoder_options": {"channels": [8, 8, 12, 16], "dilations": [1, 2], "drop_path": 0.5},
            "decoder": "detail",
            "code_channels": 8,
            "auxiliary": True,
        },
        "augment": {"crop": [48, 64], "focus": 0.5, "mix": 0.8},
        "loss": {"dice": 1.0, "region_step": 2},
    },
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_other_recipes_are_exact_too(tmp_path, recipe):
    config = runs.write_config(tmp_path / "tiny.yaml", **RECIPES[recipe])
    assert runs.seg(tmp_path, "train", config, "-o", tmp_path / "whole").code == 0
    kill = ("train.loop", "train_step", 6)
    killed = runs.seg(tmp_path, "train", config, "-o", tmp_path / "run", hook=runs.before_call, given=kill)
    assert killed.code == -signal.SIGKILL
    assert runs.seg(tmp_path, "train", config, "-o", tmp_path / "run", "--resume").code == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_the_weights_it_started_from_may_be_gone(whole, tmp_path):
    start = tmp_path / "start"
    shutil.copytree(whole, start)
    config = runs.write_config(tmp_path / "tiny.yaml", init=str(start))
    kill = ("train.loop", "train_step", 6)
    killed = runs.seg(tmp_path, "train", config, "-o", tmp_path / "run", hook=runs.before_call, given=kill)
    assert killed.code == -signal.SIGKILL
    shutil.rmtree(start)
    ended = runs.seg(tmp_path, "train", config, "-o", tmp_path / "run", "--resume")
    assert ended.code == 0, ended.stderr
