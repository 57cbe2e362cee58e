"""Singular values of deep products: all of them against those that plain multiplication keeps, and their limiting law.

No time is asserted.
"""

import functools

import numpy as np
import pytest
from side_by_side import Lane, assert_same_mean
from test_benchmarks_samplers import if_torch, torch
from test_laws_spectrum import fuss_catalan_by_mpmath, top_edge

from rmt_vn import Network, laws, samplers
from rmt_vn.laws.spectrum.free_probability.s_transforms import spectrum_of
from rmt_vn.laws.spectrum.free_probability.whole_spectrum import curve_of

try:
    from freealg.distributions import FussCatalan
except ImportError:
    FussCatalan = None


def numpy_product(width, depth, rng):
    return log_svd_of_product(rng.standard_normal((width, width)) for _ in range(depth))


def log_svd_of_product(matrices):
    """The plain way; in units of √width, so that nothing is out of range."""
    product = functools.reduce(lambda product, matrix: matrix @ product, (each / len(each) ** 0.5 for each in matrices))
    return np.log(np.linalg.svd(product, compute_uv=False))


def torch_product(width, depth):
    product = torch.randn(width, width, dtype=torch.float64) / width**0.5
    for _ in range(depth - 1):
        product = (torch.randn(width, width, dtype=torch.float64) / width**0.5) @ product
    return torch.log(torch.linalg.svdvals(product)).numpy()


def random_numbers_and_operations(width, depth, rng):
    """No product of random triangles does with less: its normal numbers, and n³/3 operations at the speed of matmul."""
    matrix = rng.standard_normal((depth, width * (width + 1) // 2))[0, 0] * np.eye(width)
    for _ in range(depth // 6):
        matrix @ matrix


def sampled(width, depth, rng):
    return samplers.sample_log_singular_values(Network.uniform(width, depth, activation="linear"), 1, rng=rng)[0]


def test_short_products_are_the_same_by_all_methods():
    """Means of ln s_k over 300 networks, and the sum of all, of which the exact mean is known."""
    law = laws.mean_log_determinant(Network.uniform(8, 6, activation="linear")) / 2
    rng = np.random.default_rng(1)
    draws = [sampled(8, 6, rng) for _ in range(300)]
    truth = {"expected": np.mean(draws, axis=0), "expected_stderr": np.std(draws, axis=0, ddof=1) / len(draws) ** 0.5}
    assert_same_mean(np.sum(draws, axis=1), law)
    assert_same_mean([numpy_product(8, 6, rng) for _ in range(300)], **truth)
    if torch:
        assert_same_mean([torch_product(8, 6) for _ in range(300)], **truth)


def test_singular_values_of_deep_products(race, row):
    width = depth = 256
    rng = np.random.default_rng(2)
    ours = Lane("`sample_log_singular_values`, all", lambda: sampled(width, depth, rng))
    plain = Lane("numpy product and SVD", lambda: numpy_product(width, depth, rng))
    in_torch = Lane("torch product and `svdvals`, float64", if_torch(lambda: torch_product(width, depth)))
    matrices = rng.standard_normal((depth, width, width))
    given = Lane("`log_singular_values` of given matrices, all", lambda: samplers.log_singular_values(matrices))
    floor = Lane(
        "floor: random numbers and multiplications alone", lambda: random_numbers_and_operations(width, depth, rng)
    )
    if race(ours, plain, in_torch, given, floor):
        right = np.abs(log_svd_of_product(matrices) - given.results[0] + depth / 2 * np.log(width)) < 0.01
        plain.note = in_torch.note = f"{np.count_nonzero(right)} of {width} within 1%"
        row(
            f"singular values of a product of {depth} Gaussian {width} × {width} matrices",
            ours,
            plain,
            in_torch,
            given,
            floor,
        )


# --- the law of wide products -----------------------------------------------------------------------------------------


def cold_density(depth, x):
    """All that a first call takes."""
    curve_of.cache_clear()
    spectrum_of.cache_clear()
    return laws.spectral_density(Network.uniform(100, depth, activation="linear"), x)


def if_freealg(run):
    return run if FussCatalan else None


def accuracy(density, right):
    """What is wrong with some densities, in words."""
    error = np.abs(density / right - 1)
    return f"largest error {error.max():.0e}, {np.mean(error > 0.1):.0%} off by more than 10%"


@pytest.mark.parametrize("depth", [1, 2, 5, 10, 50])
def test_densities_of_deep_products(race, row, depth):
    # Evenly over the support: what freealg itself takes for a plot.
    x = top_edge(depth) * (np.arange(1000) + 0.5) / 1000
    ours = Lane("`spectral_density`, a first call", lambda: cold_density(depth, x))
    closed = Lane("`fuss_catalan_density`", lambda: laws.fuss_catalan_density(depth, x))
    free = Lane("freealg `FussCatalan`", if_freealg(lambda: FussCatalan(depth).density(x)))
    closer = Lane("freealg, η = 1e-9", if_freealg(lambda: FussCatalan(depth).density(x, eta=1e-9)))
    some = np.arange(0, 1000, 20)
    right = np.array([fuss_catalan_by_mpmath(depth, point) for point in x[some]])
    assert np.abs(cold_density(depth, x)[some] / right - 1).max() < 1e-8
    if race(ours, closed, free, closer):
        for lane in (ours, closed, free, closer):
            if lane.run:
                lane.note = accuracy(lane.run()[some], right)
        row(f"1000 densities of the product of {depth} wide Gaussian matrices", ours, closed, free, closer)
