"""Measures: speed beside numpy, and the full study of bias and coverage.

`python -m pytest tests/benchmarks -k measures`. The study prints a table, asserts what the docstrings claim, and takes
some minutes.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
from side_by_side import Lane

sys.path.insert(0, str(Path(__file__).parents[1]))

from populations import POPULATIONS, TAILS, Study, covariance, mixing, sample

from rmt_vn.measures import participation_ratio, vni

try:
    import dimensionality
except ImportError:
    dimensionality = None


# --- speed ------------------------------------------------------------------------------------------------------------


def numpy_vni(x):
    return np.mean(np.corrcoef(x, rowvar=False) ** 2)


@pytest.mark.parametrize("shape", [(100_000, 1000), (500, 10_000)])
def test_vni_of_float32_activations(race, row, shape):
    x = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    ours = Lane("`vni`", lambda: vni(x))
    obvious = Lane("numpy `corrcoef`, mean square", lambda: numpy_vni(x))
    # The floor: one float32 product of half a matrix, which nothing that forms the correlations can do without.
    smaller = x if shape[0] > shape[1] else x.T
    product = Lane("the float32 product alone", lambda: smaller.T @ smaller)
    if race(ours, obvious, product, rounds=3):
        assert ours.results[-1].plug_in == pytest.approx(obvious.results[-1], rel=1e-5)
        row(f"VNI of {shape[0]} × {shape[1]} float32 activations, with its error", ours, obvious, product)


# --- bias and coverage ------------------------------------------------------------------------------------------------


# What 95% intervals are to hold, and in which direction they may miss it by chance.
BOUNDS = ((0.92, -1), (0.97, 1))


@pytest.mark.parametrize("tails", TAILS)
@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize("nodes", [20, 100])
def test_bias_and_coverage(capsys, nodes, name, tails):
    repeats = 1000 if nodes == 20 else 500
    lines, coverages, failures = [], [], []
    for n_samples in (5, 8, 20, 60, nodes * 10):
        study = Study(vni, name, tails, n_samples, nodes=nodes, repeats=repeats)
        noise = 4 * study.spread / repeats**0.5
        bias, plug_in_bias = study.bias / study.truth, study.plug_in_bias / study.truth
        lines.append(
            f"N = {nodes}, {name}, {tails}, P = {n_samples}: VNI {study.truth:.4f}, bias {bias:+.1%} ="
            f" {study.bias / study.spread:+.2f} standard errors (plug-in {plug_in_bias:+.1%}),"
            f" stated error/true {study.relative_stderr:.2f}, coverage {study.coverage():.1%}"
        )
        # k = 4 standard errors of the study on top of what is claimed.
        if abs(study.bias) > max(0.02 * study.truth, 0.2 * study.spread) + noise:
            failures.append(lines[-1])
        coverages.append(study.coverage())
        if coverages[-1] < 0.92 - 4 * (0.92 * 0.08 / repeats) ** 0.5:
            failures.append(lines[-1])
    # Of one case so much as 97% is not told from 100%; of five together it is.
    low, high = (share + sign * 4 * (share * (1 - share) / (5 * repeats)) ** 0.5 for share, sign in BOUNDS)
    if not low < np.mean(coverages) < high:
        failures.append(f"{np.mean(coverages):.1%} on average")
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert not failures


@pytest.mark.skipif(dimensionality is None, reason="python -m pip install dimensionality")
@pytest.mark.parametrize("tails", TAILS)
@pytest.mark.parametrize("name", POPULATIONS)
def test_participation_ratio_beside_another_package(capsys, name, tails):
    a = mixing(name, 48)
    c = covariance(a)
    truth = np.trace(c) ** 2 / np.sum(c**2)
    rng = np.random.default_rng(3)
    for n_samples in (10, 50, 200):
        draws = [sample(a, n_samples, tails, rng) for _ in range(100)]
        theirs = np.array([dimensionality.participation_ratio(x, return_all=True)["row"] for x in draws])
        ours = np.array([participation_ratio(x, corrected=True) for x in draws])
        plain = np.array([participation_ratio(x) for x in draws])
        within = (theirs > 1) & (theirs < 48)
        np.testing.assert_allclose(ours[within], theirs[within], rtol=1e-8)
        # Beyond the bounds, where the denominator may have any sign, ours stops at them.
        assert np.isin(ours[~within], [1, 48]).all()
        with capsys.disabled():
            print(
                f"\n{name}, {tails}, P = {n_samples}: participation ratio {truth:.2f}, medians: corrected "
                f"{np.median(ours):.2f}, `dimensionality` (row) {np.median(theirs):.2f}, plain {np.median(plain):.2f}"
            )
