"""Residual networks in plain numpy: gradients against 80-digit differences and torch, measures, training."""

import mpmath as mp
import numpy as np
import pytest
from oracles import MP_ACTIVATIONS
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn import ResidualNetwork, laws, losses, measures, mlp, residual_mlp, tasks, training
from rmt_vn.network import NORMALIZATIONS

KINDS = [
    pytest.param(name, norm, id=f"{name}, {norm}")
    for name in ("linear", "tanh", "relu", "gelu")
    for norm in NORMALIZATIONS
]


def network_of(name, norm, width=4, hidden=5, depth=2, **parameters):
    """Of unequal scales, so that none can stand for another."""
    branch = {"hidden": None, "sigma_w": 1.2} if name == "linear" else {"hidden": hidden, "sigma_w": (1.3, 0.9)}
    settings = {"skip": 0.9, "branch_scale": 0.7, "inputs": 3, "outputs": 2} | parameters
    return ResidualNetwork(width, depth, activation=name, normalization=norm, **branch, **settings)


def some_parameters(network, rngs, biases=True):
    parameters = mlp.initial_parameters(network, rngs=rngs, biases=biases)
    return parameters + 0.1 * np.random.default_rng(1).standard_normal(parameters.shape)  # biases too


def run(network, parameters, inputs, labels):
    """The squared loss and its gradient (replicas, P), and what the forward pass left behind."""
    weights, gradients = mlp.layers(network, parameters), np.empty_like(parameters)
    x, h = mlp.workspace(weights, inputs.shape[-1])
    x[0][:, : network.widths[0]] = inputs
    residual_mlp.forward(network, weights, x, h)
    value, delta = losses.squared(h[-1], labels)
    residual_mlp.backward(network, weights, x, h, delta, mlp.layers(network, gradients))
    return value, gradients, x, h


def some_data(replicas=1, samples=3, n_0=3, n_out=2):
    rng = np.random.default_rng(2)
    return rng.standard_normal((replicas, n_0, samples)), rng.standard_normal((replicas, samples, n_out))


# --- gradients --------------------------------------------------------------------------------------------------------


def mp_affine(rows, x, biased):
    """The pre-activations of one matrix, a row for each node; its bias comes last."""
    return [mp.fsum([w * v for w, v in zip(row, x, strict=False)] + row[len(x) :] * biased) for row in rows]


def mp_norm(x):
    mean = mp.fsum(x) / len(x)
    size = mp.sqrt(mp.fsum((v - mean) ** 2 for v in x) / len(x))
    return [(v - mean) / size for v in x]


def mp_output(network, matrices, x, biased):
    """The definition, node by node."""
    phi = MP_ACTIVATIONS[network.activation.name]
    embedding, *blocks, readout = matrices
    x = mp_affine(embedding, x, biased)
    while blocks:
        branch = mp_affine(blocks.pop(0), mp_norm(x) if network.normalization == "pre" else x, biased)
        if network.hidden is not None:
            branch = mp_affine(blocks.pop(0), [phi(v) for v in branch], biased)
        x = [mp.mpf(network.skip) * v + mp.mpf(network.beta) * b for v, b in zip(x, branch, strict=True)]
        x = mp_norm(x) if network.normalization == "post" else x
    return mp_affine(readout, x, biased)


def mp_slope(network, parameters, direction, inputs, labels, biased=True):
    """The loss's derivative along a direction: a central difference with step 1e-20 in 80-digit arithmetic."""
    with mp.workdps(80):
        ends, size = [], mp.mpf(10) ** -20
        for step in (size, -size):
            matrices = [
                (w[0].astype(object) * mp.mpf(1) + v[0].astype(object) * step).tolist()
                for w, v in zip(mlp.layers(network, parameters), mlp.layers(network, direction), strict=True)
            ]
            errors = [
                z - mp.mpf(y)
                for sample, label in zip(inputs[0].T.tolist(), labels[0].tolist(), strict=True)
                for z, y in zip(mp_output(network, matrices, sample, biased), label, strict=True)
            ]
            ends.append(mp.fsum(e * e for e in errors) / 2 / len(labels[0]))
        return float((ends[0] - ends[1]) / (2 * size))


def gradient_errors(network, biases=True, wrong=1.0):
    """Relative errors of the gradient along a random direction in each matrix alone."""
    parameters, (inputs, labels) = some_parameters(network, [3], biases), some_data()
    _, gradient, _, _ = run(network, parameters, inputs, labels)
    errors, rng = [], np.random.default_rng(4)
    for which in range(len(mlp.matrices(network))):
        direction = np.zeros_like(parameters)
        view = mlp.layers(network, direction)[which]
        view[:] = rng.standard_normal(view.shape)
        slope = mp_slope(network, parameters, direction, inputs, labels, biases)
        errors.append(abs(wrong * np.vdot(gradient, direction) / slope - 1))
    return np.array(errors)


