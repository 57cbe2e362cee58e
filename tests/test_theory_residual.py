"""Residual networks: the laws of S8 against their derivations, and how large is what the derivation neglects."""

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from derivations import meets

from rmt_vn import ResidualNetwork, laws
from rmt_vn.laws.hyperbolic.residual_fan_in import fan_in_quadrature
from rmt_vn.laws.hyperbolic.steps import Step
from theory import effective_depth_residual as derived
from theory.hyperbolic import residual_fan_in, transforms


@meets("residual_block_depth")
@pytest.mark.parametrize(("ratio", "branch_depth", "width"), [(0.7, 0.03, 40), (1e-6, 0.5, 3), (1e6, 0.5, 3)])
def test_a_block_adds_the_depth_derived(ratio, branch_depth, width):
    known = derived.block_depth(*map(sp.nsimplify, (ratio, branch_depth, width)))
    assert laws.residual_block_depth(ratio, branch_depth, width) == pytest.approx(float(known), rel=1e-12)


# φ, σ_1, and Eφ² and μ_1 at that variance, by integration: of ReLU by hand.
TANH = 1.5
PRE_NORM = [
    ("relu", 2**0.5, 1.0, 0.5),
    (
        "tanh",
        TANH,
        float(mp.quad(lambda z: mp.npdf(z) * mp.tanh(TANH * z) ** 2, [-12, 0, 12])),
        float(mp.quad(lambda z: mp.npdf(z) * mp.sech(TANH * z) ** 4, [-12, 0, 12])),
    ),
]


def pre_norm(activation, sigma, depth):
    return ResidualNetwork(50, depth, 150, activation, sigma_w=(sigma, 0.8), branch_scale=0.9, normalization="pre")


@meets("pre_norm_slope")
@pytest.mark.parametrize(("activation", "sigma", "second", "mu1"), PRE_NORM)
def test_slope_of_pre_norm_networks_meets_the_derivation(activation, sigma, second, mu1):
    slope = derived.pre_norm_slope(sp.Float(sigma**2 * mu1 / second), sp.Integer(50))
    assert laws.pre_norm_slope(pre_norm(activation, sigma, 10)) == pytest.approx(float(slope), rel=1e-9)


@pytest.mark.parametrize(("activation", "sigma", "second", "mu1"), PRE_NORM)
def test_blocks_of_pre_norm_networks_meet_the_stream_derived(activation, sigma, second, mu1):
    depth, branch = 30, (0.9 * 0.8) ** 2 * second
    values = {derived.kappa: sigma**2 * mu1 / second, derived.b: branch, derived.v_0: 1.0}
    ratio = sp.lambdify(derived.L, derived.pre_norm_ratio().subs(values))
    mu2 = float(mp.quad(lambda z: mp.npdf(z) * mp.sech(TANH * z) ** 8, [-12, 0, 12])) if activation == "tanh" else mu1
    of_branch = 1 / 50 + mu2 / mu1**2 / 150
    blocks = [laws.residual_block_depth(ratio(number), of_branch, 50) for number in range(1, depth + 1)]
    assert laws.effective_depth(pre_norm(activation, sigma, depth)) == pytest.approx(sum(blocks), rel=1e-9)
    # The sum of all ratios, in closed form.
    total = derived.pre_norm_sum(sp.Integer(depth)).subs(values)
    assert sum(ratio(number) for number in range(1, depth + 1)) == pytest.approx(float(total), rel=1e-12)


def test_depth_of_pre_norm_networks_grows_as_the_logarithm():
    shallow, deep = (laws.effective_depth(pre_norm("relu", 2**0.5, depth)) for depth in (1000, 30_000))
    grown = (deep - shallow) / np.log(30)
    slope = float(derived.pre_norm_slope(sp.Integer(1), sp.Integer(50)))
    assert grown == pytest.approx(slope, rel=0.01)
    assert grown != pytest.approx(1.03 * slope, rel=0.01)


