"""`seg pretrain`: an autoencoder from frames without labels, in the same loop, and training that starts from it."""

import json
import math

import pytest
import runs
import torch
import yaml
from PIL import Image

from seg.config import PretrainConfig, load_pretrain_config, load_run_config
from seg.data.synthetic import SyntheticScenes
from seg.errors import SegError
from seg.model.autoencoder import Autoencoder
from seg.model.checkpoint import load_autoencoder, load_meta, load_network
from train.batches import training_batches
from train.distributed import World
from train.loop import train_step
from train.plan import PlannedBatches
from train.run import RunDirectory
from train.setup import prepare

CPU = torch.device("cpu")
ENCODER = {"encoder": "resnet18", "encoder_options": {"depth": 3}, "code_channels": 8}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    scenes = SyntheticScenes(seed=0, size=(64, 96))
    for index in range(6):
        (folder / ("val" if index < 2 else "train")).mkdir(exist_ok=True)
        Image.fromarray(scenes.frame(index)[0]).save(folder / ("val" if index < 2 else "train") / f"{index}.png")
    return folder


def config(folder, **changes):
    made = {
        "data": {split: [{"kind": "images", "root": str(folder / split)}] for split in ("train", "val")},
        "model": {**ENCODER, "reconstruction_width": 16},
        "augment": {"crop": [48, 64]},
        "corruption": {"noise": 0.1, "blocks": 0.2, "block_size": 8},
        "optimizer": {"lr": 0.002},
        "epochs": 2,
        "batch_size": 2,
        "workers": 0,
        "device": "cpu",
        "checkpoint_every": 1,
        "val_size": [60, 92],
    }
    return made | changes


