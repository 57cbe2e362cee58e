"""S6 at finite width: trace moments, characteristic polynomials, Lyapunov exponents, the complex Ginibre density."""

from fractions import Fraction
from functools import cache
from itertools import pairwise, product
from math import comb, factorial, prod

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from scipy import stats
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn import Network, laws
from rmt_vn.ensembles import weight_matrices
from rmt_vn.laws.annealed import log_trace_moments
from rmt_vn.laws.trace_moments import content_product, partitions_of, zonal_polynomial
from theory import trace_moments, wick

# --- exact trace moments ----------------------------------------------------------------------------------------------


def wick_moment(widths, traces):
    """E p_traces(J Jᵀ) by pairings alone, layer by layer from the outputs."""
    function = sp.prod(wick.power_sum(k) for k in traces)
    for n_in, n_out in reversed(list(pairwise(map(sp.Integer, widths)))):
        function = trace_moments.average(function, lambda t, n_in=n_in, n_out=n_out: wick.expectation(t, n_in, n_out))
    return Fraction(*sp.Rational(function.subs({p: widths[0] for p in function.free_symbols})).as_numer_denom())


@pytest.mark.parametrize("weight", [1, 2, 3, 4])
@pytest.mark.parametrize("widths", [(3, 2), (2, 3, 4), (1, 2, 1), (4, 3, 5, 2), (3, 3, 3, 3)])
def test_moments_are_those_of_the_wick_engine(widths, weight):
    for traces in trace_moments.partitions_of(weight):
        assert laws.trace_moment(widths, traces) == wick_moment(widths, traces)


@pytest.mark.slow
def test_moments_of_weight_five_and_six_are_those_of_the_wick_engine():
    # 945 and 10395 pairings; at weight 6 two partitions share their eigenvalue of the Laplace–Beltrami operator.
    for traces in ((5,), (3, 1, 1), (4, 2), (3, 3)):
        assert laws.trace_moment((3, 2), traces) == wick_moment((3, 2), traces)


@pytest.mark.parametrize("weight", [1, 2, 3, 4])
def test_zonal_polynomials_are_the_derived_ones(weight):
    for kappa in partitions_of(weight):
        ours = sum(c * sp.prod(wick.power_sum(k) for k in parts) for parts, c in zonal_polynomial(kappa).items())
        assert sp.expand(ours - trace_moments.zonal_polynomial(kappa)) == 0


@pytest.mark.parametrize("weight", [6, 8])
def test_zonal_polynomials_beyond_the_first_degeneracy(weight):
    kappas = list(partitions_of(weight))
    contents = [sum(part * (part - 1) - row * part for row, part in enumerate(kappa)) for kappa in kappas]
    assert len(set(contents)) < len(contents)

    def norm(parts):
        return prod(factorial(parts.count(part)) * part ** parts.count(part) for part in set(parts)) * 2 ** len(parts)

    for a, kappa in enumerate(kappas):
        ours = zonal_polynomial(kappa)
        # Muirhead 1982, section 7.2: the value at the identity, and orthogonality.
        for n in (1, 2, 3, 10):
            assert sum(c * n ** len(parts) for parts, c in ours.items()) == content_product(kappa, n)
        for other in kappas[:a]:
            theirs = zonal_polynomial(other)
            assert sum(c * theirs.get(parts, 0) * norm(parts) for parts, c in ours.items()) == 0
    # Σ_κ C_κ = p_1^k, where C_κ is Z_κ times 2^k k!/(2k)! and the number of standard tableaux of 2κ.
    total = {}
    for kappa in kappas:
        tableaux = int(trace_moments.standard_tableaux(tuple(2 * part for part in kappa)))
        for parts, c in zonal_polynomial(kappa).items():
            total[parts] = total.get(parts, 0) + tableaux * c
    ones = (1,) * weight
    assert {parts for parts, c in total.items() if c} == {ones}
    assert Fraction(total[ones] * 2**weight * factorial(weight), factorial(2 * weight)) == 1


