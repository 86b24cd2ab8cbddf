"""The claims about autoencoders, on small data where the answer is known, and their judges, which can say no."""

import json
import math
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA

from bench import patches, patches_codes, patches_data, patches_pixels
from bench.patches_data import Finding, Patches
from seg.model.autoencoder import Autoencoder
from train.penalties import jacobian_norm


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(count, variances, seed=0):
    """Rows of float64 numbers with these variances along random directions."""
    width = len(variances)
    axes, _ = torch.linalg.qr(torch.randn(width, width, generator=seeded(seed), dtype=torch.float64))
    scores = torch.randn(count, width, generator=seeded(seed + 1), dtype=torch.float64)
    return 0.5 + scores * torch.tensor(variances, dtype=torch.float64).sqrt() @ axes


def edges(count, seed=0):
    """Patches of one edge each, at any angle and place: two numbers describe one, and no straight line through them."""
    angle, place = torch.rand(2, count, 1, 1, generator=seeded(seed))
    across = torch.linspace(-1, 1, 16)
    height = torch.cos(2 * math.pi * angle) * across + torch.sin(2 * math.pi * angle) * across[:, None]
    grey = torch.sigmoid(6 * (height - 1.2 * (place - 0.5)))
    return (255 * grey).round().byte().unsqueeze(1).repeat(1, 3, 1, 1)


@pytest.fixture(scope="module")
def small():
    """Edges to learn from and others; a patch's class is whether its centre is bright."""
    train, held = edges(512), edges(256, seed=1)
    return Patches(train, held, *((each[:, 0, 8, 8] > 127).long() for each in (train, held)))


# --- a linear autoencoder ---------------------------------------------------------------------------------------------


def compared_with_pca(evaluations):
    numbers = gaussian(300, [4.0, 2.0, 1.0, 0.5, *[0.1] * 20])
    axes, error = patches_pixels.linear_autoencoder(numbers, 4, evaluations)
    judge = PCA(4).fit(numbers)
    return patches_pixels.largest_angle(axes, judge), error / patches_pixels.pca_error(judge, numbers)


def test_a_linear_autoencoder_ends_in_the_principal_subspace():
    angle, ratio = compared_with_pca(500)
    assert angle < 5
    assert 1 - 1e-9 < ratio < 1.01


def test_one_that_has_hardly_begun_does_not():
    angle, ratio = compared_with_pca(4)
    assert angle > 5
    assert ratio > 1.01


def test_the_finding_about_pca_is_met_and_can_be_missed(small, monkeypatch):
    monkeypatch.setattr(patches_pixels, "CODE", 2)
    monkeypatch.setattr(patches_pixels, "LINEAR_PATCHES", 128)
    monkeypatch.setattr(patches_pixels, "LINEAR_EVALUATIONS", 400)
    assert patches_pixels.pca(small).met
    monkeypatch.setattr(patches_pixels, "LINEAR_EVALUATIONS", 4)
    assert not patches_pixels.pca(small).met


# --- a nonlinear one, and one that copies -----------------------------------------------------------------------------


def test_a_nonlinear_code_of_two_beats_pca_on_edges(small, monkeypatch):
    monkeypatch.setattr(patches_pixels, "CODE", 2)
    monkeypatch.setattr(patches_pixels, "NONLINEAR_STEPS", 0)
    untrained = patches_pixels.nonlinear(small)
    assert untrained.rows[1][-1] == pytest.approx(1, abs=1e-3)  # it starts as PCA
    monkeypatch.setattr(patches_pixels, "BATCH", 64)
    monkeypatch.setattr(patches_pixels, "NONLINEAR_STEPS", 600)
    trained = patches_pixels.nonlinear(small)
    assert trained.met
    assert trained.rows[1][-1] < 0.9


def test_an_overcomplete_code_that_is_not_trained_to_copy_is_found_out(small, monkeypatch):
    monkeypatch.setattr(patches_pixels, "COPYING_STEPS", 2)
    finding = patches_pixels.copy(small)
    assert not finding.met
    assert [row[0] for row in finding.rows] == ["pixels", "linear code", "ReLU code"]
    assert finding.rows[1][1] < 40


def test_the_probe_finds_what_is_there_and_nothing_else():
    codes, classes = torch.randn(400, 6, generator=seeded()), torch.arange(400) % 2
    told = codes + 3 * classes[:, None]
    assert patches_pixels.probe((told[:200], classes[:200]), (told[200:], classes[200:])) > 95
    assert patches_pixels.probe((codes[:200], classes[:200]), (codes[200:], classes[200:])) < 65


# --- codes under penalties --------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    thin = patches_codes.NETWORK.replace("16, 16, 32, 64", "8, 8, 8, 16").replace("64", "16")
    monkeypatch.setattr(patches_codes, "NETWORK", thin)
    monkeypatch.setattr(patches_codes, "BATCH", 32)


