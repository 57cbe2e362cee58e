"""Spectra of weights: random matrices are taken for random, and departures are seen where theory says so."""

import math

import numpy as np
import pytest

from rmt_vn.adapters.weight_spectra import spectrum_of
from rmt_vn.ensembles import haar


@pytest.mark.parametrize("shape", [(2, 2), (2, 300), (3, 64), (10, 10), (200, 10), (64, 64), (250, 300)])
def test_random_matrices_are_taken_for_random(shape):
    rng = np.random.default_rng(4)
    kinds = (
        rng.standard_normal,
        lambda shape: rng.uniform(-1, 1, shape),
        lambda shape: rng.choice([-1.0, 1.0], shape),
        lambda shape: np.clip(rng.standard_normal(shape), -2, 2),
        lambda shape: rng.standard_normal(shape) * (rng.random(shape) < 0.3) + 1e-9,
        lambda shape: np.atleast_2d(haar(max(shape), min(shape), rng=rng)),
    )
    for kind in kinds:
        for _ in range(4 if max(shape) > 200 else 60):
            assert spectrum_of(kind(shape)).departure is None, kind


@pytest.mark.parametrize("shape", [(64, 64), (30, 200), (250, 300)])
def test_departures_are_seen_where_theory_says_they_show(shape):
    """A spike shows beyond the threshold of Baik, Ben Arous and Péché, and not below it."""
    rng = np.random.default_rng(5)
    n_out, n_in = shape
    noise = rng.standard_normal(shape) / math.sqrt(n_in)
    threshold = (n_out / n_in) ** 0.25
    u, v = rng.standard_normal(n_out), rng.standard_normal(n_in)
    spike = np.outer(u / np.linalg.norm(u), v / np.linalg.norm(v))
    assert spectrum_of(noise + 0.7 * threshold * spike).departure is None
    ratio, told = spectrum_of(noise + 4 * threshold * spike).departure
    seen = noise + 4 * threshold * spike
    edge = np.sqrt(np.mean(seen**2)) * (math.sqrt(n_out) + math.sqrt(n_in))
    assert "largest singular value" in told and ratio == pytest.approx(np.linalg.norm(seen, 2) / edge, rel=0.02)
    # Rows of different sizes, and singular values that lie too close together.
    assert spectrum_of(noise * np.exp(rng.standard_normal((n_out, 1)))).departure is not None
    if n_out == n_in:
        near = haar(n_out, rng=rng) + 0.1 * noise
        ratio, told = spectrum_of(near).departure
        values = np.linalg.svd(near, compute_uv=False) ** 2
        by_hand = n_out**2 * np.sum(values**2) / np.sum(values) ** 2 / (2 * n_out + 1)
        assert "fourth powers" in told and ratio == pytest.approx(by_hand, rel=0.02)


def test_an_orthogonal_matrix_that_is_not_haar():
    assert spectrum_of(haar(64, rng=0)).departure is None
    permutation = np.eye(64)[np.random.default_rng(0).permutation(64)]
    ratio, told = spectrum_of(permutation).departure
    assert ratio == pytest.approx(8) and "one entry" in told