@pytest.mark.parametrize("widths", [(1, 1), (2, 5), (7, 2, 3), (20,) * 11, (3, 9, 1, 4), (50,) * 51])
def test_second_moments_are_those_of_the_recursion(widths):
    square, squared = Fraction(widths[0]), Fraction(widths[0] ** 2)
    for n_in, n_out in pairwise(widths):
        square, squared = (
            (n_out * (n_out + 1) * square + n_out * squared) / n_in**2,
            (2 * n_out * square + n_out**2 * squared) / n_in**2,
        )
    ours = [laws.trace_moment(widths, traces) for traces in ((2,), (1, 1))]
    assert ours == [square, squared]
    logs = [float(mp.log(mp.mpf(each.numerator) / each.denominator)) for each in ours]
    assert log_trace_moments(Network(widths, activation="linear")) == pytest.approx(logs, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("widths", "partition"),
    [((2, 2), (8,)), ((2, 2), (3, 3, 2)), ((1, 2, 2), (4,)), ((2, 1, 2), (2, 1)), ((3, 2), (2, 1, 1)), ((2, 3), (5,))],
)
def test_moments_by_quadrature_over_all_entries(widths, partition):
    # Gauss–Hermite with |κ| + 1 nodes per entry is exact for these polynomials, of degree 2|κ| in each.
    nodes, weights = np.polynomial.hermite_e.hermegauss(sum(partition) + 1)
    count = sum(n_in * n_out for n_in, n_out in pairwise(widths))
    grid = np.array(np.meshgrid(*[nodes] * count, indexing="ij")).reshape(count, -1)
    mass = prod(np.meshgrid(*[weights / weights.sum()] * count, indexing="ij")).reshape(-1)
    jacobian, used = np.eye(widths[0]), 0
    for n_in, n_out in pairwise(widths):
        matrices = np.moveaxis(grid[used : used + n_in * n_out].reshape(n_out, n_in, -1), -1, 0) / np.sqrt(n_in)
        jacobian, used = matrices @ jacobian, used + n_in * n_out
    moment = mass @ products_of_traces(jacobian, partition)
    assert float(laws.trace_moment(widths, partition)) == pytest.approx(moment, rel=1e-11)


def products_of_traces(jacobian, partition):
    gram = jacobian @ np.swapaxes(jacobian, -1, -2)
    return prod(np.trace(np.linalg.matrix_power(gram, k), axis1=-2, axis2=-1) for k in partition)


@pytest.mark.parametrize("k", [1, 2, 5, 8, 12])
def test_moments_that_are_products_of_chi_squares(k):
    def chi_square(degrees):
        return prod(degrees + 2 * i for i in range(k))

    assert laws.trace_moment((4, 7), (1,) * k) == Fraction(chi_square(28), 4**k)
    assert laws.trace_moment((6, 1), (k,)) == Fraction(chi_square(6), 6**k)
    assert laws.trace_moment((1,) * 6, (k,)) == chi_square(1) ** 5
    # A bottleneck of one node: the norms of a row and of a column.
    assert laws.trace_moment((3, 1, 5), (k,)) == Fraction(chi_square(3) * chi_square(5), 3**k)


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_moments_of_wide_layers_are_fuss_catalan(depth):
    n = 10**9
    for k in (2, 3, 8):
        limit = Fraction(comb((depth + 1) * k, k), depth * k + 1)
        assert abs(laws.trace_moment((n,) * (depth + 1), (k,)) / n / limit - 1) < Fraction(1, 10**5)


def test_moments_do_not_care_from_which_side_the_network_is_read():
    # Tr (J Jᵀ)^k = Tr (Jᵀ J)^k; the variances are those of the fan-ins.
    forwards, backwards = (laws.trace_moment(widths, (3, 2)) for widths in ((2, 5, 3, 4), (4, 3, 5, 2)))
    assert forwards * (2 * 5 * 3) ** 5 == backwards * (4 * 3 * 5) ** 5


