"""Covariance, whitening and hash against scikit-learn, NumPy and brute force."""

import numpy as np
import pytest

from train.codes import fit_hash, shrunk_covariance, whitening


def vectors(count, values, seed=0):
    """Correlated ones, some directions of which vary a hundred times as much as others."""
    generator = np.random.default_rng(seed)
    mix = generator.standard_normal((values, values)) * np.geomspace(0.1, 10, values)[:, None]
    return generator.standard_normal((count, values)) @ mix + 5


@pytest.mark.parametrize(("count", "values"), [(3, 20), (40, 30), (500, 12), (1, 4)])
def test_the_covariance_is_ledoit_and_wolfs(count, values):
    covariance = pytest.importorskip("sklearn.covariance")
    drawn = vectors(count, values)
    expected = covariance.LedoitWolf().fit(drawn - drawn.mean(0)).covariance_ if count > 1 else np.zeros((4, 4))
    np.testing.assert_allclose(shrunk_covariance(drawn), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("count", [10, 300])
def test_whitened_vectors_are_uncorrelated_and_of_variance_one(count):
    covariance = shrunk_covariance(vectors(count, 20))
    made = whitening(covariance)
    np.testing.assert_allclose(made.T @ covariance @ made, np.eye(20), atol=0.01)


def test_whitening_stands_what_never_varied():
    assert np.isfinite(whitening(np.zeros((3, 3)))).all()
    assert np.isfinite(whitening(np.diag([1.0, 0.0, 2.0]))).all()


def quantised(projected):
    """How far values are from their signs, in the best scale."""
    signs = np.where(projected > 0, 1.0, -1.0)
    return ((projected / np.abs(projected).mean() - signs) ** 2).mean()


def test_the_rotation_brings_values_nearer_to_their_signs_than_principal_directions_are():
    drawn = vectors(400, 60)
    drawn -= drawn.mean(0)
    made = fit_hash(drawn, seed=0)
    assert made.shape == (60, 32)
    np.testing.assert_allclose(made.T @ made, np.eye(32), atol=1e-9)
    principal = np.linalg.svd(drawn, full_matrices=False)[2][:32].T
    # it turns the principal directions, and no others
    np.testing.assert_allclose(principal @ principal.T @ made, made, atol=1e-9)
    start = principal @ np.linalg.qr(np.random.default_rng(0).standard_normal((32, 32)))[0]
    assert quantised(drawn @ made) < 0.98 * quantised(drawn @ start) < quantised(drawn @ principal)


@pytest.mark.parametrize("values", [8, 60])
def test_near_vectors_differ_in_few_bits(values):
    drawn = vectors(300, values)
    drawn -= drawn.mean(0)
    drawn /= drawn.std(0)
    made = fit_hash(drawn, seed=0)
    bits = drawn @ made > 0
    assert len(np.unique(bits.T, axis=0)) >= 30  # also where there are fewer values than bits
    assert (np.abs(bits.mean(0) - 0.5) < 0.15).all()
    generator = np.random.default_rng(1)
    moved = [((drawn + scale * generator.standard_normal(drawn.shape)) @ made > 0) ^ bits for scale in (0.03, 0.3, 3.0)]
    near, far, farthest = (change.mean() for change in moved)
    assert near < 0.02
    assert 3 * near < far < farthest < 0.5


def test_the_seed_decides_the_hash():
    drawn = vectors(50, 40)
    np.testing.assert_array_equal(fit_hash(drawn, seed=3), fit_hash(drawn, seed=3))
    assert np.abs(fit_hash(drawn, seed=3) - fit_hash(drawn, seed=4)).max() > 0.1