@pytest.mark.parametrize(("name", "norm"), KINDS)
def test_gradients(name, norm):
    assert gradient_errors(network_of(name, norm)).max() < 1e-11


def test_gradients_without_biases():
    assert gradient_errors(network_of("tanh", "pre"), biases=False).max() < 1e-11


def test_a_gradient_that_is_slightly_wrong_is_rejected():
    # Control: one part in 1e6 is far above what the test allows. So is LN's Jacobian without its second direction.
    assert gradient_errors(network_of("tanh", "post", depth=1), wrong=1 + 1e-6).min() > 9e-7
    x, delta = np.random.default_rng(5).standard_normal((2, 6, 4))
    half = (delta - delta.mean(axis=0)) / x.std(axis=0)
    step = 1e-5
    difference = (residual_mlp.normalized(x + step * delta) - residual_mlp.normalized(x - step * delta)) / (2 * step)
    np.testing.assert_allclose(residual_mlp.through_norm(delta, x), difference, rtol=1e-7, atol=1e-9)
    assert np.abs(half - difference).max() > 0.01


def test_gradients_of_deep_networks():
    # By a difference of the code's own loss: it is the backward pass that is judged, and depth that may break it.
    for norm in NORMALIZATIONS:
        network = network_of("tanh", norm, width=8, hidden=8, depth=100, skip=1, branch_scale="1/sqrt(L)")
        parameters, (inputs, labels) = some_parameters(network, [6]), some_data()
        direction = np.random.default_rng(7).standard_normal(parameters.shape)
        _, gradient, _, _ = run(network, parameters, inputs, labels)
        ends = [run(network, parameters + step * direction, inputs, labels)[0] for step in (1e-6, -1e-6)]
        assert np.vdot(gradient, direction) == pytest.approx((ends[0] - ends[1])[0] / 2e-6, rel=1e-6)


@pytest.mark.parametrize(("name", "norm"), KINDS)
def test_gradients_are_those_of_torch(name, norm):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    phi = {"linear": lambda h: h, "tanh": torch.tanh, "relu": torch.relu, "gelu": functional.gelu}[name]
    network = network_of(name, norm, width=24, hidden=40, depth=12)
    parameters, (inputs, labels) = some_parameters(network, range(3)), some_data(3, 20)
    value, gradient, _, _ = run(network, parameters, inputs, labels)
    for k in range(3):
        weights = [torch.tensor(w[k], requires_grad=True) for w in mlp.layers(network, parameters)]
        embedding, *blocks, readout = [(lambda x, w=w: functional.linear(x, w[:, :-1], w[:, -1])) for w in weights]

        def layer_norm(x):
            return functional.layer_norm(x, x.shape[-1:], eps=0.0)

        x = embedding(torch.tensor(inputs[k].T))
        while blocks:
            branch = blocks.pop(0)(layer_norm(x) if norm == "pre" else x)
            branch = branch if network.hidden is None else blocks.pop(0)(phi(branch))
            x = network.skip * x + network.beta * branch
            x = layer_norm(x) if norm == "post" else x
        mean = functional.mse_loss(readout(x), torch.tensor(labels[k]), reduction="sum") / 20 / 2
        mean.backward()
        assert value[k] == pytest.approx(mean.item(), rel=1e-12)
        for ours, theirs in zip(mlp.layers(network, gradient), weights, strict=True):
            assert np.linalg.norm(ours[k] - theirs.grad.numpy()) <= 1e-10 * np.linalg.norm(ours[k])


# --- replicas and parameters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMALIZATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_replica_has_the_same_bits_alone(norm, dtype):
    network = network_of("tanh", norm, width=17, hidden=20, depth=5, weights="orthogonal")
    rates = {"steps": 6, "batch": 16, "dtype": dtype, "rng": 8, "measure_at": [0, 6]}
    task = tasks.linear_teacher(40, 3, n_outputs=2, rng=9)
    together = training.train(network, task, replicas=4, learning_rate=[1e-3, 1e-2, 1e30, 1e-3], **rates)
    assert together.parameters.dtype == dtype
    for k, rate in ((0, 1e-3), (2, 1e30), (3, 1e-3)):
        alone = training.train(network, task, replicas=[k], learning_rate=rate, **rates)
        np.testing.assert_array_equal(alone.parameters, together.parameters[k : k + 1])
        for one, all_ in zip(alone.measurements, together.measurements, strict=True):
            for measured in ("loss", "vni", "jacobian_vni", "gradient_norms"):
                np.testing.assert_array_equal(getattr(one, measured), getattr(all_, measured)[..., k : k + 1])


