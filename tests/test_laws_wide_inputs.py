"""S7, wide inputs: one layer, the chain, the VNI and the collapse, against networks drawn here, weight by weight."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import erf

from rmt_vn import Network, laws, samplers
from rmt_vn.activations import ACTIVATIONS
from rmt_vn.laws.input_pairs.chain import mean_squares
from rmt_vn.laws.input_pairs.one_layer import evaluate, layer_statistics, statistics_along
from rmt_vn.mean_field import fixed_point

PHI = {"tanh": np.tanh, "erf": erf, "sin": np.sin, "hard_tanh": lambda h: np.clip(h, -1, 1), "linear": lambda h: h}


def forward(activation, sigma_w2, widths, depths, networks, inputs, rng):
    """Activations (networks, inputs, nodes) at some depths, with every weight drawn: no code of the package."""
    x = rng.standard_normal((networks, inputs, widths[0]))
    for depth, (n_in, n_out) in enumerate(pairwise(widths), start=1):
        weights = rng.standard_normal((networks, n_in, n_out)) * np.sqrt(sigma_w2 / n_in)
        x = PHI[activation](x @ weights)
        if depth in depths:
            yield x


def sampled_vni(x):
    """VNI of each network over its inputs; what a finite number of inputs adds to ρ² is taken off."""
    inputs, nodes = x.shape[1:]
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    square = ((np.swapaxes(unit, 1, 2) @ unit) ** 2).sum(axis=(1, 2))
    off_diagonal = (square - nodes) / (nodes * (nodes - 1))
    return 1 / nodes + (1 - 1 / nodes) * (off_diagonal - 1 / inputs) / (1 - 1 / inputs)


def sampled_input_correlation(x):
    """The mean of ρ² over pairs of inputs, of each network."""
    inputs = x.shape[1]
    unit = x / np.linalg.norm(x, axis=2, keepdims=True)
    return (((unit @ np.swapaxes(unit, 1, 2)) ** 2).sum(axis=(1, 2)) - inputs) / (inputs * (inputs - 1))


def mean_and_error(values):
    return values.mean(axis=-1), values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])


def old_closure(share, width, depth):
    """What S7 used to be: v → R(R⁻¹(c²v) + 1/N). It says that vanishing stops wherever c < 1: the control."""
    t = np.geomspace(1e-6, 60, 4000)
    grid = laws.universal_vni(t)
    v = 0.0
    for _ in range(depth):
        v = share**2 * np.interp(np.interp(v, grid, t) + 1 / width, t, grid)
    return 1 / width + (1 - 1 / width) * v


# --- one layer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [0.1, 1.3, 5.0])
def test_the_hermite_map_meets_closed_forms(q):
    y = np.array([1e-3, 0.4, 1.5, 4.0, 7.0])
    rho = np.tanh(y)
    steep = 2 * q / (1 + 2 * q)
    for name, image in (
        ("erf", np.arcsin(steep * rho) / np.arcsin(steep)),  # Williams 1997
        ("sin", np.sinh(q * rho) / np.sinh(q)),
        ("linear", rho),
    ):
        mapped = np.tanh(y) * evaluate(layer_statistics(ACTIVATIONS[name], q).shift, y) + y
        assert np.tanh(mapped) == pytest.approx(image, rel=1e-7), name


@pytest.mark.parametrize("q", [0.3, 2.0])
def test_the_hermite_map_of_a_kinked_activation_meets_its_series(q):
    # Σ a_k² ρ^k/E φ², with a_k of hard tanh by parts: √k! a_k = 2 ∫_0^{1/√q} √q He_{k−1}… summed here by a fine grid.
    z, step = np.linspace(-12, 12, 240001, retstep=True)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * step
    phi = PHI["hard_tanh"](np.sqrt(q) * z)
    before, here, squares = np.ones_like(z), z.copy(), []
    for k in range(1, 80):  # normalized Hermite functions
        squares.append(float(density @ (phi * here)) ** 2)
        before, here = here, (z * here - np.sqrt(k) * before) / np.sqrt(k + 1)
    rho = np.array([0.1, 0.5, 0.75])
    image = sum(square * rho**k for k, square in enumerate(squares, start=1)) / float(density @ phi**2)
    y = np.arctanh(rho)
    mapped = y + np.tanh(y) * evaluate(layer_statistics(ACTIVATIONS["hard_tanh"], q).shift, y)
    assert np.tanh(mapped) == pytest.approx(image, rel=1e-6)


def one_layer(activation, q, y, nodes, samples, rng, *, held):
    """artanh of the correlation of two inputs behind one layer of Gaussian weights; with `held`, of Haar ones."""
    first, second = rng.standard_normal((2, samples, nodes))
    if held:
        first /= np.sqrt(np.mean(first**2, axis=1, keepdims=True))
        second -= first * np.mean(first * second, axis=1, keepdims=True)
        second /= np.sqrt(np.mean(second**2, axis=1, keepdims=True))
    rho = np.tanh(y)
    u, v = (PHI[activation](np.sqrt(q) * h) for h in (first, rho * first + np.sqrt(1 - rho**2) * second))
    return np.arctanh(np.sum(u * v, axis=1) / np.sqrt(np.sum(u * u, axis=1) * np.sum(v * v, axis=1)))


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize(("activation", "q", "y"), [("tanh", 1.5, 2.0), ("hard_tanh", 0.8, 2.0)])
def test_mean_and_scatter_of_one_layer(activation, q, y, held):
    # 5 standard errors, and what is left at the second order in 1/n: a tenth of the terms of first order at n = 100.
    nodes, samples = 100, 60_000
    sample = one_layer(activation, q, y, nodes, samples, np.random.default_rng(5), held=held)
    layer, at = layer_statistics(ACTIVATIONS[activation], q), np.array([y])
    taken_drift, taken_variance = (
        (evaluate(layer.held_drift, at)[0], evaluate(layer.held_variance, at)[0]) if held else (0, 0)
    )
    shift, drift = np.tanh(y) * evaluate(layer.shift, at)[0], np.tanh(y) * (evaluate(layer.drift, at)[0] - taken_drift)
    variance = evaluate(layer.variance, at)[0] - taken_variance
    mean, error = nodes * (sample.mean() - y - shift), nodes * sample.std() / np.sqrt(samples)
    assert abs(mean - drift) < 5 * error + 0.1 * abs(drift)
    assert nodes * sample.var() == pytest.approx(variance, rel=0.1 + 5 * np.sqrt(2 / samples))
    # The controls: the scatter of Gaussian pairs, as of a linear layer; for Haar weights, that of Gaussian ones.
    other = (np.tanh(y) * evaluate(layer.drift, at)[0], evaluate(layer.variance, at)[0]) if held else (0.5, 1.0)
    assert abs(mean - other[0]) > 5 * error + 0.1 * abs(drift)
    assert abs(nodes * sample.var() / other[1] - 1) > 0.1 + 5 * np.sqrt(2 / samples)


# --- all layers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(20,) * 31, (3, 30, 10, 50, 2), (40, 5, 5, 60)])
def test_linear_networks_follow_the_exact_law(widths):
    network = Network(widths, activation="linear")
    exact = [laws.exact_vni(Network(widths[: depth + 1], activation="linear")) for depth in range(1, len(widths))]
    assert laws.wide_input_vni(network) == pytest.approx(exact, rel=1e-5)
    pairs = mean_squares(network, statistics_along(network.activation, np.ones(network.depth)))
    # Two inputs are one layer ahead of two nodes: the inputs themselves scatter.
    ahead = [laws.correlation_moment(Network((*widths[: depth + 1], 2), activation="linear"), 2) for depth in range(5)]
    assert [next(pairs)[1] for _ in range(3)] == pytest.approx(ahead[:3], rel=1e-5)


def test_nearly_linear_networks_are_linear():
    network = Network.uniform(30, 40, activation="tanh")
    linear = laws.wide_input_vni(Network.uniform(30, 40, activation="linear"))
    assert laws.wide_input_vni(network, input_variance=1e-6) == pytest.approx(linear, rel=1e-4)


def test_one_layer_by_hand():
    # Two nodes of the first layer have the correlation of their weights, whose law is known; then the arcsine.
    n, q = 12, 1.4**2 * 0.5
    rho = np.linspace(-1, 1, 20001)
    density = (1 - rho**2) ** ((n - 3) / 2)
    steep = 2 * q / (1 + 2 * q)
    mean = np.sum(density * (np.arcsin(steep * rho) / np.arcsin(steep)) ** 2) / np.sum(density)
    vni = laws.wide_input_vni(Network((n, 7), activation="erf", sigma_w=1.4), input_variance=0.5)
    assert vni == pytest.approx([1 / 7 + 6 / 7 * mean], rel=1e-6)


CASES = [  # activation, σ_w², widths, networks, inputs
    ("tanh", 1.5, (20,) * 51, 80, 120),
    ("hard_tanh", 2.5, (20,) * 31, 80, 120),
    ("tanh", 1.0, (30,) * 21, 80, 120),
    ("sin", 2.5, (30,) * 21, 60, 120),
    ("tanh", 2.5, (3, *(30,) * 20), 60, 150),
    ("erf", 1.5, (60, 20, 40, 20, 40, 20, 40), 80, 150),
]
SLOW_CASES = [
    ("tanh", 1.0, (100,) * 201, 60, 300),
    ("tanh", 1.5, (20,) * 801, 200, 150),
    ("tanh", 1.5, (100,) * 201, 60, 300),
    ("tanh", 2.5, (300,) * 101, 12, 400),
    ("erf", 2.5, (50,) * 201, 80, 200),
    ("hard_tanh", 1.5, (50,) * 201, 80, 200),
    ("sin", 1.5, (50,) * 201, 300, 120),
    ("tanh", 1.5, (10, *(50,) * 200), 80, 200),
]


def check_against_networks(activation, sigma_w2, widths, networks, inputs, seed):
    network = Network(widths, activation=activation, sigma_w=sigma_w2**0.5)
    depths = sorted({1, 2, 5, 20, len(widths) // 2, len(widths) - 1})
    depths = [depth for depth in depths if depth < len(widths)]
    vni, participation = laws.wide_input_vni(network), laws.wide_input_participation(network)
    pairs = [
        square
        for _, square in mean_squares(
            network, statistics_along(network.activation, length_map_of(activation, sigma_w2, len(widths) - 1))
        )
    ][1:]
    rng = np.random.default_rng(seed)
    for depth, x in zip(depths, forward(activation, sigma_w2, widths, depths, networks, inputs, rng), strict=True):
        mean, error = mean_and_error(sampled_vni(x))
        # Within 10%, or 4 standard errors: what S7 promises. The chain of two inputs is closer: 3%.
        assert abs(vni[depth - 1] - mean) < max(0.1 * mean, 4 * error), depth
        mean, error = mean_and_error(sampled_input_correlation(x))
        assert abs(pairs[depth - 1] - mean) < 0.03 * mean + 4 * error, depth
        assert pairs[depth - 1] - 1e-12 <= participation[depth - 1] <= 1


def length_map_of(activation, sigma_w2, depth):
    z, step = np.linspace(-12, 12, 4801, retstep=True)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * step
    variances = [sigma_w2]
    for _ in range(depth - 1):
        variances.append(sigma_w2 * float(density @ PHI[activation](np.sqrt(variances[-1]) * z) ** 2))
    return np.array(variances)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[2][0]}x{len(case[2]) - 1}")
def test_the_law_meets_networks(case):
    check_against_networks(*case, seed=11)


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW_CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[2][0]}x{len(case[2]) - 1}")
def test_the_law_meets_deep_and_wide_networks(case):
    check_against_networks(*case, seed=12)


def test_participation_meets_networks():
    # Tr C_A C_B and Tr C_A Tr C_B of two halves of the inputs have no bias.
    widths = (30,) * 9
    network = Network(widths, activation="tanh", sigma_w=1.4)
    ours = laws.wide_input_participation(network)
    for depth, x in zip(
        [1, 3, 8], forward("tanh", 1.96, widths, [1, 3, 8], 150, 300, np.random.default_rng(3)), strict=True
    ):
        first, second = (np.swapaxes(half, 1, 2) @ half for half in (x[:, :150], x[:, 150:]))
        traces = np.trace(first, axis1=1, axis2=2) * np.trace(second, axis1=1, axis2=2)
        mean, error = mean_and_error(np.sum(first * second, axis=(1, 2)) / traces)
        assert abs(ours[depth - 1] - mean) < 0.06 * mean + 4 * error, depth


@pytest.mark.parametrize(
    ("parameters", "phi"),
    [
        ({"activation": "relu", "sigma_w": 2**0.5}, lambda h: np.maximum(h, 0)),
        ({"activation": "softplus", "sigma_w": 1.2, "sigma_b": 0.5}, lambda h: np.logaddexp(0, h)),
    ],
    ids=["relu", "softplus"],
)
def test_four_inputs_give_the_participation_of_any_network(parameters, phi):
    # The brute force: the ratio of the means of Tr C_A C_B and Tr C_A Tr C_B over halves of 200 inputs, every weight
    # drawn.
    rng, width, networks = np.random.default_rng(8), 15, 400
    sampled = samplers.sample_wide_participation(Network.uniform(width, 3, **parameters), 4000, rng=1)
    x = rng.standard_normal((networks, 200, width))
    for depth in range(3):
        weights = rng.standard_normal((networks, width, width)) * parameters["sigma_w"] / np.sqrt(width)
        x = phi(x @ weights + parameters.get("sigma_b", 0) * rng.standard_normal((networks, 1, width)))
        halves = [half - half.mean(axis=1, keepdims=True) for half in (x[:, :100], x[:, 100:])]
        first, second = (np.swapaxes(half, 1, 2) @ half for half in halves)
        top = np.sum(first * second, axis=(1, 2))
        bottom = np.trace(first, axis1=1, axis2=2) * np.trace(second, axis1=1, axis2=2)
        ratio = top.mean() / bottom.mean()
        error = np.std(top - ratio * bottom) / bottom.mean() / np.sqrt(networks)
        both = np.hypot(error, sampled.stderr[depth])
        assert abs(sampled.value[depth] - ratio) < 4 * both
        # The control: covariances that are not centred.
        assert abs(sampled.value[depth] - uncentred(x)) > 4 * both


def uncentred(x):
    gram = np.swapaxes(x, 1, 2) @ x
    return np.sum(gram**2, axis=(1, 2)).mean() / (np.trace(gram, axis1=1, axis2=2) ** 2).mean()


# --- collapse ---------------------------------------------------------------------------------------------------------


def test_the_threshold_is_one_half_in_wide_networks():
    # q* ~ N^{−1/2} keeps α fixed: 1 − c = 2q²/3 and σ_w² = 1 + 2q to lowest order. Parallel inputs drift by (½ − α)/N.
    for alpha, width in ((0.4, 10**6), (0.7, 10**6), (2.0, 10**5)):
        q = np.sqrt(1.5 * alpha / width)
        limit = laws.wide_input_limit(Network.uniform(width, 1, activation="tanh", sigma_w=np.sqrt(1 + 2 * q)))
        assert limit.alpha == pytest.approx(alpha, rel=0.03)
        assert limit.collapses is (alpha < 0.5)
        assert limit.drift * width == pytest.approx(0.5 - limit.alpha, abs=0.02)
    assert limit.mean_square_correlation == pytest.approx(1 / (2 * limit.alpha), rel=0.02)


def test_deep_networks_reach_the_limit():
    network = Network.uniform(60, 800, activation="tanh", sigma_w=1.5)
    limit = laws.wide_input_limit(network)
    q = np.full(network.depth, fixed_point(network).q_star)
    *_, (_, last) = mean_squares(network, statistics_along(network.activation, q))
    assert last == pytest.approx(limit.mean_square_correlation, rel=1e-6)


def test_a_narrow_network_collapses_and_a_wider_one_does_not():
    # σ_w² = 1.5: N(1 − c) = 0.38 at 20 nodes, 1.9 at 100. After 400 layers, the first go on to one; the old closure
    # has them stay below one half for ever.
    share, rng = 1 - 0.378325 / 20, np.random.default_rng(4)
    narrow, wide = (Network.uniform(n, 400, activation="tanh", sigma_w=1.5**0.5) for n in (20, 100))
    assert laws.wide_input_limit(narrow).collapses and not laws.wide_input_limit(wide).collapses
    (x,) = forward("tanh", 1.5, narrow.widths, [400], 60, 60, rng)
    mean, error = mean_and_error(sampled_vni(x))
    assert abs(laws.wide_input_vni(narrow)[-1] - mean) < max(0.1 * mean, 4 * error)
    assert mean - old_closure(share, 20, 400) > 10 * error
    assert laws.wide_input_vni(wide)[-1] < 0.3


@pytest.mark.slow
def test_collapse_is_told_apart_just_below_and_above_the_threshold():
    # σ_w² = 1.5, 3000 layers. At these widths parallel inputs neither part nor meet at N = 32, N(1 − c) = 0.61.
    rng = np.random.default_rng(6)
    found = {}
    for width in (20, 26, 44):
        (x,) = forward("tanh", 1.5, (width,) * 3001, [3000], 60, 24, rng)
        found[width] = mean_and_error(sampled_input_correlation(x))
        *_, (_, law) = mean_squares(
            Network.uniform(width, 3000, activation="tanh", sigma_w=1.5**0.5),
            statistics_along(ACTIVATIONS["tanh"], length_map_of("tanh", 1.5, 3000)),
        )
        assert abs(law - found[width][0]) < 0.03 * law + 4 * found[width][1], width
    limits = {n: laws.wide_input_limit(Network.uniform(n, 1, activation="tanh", sigma_w=1.5**0.5)) for n in found}
    assert [limits[n].collapses for n in found] == [True, True, False]
    assert [limits[n].alpha > 0.5 for n in found] == [False, False, True]
    assert found[20][0] > 0.99
    above, error = found[44]
    assert abs(above - limits[44].mean_square_correlation) < 0.03 + 4 * error
    assert above < 0.9 < found[26][0]


@pytest.mark.slow
@pytest.mark.parametrize(("sigma_w2", "width", "share"), [(1.2, 50, 1 - 0.230130 / 50), (1.5, 50, 1 - 0.945813 / 50)])
def test_the_old_closure_is_rejected(sigma_w2, width, share):
    rng = np.random.default_rng(7)
    (x,) = forward("tanh", sigma_w2, (width,) * 3001, [3000], 60, 60, rng)
    mean, error = mean_and_error(sampled_vni(x))
    ours = laws.wide_input_vni(Network.uniform(width, 3000, activation="tanh", sigma_w=sigma_w2**0.5))[-1]
    assert abs(ours - mean) < max(0.1 * mean, 4 * error)
    assert abs(old_closure(share, width, 3000) - mean) > 6 * error


# --- Haar weights and errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "hard_tanh", "sin"])
def test_wide_inputs_through_rotations_stay_nearly_independent(activation):
    network = Network.uniform(100, 30, activation=activation, weights="orthogonal", sigma_w=1.5)
    vni = laws.wide_input_vni(network)
    assert vni[0] == pytest.approx(1 / 100, rel=1e-6)
    # 1/N in samples; the law is too high by up to 5/N of itself.
    assert np.all((vni >= 1 / 100 - 1e-9) & (vni < 1.05 / 100))
    linear = Network.uniform(25, 30, activation="linear", weights="orthogonal")
    assert laws.wide_input_vni(linear) == pytest.approx(np.full(30, 1 / 25), rel=1e-6)


def test_a_last_layer_of_one_node():
    vni = laws.wide_input_vni(Network((10, 10, 1), activation="tanh"))
    assert vni[-1] == 1
    assert vni[0] == laws.wide_input_vni(Network((10, 10), activation="tanh"))[0]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ({"activation": "relu"}, "odd activation.*relu"),
        ({"activation": "gelu"}, "odd activation.*gelu"),
        ({"activation": "tanh", "sigma_b": 0.1}, "sigma_b = 0.*0.1"),
        ({"activation": "tanh", "keep": 0.9}, "dropout.*0.9"),
        ({"activation": "sin", "sigma_w": 20.0}, "up to 100.*400"),
    ],
)
def test_not_covered(kind, message):
    for law in (laws.wide_input_vni, laws.wide_input_participation):
        with pytest.raises(ValueError, match=message):
            law(Network.uniform(10, 3, **kind))


def test_the_limit_refuses_what_it_does_not_cover():
    with pytest.raises(ValueError, match=r"one width.*\(20, 30\)"):
        laws.wide_input_limit(Network((10, 20, 30), activation="tanh"))
    with pytest.raises(ValueError, match="odd activation"):
        laws.wide_input_limit(Network.uniform(10, 3, activation="relu"))


@pytest.mark.parametrize("wrong", [-1.0, np.nan])
def test_impossible_variances(wrong):
    for activation in ("tanh", "linear"):
        with pytest.raises(ValueError, match=f"input_variance.*{wrong}"):
            laws.wide_input_vni(Network.uniform(10, 3, activation=activation), input_variance=wrong)
    with pytest.raises(ValueError, match=f"input_variance.*{wrong}"):
        samplers.sample_wide_participation(Network.uniform(10, 3, activation="relu"), 10, input_variance=wrong)


def test_four_inputs_refuse_what_they_cannot_do():
    network = Network.uniform(10, 3, activation="relu")
    with pytest.raises(ValueError, match="n_networks"):
        samplers.sample_wide_participation(network, 1)
    with pytest.raises(ValueError, match="above 0"):
        samplers.sample_wide_participation(network, 10, input_variance=0.0)
