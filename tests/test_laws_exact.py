"""S3, the exact mean VNI, against 40-digit quadrature of its formula and against what must hold exactly."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from oracles import gaussian_transform, gaussian_transforms, inversion_density, mean_over_live

from rmt_vn import Network, laws
from rmt_vn.laws.hyperbolic.transforms import log_gaussian_step

DIGITS = 40
PROMISED = 1e-10


def transforms_at(nu, shapes, weights, p):
    """m_n(ν) of every n that the layers ask for."""
    if p != 1:
        return dict(enumerate(gaussian_transforms(max(max(shape) for shape, _ in shapes), nu), start=1))
    fan_ins = {n_in for (n_in, _), _ in shapes}
    frames = {max(shape) for shape, _ in shapes} if weights == "orthogonal" else set()
    return {n: gaussian_transform(n, nu) for n in fan_ins | frames}


def step_transform(n_in, n_out, weights, p, m):
    """M_l(ν) of one layer, from all m_n(ν)."""
    frame = 1 if weights == "gaussian" else m[max(n_in, n_out)]
    if p == 1:
        return m[n_in] / frame
    return mean_over_live([m[k] for k in range(1, n_in + 1)], p) / frame


def reference(shapes, *, weights="gaussian", p=1):
    """(E VNI, 1 − E VNI) at 40 digits. `shapes`: ((n_in, n_out), number of such layers), the input layer first."""
    with mp.workdps(DIGITS):

        def factor(nu):
            m = transforms_at(nu, shapes, weights, p)
            steps = (
                step_transform(*shape, weights, 1 if layer == 0 else p, m) ** count
                for layer, (shape, count) in enumerate(shapes)
            )
            return mp.fprod(steps)

        def integrand(nu):
            return inversion_density(nu) * factor(nu) / peak

        # Relative to its peak, because `quad` stops at an absolute error. The integrand is about e^{−ν²t/2 − πν/2}, of
        # width 1/√t or 2/π; past ν = 36, and past 15 of the former widths, it is below 1e-24, and 1e-10 is asked.
        peak = factor(mp.mpf(0))
        width = 1 / mp.sqrt(-2 * mp.log(peak)) if peak < 0.1 else mp.mpf(1)
        end = min(15 * width, mp.mpf(36)) if peak < 1e-20 else mp.mpf(36)
        points = [0, width / 2]
        while points[-1] < end:
            points.append(min(2 * points[-1], end))
        s = peak * mp.quad(integrand, points, method="gauss-legendre")
        last = shapes[-1][0][1]
        alone = mp.mpf(1) / last if p == 1 else mean_over_live([mp.mpf(1) / k for k in range(1, last + 1)], p)
        return alone + (1 - alone) * (1 - s), (1 - alone) * s


def relative_error(value, truth):
    return float(abs(mp.mpf(value) / truth - 1))


def assert_agrees(network, shapes, **kind):
    vni, complement = reference(shapes, **kind)
    assert relative_error(laws.exact_vni(network), vni) < PROMISED
    assert relative_error(laws.exact_vni_complement(network), complement) < PROMISED


# Corners of the promised range, the edge of the doubles (1 − VNI of 1e-149, 1e-209), and points between.
@pytest.mark.parametrize(
    ("width", "depth"),
    [
        (2, 1), (2, 20), (2, 2000), (3, 7), (10, 10), (17, 1000), (100, 100), (100, 370_000), (1000, 3),
        (4321, 10**6), (10**6, 1), (10**6, 10**6),
    ],
)  # fmt: skip
def test_uniform_gaussian_to_ten_digits(width, depth):
    network = Network.uniform(width, depth, activation="linear")
    assert_agrees(network, [((width, width), depth)])


def test_complement_beyond_the_range_of_doubles_is_zero():
    network = Network.uniform(2, 5000, activation="linear")
    vni, complement = reference([((2, 2), 5000)])
    assert complement < mp.mpf(10) ** -330
    assert laws.exact_vni_complement(network) == 0
    assert relative_error(laws.exact_vni(network), vni) < PROMISED


@pytest.mark.parametrize("widths", [(7, 2, 50, 3, 9), (500, 40, 3, 2, 2, 6), (2, 10**6, 5), (10**6, 2, 10**6)])
def test_rectangular_gaussian_with_bottlenecks(widths):
    shapes = [(shape, 1) for shape in pairwise(widths)]
    assert_agrees(Network(widths, activation="linear"), shapes)


@pytest.mark.parametrize(
    "widths", [(5, 9), (9, 5), (4, 2, 4), (3, 8, 6, 20, 2), (2, 3, 2, 3, 2), (100, 101, 100), (1000, 10**6, 999_999)]
)
def test_semi_orthogonal(widths):
    shapes = [(shape, 1) for shape in pairwise(widths)]
    if all(n_out <= n_in for n_in, n_out in pairwise(widths)):
        # Rows of every W stay orthogonal: no step at all, and nothing for the quadrature to decay with.
        assert laws.exact_vni(Network(widths, activation="linear", weights="orthogonal")) == pytest.approx(
            1 / widths[-1], rel=1e-12
        )
    else:
        assert_agrees(Network(widths, activation="linear", weights="orthogonal"), shapes, weights="orthogonal")


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize(
    ("widths", "p"),
    [
        ((2, 2, 2), 0.5),
        ((20,) * 11, 0.5),
        ((9, 4, 30, 2, 13, 3), 0.5),
        ((50, 60, 60, 60), 0.5),
        ((6, 40, 12), 0.35),
        pytest.param((400, 400, 400), 0.5, marks=pytest.mark.slow),
    ],
)
def test_masks_by_binomial_sums(widths, p, weights):
    # ReLU keeps a hidden node with probability 1/2; ReLU with dropout 0.7 keeps 0.35.
    network = Network(widths, activation="relu", weights=weights, keep=2 * p)
    shapes = {}
    for shape in pairwise(widths[1:]):
        shapes[shape] = shapes.get(shape, 0) + 1
    assert_agrees(network, [(widths[:2], 1), *shapes.items()], weights=weights, p=p)


@pytest.mark.parametrize("keep", [0.1, 0.9, 0.999])
def test_dropout_of_a_linear_network(keep):
    network = Network((8, 25, 25, 25), activation="linear", keep=keep)
    assert_agrees(network, [((8, 25), 1), ((25, 25), 2)], p=keep)


def test_dropout_that_drops_nothing_changes_nothing():
    with_dropout = Network((8, 25, 25), activation="relu", keep=1.0)
    assert laws.exact_vni(with_dropout) == laws.exact_vni(Network((8, 25, 25), activation="relu"))


@pytest.mark.parametrize("inputs", [2, 3, 4, 5, 11, 39, 40, 41, 100, 12345, 10**6, 10**9])
@pytest.mark.parametrize("outputs", [2, 7, 10**6])
def test_one_gaussian_layer(inputs, outputs):
    # E ρ² = 1/n for two independent Gaussian rows with n entries.
    one_layer = Network((inputs, outputs), activation="linear")
    assert laws.exact_vni(one_layer) == pytest.approx(1 / outputs + (1 - 1 / outputs) / inputs, rel=1e-12)
    assert laws.exact_vni_complement(one_layer) == pytest.approx((1 - 1 / outputs) * (1 - 1 / inputs), rel=1e-12)


@pytest.mark.parametrize(
    "kind", [{"activation": a, "weights": w} for a in ("linear", "relu") for w in ("gaussian", "orthogonal")]
)
def test_all_nodes_behind_a_single_one_are_one(kind):
    network = Network((5, 7, 1, 9, 4), **kind)
    assert laws.exact_vni_complement(network) == 0
    assert laws.exact_vni(network) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_one_output_node_is_perfectly_correlated_with_itself(activation):
    network = Network((5, 7, 1), activation=activation)
    assert laws.exact_vni(network) == 1
    assert laws.exact_vni_complement(network) == 0


@pytest.mark.parametrize("width", [2, 3, 50, 10**6])
@pytest.mark.parametrize("depth", [1, 1000])
def test_rotations_correlate_nothing(width, depth):
    network = Network.uniform(width, depth, activation="linear", weights="orthogonal")
    assert laws.exact_vni(network) == 1 / width


def test_order_of_the_layers_does_not_matter():
    # M is a product over the fan-ins n_0, …, n_{L−1}, in any order.
    ordered, shuffled = (6, 2, 30, 9, 4, 8), (30, 9, 6, 4, 2, 8)
    for law in (laws.exact_vni, laws.exact_vni_complement):
        values = [law(Network(widths, activation="linear")) for widths in (ordered, shuffled)]
        assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_width_of_the_last_layer_enters_by_the_diagonal_alone():
    few, many = (laws.exact_vni(Network((6, 9, n), activation="linear")) for n in (2, 500))
    assert (few - 1 / 2) / (1 - 1 / 2) == pytest.approx((many - 1 / 500) / (1 - 1 / 500), rel=1e-12)


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
@pytest.mark.parametrize("nu", [0.0, 0.3, 4.0, 25.0])
def test_transform_of_one_step_as_an_infinite_product(n, nu):
    with mp.workdps(30):
        c = mp.mpf(nu) ** 2 + mp.mpf(1) / 4
        # Π_{j<J}, then the sum that is left, to second order in its midpoint rule: c/2J + O(J⁻³).
        cut = 20_000
        product = -mp.fsum(mp.log1p(c / ((n + 2 * j) * (n + 2 * j - 1))) for j in range(cut))
        product -= c / (2 * (n + 2 * cut - mp.mpf(3) / 2))
        ratio = mp.log(gaussian_transform(n, mp.mpf(nu)))
    assert float(product) == pytest.approx(float(ratio), rel=1e-8)
    assert float(log_gaussian_step(n, np.array(nu))) == pytest.approx(float(ratio), rel=1e-13)


@pytest.mark.parametrize("n", [2, 38, 39, 40, 41, 1000, 10**9])
def test_logarithm_of_one_step_is_accurate_relative_to_itself(n):
    for nu in (0.0, 0.01, 1.0, 30.0):
        with mp.workdps(DIGITS):
            truth = float(mp.log(gaussian_transform(n, mp.mpf(nu))))
        assert float(log_gaussian_step(n, np.array(nu))) == pytest.approx(truth, rel=1e-13)


@pytest.mark.parametrize(
    ("kind", "width", "depth", "value", "digits"),
    [
        ({"activation": "linear"}, 20, 10, 0.359617, 6),
        ({"activation": "linear"}, 100, 100, 0.478616, 6),
        ({"activation": "linear"}, 100, 50, 0.3200, 4),
        ({"activation": "linear"}, 50, 50, 0.4876, 4),
        ({"activation": "relu"}, 20, 10, 0.5653, 4),
        ({"activation": "relu", "weights": "orthogonal"}, 20, 10, 0.4325, 4),
    ],
)
def test_published_values(kind, width, depth, value, digits):
    assert round(laws.exact_vni(Network.uniform(width, depth, **kind)), digits) == value


KINDS = [
    {"activation": "linear"},
    {"activation": "relu"},
    {"activation": "relu", "weights": "orthogonal"},
    {"activation": "linear", "weights": "orthogonal", "keep": 0.8},
]


@pytest.mark.parametrize("kind", KINDS)
def test_deeper_is_more_correlated(kind):
    networks = [Network.uniform(12, depth, **kind) for depth in (1, 2, 3, 5, 8, 13, 50, 200, 1000)]
    assert np.all(np.diff([laws.exact_vni(network) for network in networks[:-2]]) > 0)
    assert np.all(np.diff([laws.exact_vni_complement(network) for network in networks]) < 0)


@pytest.mark.parametrize("kind", KINDS)
def test_indicator_and_complement_make_one(kind):
    for widths in ((2, 2, 2), (3, 9, 5, 4), (40,) * 30):
        network = Network(widths, **kind)
        assert laws.exact_vni(network) + laws.exact_vni_complement(network) == pytest.approx(1, abs=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_scales_of_weights_and_biases_do_not_matter(kind):
    plain = laws.exact_vni(Network((9, 12, 5), **kind))
    assert laws.exact_vni(Network((9, 12, 5), sigma_w=37.0, sigma_b=2.5, **kind)) == plain


@pytest.mark.parametrize("law", [laws.exact_vni, laws.exact_vni_complement])
@pytest.mark.parametrize("activation", ["tanh", "leaky_relu", "gelu"])
def test_an_activation_beyond_the_theorem_is_sent_to_the_universal_law(law, activation):
    with pytest.raises(ValueError, match=f"{activation}.*S4"):
        law(Network.uniform(10, 3, activation=activation))
