"""Calibrating a run: what is written, that the score means what it says, and what mistakes get."""

import json
import shutil

import numpy as np
import pytest
import runs
import torch
from PIL import Image

from seg.config import PretrainConfig
from seg.data.base import LabelledData
from seg.data.open import open_data
from seg.data.synthetic import SyntheticScenes
from seg.errors import SegError
from seg.files import sha256
from seg.geometry import fit_frame
from seg.model.autoencoder import Autoencoder
from seg.model.checkpoint import PretrainMeta, load_network, save_checkpoint
from seg.model.monitor import META, TENSORS, Monitor, MonitorShape, describe, load_monitor, shrink
from train import calibrate as calibrating
from train.calibrate import Cuts, calibrate, fit_decoder, fit_score

HELD_OUT, UNSEEN = 24, 16


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of frames to calibrate on."""
    folder = tmp_path_factory.mktemp("pictures") / "held-out"
    folder.mkdir()
    scenes = SyntheticScenes(seed=0, size=(64, 96))
    for index in range(HELD_OUT):
        Image.fromarray(scenes.frame(2000 + index)[0]).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def calibrated(pictures, tmp_path_factory):
    """A calibrated copy of the run that tests share, and what was fitted."""
    run = tmp_path_factory.mktemp("calibrated") / "run"
    shutil.copytree(runs.trained(tmp_path_factory), run)
    return run, calibrate(run, frames=pictures, steps=30)


@pytest.fixture
def fresh(tmp_path_factory, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs.trained(tmp_path_factory), run)
    return run


def held(run):
    return sorted(entry.name for entry in (run / "checkpoints" / "best").iterdir())


def judge(run, frames):
    """The novelty of each frame, uint8 RGB (H, W, 3)."""
    network, _ = load_network(run)
    monitor = load_monitor(run / "checkpoints" / "best")
    batch = torch.from_numpy(np.stack([fit_frame(frame, (60, 92)) for frame in frames])).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return monitor(network(batch).code_BKHW, batch).novelty_B.numpy()


def test_what_is_written(calibrated, tmp_path_factory):
    run, meta = calibrated
    best = run / "checkpoints" / "best"
    assert held(run) == ["meta.json", META, TENSORS, "weights.safetensors"]
    assert json.loads((best / META).read_text()) == meta.model_dump(mode="json")
    assert (meta.train_frames, meta.held_out_frames, meta.steps, meta.size) == (6, HELD_OUT, 30, (60, 92))
    assert meta.held_out == (f"images/held-out ({HELD_OUT} frames)",)
    assert (meta.shape.channels, meta.shape.stride, meta.shape.values) == (8, 8, 16)
    assert meta.weights_hash == sha256(best / "weights.safetensors")
    # the network is what it was
    assert meta.weights_hash == sha256(runs.trained(tmp_path_factory) / "checkpoints" / "best" / "weights.safetensors")
    assert list(meta.distances.values()) == sorted(meta.distances.values())
    assert 5 < meta.psnr < 40


def test_the_same_run_makes_the_same_monitor(calibrated, fresh, pictures):
    before = torch.get_rng_state()
    torch.manual_seed(7)
    again = calibrate(fresh, frames=pictures, steps=30)
    assert again == calibrated[1]
    torch.set_rng_state(before)


def test_held_out_frames_have_their_ranks_as_scores(calibrated, pictures):
    run, _ = calibrated
    frames = [np.array(Image.open(path)) for path in sorted(pictures.iterdir())]
    expected = np.arange(1, HELD_OUT + 1) / (HELD_OUT + 1)
    np.testing.assert_allclose(np.sort(judge(run, frames)), expected, atol=0.02)


def test_blank_frames_are_more_novel_than_scenes(calibrated):
    run, _ = calibrated
    scenes = SyntheticScenes(seed=0, size=(64, 96))
    unseen = [scenes.frame(3000 + index)[0] for index in range(UNSEEN)]
    usual = judge(run, unseen)
    assert 0.25 < np.median(usual) < 0.8
    strange = [np.zeros_like(unseen[0]), np.full_like(unseen[0], 255)]
    assert judge(run, strange).min() > np.quantile(usual, 0.9)


class Sources(LabelledData):
    """Sources of so many frames, with weights."""

    def __init__(self, sizes, weights):
        self._readers, self._given = sizes, weights
        self._ends = list(np.cumsum(sizes))

    def weights(self):
        shares = [weight / size for size, weight in zip(self._readers, self._given, strict=True) for _ in range(size)]
        return np.array(shares) / np.sum(shares)


def test_frames_are_drawn_as_in_training():
    assert LabelledData.drawn(Sources([7, 5], [7, 5]), 100) == list(range(12))
    tenth = LabelledData.drawn(Sources([63, 40], [63, 40]), 10)
    assert (len(tenth), np.ptp(np.diff(tenth))) == (10, 1)
    # half of the frames from a thousandth of the items; all three of a source that should give more
    items = np.array(LabelledData.drawn(Sources([100, 3, 100_000], [0.5, 0.1, 0.4]), 80))
    counts, _ = np.histogram(items, [0, 100, 103, 100_103])
    assert counts.tolist() == [40, 3, 32]
    assert np.ptp(np.diff(items[items < 100])) <= 1


def table(distances):
    monitor = Monitor(MonitorShape(channels=2, stride=8, width=2, quantiles=101))
    fit_score(monitor, distances)
    return lambda values: monitor.score(torch.as_tensor(values, dtype=torch.float32)).numpy()


@pytest.mark.parametrize("count", [30, 100, 400])
def test_a_level_is_the_share_of_normal_frames_below_it(count):
    """Over many calibrations; of one alone the share is uncertain, the more so the fewer the frames."""
    generator = np.random.default_rng(0)
    shares = np.mean(
        [
            [(table(generator.gumbel(size=count))(generator.gumbel(size=500)) > level).mean() for level in (0.5, 0.9)]
            for _ in range(40)
        ],
        axis=0,
    )
    np.testing.assert_allclose(shares, [0.5, 0.1], atol=0.03)


def test_beyond_all_held_out_frames_is_above_all_their_levels():
    distances = np.random.default_rng(0).standard_normal(50)
    score = table(distances)
    beyond = score(distances.max() + np.array([0.0, 0.1, 1.0, 10.0]))
    assert beyond[0] == pytest.approx(50 / 51, abs=1e-5)
    assert (np.diff(beyond) > 0).all()
    assert beyond[-1] < 1


def test_the_decoder_learns_to_make_pictures_from_codes():
    """Codes that hold the mean colour of each place: it comes near the pictures, which are of these colours."""
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(12, 3, 6, 8, generator=generator)
    pictures = (255 * colours).repeat_interleave(2, 2).repeat_interleave(2, 3).to(torch.uint8)
    cuts = Cuts(torch.cat([colours, 1 - colours], 1).half(), pictures, torch.zeros(12, 12))
    torch.manual_seed(0)
    monitor = Monitor(MonitorShape(channels=6, stride=8, width=16, quantiles=2))

    def error():
        with torch.inference_mode():
            made = monitor.eval().reconstruct(cuts.codes_NKHW.float(), (12, 16))
            return float((made - pictures).square().mean().sqrt())

    before = error()
    fit_decoder(monitor, cuts, steps=150, seed=0)
    assert not monitor.training
    assert error() < 0.4 * before


def test_large_codes_are_cut(fresh, pictures, monkeypatch):
    """What is kept of a frame is bounded; the decoder's pictures are of the same place as its codes."""
    kept = []

    def looked_at(monitor, cuts, *_):
        kept.append(cuts)
        monitor.eval()

    monkeypatch.setattr(calibrating, "PLACES", 3)
    monkeypatch.setattr(calibrating, "fit_decoder", looked_at)
    calibrate(fresh, frames=pictures, steps=1)
    (cuts,) = kept
    assert cuts.codes_NKHW.shape == (6, 8, 3, 3)
    assert cuts.pictures_N3hw.shape == (6, 3, 6, 6)
    network, meta = load_network(fresh)
    frame = torch.from_numpy(fit_frame(open_data(meta.config.data.train, meta.ontology).frame(4), (60, 92)))
    frame = frame.permute(2, 0, 1)[None]
    with torch.inference_mode():
        code = network.encode(frame)
    torch.testing.assert_close(describe(code)[0], cuts.described_ND[4])
    small = shrink(frame)[0].round()
    places = [
        (top, left)
        for top in range(code.shape[2] - 2)
        for left in range(code.shape[3] - 2)
        if torch.allclose(code[0, :, top : top + 3, left : left + 3], cuts.codes_NKHW[4].float(), atol=0.01, rtol=0.01)
    ]
    assert len(places) == 1
    (top, left) = places[0]
    torch.testing.assert_close(cuts.pictures_N3hw[4].float(), small[:, 2 * top : 2 * top + 6, 2 * left : 2 * left + 6])


