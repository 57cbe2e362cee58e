"""The law of ρ: against closed forms, its spectral integral at 25 digits, exact moments, and samples."""

from functools import cache
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from oracles import diffusion_transform, gaussian_transform, gaussian_transforms, inversion_density, mean_over_live
from scipy import stats

from rmt_vn import Network, laws
from rmt_vn.samplers import sample_correlation

PROMISED = 1e-10


def linear(*widths, **kind):
    return Network(widths, activation="linear", **kind)


def uniform(width, depth, activation="linear", **kind):
    return Network.uniform(width, depth, activation=activation, **kind)


# --- one Gaussian layer: ρ² ~ Beta(1/2, (n−1)/2) ----------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4, 10, 100, 10**6])
def test_one_gaussian_layer(n):
    network, student = linear(n, 5), stats.t(n - 1)
    # Far into the tails: z = ρ √n up to 35, or 1 − ρ down to 1e-6.
    rho = np.array([1e-3, 0.5, 1.0, 3.0, 10.0, 20.0, 35.0]) / np.sqrt(n)
    rho = np.where(rho < 1, rho, 1 - 1e-6 / rho)
    rest = (1 - rho) * (1 + rho)
    density = np.exp((n - 3) / 2 * (np.log1p(-rho) + np.log1p(rho)) - float(mp.log(mp.beta(0.5, (n - 1) / 2))))
    beyond = 2 * student.sf(rho * np.sqrt((n - 1) / rest))
    assert laws.correlation_density(network, rho) == pytest.approx(density, rel=PROMISED)
    assert laws.correlation_p_value(network, rho) == pytest.approx(beyond, rel=PROMISED)
    assert laws.correlation_cdf(network, -rho) == pytest.approx(beyond / 2, rel=PROMISED)
    p = np.array([1e-12, 0.01, 0.2, 0.45])
    quantile = student.ppf(p)
    assert laws.correlation_quantile(network, p) == pytest.approx(quantile / np.sqrt(n - 1 + quantile**2), rel=1e-9)
    for half in (1, 2, 5):
        moment = mp.rf(0.5, half) / mp.rf(mp.mpf(n) / 2, half)
        assert laws.correlation_moment(network, 2 * half) == pytest.approx(float(moment), rel=PROMISED)


# --- the spectral integral at 25 digits -------------------------------------------------------------------------------


def masked(n, nu):
    """E m_k, k ~ Bin(n, 1/2) given k ≥ 1."""
    return mean_over_live(gaussian_transforms(n, nu), 0.5)


SPECTRAL = {
    "t = 0.05": (0.05, lambda nu: diffusion_transform(mp.mpf(0.05), nu)),
    "t = 1": (1.0, lambda nu: diffusion_transform(1, nu)),
    "t = 50": (50.0, lambda nu: diffusion_transform(50, nu)),
    "linear": (uniform(20, 10), lambda nu: gaussian_transform(20, nu) ** 10),
    "rectangular": (
        linear(6, 2, 4, 5),
        lambda nu: gaussian_transform(6, nu) * gaussian_transform(2, nu) * gaussian_transform(4, nu),
    ),
    "relu": (uniform(6, 3, "relu"), lambda nu: gaussian_transform(6, nu) * masked(6, nu) ** 2),
    # Haar factors fall as powers of ν: deep, so that the sum ends.
    "haar relu": (
        uniform(4, 25, "relu", weights="orthogonal"),
        lambda nu: (masked(4, nu) / gaussian_transform(4, nu)) ** 24,
    ),
}


@cache
def spectrum(name):
    """Nodes ν and weight × M(ν): the trapezoid rule errs by e^{−π/h}, and M(ν) has fallen by 1e-18 at the end."""
    step, transform, nodes = mp.mpf(1) / 13, SPECTRAL[name][1], []
    while not nodes or len(nodes) < 10 or nodes[-1][1] > 1e-18 * nodes[0][1]:
        nu = step * (len(nodes) + 1)
        weight = nu * mp.sinh(mp.pi * nu) * abs(mp.gamma(0.25 + 0.5j * nu)) ** 4 / (4 * mp.pi**3)
        nodes.append((nu, step * weight * transform(nu)))
    return nodes


