"""The perceptron: gradients against 80-digit differences and torch, replicas alone and together, measures."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import MP_ACTIVATIONS
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn import Activation, Network, laws, losses, measures, mlp
from rmt_vn.activations import ACTIVATIONS
from rmt_vn.losses import LOSSES

N_OUTPUTS = {"logistic": 1, "softmax": 3, "squared": 2}


def some_labels(loss, samples, rng, replicas=1):
    draw = {
        "logistic": lambda: rng.choice([-1.0, 1.0], (replicas, samples)),
        "softmax": lambda: rng.integers(0, N_OUTPUTS["softmax"], (replicas, samples)),
        "squared": lambda: rng.standard_normal((replicas, samples, N_OUTPUTS["squared"])),
    }
    return draw[loss]()


def run(network, parameters, inputs, labels, loss):
    """Loss and gradient (replicas, P), and what the forward pass left behind."""
    weights, gradients = mlp.layers(network, parameters), np.empty_like(parameters)
    x, h = mlp.workspace(weights, inputs.shape[-1])
    x[0][:, : network.widths[0]] = inputs
    mlp.forward(network, weights, x, h)
    value, delta = LOSSES[loss](h[-1], labels)
    mlp.backward(network, weights, x, h, delta, mlp.layers(network, gradients))
    return value, gradients, x, h


# --- gradients --------------------------------------------------------------------------------------------------------


def mp_sample_loss(outputs, label, loss):
    if loss == "logistic":
        return mp.log1p(mp.exp(-int(label) * outputs[0]))
    if loss == "softmax":
        return mp.log(mp.fsum(map(mp.exp, outputs))) - outputs[label]
    return mp.fsum((z - mp.mpf(float(y))) ** 2 for z, y in zip(outputs, label, strict=True)) / 2


def mp_loss(network, parameters, inputs, labels, loss):
    """The mean loss of one replica, by the definition, node by node."""
    phi = MP_ACTIVATIONS[network.activation.name]
    biased = len(parameters) > sum(n_in * n_out for n_in, n_out in pairwise(network.widths))
    total = mp.mpf(0)
    for sample, label in zip(inputs.T, labels, strict=True):
        x, numbers = [mp.mpf(float(value)) for value in sample], iter(parameters)
        for layer, n_out in enumerate(network.widths[1:], start=1):
            # A node's row is its weights, then its bias.
            h = [sum((next(numbers) * value for value in x), mp.mpf(0)) + (next(numbers) if biased else 0)
                 for _ in range(n_out)]  # fmt: skip
            x = h if layer == network.depth else [phi(value) for value in h]
        total += mp_sample_loss(x, label, loss)
    return total / len(labels)


def mp_slope(network, parameters, direction, inputs, labels, loss):
    """The loss's derivative along a direction: a central difference with step 1e-20 in 80-digit arithmetic.

    No rounding to speak of, so gradients of 1e-30 are as good as others, and no kink within the step.
    """
    with mp.workdps(80):
        step, p, v = mp.mpf(10) ** -20, parameters[0].tolist(), direction.tolist()
        ends = [
            mp_loss(network, [mp.mpf(a) + s * mp.mpf(b) for a, b in zip(p, v, strict=True)], inputs[0], labels[0], loss)
            for s in (step, -step)
        ]
        return float((ends[0] - ends[1]) / (2 * step))


def direction_in(network, parameters, layer, rng):
    """A random direction that moves one layer alone: a large gradient of another cannot hide this one's."""
    direction = np.zeros_like(parameters)
    view = mlp.layers(network, direction)[layer]
    view[:] = rng.standard_normal(view.shape)
    return direction[0]


