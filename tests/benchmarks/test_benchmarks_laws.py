"""How fast the laws are, against the same formulas typed in: `python -m pytest tests/benchmarks`.

No time is asserted. Rivals must agree, or say in the table by how much they do not.
"""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import loggamma, logsumexp
from scipy.stats import binom
from side_by_side import Lane, samples_needed
from test_laws_exact import reference

from rmt_vn import Network, activations, gaussian_averages, laws, samplers


def gaussian_step(n, nu):
    """ln m_n(ν), from the gamma functions of its definition."""
    return 2 * loggamma((2 * n - 1) / 4 + 0.5j * nu).real - loggamma(n / 2) - loggamma((n - 1) / 2)


def mehler_fock(log_factor):
    """S by scipy's `quad`, from the formula as it is written down."""

    def integrand(nu):
        log_h = 2 * loggamma(0.25 + 0.5j * nu).real - math.log(2 * math.sqrt(math.pi))
        return nu * math.tanh(math.pi * nu) * math.exp(log_h + log_factor(nu))

    return quad(integrand, 0, 40, epsabs=1e-12)[0]


def linear_vni_by_quad(width, depth):
    return 1 - (1 - 1 / width) * mehler_fock(lambda nu: depth * gaussian_step(width, nu))


def relu_vni_by_quad(width, depth):
    k = np.arange(1, width + 1)
    weight = binom.pmf(k, width, 0.5) / (1 - 0.5**width)
    # m_1 = 0: two nodes fed by one are perfectly correlated.
    log_weight = binom.logpmf(k[1:], width, 0.5) - math.log1p(-(0.5**width))

    def log_factor(nu):
        hidden = logsumexp(log_weight + gaussian_step(k[1:], nu))
        return gaussian_step(width, nu) + (depth - 1) * hidden

    return 1 - (1 - weight @ (1 / k)) * mehler_fock(log_factor)


def universal_vni_by_quad(t):
    return 1 - mehler_fock(lambda nu: -(nu**2 + 0.25) * t / 2)


BY_QUAD = {"linear": linear_vni_by_quad, "relu": relu_vni_by_quad}
NAMES = {"linear": "linear", "relu": "ReLU"}


def vni_by_mpmath(activation, width, depth):
    p = {"linear": 1, "relu": 0.5}[activation]
    shape = (width, width)
    return float(reference([(shape, 1), (shape, depth - 1)], p=p)[0])


@pytest.mark.parametrize("activation", BY_QUAD)
def test_formulas_typed_in_are_the_law(activation):
    law = laws.exact_vni(Network.uniform(20, 10, activation=activation))
    assert BY_QUAD[activation](20, 10) == pytest.approx(law, rel=1e-9)
    assert vni_by_mpmath(activation, 20, 10) == pytest.approx(law, rel=1e-10)


@pytest.mark.parametrize(("activation", "width", "depth"), [("linear", 256, 256), ("relu", 1000, 100)])
def test_exact_vni(race, row, activation, width, depth):
    network = Network.uniform(width, depth, activation=activation)
    sampled = samplers.sample_vni(network, 20_000, rng=1)
    walks = samples_needed(sampled)
    law = Lane("`exact_vni`", lambda: laws.exact_vni(network))
    typed_in = Lane("scipy `quad`", lambda: BY_QUAD[activation](width, depth))
    in_mpmath = Lane("mpmath, 40 digits", lambda: vni_by_mpmath(activation, width, depth))
    sampling = Lane("Monte Carlo to ± 0.001, `chain`", lambda: samplers.sample_vni(network, walks, rng=2).value)
    if race(law, typed_in, in_mpmath, sampling):
        assert law.results[0] == pytest.approx(in_mpmath.results[0], rel=1e-10)
        assert law.results[0] == pytest.approx(typed_in.results[0], rel=1e-8)
        assert law.results[0] == pytest.approx(sampling.results[0], abs=4e-3)
        row(f"exact mean VNI, {NAMES[activation]}, width {width}, depth {depth}", law, typed_in, in_mpmath, sampling)


def test_universal_vni(race, row):
    depths = np.linspace(0, 10, 1000)
    law = Lane("`universal_vni`", lambda: laws.universal_vni(depths))
    typed_in = Lane("scipy `quad`", lambda: [universal_vni_by_quad(t) for t in depths])
    assert laws.universal_vni(depths[::100]) == pytest.approx([universal_vni_by_quad(t) for t in depths[::100]])
    if race(law, typed_in):
        row("universal law R(t) at 1000 depths", law, typed_in)


# --- Gaussian averages ------------------------------------------------------------------------------------------------

HERMITE_NODES, HERMITE_WEIGHTS = np.polynomial.hermite_e.hermegauss(200)


def slope_moment_by_quad(activation, q):
    def integrand(x):
        return float(activation.dphi(x)) ** 2 * math.exp(-(x**2) / (2 * q)) / math.sqrt(2 * math.pi * q)

    reach = 10 * math.sqrt(q)
    return quad(integrand, -reach, reach, points=activation.kinks or None)[0]


def slope_moment_by_hermite(activation, q):
    slopes = activation.dphi(math.sqrt(q) * HERMITE_NODES)
    return float(HERMITE_WEIGHTS @ slopes**2 / math.sqrt(2 * math.pi))


@pytest.mark.parametrize(("name", "q"), [("hard_tanh", 1.0), ("tanh", 10.0)])
def test_gaussian_averages(race, row, name, q):
    activation = activations.get(name)
    mu_1 = gaussian_averages.slope_moment(activation, q, 1)
    assert slope_moment_by_quad(activation, q) == pytest.approx(mu_1, rel=1e-8)
    # Not the one that remembers what it has computed.
    computed = gaussian_averages.slope_moment.__wrapped__
    ours = Lane("`slope_moment`", lambda: computed(activation, q, 1))
    adaptive = Lane("scipy `quad`", lambda: slope_moment_by_quad(activation, q))
    # Fast and wrong: across a kink, or past a pole near the real axis, more nodes hardly help.
    error = abs(slope_moment_by_hermite(activation, q) / mu_1 - 1)
    hermite = Lane(
        "Gauss–Hermite, 200 nodes",
        lambda: slope_moment_by_hermite(activation, q),
        note=f"off by {100 * error:.2g}%",
    )
    if race(ours, adaptive, hermite, rounds=20):
        row(f"E φ′² of {name.replace('_', '-')} at q = {q:g}", ours, adaptive, hermite)