def test_moments_are_those_of_samples():
    widths, partition, rng = (4, 3, 5), (3, 1), np.random.default_rng(20190722)
    count = 200_000
    jacobian = np.eye(widths[0])
    for n_in, n_out in pairwise(widths):
        jacobian = rng.standard_normal((count, n_out, n_in)) / np.sqrt(n_in) @ jacobian
    value, stderr = mean_and_error(products_of_traces(jacobian, partition))
    # The last layer one node wider is rejected.
    wrong = float(laws.trace_moment((4, 3, 6), partition))
    assert_sampled(value, float(laws.trace_moment(widths, partition)), stderr, wrong=[wrong])


@pytest.mark.parametrize(
    ("partition", "error", "told"),
    [
        ((), ValueError, r"\(\)"),
        ((2, 0), ValueError, r"\(2, 0\)"),
        ((2, -1), ValueError, "-1"),
        ((2.0,), TypeError, "2.0"),
        ((float("nan"),), TypeError, "nan"),
        ((True,), TypeError, "True"),
        (3, TypeError, "3"),
        ("21", TypeError, "21"),
    ],
)
def test_partitions_that_are_none(partition, error, told):
    with pytest.raises(error, match=told):
        laws.trace_moment((3, 3), partition)


def test_partitions_in_any_order_and_of_any_integers():
    assert laws.trace_moment((3, 4), np.array([1, 2])) == laws.trace_moment(np.array([3, 4]), (2, 1))


@pytest.mark.parametrize("law", [lambda w: laws.trace_moment(w, (2,)), laws.expected_characteristic_polynomial])
@pytest.mark.parametrize(
    ("widths", "error"),
    [((5,), ValueError), ((5, 0), ValueError), ((5, 2.5), TypeError), ((5, float("nan")), TypeError), (5, TypeError)],
)
def test_widths_that_are_none(law, widths, error):
    with pytest.raises(error, match="width"):
        law(widths)


