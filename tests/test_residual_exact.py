"""Linear residual networks, exactly: a block is a Gaussian layer of random fan-in, held against its definition."""

import mpmath as mp
import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from oracles import gaussian_transform, inversion_density
from scipy.special import roots_genlaguerre
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn import Network, ResidualNetwork, laws, samplers
from rmt_vn.laws.hyperbolic.residual_fan_in import fan_in_quadrature
from rmt_vn.laws.hyperbolic.steps import Step

PROMISED = 1e-10


def linear(width, depth, ratio, **more):
    return ResidualNetwork(width, depth, activation="linear", branch_scale=ratio**0.5, **more)


# --- the definition, M(ν) = E (|u_1|/|u_2⊥|)^{−1/2+iν}, evaluated without the mixture ---------------------------------


def defined_transform(width, ratio, nu):
    """M(ν), u_i = e_i + w_i, w ~ N(0, a/N), from moments of noncentral χ² variables, in mpmath.

    |u_1|² N/2a is a Gamma variable of N/2 + k degrees, k ~ Poisson(λ); c, the sine squared of the angle of u_1 and e_2,
    is then Beta((N − 1)/2 + k, 1/2); |u_2⊥|² N/2a is noncentral with λc. The mean over c is a ₂F₂.
    """
    n, rate, s = mp.mpf(width), mp.mpf(width) / (2 * mp.mpf(ratio)), mp.mpc(-0.5, nu)
    spread = mp.sqrt(rate)
    low, high = max(0, int(rate - 14 * spread - 30)), int(rate + 14 * spread + 60)
    total = mp.mpf(0)
    for k in range(low, high):
        poisson = mp.exp(-rate + k * mp.log(rate) - mp.loggamma(k + 1))
        length = mp.gammaprod([(n + s) / 2 + k], [n / 2 + k])
        total += poisson * length * mp.hyp2f2(s / 2, (n - 1) / 2 + k, (n - 1) / 2, n / 2 + k, -rate)
    return mp.re(total * mp.gammaprod([(n - 1 - s) / 2], [(n - 1) / 2]))


def mixed_transform(width, ratio, nu):
    """M(ν) as the mixture, its probabilities by another formula: J summed to a confluent function, in mpmath."""
    n, rate = mp.mpf(width), mp.mpf(width) / (2 * mp.mpf(ratio))
    centre = rate / (ratio + 2)
    spread = mp.sqrt(centre + 1)
    ks = range(max(0, int(centre - 14 * spread - 40)), int(centre + 14 * spread + 40))
    weights = [
        mp.exp(-rate + 2 * k * mp.log(rate) - mp.loggamma(k + 1))
        * mp.gammaprod([n / 2 + k, n / 2], [n / 2, n / 2 + 2 * k])
        * mp.hyp1f1(-n / 2, n / 2 + 2 * k, -rate)
        for k in ks
    ]
    assert abs(mp.fsum(weights) - 1) < 1e-20
    return mp.fsum(w * gaussian_transform(width + 2 * k, nu) for k, w in zip(ks, weights, strict=True))


def error_of_log(width, ratio, nu, truth):
    found = Step(*fan_in_quadrature(width, ratio)).log_factor(np.array([float(nu)]))[0]
    return float(abs(found / mp.log(truth) - 1))


@pytest.mark.parametrize(("width", "ratio"), [(2, 1.0), (2, 1e6), (3, 0.3), (40, 1e3), (10_000, 1e6)])
def test_transform_of_a_block_is_that_of_its_definition(width, ratio):
    with mp.workdps(40):
        for nu in (0, 0.7, 5):
            assert error_of_log(width, ratio, nu, defined_transform(width, ratio, mp.mpf(nu))) < PROMISED


@pytest.mark.slow
@pytest.mark.parametrize(("width", "ratio"), [(2, 0.03), (5, 0.07), (8, 0.5), (100, 1.0), (300, 10.0), (10_000, 100.0)])
def test_transform_of_more_blocks_is_that_of_their_definition(width, ratio):
    with mp.workdps(60):
        for nu in (0, 0.7, 5):
            assert error_of_log(width, ratio, nu, defined_transform(width, ratio, mp.mpf(nu))) < PROMISED


@pytest.mark.slow
@pytest.mark.parametrize(("width", "ratio"), [(2, 1e-3), (10, 0.01), (1000, 1.0), (1000, 0.3)])
def test_transform_by_sums_over_many_fan_ins(width, ratio):
    with mp.workdps(40):
        for nu in (0, 3):
            assert error_of_log(width, ratio, nu, mixed_transform(width, ratio, mp.mpf(nu))) < PROMISED


# A Gamma variable of many degrees is normal enough where it is multiplied by what is as small as here.
_Z3, _W3 = hermegauss(3)