def write(path, folder, **changes):
    path.write_text(yaml.safe_dump(config(folder, **changes)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pretrained(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    ended = runs.seg(folder, "pretrain", write(folder / "tiny.yaml", pictures), "-o", folder / "run")
    assert ended.code == 0, ended.stderr
    return folder / "run", ended


def test_a_run_directory_like_that_of_training(pretrained):
    run, ended = pretrained
    assert {entry.name for entry in run.iterdir()} == {
        "checkpoints", "config.yaml", "environment.json", "metrics.jsonl", "report.html", "samples", "tensorboard",
    }  # fmt: skip
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if record["kind"] == "train"] == [1, 2, 3, 4]
    validations = [record for record in records if record["kind"] == "val"]
    figures = load_meta(run / "checkpoints" / "best").figures
    assert figures["psnr_restored"] == max(record["psnr_restored"] for record in validations)
    assert "its corrupted copy, dB" in ended.stdout
    page = (run / "report.html").read_text()
    assert "PSNR by step" in page
    assert f"{figures['psnr']:.4g}" in page
    assert len(list((run / "samples").glob("*.png"))) == 2


def test_the_same_weights_after_a_kill(pretrained, pictures, tmp_path):
    written = write(tmp_path / "tiny.yaml", pictures)
    kill = ("train.loop", "train_step", 3)
    killed = runs.seg(tmp_path, "pretrain", written, "-o", tmp_path / "run", hook=runs.before_call, given=kill)
    assert killed.code == -9
    resumed = runs.seg(tmp_path, "pretrain", written, "-o", tmp_path / "run", "--resume")
    assert resumed.code == 0, resumed.stderr
    ours, theirs = (load_autoencoder(run, "last")[0].state_dict() for run in (tmp_path / "run", pretrained[0]))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def alike(own, taken):
    """Whether one is a positive multiple of the other: what stands before a batch norm gets the scale of fresh weights."""
    own, taken = own.double().flatten(), taken.double().flatten()
    return torch.equal(own, taken) or float(own @ taken) > (1 - 1e-6) * float(own.norm() * taken.norm()) > 0


def test_training_starts_from_it(pretrained, tmp_path):
    run = pretrained[0]
    model = {**ENCODER, "decoder": "linknet", "decoder_options": {"channels": 8}}
    started = load_run_config(runs.write_config(tmp_path / "a.yaml", init=str(run), model=model))
    network = prepare(started, RunDirectory(tmp_path / "a"), World(), CPU).state.network
    taken = load_autoencoder(run)[0].state_dict()
    own = network.state_dict()
    assert all(alike(own[name], taken[name]) for name in taken if not name.startswith("reconstruction."))
    assert not any(name.startswith("reconstruction.") for name in own)


def test_reconstruction_goes_on_as_an_auxiliary_loss(pretrained, tmp_path):
    run = pretrained[0]
    model = {**ENCODER, "decoder": "linknet", "decoder_options": {"channels": 8}, "reconstruction": True}
    model["reconstruction_width"] = 16
    started = load_run_config(runs.write_config(tmp_path / "a.yaml", init=str(run), model=model))
    network = prepare(started, RunDirectory(tmp_path / "a"), World(), CPU).state.network
    own = network.state_dict()
    taken = load_autoencoder(run)[0].state_dict()
    assert all(alike(own[name], value) for name, value in taken.items())


def test_a_network_of_another_shape_is_refused(pretrained, tmp_path):
    model = {**ENCODER, "code_channels": 16, "decoder": "linknet", "decoder_options": {"channels": 8}}
    started = load_run_config(runs.write_config(tmp_path / "a.yaml", init=str(pretrained[0]), model=model))
    with pytest.raises(SegError, match="do not fit the network"):
        prepare(started, RunDirectory(tmp_path / "a"), World(), CPU)


def test_each_kind_of_run_says_what_it_is_not(pretrained, tmp_path_factory):
    with pytest.raises(SegError, match="knows no classes"):
        load_network(pretrained[0])
    with pytest.raises(SegError, match="made by `seg train`"):
        load_autoencoder(runs.trained(tmp_path_factory))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"penalty": {"rho": 1.0}}, "rho"),
        ({"penalty": {"l1": 1.0, "kl": 1.0}}, "exclude each other"),
        ({"penalty": {"kl": 1.0}}, "code_activation: sigmoid"),
        ({"penalty": {"contractive": 1.0}, "compile": True}, "leave compile out"),
        ({"loss": {"squared": 0.0}}, "nothing would be learned"),
        ({"corruption": {"nois": 0.1}}, "did you mean 'noise'"),
    ],
)
def test_a_config_that_cannot_be_meant(pictures, tmp_path, changes, said):
    path = write(tmp_path / "bad.yaml", pictures, **changes)
    with pytest.raises(SegError) as caught:
        load_pretrain_config(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def freeze_statistics(network):
    """Those of a batch differ from those of its parts."""
    network.eval()
    network.train = lambda mode=True: network


def losses(pictures, tmp_path, **changes):
    """The losses of one step on the same batch, whole and in two parts."""
    found = []
    for accumulate in (1, 2):
        made = PretrainConfig.model_validate(config(pictures, accumulate=accumulate, **changes))
        parts = prepare(made, RunDirectory(tmp_path / str(accumulate)), World(), CPU)
        freeze_statistics(parts.state.network)
        batch = next(training_batches(parts.train, made.augment, PlannedBatches(parts.plan, 0, 1, 0, 1), 0))
        found.append(train_step(parts, parts.task, batch))
    return found


def test_the_losses_of_parts_add_up(pictures, tmp_path):
    whole, in_parts = losses(pictures, tmp_path, penalty={"l1": 0.1})
    assert whole == pytest.approx(in_parts, rel=1e-5)


def test_compiled_is_what_a_step_calls(pictures, tmp_path, monkeypatch):
    """torch.compile itself takes half a minute, and is tested with `seg train`."""
    called = []

    def compiled(function, **_):
        return lambda *given: called.append(type(function.__self__).__name__) or function(*given)

    monkeypatch.setattr(torch, "compile", compiled)
    made = PretrainConfig.model_validate(config(pictures, compile=True))
    parts = prepare(made, RunDirectory(tmp_path), World(), CPU)
    parts.task.speed_up()
    batch = next(training_batches(parts.train, made.augment, PlannedBatches(parts.plan, 0, 1, 0, 1), 0))
    train_step(parts, parts.task, batch)
    assert called == [type(parts.state.network.encoder).__name__, "ReconstructionDecoder"]


@pytest.mark.parametrize(
    ("penalty", "activation"),
    [({"l1": 10.0}, "relu"), ({"kl": 10.0}, "sigmoid"), ({"contractive": 10.0}, "linear")],
)
def test_penalties_count(pictures, tmp_path, penalty, activation):
    model = {**ENCODER, "reconstruction_width": 16, "code_activation": activation}
    without = losses(pictures, tmp_path / "without", model=model)[0]
    counted = losses(pictures, tmp_path / "with", model=model, penalty=penalty)[0]
    assert math.isfinite(counted)
    assert counted > without * 1.01


@pytest.mark.parametrize(("activation", "low", "high"), [("relu", 0, math.inf), ("sigmoid", 0, 1)])
def test_activations_bound_the_code(activation, low, high):
    torch.manual_seed(0)
    network = Autoencoder(PretrainConfig.model_fields["model"].annotation(**ENCODER, code_activation=activation)).eval()
    code_BKHW = network.encode(torch.randint(0, 256, (2, 3, 40, 50), dtype=torch.uint8))
    assert code_BKHW.shape == (2, 8, 5, 7)
    assert low <= code_BKHW.min()
    assert code_BKHW.max() <= high
    _, frame_B3HW = network(torch.randint(0, 256, (2, 3, 40, 50), dtype=torch.uint8))
    assert frame_B3HW.shape == (2, 3, 40, 50)