def gradient_errors(network, parameters, inputs, labels, loss, rng):
    """Relative errors of the gradient along random directions in three of the layers, and the slopes along them."""
    _, gradient, _, _ = run(network, parameters, inputs, labels, loss)
    layers = (0, network.depth // 2, network.depth - 1)
    directions = [direction_in(network, parameters, layer, rng) for layer in layers]
    slopes = np.array([mp_slope(network, parameters, v, inputs, labels, loss) for v in directions])
    return np.abs(gradient[0] @ np.array(directions).T - slopes) / np.abs(slopes), slopes


@pytest.mark.parametrize("biases", [True, False], ids=["biases", "no biases"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients(name, loss, biases):
    rng = np.random.default_rng(1)
    network = Network((3, 4, 5, N_OUTPUTS[loss]), activation=name, sigma_w=1.5, sigma_b=0.5 * biases)
    parameters = mlp.initial_parameters(network, rngs=[2], biases=biases)
    inputs, labels = rng.standard_normal((1, 3, 3)), some_labels(loss, 3, rng)
    errors, _ = gradient_errors(network, parameters, inputs, labels, loss, rng)
    assert errors.max() < 1e-12


@pytest.mark.parametrize("biases", [True, False], ids=["biases", "no biases"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_tiny_gradients(name, loss, biases):
    rng = np.random.default_rng(3)
    network = Network((3, *[3] * 10, N_OUTPUTS[loss]), activation=name, sigma_w=1e-3, sigma_b=1e-3 * biases)
    # Positive throughout, because a ReLU network as narrow as this would die.
    parameters = np.abs(mlp.initial_parameters(network, rngs=[4], biases=biases))
    # Three samples: of two, with opposite labels, the gradients at an output of zero cancel.
    inputs, labels = rng.uniform(0, 1, (1, 3, 3)), some_labels(loss, 3, rng)
    errors, slopes = gradient_errors(network, parameters, inputs, labels, loss, rng)
    assert errors.max() < 1e-12
    assert np.abs(slopes[0]) < 1e-24


def test_a_gradient_that_is_slightly_wrong_is_rejected():
    # Control: one part in 1e5 of one layer, here and where gradients are tiny, is far above what the tests allow.
    rng = np.random.default_rng(5)
    for sigma_w in (1.5, 1e-3):
        network = Network((3, *[3] * 8, 1), sigma_w=sigma_w)
        parameters = mlp.initial_parameters(network, rngs=[6])
        inputs, labels = rng.standard_normal((1, 3, 2)), some_labels("logistic", 2, rng)
        _, gradient, _, _ = run(network, parameters, inputs, labels, "logistic")
        direction = direction_in(network, parameters, 0, rng)
        slope = mp_slope(network, parameters, direction, inputs, labels, "logistic")
        assert gradient[0] @ direction == pytest.approx(slope, rel=1e-12, abs=0)
        assert abs((1 + 1e-5) * gradient[0] @ direction / slope - 1) > 1e-7


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    widths=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    samples=st.integers(1, 3),
    name=st.sampled_from(sorted(ACTIVATIONS)),
    loss=st.sampled_from(sorted(LOSSES)),
    biases=st.booleans(),
)
def test_gradients_of_any_shape(widths, samples, name, loss, biases):
    rng = np.random.default_rng(7)
    network = Network((*widths, N_OUTPUTS[loss]), activation=name)
    parameters = mlp.initial_parameters(network, rngs=[8], biases=biases)
    parameters += rng.standard_normal(parameters.shape)
    inputs, labels = rng.standard_normal((1, widths[0], samples)), some_labels(loss, samples, rng)
    _, gradient, _, _ = run(network, parameters, inputs, labels, loss)
    direction = rng.standard_normal(parameters.shape[1])
    slope = mp_slope(network, parameters, direction, inputs, labels, loss)
    scale = np.linalg.norm(gradient) * np.linalg.norm(direction)
    assert abs(gradient[0] @ direction - slope) <= 1e-12 * scale


def test_the_slope_of_tanh_from_its_output_is_its_slope():
    general = Activation(lambda h: np.tanh(h), ACTIVATIONS["tanh"].dphi, name="tanh")
    networks = [Network((3, 9, 9, 1), activation=activation, sigma_w=3.0) for activation in ("tanh", general)]
    rng = np.random.default_rng(9)
    inputs, labels = rng.standard_normal((4, 3, 50)), some_labels("logistic", 50, rng, 4)
    parameters = mlp.initial_parameters(networks[0], rngs=range(4))
    gradients = [run(network, parameters, inputs, labels, "logistic")[1] for network in networks]
    np.testing.assert_allclose(*gradients, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("biases", [True, False], ids=["biases", "no biases"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_are_those_of_torch(name, loss, biases):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    phi = {
        "linear": lambda h: h,
        "relu": torch.relu,
        "leaky_relu": lambda h: functional.leaky_relu(h, 0.01),
        "tanh": torch.tanh,
        "hard_tanh": functional.hardtanh,
        "erf": torch.erf,
        "sigmoid": torch.sigmoid,
        "softplus": functional.softplus,
        "gelu": functional.gelu,
        "silu": functional.silu,
        "sin": torch.sin,
    }[name]
    rng = np.random.default_rng(10)
    network = Network((6, 32, 20, 32, N_OUTPUTS[loss]), activation=name, sigma_w=1.2, sigma_b=0.3 * biases)
    parameters = mlp.initial_parameters(network, rngs=range(3), biases=biases)
    inputs, labels = rng.standard_normal((3, 6, 64)), some_labels(loss, 64, rng, 3)
    value, gradient, _, _ = run(network, parameters, inputs, labels, loss)
    for k in range(3):
        weights = [torch.tensor(w[k], requires_grad=True) for w in mlp.layers(network, parameters)]
        x = torch.tensor(inputs[k].T)
        for layer, (w, n_in) in enumerate(zip(weights, network.widths, strict=False)):
            x = functional.linear(phi(x) if layer else x, w[:, :n_in], w[:, n_in] if biases else None)
        y = torch.tensor(labels[k])
        mean = {
            "logistic": lambda x, y: functional.binary_cross_entropy_with_logits(x[:, 0], (y + 1) / 2),
            "softmax": functional.cross_entropy,
            "squared": lambda x, y: functional.mse_loss(x, y, reduction="sum") / len(y) / 2,
        }[loss](x, y)
        mean.backward()
        assert value[k] == pytest.approx(mean.item(), rel=1e-12)
        for ours, theirs in zip(mlp.layers(network, gradient), weights, strict=True):
            assert np.linalg.norm(ours[k] - theirs.grad.numpy()) <= 1e-10 * np.linalg.norm(ours[k])


# --- replicas ---------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    widths=st.lists(st.integers(1, 20), min_size=2, max_size=5),
    samples=st.integers(1, 70),
    name=st.sampled_from(sorted(ACTIVATIONS)),
    loss=st.sampled_from(sorted(LOSSES)),
    biases=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_a_replica_has_the_same_bits_alone(widths, samples, name, loss, biases, dtype):
    rng = np.random.default_rng(11)
    network = Network((*widths, N_OUTPUTS[loss]), activation=name, weights="orthogonal", sigma_b=0.1 * biases)
    parameters = mlp.initial_parameters(network, rngs=range(5), biases=biases, dtype=dtype)
    inputs = rng.standard_normal((5, widths[0], samples))
    labels = some_labels(loss, samples, rng, 5)
    value, gradient, _, h = run(network, parameters, inputs, labels, loss)
    assert gradient.dtype == h[-1].dtype == dtype
    for k in range(5):
        alone = slice(k, k + 1)
        parameters_alone = mlp.initial_parameters(network, rngs=[k], biases=biases, dtype=dtype)
        np.testing.assert_array_equal(parameters_alone, parameters[alone])
        value_alone, gradient_alone, _, h_alone = run(network, parameters_alone, inputs[alone], labels[alone], loss)
        np.testing.assert_array_equal(h_alone[-1], h[-1][alone])
        np.testing.assert_array_equal(value_alone, value[alone])
        np.testing.assert_array_equal(gradient_alone, gradient[alone])


def test_parameters_at_initialization():
    network = Network((50, 80, 60, 1), sigma_w=1.3, sigma_b=0.4)
    w, b = (np.concatenate(parts) for parts in zip(
        *((layer[..., :-1].ravel() * np.sqrt(layer.shape[2] - 1), layer[..., -1].ravel())
          for layer in mlp.layers(network, mlp.initial_parameters(network, rngs=range(40)))), strict=True,
    ))  # fmt: skip
    for values, sigma in ((w, 1.3), (b, 0.4)):
        # The mean of n squares of normal numbers is known to √(2/n); k = 4.
        assert abs(np.mean(values**2) / sigma**2 - 1) < 4 * np.sqrt(2 / values.size)
        assert abs(values.mean()) < 4 * sigma / np.sqrt(values.size)
    orthogonal = Network((8, 8, 8), weights="orthogonal", sigma_w=2.0)
    for layer in mlp.layers(orthogonal, mlp.initial_parameters(orthogonal, rngs=range(3))):
        np.testing.assert_allclose(
            layer[..., :8] @ layer[..., :8].mT, 4 * np.broadcast_to(np.eye(8), (3, 8, 8)), atol=1e-12
        )
        assert not layer[..., 8].any()  # biases begin at zero where sigma_b is
    without = mlp.layers(orthogonal, mlp.initial_parameters(orthogonal, rngs=range(3), biases=False))
    assert [layer.shape for layer in without] == [(3, 8, 8), (3, 8, 8)]


def test_layers_are_views():
    network = Network((2, 3, 1))
    parameters = np.arange(26.0).reshape(2, 13)
    first, second = mlp.layers(network, parameters)
    np.testing.assert_array_equal(first[0], [[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    second[1] = 0
    np.testing.assert_array_equal(parameters[1, 9:], 0)


def test_impossible_parameters():
    network = Network((2, 3, 1), sigma_b=0.1)
    with pytest.raises(ValueError, match="13 columns, or 9 without biases, got 12"):
        mlp.layers(network, np.zeros((2, 12)))
    with pytest.raises(ValueError, match=r"biases=False needs sigma_b = 0, got 0\.1"):
        mlp.initial_parameters(network, rngs=[1], biases=False)
    with pytest.raises(ValueError, match="dtype must be float32 or float64, got int64"):
        mlp.initial_parameters(network, rngs=[1], dtype=np.int64)
    with pytest.raises(ValueError, match=r"without dropout can be trained, got keep = 0\.5"):
        mlp.initial_parameters(Network((2, 3, 1), keep=0.5), rngs=[1])


# --- losses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e4, 1e30])
def test_losses_of_any_size_of_outputs(size, dtype):
    z = np.array([[[size, -size]]], dtype)
    loss, gradient = losses.logistic(z, np.array([[1, 1]]))
    s = mp.mpf(float(z[0, 0, 0]))
    with mp.workdps(50):
        expected = (mp.log1p(mp.exp(-s)) + s + mp.log1p(mp.exp(-s))) / 2
        slopes = [-1 / (1 + mp.exp(s)) / 2, -1 / (1 + mp.exp(-s)) / 2]
    rel = 4 * float(np.finfo(dtype).eps)
    assert loss[0] == pytest.approx(float(expected), rel=rel)
    np.testing.assert_allclose(gradient[0, 0], np.array(slopes, float), rtol=10 * rel, atol=np.finfo(dtype).tiny)
    loss, gradient = losses.softmax(np.array([[[size], [0], [-size]]], dtype), np.array([[2]]))
    assert loss[0] == pytest.approx(float(2 * s + mp.log(1 + mp.exp(-s) + mp.exp(-2 * s))), rel=rel)
    assert abs(gradient.sum()) < rel
    loss, gradient = losses.squared(z, np.zeros((1, 2, 1)))
    assert loss[0] == pytest.approx(float(s * s / 2), rel=rel)
    np.testing.assert_allclose(gradient, z / 2, rtol=rel)


def test_the_logistic_loss_is_the_softmax_of_two_classes():
    rng = np.random.default_rng(12)
    z, y = 3 * rng.standard_normal((4, 1, 9)), rng.choice([-1, 1], (4, 9))
    loss, gradient = losses.logistic(z, y)
    both, slopes = losses.softmax(np.concatenate([z, np.zeros_like(z)], axis=1), (1 - y) // 2)
    np.testing.assert_allclose(loss, both, rtol=1e-13)
    np.testing.assert_allclose(gradient, slopes[:, :1], rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_not_finite_is_reported_without_a_warning(loss):
    rng = np.random.default_rng(13)
    network = Network((3, 4, 4, N_OUTPUTS[loss]), activation="linear")
    parameters = mlp.initial_parameters(network, rngs=range(3), dtype=np.float32)
    inputs, labels = rng.standard_normal((3, 3, 5)), some_labels(loss, 5, rng, 3)
    expected, expected_gradient, _, _ = run(network, parameters, inputs, labels, loss)
    parameters[1] *= 1e30
    value, gradient, x, h = run(network, parameters, inputs, labels, loss)
    assert not np.isfinite(value[1])
    assert not np.isfinite(gradient[1]).all()
    np.testing.assert_array_equal(value[::2], expected[::2])
    np.testing.assert_array_equal(gradient[::2], expected_gradient[::2])
    for vni in (mlp.layer_vni(network, h), mlp.layer_jacobian_vni(network, mlp.layers(network, parameters), x, h)):
        assert np.isfinite(vni[:, ::2]).all()
    assert np.isnan(mlp.layer_vni(network, h)[-1, 1])


# --- measures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu"])
@pytest.mark.parametrize("biases", [True, False], ids=["biases", "no biases"])
def test_layer_vni_is_the_vni_of_each_layer(name, biases):
    network = Network((4, 9, 7, 9, 1), activation=name)
    parameters = mlp.initial_parameters(network, rngs=range(6), biases=biases)
    rng = np.random.default_rng(14)
    _, _, _, h = run(network, parameters, rng.standard_normal((6, 4, 30)), some_labels("logistic", 30, rng), "logistic")
    h[0][0, 2] = 0.7  # a dead node, of a value that means may round
    h[1][1] = 0.7  # a dead layer
    values = mlp.layer_vni(network, h)
    assert values.shape == (3, 6)
    for layer in (1, 2, 3):
        for k in range(6):
            if (layer, k) == (2, 1):
                assert np.isnan(values[1, 1])
            else:
                assert values[layer - 1, k] == pytest.approx(
                    measures.plug_in_vni(network.activation.phi(h[layer - 1][k].T)), rel=1e-12
                )


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu"])
def test_jacobian_vni_is_the_vni_over_a_small_ball_in_the_first_hidden_layer(name):
    network = Network((3, 8, 6, 8, 1), activation=name, sigma_w=1.3, sigma_b=0.2)
    parameters = mlp.initial_parameters(network, rngs=range(3))
    weights = mlp.layers(network, parameters)
    rng = np.random.default_rng(15)
    inputs, labels = rng.standard_normal((1, 3, 2)), some_labels("logistic", 2, rng)
    _, _, x, h = run(network, parameters, inputs, labels, "logistic")
    values = mlp.layer_jacobian_vni(network, weights, x, h)
    # Probes: a step along each axis of layer 1, forth and back, which is an isotropic cloud.
    above = Network(network.widths[1:], activation=name)
    expected = np.zeros((3, 3))
    for sample in range(2):
        centre = x[1][:, :8, sample : sample + 1]
        probes, _ = mlp.workspace(weights[1:], 16)
        rooms = mlp.workspace(weights[1:], 16)[1]
        probes[0][:, :8] = centre + 1e-6 * np.concatenate([np.eye(8), -np.eye(8)], axis=1)
        mlp.forward(above, weights[1:], probes, rooms)
        expected[0] += 1 / 8 / 2
        for layer, n in ((1, 6), (2, 8)):
            for k in range(3):
                # Differences of opposite probes: no rounding of the common part, no dead node that seems to live.
                nodes = probes[layer][k, :n]
                expected[layer, k] += measures.jacobian_vni(nodes[:, :8] - nodes[:, 8:]) / 2
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_jacobian_vni_begins_where_the_law_says():
    # ∂x_l/∂x_1 of a linear Gaussian network is a product of l − 1 square matrices.
    network = Network((2, *[12] * 9, 1), activation="linear")
    parameters = mlp.initial_parameters(network, rngs=range(3000))
    weights = mlp.layers(network, parameters)
    x, h = mlp.workspace(weights, 1)
    mlp.forward(network, weights, x, h)
    values = mlp.layer_jacobian_vni(network, weights, x, h)
    law = [1 / 12] + [laws.exact_vni(Network.uniform(12, depth, activation="linear")) for depth in range(1, 9)]
    means, stderr = mean_and_error(values[1:].T)
    # k = 4.5: eight numbers are compared. Control: the last of them 5% off.
    assert_sampled(means, law[1:], stderr, wrong=[[*law[1:-1], 1.05 * law[-1]]], k=4.5)
    np.testing.assert_allclose(values[0], law[0], rtol=1e-12)


def test_jacobians_that_leave_the_range_of_numbers():
    # Slopes e^{±2000} of 10^200 layers: without rescaling zero or infinity.
    for sigma_w in (1e-8, 1e8):
        network = Network((2, *[5] * 60, 1), activation="linear", sigma_w=sigma_w)
        parameters = mlp.initial_parameters(network, rngs=range(2))
        weights = mlp.layers(network, parameters)
        x, h = mlp.workspace(weights, 1)
        mlp.forward(network, weights, x, h)
        unit = Network(network.widths, activation="linear")
        scaled = mlp.layers(unit, parameters / sigma_w)
        np.testing.assert_allclose(
            mlp.layer_jacobian_vni(network, weights, x, h), mlp.layer_jacobian_vni(unit, scaled, x, h), rtol=1e-6
        )


def test_networks_of_few_layers_have_few_measures():
    for widths, hidden in (((3, 1), 0), ((3, 4, 1), 1)):
        network = Network(widths)
        parameters = mlp.initial_parameters(network, rngs=range(2))
        rng = np.random.default_rng(16)
        inputs, labels = rng.standard_normal((1, 3, 6)), some_labels("logistic", 6, rng)
        _, gradient, x, h = run(network, parameters, inputs, labels, "logistic")
        assert mlp.layer_vni(network, h).shape == (hidden, 2)
        assert mlp.layer_jacobian_vni(network, mlp.layers(network, parameters), x, h).shape == (hidden, 2)
        assert mlp.layer_norms(mlp.layers(network, gradient)).shape == (hidden + 1, 2)


@pytest.mark.parametrize("size", [0.0, 1e-200, 1.0, 1e200])
def test_norms_of_any_size(size):
    norms = mlp.layer_norms([size * np.array([[[3.0, 4.0]], [[5.0, 12.0]]])])
    np.testing.assert_allclose(norms, size * np.array([[5.0, 13.0]]), rtol=1e-14)
