"""The derivations that need analysis: claims hold, controls fail, and the laws of `rmt_vn` meet them."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from derivations import ANALYSIS, derivation_of, meets, said_of
from scipy import stats

from rmt_vn import Network, laws
from rmt_vn.laws.hyperbolic.transforms import log_gaussian_step, mehler_fock_density
from rmt_vn.samplers import sample_correlation
from theory import (
    approximate,
    correlation,
    correlation_limits,
    correlation_moments,
    effective_depth,
    exact,
    exact_by_conditioning,
    universal,
    wide_inputs,
)
from theory.hyperbolic import transforms
from theory.input_pairs import hermite_map

PROMISED = 1e-10  # relative, by the docstrings of the laws


# These take three seconds and more each: their claims run with the slow tests, all others always.
SLOW_CLAIMS = {
    "correlation",
    "exact_by_conditioning",
    "hyperbolic.transforms",
    "hyperbolic.residual_fan_in",
    "hyperbolic.walk",
    "input_pairs.hermite_map",
    "input_pairs.one_layer",
    "universal",
    "wide_inputs",
}


DERIVATIONS = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW_CLAIMS else name for name in ANALYSIS]


@pytest.mark.parametrize("name", DERIVATIONS)
def test_every_claim_holds_and_no_other_does(name):
    for claim in derivation_of(name).claims:
        assert claim.holds, claim.statement
        assert not claim.perturbed().holds, f"the control of this claim holds: {claim.statement}"


@pytest.mark.parametrize("name", DERIVATIONS)
def test_document_is_what_the_derivation_says(name):
    now, committed = said_of(name)
    assert now == committed, "stale: run python -m theory --markdown theory/README.md"


def mean_vni(width, complement):
    """1/n_L + (1 − 1/n_L)(1 − S)."""
    return 1 / width + (1 - 1 / width) * (1 - float(complement))


# S4.


@meets("universal_vni", "universal_vni_complement")
@pytest.mark.parametrize("t", [1e-4, 0.03, 1.0, 7.0, 60.0])
def test_universal_law_meets_its_integral(t):
    complement = universal.universal_complement(mp.mpf(t))
    assert laws.universal_vni(t) == pytest.approx(float(1 - complement), rel=PROMISED)
    assert laws.universal_vni_complement(t) == pytest.approx(float(complement), rel=PROMISED)


def test_universal_law_starts_as_the_series():
    # The error of the series to t^5 falls as t^6: halving t divides it by nearly 64.
    series = sp.lambdify(universal.t, universal.moment_series(universal.rho**2, 5), "mpmath")
    errors = [abs(1 - universal.universal_complement(t) - series(t)) for t in (mp.mpf("0.004"), mp.mpf("0.002"))]
    assert 55 < errors[0] / errors[1] < 73
    assert laws.universal_vni(1e-4) == pytest.approx(float(series(mp.mpf("1e-4"))), rel=PROMISED)
    assert laws.universal_vni(0) == 0


def test_universal_law_ends_as_the_tail():
    h0 = transforms.h_hat().subs(transforms.nu, 0)
    constant = float(universal.tail_constant(h0))
    ratios = [laws.universal_vni_complement(t) * t**1.5 * np.exp(t / 8) / constant for t in (1000.0, 2000.0)]
    # The correction is of order 1/t: extrapolated once, what is left is of order 1/t².
    assert 2 * ratios[1] - ratios[0] == pytest.approx(1, abs=1e-3)
    assert abs(ratios[1] - 1) < 0.03


@meets("layer_depth")
@pytest.mark.parametrize(("n_in", "n_out"), [(50, 50), (20, 80), (80, 20)])
def test_a_layer_adds_the_depth_derived(n_in, n_out):
    mu1, mu2 = 0.6, 0.45
    values = {effective_depth.mu1: mu1, effective_depth.mu2: mu2}
    gaussian = effective_depth.gaussian_layer_depth(sp.Integer(n_in)).subs(values)
    haar = effective_depth.haar_layer_depth(sp.Integer(n_in), sp.Integer(n_out)).subs(values)
    ratio = mu2 / mu1**2
    assert laws.layer_depth(n_in, n_out, "gaussian", slope_ratio=ratio) == pytest.approx(float(gaussian))
    assert laws.layer_depth(n_in, n_out, "orthogonal", slope_ratio=ratio) == pytest.approx(float(haar))


@meets("effective_depth")
@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
def test_effective_depth_meets_the_derivation(weights):
    widths = (12, 30, 20, 40)
    depth = sp.Integer(0)
    for layer, (n_in, n_out) in enumerate(pairwise(widths)):
        moments = (
            {effective_depth.mu1: 1, effective_depth.mu2: 1}
            if layer == 0
            else {effective_depth.mu1: 0.5, effective_depth.mu2: 0.5}
        )
        step = effective_depth.gaussian_layer_depth(sp.Integer(n_in))
        if weights == "orthogonal":
            step = effective_depth.haar_layer_depth(sp.Integer(n_in), sp.Integer(n_out))
        depth += step.subs(moments)
    network = Network(widths, activation="relu", weights=weights)
    assert laws.effective_depth(network) == pytest.approx(float(depth))


@meets("approximate_vni")
@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
def test_approximate_vni(weights):
    # Linear with dropout: slopes are 0 or 1/p, so that r = 1/p and c = 1/p².
    widths, keep = (12, 30, 20, 40), 0.75
    slopes = (1 / sp.Rational(keep), 1 / sp.Rational(keep) ** 2)
    layers = enumerate(pairwise(widths))
    depth = sum(approximate.finite_depth(shape, weights, slopes if layer else (1, 1)) for layer, shape in layers)
    network = Network(widths, activation="linear", weights=weights, keep=keep)
    complement = universal.universal_complement(mp.mpf(float(depth)))
    k = np.arange(1, widths[-1] + 1)
    counts = stats.binom.pmf(k, widths[-1], keep)
    alone = counts @ (1 / k) / counts.sum()
    assert laws.approximate_vni(network) == pytest.approx(alone + (1 - alone) * (1 - float(complement)), rel=PROMISED)


# S3.


def test_gaussian_step_meets_its_transform():
    rng = np.random.default_rng(1)
    transform = sp.lambdify((transforms.n, transforms.nu), transforms.gaussian_transform(), "mpmath")
    for n, nu in zip(rng.integers(2, 200, 20), rng.uniform(0, 12, 20), strict=True):
        with mp.workdps(30):
            derived = mp.log(transform(mp.mpf(int(n)), mp.mpf(nu)).real)
        assert log_gaussian_step(int(n), nu) == pytest.approx(float(derived), rel=1e-12)


def test_inversion_density_meets_its_derivation():
    derived = sp.lambdify(transforms.nu, transforms.plancherel_weight()[0] * transforms.h_hat(), "mpmath")
    for nu in (0.01, 0.7, 3.0, 11.0):
        assert mehler_fock_density(np.array(nu)) == pytest.approx(float(derived(mp.mpf(nu)).real), rel=1e-12)


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
def test_one_layer_gives_one_over_n(n):
    # VNI of a last layer of m nodes over n inputs: 1/m + (1 − 1/m)/n.
    derived = 1 - transforms.one_layer_integral().subs(transforms.n, n)
    vni = laws.exact_vni(Network((n, 7), activation="linear"))
    assert vni == pytest.approx(float(sp.Rational(1, 7) + sp.Rational(6, 7) * derived), rel=PROMISED)


def test_two_layers_of_width_two_give_the_logarithm():
    derived = 1 - exact_by_conditioning.two_layers_of_width_two()
    assert laws.exact_vni(Network.uniform(2, 2, activation="linear")) == pytest.approx(float((1 + derived) / 2))


@pytest.mark.parametrize(("first", "second"), [(2, 3), (3, 5), (9, 4)])
def test_two_layers_meet_the_chain_of_conditional_moments(first, second):
    complement = exact_by_conditioning.chain_of_two(
        first, lambda square: exact_by_conditioning.conditional_complement(second, square)
    )
    vni = laws.exact_vni(Network((first, second, 6), activation="linear"))
    assert vni == pytest.approx(mean_vni(6, complement), rel=PROMISED)


@pytest.mark.slow
def test_three_layers_meet_the_chain_of_conditional_moments():
    network = Network((6, 2, 4, 5), activation="linear")
    complement = exact_by_conditioning.chain_of_three(6, 4)
    assert laws.exact_vni(network) == pytest.approx(mean_vni(5, complement), rel=PROMISED)
    assert laws.exact_vni_complement(network) == pytest.approx(0.8 * float(complement), rel=PROMISED)


def test_a_widening_haar_layer_meets_the_law_of_a_truncated_matrix():
    vni = laws.exact_vni(Network((3, 6), activation="linear", weights="orthogonal"))
    assert vni == pytest.approx(mean_vni(6, exact_by_conditioning.truncated_haar_complement()), rel=PROMISED)


@pytest.mark.slow
def test_relu_meets_the_masked_chain():
    n_hidden, n_last = 4, 3
    weight = [sp.binomial(n_hidden, k) / sp.Integer(2**n_hidden - 1) for k in range(2, n_hidden + 1)]
    steps = range(2, n_hidden + 1)

    def last(square):
        return sum(
            w * exact_by_conditioning.conditional_complement(k, square)
            for w, k in zip(map(float, weight), steps, strict=True)
        )

    alone = sum(sp.binomial(n_last, k) / sp.Integer(7) / k for k in (1, 2, 3))  # E[1/k | k ≥ 1], k ~ Bin(3, 1/2)
    derived = float(alone) + float(1 - alone) * (1 - float(exact_by_conditioning.chain_of_two(3, last)))
    assert laws.exact_vni(Network((3, n_hidden, n_last), activation="relu")) == pytest.approx(derived, rel=PROMISED)


@meets("exact_vni", "exact_vni_complement")
@pytest.mark.parametrize("widths", [(3, 2, 4), (2, 2, 2)])
def test_relu_meets_the_masked_transforms(widths):
    inputs, hidden, last = widths
    masked = sp.lambdify(transforms.nu, exact.masked_transform(hidden), "mpmath")
    s = transforms.sech_integral(lambda v: transforms.factor(inputs, v) * masked(v).real)
    weight = [sp.binomial(last, k) / sp.Integer(2**last - 1) for k in range(1, last + 1)]
    derived = sum(w * exact.mean_vni(sp.Integer(k), sp.Float(str(s), 30)) for k, w in enumerate(weight, start=1))
    for sigma_b in (0.0, 0.7):  # the masks are fair coins with biases too
        network = Network(widths, activation="relu", sigma_b=sigma_b)
        assert laws.exact_vni(network) == pytest.approx(float(derived), rel=PROMISED)
        assert laws.exact_vni_complement(network) == pytest.approx(float(1 - derived), rel=PROMISED)


def test_relu_with_biases_has_the_exact_law():
    """Plain products of matrices, with the masks of the forward pass; k = 4 standard errors."""
    n, n_networks = 3, 40_000
    rng = np.random.default_rng(20191022)
    x = np.broadcast_to(np.array([1.0, -0.5, 2.0])[:, None], (n_networks, n, 1))
    jacobian = np.broadcast_to(np.eye(n), (n_networks, n, n))
    for _ in range(3):
        weights = rng.standard_normal((n_networks, n, n)) / np.sqrt(n)
        h = weights @ x + 1.5 * rng.standard_normal((n_networks, n, 1))
        x, jacobian = np.maximum(h, 0), (h > 0) * (weights @ jacobian)
    norm = np.linalg.norm(jacobian, axis=2)
    live = norm > 0
    gram = np.einsum("kij,klj->kil", jacobian, jacobian)
    square = np.divide(gram**2, (norm[:, :, None] * norm[:, None]) ** 2, where=gram != 0, out=np.zeros_like(gram))
    count = live.sum(axis=1)
    vni = square.sum(axis=(1, 2))[count > 0] / count[count > 0] ** 2
    stderr = vni.std(ddof=1) / np.sqrt(len(vni))
    assert abs(vni.mean() - laws.exact_vni(Network.uniform(n, 3, activation="relu", sigma_b=1.5))) < 4 * stderr
    # Control: masks of live nodes with probability 0.6.
    wrong = laws.exact_vni(Network.uniform(n, 3, activation="linear", keep=0.6))
    assert abs(vni.mean() - wrong) > 4 * stderr


def test_wide_networks_reach_the_limit_at_the_rate_derived():
    # L layers of width N = L/t: ln M = −(ν²+¼)t/2 (1 + 3/(2N)), so the depth is t(1 + 3/(2N)) up to 1/N².
    series = exact.log_transform_series(2)
    correction = sp.simplify(series.coeff(transforms.n, -2) / series.coeff(transforms.n, -1))
    errors = []
    for width in (100, 200):
        vni = laws.exact_vni(Network.uniform(width, width, activation="linear"))
        pair = (vni - 1 / width) / (1 - 1 / width)
        errors.append(pair - laws.universal_vni(1 + float(correction) / width))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)


# The law of ρ.


@pytest.mark.slow
def test_density_is_positive_and_normal_at_first():
    for t, y in ((0.05, 0.1), (0.8, 2.0), (5.0, 6.0)):
        spectral = correlation.density(mp.mpf(y), correlation.diffusion_transform(mp.mpf(t)))
        assert spectral > 0
        assert float(correlation.positive_density(mp.mpf(y), mp.mpf(t)) / spectral) == pytest.approx(1, rel=1e-15)
    t, z = mp.mpf("1e-4"), mp.mpf("1.3")
    scaled = mp.sqrt(t) * correlation.positive_density(mp.sqrt(t) * z, t)
    early = correlation_limits.small_depth_density(2).subs({universal.t: 1e-4, correlation_limits.z: 1.3})
    assert float(scaled / mp.npdf(z)) == pytest.approx(float(early), abs=1e-11)


def test_density_ends_as_derived():
    y = mp.mpf("0.7")
    shape = (
        mp.cosh(y) * mp.hyp2f1(0.25, 0.25, 0.5, -(mp.sinh(y) ** 2)) * float(correlation_limits.late_density_constant())
    )
    late = [correlation.density(y, correlation.diffusion_transform(t)) * t**1.5 * mp.exp(t / 8) for t in (400, 800)]
    ratios = [value / shape for value in late]
    assert float(2 * ratios[1] - ratios[0]) == pytest.approx(1, abs=3e-3)


def test_second_and_fourth_moments_of_the_density():
    t = mp.mpf("0.8")
    y = np.arange(0.1, 7.0, 0.2)  # midpoints: the trapezoid rule errs by e^{−π²/0.2}
    weight = np.array([0.4 * correlation.positive_density(mp.mpf(v), t) for v in y], dtype=float)
    mean, fourth = weight @ np.tanh(y) ** 2, weight @ np.tanh(y) ** 4
    assert laws.universal_vni(0.8) == pytest.approx(float(mean), rel=1e-8)
    slope = universal.universal_slope(t)
    assert (3 * laws.universal_vni(0.8) + float(slope) - 1) / 2 == pytest.approx(float(fourth), rel=1e-8)


@meets("correlation_cdf", "correlation_density", "correlation_moment", "correlation_p_value", "correlation_quantile")
@pytest.mark.parametrize(
    ("law", "transform"),
    [
        (0.8, correlation.diffusion_transform(mp.mpf("0.8"))),
        (Network((9, 4, 6), activation="linear"), lambda v: transforms.factor(9, v) * transforms.factor(4, v)),
    ],
    ids=["universal", "exact"],
)
def test_law_of_a_correlation_meets_its_derivation(law, transform):
    y, rho = mp.mpf("0.7"), np.tanh(0.7)
    density = float(correlation.density(y, transform) * mp.cosh(y) ** 2)
    within = float(correlation.probability_within(y, transform))
    assert laws.correlation_density(law, rho) == pytest.approx(density, rel=PROMISED)
    assert laws.correlation_p_value(law, rho) == pytest.approx(1 - within, rel=PROMISED)
    assert laws.correlation_cdf(law, rho) == pytest.approx((1 + within) / 2, rel=PROMISED)
    assert laws.correlation_quantile(law, (1 + within) / 2) == pytest.approx(rho, rel=PROMISED)
    fourth = float(correlation_moments.fourth_moment_of(transform))
    assert laws.correlation_moment(law, 4) == pytest.approx(fourth, rel=PROMISED)


@pytest.mark.slow
def test_samples_have_the_exact_law():
    # At 6 values of |y|, a binomial proportion within 4.5 standard errors; a network one layer deeper is told apart.
    network, n_samples = Network.uniform(8, 3, activation="linear"), 40_000
    y = np.abs(np.arctanh(sample_correlation(network, n_samples, rng=7)))
    where = np.linspace(0.1, 1.1, 6)

    def worst(depth):
        within = [correlation.probability_within(mp.mpf(w), lambda v: transforms.factor(8, v) ** depth) for w in where]
        p = np.array(within, dtype=float)
        counts = (y[:, None] < where).sum(axis=0)
        return np.max(np.abs(counts - n_samples * p) / np.sqrt(n_samples * p * (1 - p)))

    assert worst(3) < stats.norm.isf(1e-5 / 2)
    assert worst(4) > 10


# S7.


@meets("wide_input_vni")
@pytest.mark.parametrize("name", ["erf", "sin", "linear"])
def test_nodes_of_one_layer_over_wide_inputs_meet_the_derivation(name):
    vni = laws.wide_input_vni(Network((9, 7), activation=name, sigma_w=1.4), input_variance=0.5)
    derived = mean_vni(7, 1 - wide_inputs.mean_square_behind_one_layer(name, 9, 1.4**2 * 0.5))
    assert vni == pytest.approx([derived], rel=1e-6)


@meets("wide_input_participation")
@pytest.mark.parametrize("name", ["erf", "sin"])
def test_participation_of_a_very_wide_layer_meets_the_derivation(name):
    # Its own scatter adds 1/n_1 to E ρ², a part in 10⁴ of it.
    n_1 = 10**5
    ours = laws.wide_input_participation(Network((9, n_1), activation=name, sigma_w=1.4), input_variance=0.5)
    derived = 1 / n_1 + wide_inputs.mean_square_behind_one_layer(name, 9, 1.4**2 * 0.5)
    assert ours == pytest.approx([derived], rel=1e-4)


@meets("wide_input_limit")
def test_the_limit_of_depth_over_wide_inputs_meets_the_diffusion():
    width, sigma_w = 10**5, 1.004
    limit = laws.wide_input_limit(Network.uniform(width, 1, activation="erf", sigma_w=sigma_w * np.sqrt(np.pi) / 2))
    share = sp.lambdify(hermite_map.q, hermite_map.linear_share("erf"))
    second = sp.lambdify(hermite_map.q, hermite_map.second_moment("erf"))
    q = 0.01
    for _ in range(20_000):
        q = sigma_w**2 * np.pi / 4 * float(second(q))
    assert limit.alpha == pytest.approx(width * (1 - share(q)), rel=1e-6)
    derived = wide_inputs.stationary_mean_square().subs(wide_inputs.alpha, limit.alpha)
    assert limit.alpha > 0.5 and limit.mean_square_correlation == pytest.approx(float(derived), rel=0.02)
    drift = (wide_inputs.HALF - wide_inputs.alpha).subs(wide_inputs.alpha, limit.alpha) / width
    assert limit.drift == pytest.approx(float(drift), rel=0.02)