def small_noise_deficit(width, ratio, nu):
    """1 − M(ν) = E[1 − P(cosh s)] where W is small, by Gauss quadrature over its entries, in double precision.

    The Gram matrix of two rows of I + W is that of 2 × 2 matrices and of a Wishart matrix of N − 2 degrees (Bartlett);
    1 − P_{−1/2+iν}(1 + 2x) is a power series in x.
    """
    noise = (ratio / width) ** 0.5
    z, weight = hermegauss(6)
    weight = weight / weight.sum()
    axes, weights = [z] * 5, [weight] * 5
    for degrees in (width - 2, width - 3):
        if degrees > 0:
            x, w = (
                roots_genlaguerre(3, degrees / 2 - 1)
                if degrees < 300
                else ((degrees + (2 * degrees) ** 0.5 * _Z3) / 2, _W3)
            )
        else:
            x, w = np.zeros(1), np.ones(1)
        axes.append(2 * x)
        weights.append(w / w.sum())
    z11, z12, z21, z22, t21, b11, rest = np.meshgrid(*axes, indexing="ij", sparse=True)
    if width == 2:
        t21 = 0 * t21
    m11, m22, scale = 1 + noise * z11, 1 + noise * z22, noise**2
    difference = noise * (z11 - z22) * (m11 + m22) + scale * (z12**2 - z21**2 + b11 - t21**2 - rest)
    off = noise * (m11 * z21 + m22 * z12) + scale * t21 * np.sqrt(b11)
    first, second = m11**2 + scale * (z12**2 + b11), m22**2 + scale * (z21**2 + t21**2 + rest)
    root = np.sqrt(first * second - off**2)
    x = (difference**2 + 4 * off**2) / (4 * root * (first + second + 2 * root))
    c = nu**2 + 0.25
    value = c * x - c * (c + 2) / 4 * x**2 + c * (c + 2) * (c + 6) / 36 * x**3
    for axis, w in reversed(list(enumerate(weights))):
        value = np.tensordot(value, w, (axis, 0))
    return float(value)


@pytest.mark.parametrize(("width", "ratio"), [(2, 1e-6), (3, 1e-6), (100, 1e-6), (10_000, 1e-6), (50, 1e-4)])
def test_transform_of_a_block_of_small_noise(width, ratio):
    """At a → 0, where λ is up to 5·10⁹."""
    for nu in (0.0, 2.0):
        found = -np.expm1(Step(*fan_in_quadrature(width, ratio)).log_factor(np.array([nu])))[0]
        assert abs(found / small_noise_deficit(width, ratio, nu) - 1) < PROMISED
    # As many digits are asked of what is wrong.
    assert abs(found / small_noise_deficit(width, ratio * (1 + 1e-8), nu) - 1) > PROMISED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "depth", "ratio"), [(2, 3, 1.0), (2, 60, 3.0), (3, 4, 0.5), (8, 1, 1e6), (1000, 400, 1e4)]
)
def test_vni_and_its_complement_to_ten_digits(width, depth, ratio):
    with mp.workdps(40):
        peak = defined_transform(width, ratio, mp.mpf(0)) ** depth

        def integrand(nu):
            return inversion_density(nu) * defined_transform(width, ratio, nu) ** depth / peak

        # ĥ falls as e^{−πν/2}; at ν = 30 it is 1e-20.
        points = [0, 0.5, 1, 2, 4, 8, 16, 30]
        s = peak * mp.quad(integrand, points, method="gauss-legendre", maxdegree=4)
        alone = mp.mpf(1) / width
        truth = alone + (1 - alone) * (1 - s), (1 - alone) * s
    network = linear(width, depth, ratio)
    assert abs(laws.exact_vni(network) / truth[0] - 1) < PROMISED
    assert abs(laws.exact_vni_complement(network) / truth[1] - 1) < PROMISED


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [2, 5, 1000])
def test_a_branch_that_outweighs_all_is_the_plain_network(width):
    plain = laws.exact_vni(Network.uniform(width, 7, activation="linear"))
    assert laws.exact_vni(linear(width, 7, 1e30)) == pytest.approx(plain, rel=1e-12)
    # 1/a² is what is missing.
    far, farther = (abs(laws.exact_vni(linear(width, 7, a)) / plain - 1) for a in (1e3, 1e4))
    assert far / farther == pytest.approx(100, rel=0.01)


def test_no_branch_keeps_all_nodes():
    network = linear(9, 100, 0.0)
    assert laws.exact_vni(network) == pytest.approx(1 / 9, rel=1e-14)
    assert laws.exact_vni_complement(network) == pytest.approx(8 / 9, rel=1e-14)
    assert samplers.sample_vni(network, 3, rng=1).values == pytest.approx(np.full(3, 1 / 9))