def test_branches_of_shrinking_variance_have_the_depth_derived():
    found = [
        laws.effective_depth(ResidualNetwork(50, depth, activation="linear", branch_scale="1/sqrt(L)"))
        for depth in (100, 200)
    ]
    limit = float(sp.limit(derived.L * derived.block_depth(1 / derived.L, 1 / derived.N), derived.L, sp.oo) * derived.N)
    # t = (2 + 1/L)/(N(1 + 1/L)²): what is off is of order 1/L.
    few, many = (limit / 50 - t for t in found)
    assert few / many == pytest.approx(2, rel=0.02) and limit == 2


# --- linear networks, exactly -----------------------------------------------------------------------------------------


def derived_complement(width, depth, ratio, fan_in_off=0):
    """1 − E ρ² of linear residual networks by the derived probabilities of the fan-in; or of other fan-ins."""
    rate = sp.Rational(width) / (2 * sp.Rational(ratio))
    probability = sp.lambdify(
        (residual_fan_in.k, residual_fan_in.j),
        residual_fan_in.probability().subs({residual_fan_in.N: width, residual_fan_in.rate: rate}),
        "mpmath",
    )
    with mp.workdps(20):
        masses = [mp.fsum(probability(k, j) for j in range(60)) for k in range(20)]
    assert abs(mp.fsum(masses) - 1) < 1e-14
    with mp.workdps(transforms.WORKING_DIGITS):
        return transforms.sech_integral(
            lambda nu: (
                mp.fsum(m * transforms.factor(width + 2 * k + fan_in_off, nu) for k, m in enumerate(masses)) ** depth
            )
        )


def test_exact_law_of_linear_residual_networks_meets_its_derivation():
    network = ResidualNetwork(3, 4, activation="linear", branch_scale=1.0)
    found = laws.exact_vni_complement(network) * 3 / 2
    assert found == pytest.approx(float(derived_complement(3, 4, 1)), rel=1e-10)
    assert found != pytest.approx(float(derived_complement(3, 4, 1, fan_in_off=2)), rel=1e-2)


def transform_of_definition(width, ratio, frequency):
    return float(residual_fan_in.defined_transform(width, mp.mpf(ratio), mp.mpf(frequency)))


def test_transform_by_its_definition_meets_that_of_the_law():
    for width, ratio, frequency in ((2, 2.0, 0.4), (5, 3.0, 2.0)):
        found = np.exp(Step(*fan_in_quadrature(width, ratio)).log_factor(np.array([frequency])))[0]
        assert found == pytest.approx(transform_of_definition(width, ratio, frequency), rel=1e-12)
        assert found != pytest.approx(transform_of_definition(width, 1.03 * ratio, frequency), rel=1e-4)


# --- what is neglected ------------------------------------------------------------------------------------------------


def neglected(width, ratio, t, factor=1.0):
    """N times what R, at `factor` times the depth, has less than the exact E ρ² of linear networks; depth near t."""
    of_block = float(derived.block_depth(sp.nsimplify(ratio), 1 / sp.Integer(width), sp.Integer(width)))
    depth = round(t / of_block)
    network = ResidualNetwork(width, depth, activation="linear", branch_scale=ratio**0.5)
    exact = laws.exact_vni_complement(network) / (1 - 1 / width)
    return width * (laws.universal_vni_complement(factor * depth * of_block) - exact)


@pytest.mark.parametrize(("ratio", "t"), [(0.1, 0.5), (1.0, 0.5), (1.0, 1.5), (3.0, 1.5)])
def test_what_is_neglected_is_of_order_one_over_the_width(ratio, t):
    """R is less than E ρ² by 0.09/N to 0.41/N: it halves as N doubles."""
    few, many, most = (neglected(width, ratio, t) for width in (96, 192, 384))
    assert many / few == pytest.approx(1, abs=0.01) and most / many == pytest.approx(1, abs=0.01)
    assert 0.05 < most < 0.5
    # With 3% more depth the difference would not go to zero.
    off = [neglected(width, ratio, t, 1.03) for width in (96, 192)]
    assert off[1] / off[0] > 1.5