def test_parameters_are_the_matrices_of_the_description():
    network = network_of("relu", "pre", width=50, hidden=70, depth=30)
    views = mlp.layers(network, mlp.initial_parameters(network, rngs=[10]))
    assert [w.shape for w in views[:3]] == [(1, 50, 4), (1, 70, 51), (1, 50, 71)] and len(views) == 62
    for w, sigma in ((views[1:-1:2], 1.3), (views[2:-1:2], 0.9)):
        entries = np.array(w)[..., :-1] * np.sqrt(w[0].shape[2] - 1)
        # The mean of n squares of normal numbers is known to √(2/n); k = 4.
        assert abs(np.mean(entries**2) / sigma**2 - 1) < 4 * np.sqrt(2 / entries.size)
        assert not np.array(w)[..., -1].any()
    assert mlp.n_parameters(network, biases=False) == 3 * 50 + 30 * 2 * 50 * 70 + 50 * 2


def test_ends_are_needed():
    with pytest.raises(ValueError, match="needs an embedding and a readout, got inputs = 3 and outputs = None"):
        mlp.n_parameters(network_of("tanh", "pre", outputs=None))


def test_an_input_of_zero_is_no_number_that_is_not_one():
    for norm in ("pre", "post"):
        network = network_of("tanh", norm)
        inputs, labels = some_data()
        inputs[..., 1] = 0
        value, gradient, _, h = run(network, mlp.initial_parameters(network, rngs=[11]), inputs, labels)
        assert np.isfinite(value).all() and np.isfinite(gradient).all() and not h[-1][..., 1].any()


# --- measures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "norm"), KINDS)
def test_vni_is_that_of_streams_and_of_small_balls_round_them(name, norm):
    network = network_of(name, norm, width=6, hidden=7, depth=3, inputs=6)
    parameters = some_parameters(network, range(2))
    # With an embedding of the identity a ball of inputs is a ball of x_0.
    mlp.layers(network, parameters)[0][:] = np.eye(6, 7)
    inputs, labels = some_data(1, 2, n_0=6)
    _, _, x, h = run(network, parameters, inputs, labels)
    weights = mlp.layers(network, parameters)
    jacobian, vni = residual_mlp.layer_jacobian_vni(network, weights, x, h), residual_mlp.layer_vni(network, h)
    expected = np.zeros((3, 2))
    for sample in range(2):
        steps = 1e-6 * np.concatenate([np.eye(6), -np.eye(6)], axis=1)
        probes = inputs[..., sample : sample + 1] + steps
        _, _, _, near = run(network, parameters, probes, np.zeros((1, 12, 2)))
        for block in range(3):
            stream = near[(block + 1) * len(network.branch)]
            stream = residual_mlp.normalized(stream) if norm == "post" else stream
            for k in range(2):
                expected[block, k] += measures.jacobian_vni(stream[k, :, :6] - stream[k, :, 6:]) / 2
                if sample == 0:
                    of_probes = measures.plug_in_vni(stream[k].T)
                    assert residual_mlp.layer_vni(network, near)[block, k] == pytest.approx(of_probes, rel=1e-6)
    np.testing.assert_allclose(jacobian, expected, rtol=1e-4)
    assert vni.shape == (3, 2)


def test_jacobian_vni_begins_where_the_law_says():
    network = ResidualNetwork(6, 5, activation="linear", branch_scale=0.8, inputs=2, outputs=1)
    parameters = mlp.initial_parameters(network, rngs=range(1500))
    _, _, x, h = run(network, parameters, np.ones((1, 2, 1)), np.zeros((1, 1, 1)))
    values = residual_mlp.layer_jacobian_vni(network, mlp.layers(network, parameters), x, h)
    bare = [ResidualNetwork(6, depth, activation="linear", branch_scale=0.8) for depth in range(1, 6)]
    law = [laws.exact_vni(each) for each in bare]
    means, stderr = mean_and_error(values.T)
    # k = 4.5: five numbers are compared. Control: the last of them 5% off.
    assert_sampled(means, law, stderr, wrong=[[*law[:-1], 1.05 * law[-1]]], k=4.5)


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMALIZATIONS)
def test_residual_networks_learn(norm):
    network = ResidualNetwork(12, 10, 12, normalization=norm, branch_scale="1/sqrt(L)", inputs=2, outputs=1)
    task = tasks.continuous_xor(500, rng=13)
    trained = training.train(network, task, steps=200, batch=32, learning_rate=5e-3, replicas=2, rng=14)
    _, accuracy = training.evaluate(network, trained.parameters, tasks.continuous_xor(500, rng=15))
    assert (accuracy > 0.9).all()


def test_the_loss_falls_along_the_gradient():
    network, task = network_of("gelu", "pre"), tasks.linear_teacher(40, 3, n_outputs=2, rng=16)
    before, after = training.train(
        network, task, steps=1, batch=40, optimizer="sgd", learning_rate=1e-5, dtype=float, rng=17, measure_at=[0, 1]
    ).measurements
    assert before.loss[0] - after.loss[0] == pytest.approx(1e-5 * np.sum(before.gradient_norms**2), rel=1e-3)
    assert before.gradient_norms.shape == (6, 1)