def test_many_small_blocks_tend_to_the_universal_law():
    """At L a = c the block's depth is 2a/N − 3a²/N, …: R(2c/N) is approached as 1/L, and N ρ² as the wide limit."""
    width, total = 20, 4.0
    limit = laws.universal_vni(2 * total / width)
    off = [
        (1 - laws.exact_vni_complement(linear(width, depth, total / depth)) / (1 - 1 / width)) / limit - 1
        for depth in (1000, 2000, 4000)
    ]
    assert off[0] / off[1] == pytest.approx(2, rel=0.02) and off[1] / off[2] == pytest.approx(2, rel=0.02)
    assert abs(off[2]) < 0.003


def test_embedding_and_readout_are_layers_as_others():
    plain = laws.exact_vni(Network((7, 5, 9), activation="linear"))
    assert laws.exact_vni(linear(5, 3, 0.0, inputs=7, outputs=9)) == pytest.approx(plain, rel=1e-13)
    assert laws.exact_vni(linear(5, 3, 0.5, inputs=7, outputs=9)) > plain


def test_the_law_of_the_correlation_has_the_mean_square_of_the_vni():
    network = linear(6, 9, 0.4)
    pairs = (laws.exact_vni(network) - 1 / 6) / (1 - 1 / 6)
    assert laws.correlation_moment(network, 2) == pytest.approx(pairs, rel=1e-9)
    rho = samplers.sample_correlation(network, 20_000, rng=3)
    below = np.mean(rho**2 < 0.25)
    law, other = (1 - laws.correlation_p_value(linear(6, 9, a), 0.5) for a in (0.4, 0.5))
    assert_sampled(below, law, (law * (1 - law) / len(rho)) ** 0.5, wrong=[other])


def test_where_it_does_not_hold_it_refuses():
    for more in ({"hidden": 4}, {"weights": "orthogonal"}, {"normalization": "pre"}, {"normalization": "post"}):
        network = ResidualNetwork(5, 3, activation="linear", **more)
        for law in (laws.exact_vni, laws.exact_vni_complement):
            with pytest.raises(ValueError, match="single Gaussian matrix"):
                law(network)
        with pytest.raises(ValueError, match="effective_depth"):
            laws.correlation_p_value(network, 0.5)


# --- samples ----------------------------------------------------------------------------------------------------------


def brute_correlations(rng, width, depth, ratio, n_networks):
    """Mean ρ² over all pairs of rows of (I + W_L) … (I + W_1), by multiplying them."""
    jacobian = np.broadcast_to(np.eye(width), (n_networks, width, width))
    for _ in range(depth):
        w = rng.standard_normal((n_networks, width, width)) * (ratio / width) ** 0.5
        jacobian = jacobian + w @ jacobian
        jacobian = jacobian / np.abs(jacobian).max(axis=(1, 2), keepdims=True)
    rows = jacobian / np.linalg.norm(jacobian, axis=2, keepdims=True)
    return ((rows @ rows.swapaxes(1, 2)) ** 2).mean(axis=(1, 2))


def test_brute_products_have_the_exact_mean():
    value, stderr = mean_and_error(brute_correlations(np.random.default_rng(1), 3, 8, 0.1, 60_000))
    law, wrong = (laws.exact_vni(linear(3, 8, a)) for a in (0.1, 0.103))
    assert_sampled(value, law, stderr, wrong=[wrong])


@pytest.mark.slow
@pytest.mark.parametrize(("width", "depth", "ratio"), [(2, 2, 0.5), (3, 4, 0.5), (8, 10, 0.3)])
def test_a_million_brute_products_have_the_exact_mean(width, depth, ratio):
    rng = np.random.default_rng(width)
    values = np.concatenate([brute_correlations(rng, width, depth, ratio, 20_000) for _ in range(50)])
    law, wrong = (laws.exact_vni(linear(width, depth, a)) for a in (ratio, 1.03 * ratio))
    value, stderr = mean_and_error(values)
    assert_sampled(value, law, stderr, wrong=[wrong])


@pytest.mark.parametrize(("width", "depth", "ratio"), [(2, 5, 0.1), (3, 9, 1e-3), (9, 6, 2.0)])
def test_the_walk_of_two_nodes_has_the_exact_mean(width, depth, ratio):
    network = linear(width, depth, ratio, inputs=width + 2)
    sampled = samplers.sample_vni(network, 100_000, rng=5)
    longer = linear(width, depth + 1, ratio, inputs=width + 2)
    law, wrong = laws.exact_vni(network), [laws.exact_vni(longer), laws.exact_vni(linear(width, depth, ratio))]
    assert_sampled(sampled.value, law, sampled.stderr, wrong=wrong[1:] if ratio < 0.01 else wrong)