def test_too_few_held_out_frames(fresh, tmp_path):
    with pytest.raises(SegError, match=r"synthetic/0 \(3 frames\): too few .* at least 20 frames .* --frames"):
        calibrate(fresh)
    assert held(fresh) == ["meta.json", "weights.safetensors"]
    (tmp_path / "none").mkdir()
    with pytest.raises(SegError, match=r"no pictures under") as caught:
        calibrate(fresh, frames=tmp_path / "none")
    assert "trained on" not in str(caught.value)  # those are there


def test_frames_that_were_trained_on_are_not_held_out(tmp_path):
    """They would make all others novel."""
    data = runs.folder_data(tmp_path / "data", train=24)
    config = runs.write_config(tmp_path / "tiny.yaml", data=data, epochs=1, epoch_size=2)
    ended = runs.seg(tmp_path, "train", config, "-o", tmp_path / "run")
    assert ended.code == 0, ended.stderr
    with pytest.raises(SegError, match=r"24 of these frames were trained on.*--frames"):
        calibrate(tmp_path / "run", frames=tmp_path / "data" / "train" / "images", steps=1)


def test_nothing_is_replaced_unasked(fresh, pictures):
    first = calibrate(fresh, frames=pictures, steps=1)
    with pytest.raises(SegError, match=r"monitor.json: exists already; give --overwrite"):
        calibrate(fresh, frames=pictures, steps=2)
    second = calibrate(fresh, frames=pictures, steps=2, overwrite=True)
    assert second.steps == 2
    assert second.tensors_hash != first.tensors_hash