def spectral(name, rho):
    """Density of ρ, and P(|ρ'| > ρ)."""
    y = mp.atanh(mp.mpf(rho))
    z, density, within = -(mp.sinh(y) ** 2), mp.mpf(0), mp.mpf(0)
    for nu, weight in spectrum(name):
        half = 0.5j * nu
        density += weight * mp.hyp2f1(0.25 + half, 0.25 - half, 0.5, z).real
        within += weight * mp.hyp2f1(1.25 + half, 1.25 - half, 1.5, z).real
    return density * mp.cosh(y) ** 3, 1 - within * mp.cosh(y) * mp.sinh(2 * y)


@pytest.mark.parametrize("name", SPECTRAL)
def test_spectral_integral(name):
    law = SPECTRAL[name][0]
    for rho in (0.02, 0.3, 0.9):
        with mp.workdps(25):
            density, beyond = map(float, spectral(name, rho))
        assert laws.correlation_density(law, rho) == pytest.approx(density, rel=PROMISED)
        assert laws.correlation_p_value(law, rho) == pytest.approx(beyond, rel=PROMISED, abs=1e-14)


def test_the_diffusion_far_out():
    # McKean's integral: all terms positive, so good where P is 1e-50.
    def density(y, t):
        def integrand(w):
            far = mp.cosh(mp.sqrt(y**2 + 2 * t * w))
            return mp.exp(-w) * mp.ellipk((far - mp.cosh(y)) / (far + mp.cosh(y))) / mp.sqrt(far + mp.cosh(y))

        scale = 4 * mp.sqrt(2) * mp.cosh(y) * mp.exp(-t / 8 - y**2 / (2 * t)) * t * (2 * mp.pi * t) ** -1.5
        return scale * mp.quad(integrand, [0, 1, 4, 12, 30, 60])

    t = mp.mpf("0.01")
    for rho in (0.3, 0.9):
        with mp.workdps(18):
            y = mp.atanh(mp.mpf(rho))
            at = density(y, t) * mp.cosh(y) ** 2
        assert laws.correlation_density(float(t), rho) == pytest.approx(float(at), rel=PROMISED)
    # ∫_y^∞ in units of t/y, by which the density falls to 1/e.
    x, weight = np.polynomial.legendre.leggauss(24)
    with mp.workdps(18):
        steps = [t / y * (15 + 15 * mp.mpf(float(u))) for u in x]
        beyond = 2 * 15 * t / y * mp.fdot(weight.tolist(), [density(y + step, t) for step in steps])
    assert 0 < beyond < 1e-45
    assert laws.correlation_p_value(float(t), 0.9) == pytest.approx(float(beyond), rel=PROMISED)


# --- moments ----------------------------------------------------------------------------------------------------------