# --- characteristic polynomials ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(1, 2), (2, 2), (3, 3), (2, 3, 2), (3, 2, 3), (2, 2, 2, 2), (4, 3)])
def test_characteristic_polynomial_by_enumeration_of_signs(widths):
    # A minor of J has degree one in each entry, so that its mean square is the same for all entries of variance one, of
    # random sign too: a finite sum over integers.
    count = sum(n_in * n_out for n_in, n_out in pairwise(widths))
    signs = np.array(list(product((-1, 1), repeat=count)))
    jacobian, used = np.eye(widths[0], dtype=int), 0
    for n_in, n_out in pairwise(widths):
        jacobian, used = signs[:, used : used + n_in * n_out].reshape(-1, n_out, n_in) @ jacobian, used + n_in * n_out
    p = [products_of_traces(jacobian, (k,)) for k in (1, 2, 3)]
    e = [p[0] ** 0, p[0], (p[0] ** 2 - p[1]) // 2, (p[0] ** 3 - 3 * p[0] * p[1] + 2 * p[2]) // 6]
    expected = [
        (-1) ** k * Fraction(int(e[k].sum()), len(signs) * prod(widths[:-1]) ** k) for k in range(widths[-1] + 1)
    ]
    assert list(laws.expected_characteristic_polynomial(widths)) == expected
    if widths[-1] > 1:  # the control: traces of powers do depend on the law of the entries
        square = Fraction(int(p[1].sum()), len(signs) * prod(widths[:-1]) ** 2)
        assert laws.trace_moment(widths, (2,)) != square


@pytest.mark.parametrize(("n_in", "n_out"), [(3, 2), (5, 5), (9, 4), (6, 1)])
def test_one_layer_has_laguerre_polynomials(n_in, n_out):
    x = sp.Symbol("x")
    laguerre = (-1) ** n_out * factorial(n_out) * sp.assoc_laguerre(n_out, n_in - n_out, n_in * x)
    expected = sp.Poly(laguerre / sp.Integer(n_in) ** n_out, x).all_coeffs()
    assert [sp.Rational(c.numerator, c.denominator) for c in
            laws.expected_characteristic_polynomial((n_in, n_out))] == expected  # fmt: skip


@pytest.mark.parametrize(("n", "depth"), [(2, 3), (5, 2), (12, 7)])
def test_layers_convolve(n, depth):
    # p ⊠ q has the coefficients p_k q_k/binom(n, k), up to signs (Marcus, Spielman & Srivastava 2022).
    one, all_layers = (laws.expected_characteristic_polynomial((n,) * (layers + 1)) for layers in (1, depth))
    convolved = one
    for _ in range(depth - 1):
        convolved = tuple((-1) ** k * a * b / comb(n, k) for k, (a, b) in enumerate(zip(convolved, one, strict=True)))
    assert all_layers == convolved


@pytest.mark.parametrize("widths", [(4, 4), (4, 6, 5), (7, 3, 4), (5, 4, 2)])
def test_coefficients_by_newton_from_the_trace_moments(widths):
    def moment(*partition):
        return laws.trace_moment(widths, partition)

    e = [
        1,
        moment(1),
        (moment(1, 1) - moment(2)) / 2,
        (moment(1, 1, 1) - 3 * moment(2, 1) + 2 * moment(3)) / 6,
        (moment(1, 1, 1, 1) - 6 * moment(2, 1, 1) + 3 * moment(2, 2) + 8 * moment(3, 1) - 6 * moment(4)) / 24,
    ]
    ours = laws.expected_characteristic_polynomial(widths)
    assert len(ours) == widths[-1] + 1
    assert list(ours[:5]) == [(-1) ** k * value for k, value in enumerate(e)][: len(ours)]


def test_zeros_are_real_and_as_many_vanish_as_the_rank_lacks():
    coefficients = laws.expected_characteristic_polynomial((6, 4, 7))
    assert coefficients[5:] == (0, 0, 0) and coefficients[4] > 0
    zeros = sp.Poly([sp.Rational(c.numerator, c.denominator) for c in coefficients[:5]], sp.Symbol("x"))
    assert zeros.count_roots(0, None) == 4 and zeros.count_roots(None, 0) == 0


# --- Lyapunov exponents and the mean log-determinant ------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 4, 16, 1000])
@pytest.mark.parametrize("sigma_w", [1.0, 1.7])
def test_newmans_formula(n, sigma_w):
    with mp.workdps(40):
        exact = [(mp.log(mp.mpf(2) / n) + mp.digamma(mp.mpf(n - k + 1) / 2)) / 2 for k in range(1, n + 1)]
        exact = [float(rate + mp.log(mp.mpf(sigma_w))) for rate in exact]
    ours = laws.lyapunov_exponents(Network.uniform(n, 7, activation="linear", sigma_w=sigma_w))
    # At σ_w = 1 to 1e-13 of each, however small; otherwise a sum of two terms.
    assert ours == pytest.approx(exact, rel=1e-13, abs=0 if sigma_w == 1 else 1e-15)
    assert np.all(np.diff(ours) < 0)


def test_first_exponent_of_wide_layers():
    # ½[ψ(N/2) − ln(N/2)] → −1/(2N) − 1/(6N²): where a plain difference has lost ten digits.
    n = 10**6
    first = laws.lyapunov_exponents(Network.uniform(n, 1, activation="linear"))[0]
    assert first == pytest.approx(-1 / (2 * n) - 1 / (6 * n**2), rel=1e-12)


def test_rotations_have_one_exponent():
    network = Network.uniform(9, 5, activation="linear", weights="orthogonal", sigma_w=1.3)
    assert laws.lyapunov_exponents(network) == pytest.approx(np.log(1.3), rel=1e-14)


NETWORKS = [
    Network.uniform(5, 3, activation="linear"),
    Network((2, 4, 3, 9), activation="linear"),
    Network((2, 4, 3, 9), activation="linear", weights="orthogonal", sigma_w=0.7),
    Network((3, 3, 2, 5), activation="linear", sigma_w=1.4),
    Network((6, 2, 5, 4), activation="linear", weights="orthogonal"),
    Network((5, 7, 3), activation="linear", weights="orthogonal", sigma_w=2.0),
]


def sampled(network, count):
    """ln R_kk of the first columns of J, and ln of the product of its nonzero squared singular values."""
    rng, jacobian = np.random.default_rng(1986), np.eye(network.widths[0])
    for n_in, n_out in pairwise(network.widths):
        jacobian = (
            weight_matrices(n_out, n_in, network.weights, sigma_w=network.sigma_w, batch=(count,), rng=rng) @ jacobian
        )
    rank = min(network.widths)
    squares = np.linalg.svd(jacobian, compute_uv=False)[:, :rank] ** 2
    diagonal = np.linalg.qr(jacobian[:, :, :rank])[1][:, np.arange(rank), np.arange(rank)]
    return np.log(np.abs(diagonal)), np.log(squares).sum(axis=1)


@pytest.mark.parametrize("network", NETWORKS, ids=repr)
def test_exponents_and_determinants_are_those_of_samples(network):
    diagonal, determinant = sampled(network, 20_000)
    # k = 5: some thirty numbers are compared.
    rates, stderr = mean_and_error(diagonal / network.depth)
    assert_sampled(rates, laws.lyapunov_exponents(network), stderr, k=5)
    # The control: a layer one node wider.
    wider = Network((*network.widths[:-2], network.widths[-2] + 1, network.widths[-1]), activation="linear",
                    weights=network.weights, sigma_w=network.sigma_w)  # fmt: skip
    value, stderr = mean_and_error(determinant)
    right, wrong = laws.mean_log_determinant(network), laws.mean_log_determinant(wider)
    assert_sampled(value, right, stderr, wrong=[wrong], k=5)


@pytest.mark.parametrize(
    "network",
    [
        Network.uniform(1, 1, activation="linear"),
        Network.uniform(16, 50, activation="linear", sigma_w=0.9),
        Network.uniform(1000, 1000, activation="linear"),
        Network((7, 9, 30, 7, 12), activation="linear"),
        Network((7, 9, 30, 7, 12), activation="linear", weights="orthogonal", sigma_w=1.1),
    ],
    ids=repr,
)
def test_exponents_add_up_to_the_log_determinant(network):
    # The inputs are narrowest: Jᵀ J has full rank.
    total = 2 * network.depth * laws.lyapunov_exponents(network).sum()
    assert laws.mean_log_determinant(network) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("widths", [(2, 2), (9, 4), (4, 9), (5, 2, 6, 3), (30, 7, 7, 40)])
def test_log_determinant_by_the_derivative_of_moments(widths):
    # Goodman 1963: det is a product of independent χ², with E (χ²_d)^s = 2^s Γ(d/2 + s)/Γ(d/2).
    narrowest = min(widths)
    others = sorted(widths)[1:]

    def log_moment(s):
        scale = -s * narrowest * mp.fsum(mp.log(n) for n in widths[:-1])
        degrees = [mp.mpf(n - k) for n in others for k in range(narrowest)]
        return scale + mp.fsum(s * mp.log(2) + mp.loggamma(d / 2 + s) - mp.loggamma(d / 2) for d in degrees)

    with mp.workdps(40):
        exact = float(mp.diff(log_moment, 0))
    assert laws.mean_log_determinant(Network(widths, activation="linear")) == pytest.approx(exact, rel=1e-12)


def test_log_determinant_is_that_of_the_moments_of_the_determinant():
    # E det(J Jᵀ) is the last coefficient of the expected characteristic polynomial: Jensen's inequality, near equality
    # for wide layers, where det of a 1 × 1 matrix barely moves.
    widths = (4000, 5000, 1)
    mean = float(laws.expected_characteristic_polynomial(widths)[-1])
    gap = np.log(-mean) - laws.mean_log_determinant(Network(widths, activation="linear"))
    # ln d − ln 2 − ψ(d/2) = 1/d + O(1/d²) from each layer.
    assert gap == pytest.approx(1 / 4000 + 1 / 5000, rel=1e-3)


@pytest.mark.parametrize("law", [laws.lyapunov_exponents, laws.mean_log_determinant])
@pytest.mark.parametrize(
    "kind", [{"activation": "tanh"}, {"activation": "relu"}, {"activation": "linear", "keep": 0.5}]
)
def test_only_linear_networks_are_covered(law, kind):
    with pytest.raises(ValueError, match=f"'linear' without dropout.*{kind['activation']}"):
        law(Network.uniform(4, 3, **kind))


def test_dropout_that_drops_nothing_is_covered():
    with_dropout = Network.uniform(4, 3, activation="linear", keep=1.0)
    assert laws.mean_log_determinant(with_dropout) == laws.mean_log_determinant(
        Network.uniform(4, 3, activation="linear")
    )


# --- complex Ginibre products -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_density_of_one_matrix_is_laguerres(n):
    x = np.array([1e-12, 0.01, 0.3, 1.0, 2.5, 4.0, 6.0])
    with mp.workdps(40):
        exact = [
            float(mp.exp(-n * mp.mpf(each)) * mp.fsum(mp.laguerre(k, 0, n * mp.mpf(each)) ** 2 for k in range(n)))
            for each in x
        ]
    assert laws.complex_ginibre_density(n, 1, x) == pytest.approx(exact, rel=1e-12)


def test_density_of_products_of_numbers():
    # Of two independent exponentials.
    x = np.array([1e-300, 1e-6, 0.5, 3.0, 1e4])
    with mp.workdps(30):
        exact = [float(2 * mp.besselk(0, 2 * mp.sqrt(each))) for each in x]
    assert laws.complex_ginibre_density(1, 2, x) == pytest.approx(exact, rel=1e-12)


def meijer_density(n, depth, x):
    """The formula as printed, by mpmath's own Meijer G-function at 40 digits."""
    with mp.workdps(40):
        x, total = mp.mpf(x) * n**depth, mp.mpf(0)
        for k in range(n):
            phi = mp.meijerg([[-k], []], [[0] * depth, [0]], x) * (-1) ** k / mp.factorial(k) ** (depth + 1)
            p = [
                (-1) ** (k + j) * mp.binomial(k, j) * (mp.factorial(k) / mp.factorial(j)) ** depth for j in range(k + 1)
            ]
            total += phi * mp.polyval(p[::-1], x)
        return float(total * mp.mpf(n) ** (depth - 1))


@pytest.mark.parametrize(
    ("n", "depth"), [(2, 2), (4, 3), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((8, 2), (3, 5)))]
)
def test_density_by_another_evaluation_of_the_meijer_functions(n, depth):
    for x in (1e-20, 0.02, 1.0, 4.0, 15.0):
        expected = meijer_density(n, depth, x)
        assert laws.complex_ginibre_density(n, depth, x) == pytest.approx(expected, rel=1e-12)
        assert abs(expected / meijer_density(n, depth + 1, x) - 1) > 1e-3