def test_an_interruption_leaves_nothing(fresh, pictures, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(calibrating, "fit_score", interrupted)
    with pytest.raises(KeyboardInterrupt):
        calibrate(fresh, frames=pictures, steps=1)
    assert held(fresh) == ["meta.json", "weights.safetensors"]


def test_damaged_weights(fresh, pictures, monkeypatch):
    network, meta = load_network(fresh)
    with torch.no_grad():
        network.projection.bias[0] = float("nan")
    save_checkpoint(fresh / "checkpoints" / "best", meta, {"weights": network.state_dict()})
    with pytest.raises(SegError, match="codes of training frames are not finite"):
        calibrate(fresh, frames=pictures, steps=1)


def test_a_pretraining_run_is_refused(tmp_path, pictures):
    source = {"kind": "images", "root": str(pictures)}
    model = {"encoder": "resnet18", "encoder_options": {"depth": 3}, "code_channels": 8, "reconstruction_width": 16}
    config = PretrainConfig.model_validate(
        {"data": {"train": [source], "val": [source]}, "model": model, "augment": {"crop": [48, 64]}}
    )
    about = {"run": "tiny", "steps": 4, "size": (60, 92), "data": ("images",), "data_hash": "", "config_hash": ""}
    meta = PretrainMeta(**about, versions={}, config=config)
    folder = tmp_path / "run" / "checkpoints" / "best"
    save_checkpoint(folder, meta, {"weights": Autoencoder(config.model).state_dict()})
    with pytest.raises(SegError, match="was made by `seg pretrain` and knows no classes"):
        calibrate(tmp_path / "run", frames=pictures)
    assert sorted(entry.name for entry in folder.iterdir()) == ["meta.json", "weights.safetensors"]


def test_the_command(fresh, pictures, seg):
    code, out, err = seg("calibrate", fresh, "--frames", pictures, "--steps", 1)
    assert code == 0
    assert "monitor.json: a code of 16 values and a hash of 32 bits" in out
    assert "fitted to 6 training frames" in out
    assert f"calibrated on {HELD_OUT} held-out frames (images/held-out ({HELD_OUT} frames))" in out
    assert "PSNR of" in out
    assert f"novelty above {HELD_OUT / (HELD_OUT + 1):.2f} is extrapolated" in err
    code, _, err = seg("calibrate", fresh, "--frames", pictures)
    assert (code, err.count("\n")) == (2, 1)
    assert "--overwrite" in err
    code, _, err = seg("calibrate", fresh, "--device", "cuda:7", "--overwrite", "--frames", pictures)
    assert (code, err.count("\n")) == (2, 1)