LAWS = {
    "0.003": 0.003,
    "1": 1.0,
    "5": 5.0,
    "linear": uniform(20, 10),
    "relu": uniform(12, 5, "relu"),
    "haar relu": uniform(12, 5, "relu", weights="orthogonal"),
    "haar": linear(6, 12, 8, 15, 9, weights="orthogonal"),
    "dropout": uniform(9, 6, keep=0.7),
    "few nodes": linear(2, 2, 3),
    "shallow haar relu": Network((5, 4, 3), activation="relu", weights="orthogonal"),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_mass_and_moments_of_the_density(law):
    # By Gauss–Legendre panels in y, ρ = tanh y, the finer the nearer to zero, where the density may be infinite. Beyond
    # y = 12 rounding leaves too little of 1 − ρ.
    ends = np.array([0, *np.geomspace(1e-7, 12, 20)])
    x, weight = np.polynomial.legendre.leggauss(14)
    y = (ends[:-1, None] + ends[1:, None] + x * np.diff(ends)[:, None]) / 2
    rho = np.tanh(y)
    mass = 2 * laws.correlation_density(law, rho) / np.cosh(y) ** 2 * weight * np.diff(ends)[:, None] / 2
    start = laws.correlation_p_value(law, 0.0) - laws.correlation_p_value(law, 1e-300)
    beyond = laws.correlation_p_value(law, np.tanh(12.0))
    tolerance = 1e-10 if start < 1e-12 else 2e-8
    assert mass.sum() + start + beyond == pytest.approx(1, abs=tolerance)
    for order in (2, 4, 6):
        moment = np.sum(mass * rho**order) + beyond
        assert laws.correlation_moment(law, order) == pytest.approx(moment, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("t", [1e-9, 0.003, 0.1, 1.0, 7.0, 50.0, 400.0])
def test_second_and_fourth_moment_of_the_universal_law(t):
    assert laws.correlation_moment(t, 2) == pytest.approx(laws.universal_vni(t), rel=PROMISED)
    # E ρ⁴ = (3R + R′ − 1)/2 = ∫ ν tanh(πν) ĥ [1 − (3/2 − c/4) e^{−ct/2}], c = ν² + ¼.
    with mp.workdps(30):

        def integrand(nu):
            c = nu**2 + mp.mpf(1) / 4
            return inversion_density(nu) * (1 - (1.5 - c / 4) * diffusion_transform(t, nu))

        fourth = mp.quad(integrand, [0, 0.3, 1, 3, 8, 16, 45])
    assert laws.correlation_moment(t, 4) == pytest.approx(float(fourth), rel=PROMISED)


@pytest.mark.parametrize("network", [law for law in LAWS.values() if isinstance(law, Network)])
def test_second_moment_is_that_of_the_exact_vni(network):
    p, width = network.live_probability, network.widths[-1]
    k = np.arange(1, width + 1)
    alone = np.sum(stats.binom.pmf(k, width, p) / k) / (1 - (1 - p) ** width)
    vni = alone + (1 - alone) * laws.correlation_moment(network, 2)
    assert vni == pytest.approx(laws.exact_vni(network), rel=PROMISED)


def test_odd_moments_and_the_zeroth():
    for law in LAWS.values():
        assert [laws.correlation_moment(law, order) for order in (0, 1, 3)] == [1, 0, 0]


# --- limits -----------------------------------------------------------------------------------------------------------


def test_normal_at_small_depth():
    # √t p(√t z) = φ(z) (1 + t p_1(z)), p_1 of fourth degree: at z = 6, t = 1e-12 is 1e-9 of it.
    z, t = np.array([0.0, 0.1, 1.0, 3.0, 6.0]), 1e-12
    assert laws.correlation_density(t, z * np.sqrt(t)) * np.sqrt(t) == pytest.approx(stats.norm.pdf(z), rel=1e-9)
    assert laws.correlation_p_value(t, z * np.sqrt(t)) == pytest.approx(2 * stats.norm.sf(z), rel=1e-9)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
def test_wide_networks_have_the_universal_law(weights):
    # Networks of t near 1. The correction is of relative order 1/width, so it halves as the width doubles.
    rho, errors = np.array([0.05, 0.4, 0.9]), []
    for width in (2000, 4000):
        network = uniform(width, width // 2, "relu", weights=weights)
        t = laws.effective_depth(network)
        errors.append(laws.correlation_p_value(network, rho) - laws.correlation_p_value(t, rho))
    assert np.max(np.abs(errors)) < 5e-3
    assert errors[0] / errors[1] == pytest.approx([2, 2, 2], rel=0.02)


def test_very_deep_networks_have_merged():
    rho = np.array([0.0, 0.5, 1 - 1e-12])
    for law in (600.0, 700.0, np.inf, uniform(3, 5000), linear(4, 1, 4)):
        assert laws.correlation_p_value(law, rho) == pytest.approx([1, 1, 1], abs=1e-12)
        assert laws.correlation_quantile(law, [0.0, 0.3, 0.7, 1.0]).tolist() == [-1, -1, 1, 1]
        assert laws.correlation_moment(law, 2) == pytest.approx(1, abs=1e-12)
        assert np.max(laws.correlation_density(law, rho[:2])) < 1e-30


@pytest.mark.parametrize("law", [0, 0.0, linear(6, 6, 4, weights="orthogonal")])
def test_no_step_leaves_rho_at_zero(law):
    rho = np.array([-1.0, -1e-9, 0.0, 1e-9, 1.0])
    assert laws.correlation_cdf(law, rho).tolist() == [0, 0, 1, 1, 1]
    assert laws.correlation_p_value(law, rho).tolist() == [0, 0, 1, 0, 0]
    assert laws.correlation_density(law, rho).tolist() == [0, 0, 0, 0, 0]
    assert laws.correlation_quantile(law, [0.0, 0.5, 1.0]).tolist() == [0, 0, 0]
    assert laws.correlation_moment(law, 2) == 0


def test_atoms():
    # Two Haar layers of width 2 with a mask between: both of two nodes are live (1/3), or one (2/3).
    law = Network((2, 2, 2), activation="relu", weights="orthogonal")
    rho = np.array([-1.5, -1.0, -0.5, -1e-9, 0.0, 0.5, 1.0, 1.5])
    assert laws.correlation_cdf(law, rho) == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1], rel=1e-14)
    assert laws.correlation_p_value(law, np.abs(rho[3:])) == pytest.approx([2 / 3, 1, 2 / 3, 2 / 3, 0], rel=1e-14)
    assert laws.correlation_quantile(law, [0.0, 0.3, 0.4, 0.6, 0.7, 1.0]).tolist() == [-1, -1, 0, 0, 1, 1]
    # With four nodes, 4 of 15 sets have one node, and one has all; the rest is continuous.
    law = Network((5, 4, 3), activation="relu", weights="orthogonal")
    assert laws.correlation_cdf(law, np.array([-1, -1e-300, 0])) == pytest.approx([2 / 15, 7 / 15, 8 / 15], rel=1e-10)
    assert laws.correlation_quantile(law, [0.1, 0.48, 0.52, 0.9]).tolist() == [-1, 0, 0, 1]


# --- one another ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_quantile_is_the_inverse(law):
    merged = laws.correlation_p_value(law, 1.0)
    p = merged / 2 + (1 - merged) * np.array([1e-6, 0.01, 0.1, 0.3])
    rho = laws.correlation_quantile(law, p)
    # Where P is steep, ρ itself is rounded.
    rounding = np.spacing(1.0) * laws.correlation_density(law, rho)
    assert np.all(np.abs(laws.correlation_cdf(law, rho) - p) < 1e-10 * p + rounding)
    assert laws.correlation_quantile(law, 1 - p) == pytest.approx(-rho, rel=1e-6)
    assert laws.correlation_quantile(law, 0.5) == 0


def test_cdf_density_and_p_value_agree():
    rho = np.array([0.0, 0.2, 0.7, 0.95])
    for law in (0.3, uniform(12, 5, "relu")):
        step = 1e-4 * (1 - rho)
        slope = (laws.correlation_cdf(law, rho + step) - laws.correlation_cdf(law, rho - step)) / (2 * step)
        assert laws.correlation_density(law, rho) == pytest.approx(slope, rel=1e-6)
        assert laws.correlation_density(law, -rho).tolist() == laws.correlation_density(law, rho).tolist()
        between = laws.correlation_cdf(law, rho[1:]) - laws.correlation_cdf(law, -rho[1:])
        assert laws.correlation_p_value(law, rho[1:]) == pytest.approx(1 - between, abs=1e-14)


# --- samples ----------------------------------------------------------------------------------------------------------

SAMPLED = {
    "linear": (uniform(20, 10), uniform(20, 11)),
    "relu": (uniform(20, 10, "relu"), uniform(20, 11, "relu")),
    "haar relu": (uniform(20, 10, "relu", weights="orthogonal"), uniform(20, 11, "relu", weights="orthogonal")),
    "haar": (linear(6, 12, 8, 15, 9, weights="orthogonal"), linear(6, 12, 8, 15, 8, 15, 9, weights="orthogonal")),
    "atoms": (
        Network((5, 4, 3), activation="relu", weights="orthogonal"),
        Network((5, 4, 4, 3), activation="relu", weights="orthogonal"),
    ),
}


def surprise(samples, law, edges):
    """p-value of χ² of the counts between edges, where samples at an edge are left of it."""
    inside = np.searchsorted(np.sort(samples), edges, side="right")
    counts = np.diff([0, *inside, len(samples)])
    expected = np.diff([0, *laws.correlation_cdf(law, edges), 1]) * len(samples)
    assert expected.min() > 10
    return stats.chi2.sf(np.sum((counts - expected) ** 2 / expected), len(counts) - 1)


@pytest.mark.parametrize("name", SAMPLED)
def test_samples_have_the_exact_law(name):
    network, deeper = SAMPLED[name]
    samples = sample_correlation(network, 200_000, rng=11, method="chain")
    edges = np.array([-0.95, -0.7, -0.45, -0.2, -0.07, -1e-3, 0.0, 1e-3, 0.07, 0.2, 0.45, 0.7, 0.95])
    edges = np.concatenate([[-1.0], edges]) if name == "atoms" else edges
    assert surprise(samples, network, edges) > 1e-5
    # Control: one layer more.
    assert surprise(samples, deeper, edges) < 1e-10


@pytest.mark.parametrize("weights", ["gaussian", pytest.param("orthogonal", marks=pytest.mark.slow)])
def test_wide_tanh_networks_have_the_universal_law(weights):
    network = Network.uniform(200, 40, activation="tanh", weights=weights, sigma_w=1.5)
    t = laws.effective_depth(network)
    samples = sample_correlation(network, 3000, rng=12)
    edges = laws.correlation_quantile(t, np.arange(1, 12) / 12)
    assert surprise(samples, t, edges) > 1e-4
    # Control: t is known to a few 1/N, and no law a third off will do.
    for factor in (0.7, 1.4):
        assert surprise(samples, factor * t, edges) < 1e-7


@pytest.mark.slow
def test_quantiles_of_uniform_numbers_are_samples():
    rho = laws.correlation_quantile(0.5, np.random.default_rng(13).random(600))
    assert stats.kstest(rho, lambda r: laws.correlation_cdf(0.5, r)).pvalue > 1e-4
    assert stats.kstest(rho, lambda r: laws.correlation_cdf(0.9, r)).pvalue < 1e-6


# --- input ------------------------------------------------------------------------------------------------------------

POINTWISE = (laws.correlation_density, laws.correlation_cdf, laws.correlation_p_value, laws.correlation_quantile)


@pytest.mark.parametrize("law", POINTWISE)
def test_shapes(law):
    for depth in (0.4, 0, np.inf, linear(5, 5)):
        assert type(law(depth, 0.3)) is float
        assert law(depth, []).shape == (0,)
        grid = np.linspace(0.1, 0.9, 6).reshape(2, 3)
        assert law(depth, grid).shape == (2, 3)
        assert law(depth, grid)[1, 2] == pytest.approx(law(depth, 0.9), rel=1e-12)


def test_outside_the_support():
    rho = np.array([-np.inf, -1.1, 1.1, np.inf])
    for law in (0.4, linear(2, 2), linear(4, 1, 4), 0.0):
        assert laws.correlation_density(law, rho).tolist() == [0, 0, 0, 0]
        assert laws.correlation_cdf(law, rho).tolist() == [0, 0, 1, 1]
        assert laws.correlation_p_value(law, rho).tolist() == [0, 0, 0, 0]


def test_at_the_ends():
    assert laws.correlation_density(linear(3, 3), [-1.0, 1.0]) == pytest.approx([0.5, 0.5], rel=1e-9)
    assert np.all(laws.correlation_density(0.3, [-1.0, 1.0]) < 1e-100)
    assert laws.correlation_density(linear(2, 2), 1.0) > 1e7
    assert laws.correlation_cdf(0.3, [-1.0, 1.0]).tolist() == [0, 1]


@pytest.mark.parametrize("law", POINTWISE)
@pytest.mark.parametrize(
    ("depth", "error", "told"),
    [
        (-0.1, ValueError, "-0.1"),
        (np.nan, ValueError, "nan"),
        ("1", TypeError, "'1'"),
        (True, TypeError, "True"),
        (None, TypeError, "None"),
        (Network((4, 4), activation="tanh"), ValueError, "effective_depth"),
        (Network((4, 1), activation="linear"), ValueError, "at least 2 nodes"),
    ],
)
def test_bad_depths(law, depth, error, told):
    with pytest.raises(error, match=told):
        law(depth, 0.5)
    with pytest.raises(error, match=told):
        laws.correlation_moment(depth, 2)


def test_bad_points():
    for law in POINTWISE:
        with pytest.raises(ValueError, match="nan"):
            law(1.0, [0.1, np.nan])
    for p in (-0.1, 1.1):
        with pytest.raises(ValueError, match=str(p)):
            laws.correlation_quantile(1.0, [0.5, p])
    for order, error in ((-1, ValueError), (2.0, TypeError), (True, TypeError), ("2", TypeError)):
        with pytest.raises(error, match=str(order)):
            laws.correlation_moment(1.0, order)


def test_a_wider_layer_correlates_less():
    p = [laws.correlation_p_value(linear(*widths), 0.4) for widths in ((9, 9, 9), (9, 30, 9), (30, 30, 9))]
    assert all(wider < narrower for narrower, wider in pairwise(p))
