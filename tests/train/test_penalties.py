"""The penalties against their formulas, and the contractive estimate against the exact norm."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from train.penalties import contractive_penalty, drop_channels, jacobian_norm, kl_penalty, l1_penalty

quick = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 10_000)
rhos = st.floats(0.005, 0.995)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def code_of(seed, size=(2, 5, 3, 4)):
    return torch.rand(size, generator=seeded(seed))


def constant(*activities):
    return torch.tensor(activities).view(1, -1, 1, 1).expand(2, -1, 3, 4)


def conv_net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 3, 3, stride=2, padding=1), nn.Softplus()
    )


# --- l1 ---------------------------------------------------------------------------------------------------------------


@quick
@given(seeds, st.floats(0, 10))
def test_l1_is_the_mean_absolute_code(seed, scale):
    code = scale * (code_of(seed) - 0.5)
    assert float(l1_penalty(code)) == pytest.approx(sum(abs(v) for v in code.flatten().tolist()) / 120, rel=1e-5)
    assert float(l1_penalty(torch.cat([code, code]))) == pytest.approx(float(l1_penalty(code)), rel=1e-5)


def test_l1_pulls_every_value_alike():
    code = torch.tensor([-3.0, -1e-3, 1e-3, 2.0]).view(1, 4, 1, 1).requires_grad_()
    l1_penalty(code).backward()
    assert code.grad.flatten().tolist() == [-0.25, -0.25, 0.25, 0.25]


# --- Kullback-Leibler -------------------------------------------------------------------------------------------------


def divergence(rho, activity):
    return rho * math.log(rho / activity) + (1 - rho) * math.log((1 - rho) / (1 - activity))


@quick
@given(seeds, rhos)
def test_kl_is_the_mean_divergence_of_the_channels_activities(seed, rho):
    code = code_of(seed)
    expected = [divergence(rho, float(code[:, k].double().mean())) for k in range(5)]
    assert float(kl_penalty(code, rho)) == pytest.approx(sum(expected) / 5, rel=1e-4, abs=1e-5)


@quick
@given(rhos, rhos)
def test_kl_is_zero_where_the_activity_is_rho_and_only_there(rho, activity):
    assert float(kl_penalty(constant(rho), rho)) == pytest.approx(0, abs=1e-6)
    if abs(activity - rho) > 0.01:
        assert float(kl_penalty(constant(activity), rho)) > 1e-5


@quick
@given(rhos, rhos)
def test_kl_treats_on_and_off_alike(rho, activity):
    on, off = kl_penalty(constant(activity), rho), kl_penalty(constant(1 - activity), 1 - rho)
    assert float(on) == pytest.approx(float(off), rel=1e-3, abs=1e-6)


@quick
@given(seeds)
def test_kl_asks_for_a_mean_and_not_for_where(seed):
    code = code_of(seed)
    shuffled = code.movedim(1, -1).flatten(0, 2)[torch.randperm(24, generator=seeded(seed))]
    shuffled = shuffled.view(2, 3, 4, 5).movedim(-1, 1)
    torch.testing.assert_close(kl_penalty(shuffled, 0.1), kl_penalty(code, 0.1))
    # half of the places on and half off is an activity of one half, for the divergence
    halves = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 5, 3, 4)
    assert float(kl_penalty(halves, 0.5)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("rho", [1e-9, 0.05, 0.5, 1 - 1e-9])
@pytest.mark.parametrize("activity", [0.0, 1e-30, 1.0])
def test_kl_is_finite_at_the_ends_and_points_back(rho, activity):
    code = constant(activity).clone().requires_grad_()
    value = kl_penalty(code, rho)
    value.backward()
    assert value.isfinite()
    assert code.grad.isfinite().all()
    if 0.01 < rho < 0.99:
        assert value > 0.1
        assert (code.grad.sign() == (1 if activity > rho else -1)).all()


def test_kl_teaches_a_sigmoid_code_its_activity():
    logits = torch.randn(4, 6, 5, 5, generator=seeded(0)).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        kl_penalty(logits.sigmoid(), 0.05).backward()
        optimizer.step()
    activity = logits.sigmoid().mean((0, 2, 3))
    assert ((activity - 0.05).abs() < 0.01).all()


# --- contractive ------------------------------------------------------------------------------------------------------


def test_the_exact_norm_is_that_of_torchs_jacobian():
    net = conv_net()
    frame = torch.rand(3, 2, 5, 6, generator=seeded(0))
    jacobians = torch.func.vmap(torch.func.jacrev(lambda one: net(one[None])[0]))(frame)
    expected = jacobians.flatten(1).square().sum(1)
    with torch.no_grad():
        norm = jacobian_norm(net, frame)
    torch.testing.assert_close(norm, expected, rtol=1e-5, atol=1e-6)
    assert not norm.requires_grad
    assert not frame.requires_grad


@quick
@given(seeds, st.integers(1, 6), st.integers(1, 6))
def test_the_exact_norm_of_a_linear_map_is_that_of_its_matrix(seed, size, code_size):
    matrix = torch.randn(code_size, size, generator=seeded(seed))
    norm = jacobian_norm(lambda x: x @ matrix.T, torch.randn(4, size, generator=seeded(seed + 1)))
    torch.testing.assert_close(norm, matrix.square().sum().expand(4), rtol=1e-5, atol=1e-6)


def estimates(net, frame, projections, count):
    values = [contractive_penalty(net, frame, projections, seeded(seed)).item() for seed in range(count)]
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("projections", [1, 3])
def test_the_estimate_is_unbiased(projections):
    net, frame = conv_net(), torch.rand(2, 2, 6, 6, generator=seeded(1))
    exact = float(jacobian_norm(net, frame).mean())
    values = estimates(net, frame, projections, 600)
    error = float(values.std()) / math.sqrt(len(values))
    assert error < 0.02 * exact  # or the next line would say nothing
    assert abs(float(values.mean()) - exact) < 3 * error


def test_more_projections_scatter_less():
    net, frame = conv_net(), torch.rand(1, 2, 6, 6, generator=seeded(1))
    ratio = estimates(net, frame, 1, 300).var() / estimates(net, frame, 8, 300).var()
    assert 5 < float(ratio) < 13  # 8, and about a tenth is its error


def test_the_estimate_is_exact_for_a_code_of_one_number():
    """A sign squared is 1, so each vector answers with the norm itself, and so does the gradient."""
    weight = torch.tensor([3.0, -2.0, 0.5], requires_grad=True)
    value = contractive_penalty(lambda x: (x @ weight).unsqueeze(1), torch.rand(4, 3), 2, seeded(0))
    value.backward()
    assert value.item() == pytest.approx(13.25)
    torch.testing.assert_close(weight.grad, 2 * weight.detach())


def test_the_estimates_gradient_is_unbiased():
    matrix = torch.randn(4, 3, generator=seeded(0), requires_grad=True)
    for seed in range(2000):
        contractive_penalty(lambda x: x @ matrix.T, torch.rand(1, 3), 1, seeded(seed)).backward()
    torch.testing.assert_close(matrix.grad / 2000, 2 * matrix.detach(), rtol=0, atol=0.4)
    assert matrix.detach().abs().max() > 1  # against which that is little


def test_learning_on_the_estimate_shrinks_the_exact_norm():
    net, frame = conv_net(), torch.rand(2, 2, 6, 6, generator=seeded(1))
    before = jacobian_norm(net, frame).mean()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.002)
    for seed in range(20):
        optimizer.zero_grad()
        contractive_penalty(net, frame, 1, seeded(seed)).backward()
        optimizer.step()
    assert jacobian_norm(net, frame).mean() < 0.8 * before


def test_the_generator_decides_and_the_input_is_left_alone():
    net, frame = conv_net(), torch.rand(2, 2, 6, 6, generator=seeded(1))
    first, second, other = (contractive_penalty(net, frame, 1, seeded(seed)) for seed in (4, 4, 5))
    assert first == second
    assert first != other
    assert not frame.requires_grad
    assert all(parameter.grad is None for parameter in net.parameters())
    whole = contractive_penalty(net, torch.full((1, 2, 6, 6), 7, dtype=torch.uint8), 1, seeded(4))
    assert whole == contractive_penalty(net, torch.full((1, 2, 6, 6), 7.0), 1, seeded(4))


# --- dropout of channels ----------------------------------------------------------------------------------------------


@quick
@given(seeds, st.floats(0.01, 0.95))
def test_whole_channels_are_dropped_and_the_others_scaled(seed, share):
    code = code_of(seed) + 0.1
    dropped = drop_channels(code, share, seeded(seed))
    gone = (dropped == 0).flatten(2)
    assert torch.equal(gone.all(2), gone.any(2))
    expected = torch.where(gone.all(2)[..., None, None], torch.zeros(()), code / (1 - share))
    torch.testing.assert_close(dropped, expected)
    assert torch.equal(dropped, drop_channels(code, share, seeded(seed)))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_share_of_dropped_channels_and_the_mean_are_right(share):
    dropped = drop_channels(torch.ones(100, 100, 1, 1), share, seeded(0))
    error = math.sqrt(share * (1 - share) / 10_000)
    assert float((dropped == 0).double().mean()) == pytest.approx(share, abs=4 * error)
    assert float(dropped.double().mean()) == pytest.approx(1, abs=4 * error / (1 - share))


def test_no_share_no_change():
    code = code_of(0)
    assert torch.equal(drop_channels(code, 0.0), code)


def test_without_a_generator_torchs_own_decides():
    code = code_of(0, (4, 64, 1, 1))
    torch.manual_seed(3)
    first = drop_channels(code, 0.5)
    torch.manual_seed(3)
    assert torch.equal(first, drop_channels(code, 0.5))
    assert not torch.equal(first, drop_channels(code, 0.5))


def test_no_gradient_reaches_a_dropped_channel():
    code = code_of(0).requires_grad_()
    dropped = drop_channels(code, 0.4, seeded(2))
    dropped.sum().backward()
    gone = dropped.detach() == 0
    assert 0 < int(gone.sum()) < gone.numel()
    assert not code.grad[gone].any()
    torch.testing.assert_close(code.grad[~gone], torch.full_like(code.grad[~gone], 1 / 0.6))
