"""What is learned of vectors without a gradient: their covariance, what makes them uncorrelated, and a hash of them.

Shape suffixes: N vectors, D values each; 32 bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seg.model.monitor import BITS

Floats = npt.NDArray[np.float64]

ROUNDS = 50
"""Of iterative quantisation, as in the paper."""


def fit_hash(codes_ND: Floats, seed: int) -> Floats:
    """A projection of centred codes, (D, 32), whose signs are the bits of the hash: iterative quantisation.

    The codes' 32 principal directions are turned by the rotation that brings the values nearest to their signs (Gong and
    Lazebnik, Iterative quantization: a procrustean approach to learning binary codes, 2011). Codes of fewer values than 32
    get zeros beside them: the rotation then spreads them over all bits.
    """
    directions_DD = np.linalg.svd(codes_ND, full_matrices=False)[2][:BITS].T
    directions_D32 = np.zeros((codes_ND.shape[1], BITS))
    directions_D32[:, : directions_DD.shape[1]] = directions_DD
    values_N32 = codes_ND @ directions_D32
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((BITS, BITS)))[0]
    for _ in range(ROUNDS):
        signs_N32 = np.where(values_N32 @ rotation > 0, 1.0, -1.0)
        left, _, right = np.linalg.svd(values_N32.T @ signs_N32)
        rotation = left @ right
    return np.asarray(directions_D32 @ rotation)


def shrunk_covariance(values_ND: Floats) -> Floats:
    """The covariance of N vectors, (D, D), drawn towards a multiple of the identity as far as N is too few to know it.

    Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004.
    """
    count, values = values_ND.shape
    centred_ND = values_ND - values_ND.mean(0)
    sample_DD = centred_ND.T @ centred_ND / count
    target = np.trace(sample_DD) / values
    distance = np.square(sample_DD - target * np.eye(values)).sum()
    noise = (np.square(centred_ND).sum(1) ** 2).sum() / count**2 - np.square(sample_DD).sum() / count
    share = min(noise / distance, 1.0) if distance > 0 else 0.0
    return np.asarray((1 - share) * sample_DD + share * target * np.eye(values))


def whitening(covariance_DD: Floats) -> Floats:
    """W, (D, D), such that `differences @ W` of this covariance are uncorrelated and of variance 1."""
    values = len(covariance_DD)
    # a direction in which nothing varied would make any difference infinite
    floor = 1e-6 * max(np.trace(covariance_DD) / values, np.finfo(np.float32).tiny)
    factor_DD = np.linalg.cholesky(covariance_DD + floor * np.eye(values))
    return np.asarray(np.linalg.inv(factor_DD).T)