def test_kl_brings_the_activity_to_rho(small, quick):
    activities = []
    for weight, steps in ((0.0, 10), (1.0, 60)):
        # as few steps as these take large ones
        keys = "model.code_activation=sigmoid", f"penalty={{kl: {weight}, rho: 0.15}}", "optimizer.lr=0.1"
        network = patches_codes.learn(small, *keys, steps=steps)
        activities.append(float(patches_codes.codes_of(network, small.held_N3SS).mean()))
    assert abs(activities[0] / 0.15 - 1) > 1
    assert abs(activities[1] / 0.15 - 1) < 0.2


def test_training_rebuilds_patches(small, quick):
    errors = []
    for steps in (1, 30):
        network = patches_codes.learn(small, steps=steps)
        codes = patches_codes.codes_of(network, small.held_N3SS)
        errors.append(patches_codes.error_of(network, small.held_N3SS, codes))
    assert errors[1] < 0.5 * errors[0]
    with torch.inference_mode():
        made = network(small.held_N3SS).frame_B3HW
    assert errors[1] == pytest.approx(float((made - small.held_N3SS.float()).div(255).square().mean()), rel=1e-5)
    assert patches_codes.decibels(errors[1]) == pytest.approx(-10 * math.log10(errors[1]))


def test_the_jacobian_is_that_of_the_penaltys_own_judge(small):
    torch.manual_seed(0)
    network = patches_codes.learn(small, "model.code_channels=5", steps=0)
    assert isinstance(network, Autoencoder)
    unit = small.held_N3SS[:3].float() / 255
    expected = jacobian_norm(lambda patch: network.encode(255 * patch), unit).mean()
    assert patches_codes.exact_norm(network, unit) == pytest.approx(float(expected), rel=1e-4)
    with torch.no_grad():
        network.projection.weight.mul_(2)
    assert patches_codes.exact_norm(network, unit) == pytest.approx(4 * float(expected), rel=1e-4)


# --- patches, and the command -----------------------------------------------------------------------------------------


@pytest.fixture
def camvid(tmp_path):
    """Two frames a split in CamVid's layout, whose grey says their class: 20 times it."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for index in range(2):
            classes = np.kron(random.permutation(12).reshape(3, 4), np.ones((16, 16))).astype(np.uint8)
            for folder, pixels in ((split, np.dstack([20 * classes] * 3)), (f"{split}annot", classes)):
                (tmp_path / folder).mkdir(exist_ok=True)
                Image.fromarray(pixels).save(tmp_path / folder / f"{index}.png")
    return tmp_path


def test_patches_go_with_the_class_of_their_centre(camvid):
    cut = patches_data.cut(camvid)
    assert cut.train_N3SS.shape == cut.held_N3SS.shape == (2 * patches_data.PER_FRAME, 3, 16, 16)
    for numbers, classes in ((cut.train_N3SS, cut.train_class_N), (cut.held_N3SS, cut.held_class_N)):
        known, named = patches_data.labelled(numbers, classes)
        assert 0 < len(known) < len(numbers)  # class 11 is ignore
        assert torch.equal(known[:, 0, 8, 8].long(), 20 * named)
    assert not torch.equal(cut.train_N3SS, cut.held_N3SS)
    assert torch.equal(patches_data.cut(camvid).train_N3SS, cut.train_N3SS)


def test_the_middle_of_a_patch():
    patch = torch.arange(3 * 16 * 16).remainder(256).byte().view(1, 3, 16, 16)
    middle = patches_data.centre(patch, 8)
    assert torch.equal(middle.view(3, 8, 8), patch[0, :, 4:12, 4:12] / 255)


def test_the_command_prints_rows_and_ends_with_1_where_one_is_missed(camvid, tmp_path, monkeypatch, capsys):
    found = {
        name: Finding(name, "0.5", "< 1", name != "bad", ["a", "b"], [["x", 0.123456]]) for name in ("good", "bad")
    }
    monkeypatch.setattr(patches, "CLAIMS", {name: lambda _, name=name: found[name] for name in found})

    def run(*claims):
        monkeypatch.setattr(
            sys, "argv", ["patches", *claims, "--data", str(camvid), "--json", str(tmp_path / "j.json"), "--overwrite"]
        )
        patches.main()

    run("good")
    said = capsys.readouterr().out
    assert "| good | 0.5 | < 1 | yes |" in said
    assert "| x | 0.1235 |" in said
    assert json.loads((tmp_path / "j.json").read_text())["good"]["table"] == [{"a": "x", "b": 0.123456}]
    with pytest.raises(SystemExit, match="1"):
        run()
    assert "| bad | 0.5 | < 1 | NO |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        run("other")
    monkeypatch.setattr(sys, "argv", ["patches", "--data", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="no folder"):
        patches.main()
