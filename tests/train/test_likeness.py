"""Structural similarity and PSNR against other implementations, and the loss against its formulas."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from seg.config import ReconstructionLossConfig
from seg.errors import SegError
from train.likeness import ReconstructionLoss, psnr, ssim

quick = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 10_000)
sizes = st.tuples(st.integers(11, 24), st.integers(11, 24))


def images(seed, size=(16, 20), batch=2):
    """Smooth images with some noise, in 0..1: similarity of plain noise is near zero whatever one does."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")
    return (smooth + 0.05 * torch.randn(batch, 3, *size, generator=generator)).clamp(0, 1)


def pair(seed, strength, size=(16, 20)):
    noise = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(seed + 1))
    return images(seed, size), (images(seed, size) + strength * noise).clamp(0, 1)


def formula(mean_a, mean_b, variance_a, variance_b, covariance):
    c1, c2 = 0.01**2, 0.03**2
    above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return above / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))


def ssim_by_windows(a, b):
    """One image, window by window, each variance about its own window's mean; float64."""
    place = np.arange(11) - 5
    weight = np.exp(-(place[:, None] ** 2 + place[None] ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    values = []
    for channel in range(3):
        for y in range(a.shape[1] - 10):
            for x in range(a.shape[2] - 10):
                one, two = (image[channel, y : y + 11, x : x + 11] for image in (a, b))
                mean_a, mean_b = (weight * one).sum(), (weight * two).sum()
                off_a, off_b = one - mean_a, two - mean_b
                moments = ((weight * product).sum() for product in (off_a**2, off_b**2, off_a * off_b))
                values.append(formula(mean_a, mean_b, *moments))
    return float(np.mean(values))


def ssim_by_scipy(a, b):
    """Three channels, with scipy's Gaussian filter, cut at 5 pixels; float64."""

    def blur(image):
        return gaussian_filter(image, (0, 1.5, 1.5), truncate=3.5)[:, 5:-5, 5:-5]

    mean_a, mean_b = blur(a), blur(b)
    moments = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    return float(formula(mean_a, mean_b, *moments).mean())


@settings(quick, max_examples=6)
@given(seeds, st.floats(0, 0.5), st.tuples(st.integers(11, 15), st.integers(11, 15)))
def test_ssim_is_that_of_windows_one_by_one(seed, strength, size):
    a, b = pair(seed, strength, size)
    expected = [ssim_by_windows(*images) for images in zip(a.double().numpy(), b.double().numpy(), strict=True)]
    torch.testing.assert_close(ssim(a, b), torch.tensor(expected, dtype=torch.float32), rtol=0, atol=1e-5)


@quick
@given(seeds, st.floats(0, 0.5), sizes)
def test_ssim_is_that_of_scipys_filter(seed, strength, size):
    a, b = pair(seed, strength, size)
    expected = [ssim_by_scipy(*images) for images in zip(a.double().numpy(), b.double().numpy(), strict=True)]
    torch.testing.assert_close(ssim(a, b), torch.tensor(expected, dtype=torch.float32), rtol=0, atol=2e-5)


@quick
@given(seeds, seeds, sizes)
def test_ssim_is_symmetric_bounded_and_one_for_equals(seed, other, size):
    a, b = images(seed, size), images(other, size)
    value = ssim(a, b)
    assert value.shape == (2,)
    torch.testing.assert_close(value, ssim(b, a), rtol=0, atol=1e-6)
    assert (value.abs() <= 1 + 1e-6).all()
    torch.testing.assert_close(ssim(a, a), torch.ones(2), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (0.2, 0.8), (0.5, 0.5), (1.0, 0.98)])
def test_ssim_of_flat_images_is_that_of_their_brightness(a, b):
    value = ssim(torch.full((1, 3, 20, 20), a), torch.full((1, 3, 20, 20), b))
    assert float(value) == pytest.approx((2 * a * b + 1e-4) / (a * a + b * b + 1e-4), abs=1e-4)


def test_ssim_falls_with_noise_and_is_negative_for_a_negative():
    values = [float(ssim(*pair(0, strength)).mean()) for strength in (0, 0.02, 0.1, 0.3)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[1] > values[2] > values[3]
    board = (torch.arange(20)[:, None] + torch.arange(20)) % 2 * 0.8 + 0.1
    board = board.expand(1, 3, 20, 20)
    assert float(ssim(board, 1 - board)) < -0.9


def test_ssim_says_what_is_too_small():
    with pytest.raises(SegError, match="at least 11x11, got 10x30"):
        ssim(torch.rand(1, 3, 10, 30), torch.rand(1, 3, 10, 30))


@quick
@given(seeds, st.floats(0.001, 0.5))
def test_psnr_is_opencvs(seed, strength):
    a, b = ((255 * image).round().to(torch.uint8) for image in pair(seed, strength))
    expected = [min(100, cv2.PSNR(one.numpy(), two.numpy())) for one, two in zip(a, b, strict=True)]
    torch.testing.assert_close(psnr(a, b), torch.tensor(expected, dtype=torch.float32), rtol=0, atol=1e-3)


def test_psnr_of_known_errors_and_of_none():
    target = torch.full((3, 3, 8, 8), 100, dtype=torch.uint8)
    made = target.float() + torch.tensor([0.0, 1.0, -25.5]).view(3, 1, 1, 1)
    values = psnr(made, target)
    assert values.tolist() == pytest.approx([100, 20 * math.log10(255), 20], abs=1e-4)


# --- the loss ---------------------------------------------------------------------------------------------------------


def loss_of(made, target, **weights):
    config = ReconstructionLossConfig(**{"squared": 0.0, **weights})
    return ReconstructionLoss(config)(made, target)


def naive(made, target):
    """Each term from its formula, float64, pixels in 0..1."""
    p, t = made.double() / 255, target.double() / 255
    safe = p.clamp(1e-6, 1 - 1e-6)
    return {
        "squared": float((p - t).square().mean()),
        "absolute": float((p - t).abs().mean()),
        "cross_entropy": float(-(t * safe.log() + (1 - t) * (1 - safe).log()).mean()),
        "ssim": 1 - np.mean([ssim_by_scipy(a.numpy(), b.numpy()) for a, b in zip(p, t, strict=True)]),
    }


@quick
@given(seeds, st.floats(0, 0.5), st.lists(st.floats(0.1, 3), min_size=4, max_size=4))
def test_the_loss_is_the_weighted_sum_of_its_terms(seed, strength, weights):
    a, b = pair(seed, strength)
    made, target = 255 * a, (255 * b).round().to(torch.uint8)
    expected = naive(made, target)
    for name, value in expected.items():
        assert float(loss_of(made, target, **{name: 2.0})) == pytest.approx(2 * value, rel=1e-4, abs=5e-5)
    together = dict(zip(expected, weights, strict=True))
    total = sum(together[name] * value for name, value in expected.items())
    assert float(loss_of(made, target, **together)) == pytest.approx(total, rel=1e-4, abs=2e-4)


def test_a_perfect_reconstruction_costs_nothing_but_the_entropy():
    target = (255 * images(0)).round().to(torch.uint8)
    assert float(loss_of(target.float(), target, squared=1.0, absolute=1.0, ssim=1.0)) == pytest.approx(0, abs=1e-6)
    made = target.float().requires_grad_()
    least = loss_of(made, target, cross_entropy=1.0)
    least.backward()
    assert made.grad.abs().max() < 1e-6
    assert least > 0.1
    assert loss_of(target.float() + 3, target, cross_entropy=1.0) > least


@pytest.mark.parametrize("term", ["squared", "absolute", "cross_entropy", "ssim"])
def test_each_term_teaches(term):
    target = (255 * images(0)).round().to(torch.uint8)
    logits = torch.zeros(target.shape, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        loss = loss_of(255 * logits.sigmoid(), target, **{term: 1.0})
        loss.backward()
        optimizer.step()
    assert float(psnr(255 * logits.detach().sigmoid(), target).mean()) > {"ssim": 18}.get(term, 25)


@pytest.mark.parametrize("value", [0.0, 255.0])
def test_the_ends_of_the_scale_are_finite(value):
    made = torch.full((1, 3, 12, 12), value, requires_grad=True)
    target = torch.full((1, 3, 12, 12), 255 - value)
    loss = loss_of(made, target, squared=1.0, absolute=1.0, cross_entropy=1.0, ssim=1.0)
    loss.backward()
    assert loss.isfinite()
    assert made.grad.isfinite().all()


def test_autocast_and_bfloat16_are_computed_in_float32():
    a, b = pair(0, 0.1)
    made, target = (255 * a).bfloat16(), (255 * b).round().to(torch.uint8)
    weights = {"squared": 1.0, "absolute": 1.0, "cross_entropy": 1.0, "ssim": 1.0}
    expected = loss_of(made.float(), target, **weights)
    with torch.autocast("cpu", torch.bfloat16):
        under = loss_of(made, target, **weights)
        similar = ssim(a, b)
    assert under.dtype == similar.dtype == torch.float32
    torch.testing.assert_close(under, expected)
    torch.testing.assert_close(similar, ssim(a, b))