def complex_moment(n, depth, k):
    """(1/n) E Tr (J J†)^k by hooks: p_k = Σ_r (−1)^r s_{(k−r, 1^r)}; a layer multiplies s_κ by Π (n + j − i)/n."""
    total = Fraction(0)
    for r in range(k):
        contents = prod(n + c for c in range(-r, k - r))
        total += (-1) ** r * Fraction(contents ** (depth + 1), k * factorial(r) * factorial(k - r - 1))
    return total / n ** (depth * k + 1)


def test_oracle_of_complex_moments():
    # Complex Wishart: (1/n) E Tr W² = 2 and (1/n) E Tr W³ = 5 + 1/n² (Hanlon, Stanley & Stembridge 1992).
    assert [complex_moment(4, 1, k) for k in (1, 2, 3)] == [1, 2, 5 + Fraction(1, 16)]


@pytest.mark.parametrize(
    ("n", "depth"), [*(pytest.param(*case, marks=pytest.mark.slow) for case in ((3, 1), (4, 2))), (2, 4)]
)
def test_density_has_mass_one_and_the_exact_moments(n, depth):
    # The trapezoid rule in ln x, geometrically convergent; at this step to 1e-10.
    step = 0.2 * np.sqrt(depth)
    x = np.exp(np.arange(-30, np.log(60 * 6**depth), step))
    weight = step * x * laws.complex_ginibre_density(n, depth, x)
    moments = [weight @ x**k for k in range(5)]
    exact = [1.0, *(float(complex_moment(n, depth, k)) for k in range(1, 5))]
    assert moments == pytest.approx(exact, rel=1e-8)
    wrong = [float(complex_moment(n, depth + 1, k)) for k in range(2, 5)]
    assert np.all(np.abs(moments[2:] / np.array(wrong) - 1) > 0.01)


@cache
def cell_probabilities(n, depth, edges):
    nodes, weights = np.polynomial.legendre.leggauss(10)
    low, high = np.log(edges[:-1])[:, None], np.log(edges[1:])[:, None]
    x = np.exp((low + high + (high - low) * nodes) / 2)
    return (high - low)[:, 0] / 2 * (x * laws.complex_ginibre_density(n, depth, x) @ weights)


@pytest.mark.slow
def test_density_is_that_of_samples():
    n, depth, count = 3, 2, 20_000
    rng = np.random.default_rng(2013)
    gaussians = rng.standard_normal((2, depth, count, n, n)) / np.sqrt(2 * n)
    first, second = gaussians[0] + 1j * gaussians[1]
    squares = np.linalg.svd(first @ second, compute_uv=False) ** 2
    # One of each product's, so that the draws are independent.
    draws = squares[np.arange(count), rng.integers(n, size=count)]
    edges = (0.002, 0.02, 0.08, 0.2, 0.4, 0.7, 1.1, 1.7, 2.5, 4.0)
    observed = np.bincount(np.searchsorted(edges, draws), minlength=len(edges) + 1)[1:-1]

    def p_value(depth):
        inner = cell_probabilities(n, depth, edges)
        cells, counts = [*inner, 1 - inner.sum()], [*observed, count - observed.sum()]
        return stats.chisquare(counts, count * np.array(cells)).pvalue

    # k = 4 standard deviations: 6e-5. The density of one matrix more is rejected.
    assert p_value(depth) > 6e-5
    assert p_value(depth + 1) < 1e-20


def test_density_outside_the_support_and_at_its_end():
    assert np.all(laws.complex_ginibre_density(3, 2, [-1.0, -1e-300, 1e9, 1e300]) == 0)
    assert laws.complex_ginibre_density(5, 1, 0.0) == 5
    assert laws.complex_ginibre_density(5, 2, 0.0) == np.inf
    assert laws.complex_ginibre_density(2, 2, np.ones((2, 3))).shape == (2, 3)
    assert laws.complex_ginibre_density(2, 2, []).shape == (0,)


@pytest.mark.parametrize(
    ("n", "depth", "x", "error", "told"),
    [
        (3, 0, 1.0, ValueError, "depth.*0"),
        (0, 1, 1.0, ValueError, "n must.*0"),
        (2.5, 1, 1.0, TypeError, "n must.*2.5"),
        (3, True, 1.0, TypeError, "depth.*True"),
        (3, 1, float("nan"), ValueError, "nan"),
        (3, 1, [1.0, np.inf], ValueError, "inf"),
    ],
)
def test_what_the_density_refuses(n, depth, x, error, told):
    with pytest.raises(error, match=told):
        laws.complex_ginibre_density(n, depth, x)
