"""Training: against a textbook loop, replicas alone and together, what is learned, what diverges, what is measured."""

import numpy as np
import pytest

from rmt_vn import Network, measures, mlp, optimizers, tasks, training
from rmt_vn.losses import LOSSES
from rmt_vn.tasks import Task
from rmt_vn.training import train

XOR = tasks.parity(2)
CONTINUOUS = tasks.continuous_xor(200, rng=1)
NETWORK = Network((2, 8, 8, 1))


def test_training_is_the_textbook_loop():
    # One replica, samples in rows, weights and biases apart, plain gradient descent on all samples in each step.
    trained = train(NETWORK, CONTINUOUS, steps=30, batch=200, optimizer="sgd", learning_rate=0.5, dtype=float, rng=2)
    start = train(NETWORK, CONTINUOUS, steps=1, batch=200, optimizer="sgd", learning_rate=1e-300, dtype=float, rng=2)
    w, b = zip(*((layer[0, :, :-1], layer[0, :, -1]) for layer in mlp.layers(NETWORK, start.parameters)), strict=True)
    y, losses = CONTINUOUS.labels[:, None], []
    for _ in range(30):
        x_1 = np.tanh(CONTINUOUS.inputs @ w[0].T + b[0])
        x_2 = np.tanh(x_1 @ w[1].T + b[1])
        z = x_2 @ w[2].T + b[2]
        losses.append(np.mean(np.log1p(np.exp(-y * z))))
        d_3 = -y / (1 + np.exp(y * z)) / len(y)
        d_2 = d_3 @ w[2] * (1 - x_2**2)
        d_1 = d_2 @ w[1] * (1 - x_1**2)
        steps = zip((d_1, d_2, d_3), (CONTINUOUS.inputs, x_1, x_2), strict=True)
        w, b = zip(*((w_l - 0.5 * d.T @ x, b_l - 0.5 * d.sum(axis=0))
                     for w_l, b_l, (d, x) in zip(w, b, steps, strict=True)), strict=True)  # fmt: skip
    np.testing.assert_allclose(trained.loss[:, 0], losses, rtol=1e-12)
    for layer, w_l, b_l in zip(mlp.layers(NETWORK, trained.parameters), w, b, strict=True):
        np.testing.assert_allclose(layer[0], np.column_stack([w_l, b_l]), rtol=1e-9, atol=1e-12)
    loss, accuracy = training.evaluate(NETWORK, start.parameters, CONTINUOUS)
    assert loss[0] == pytest.approx(losses[0], rel=1e-12)
    assert accuracy[0] == pytest.approx(start.accuracy[0, 0], rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", optimizers.OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_replica_has_the_same_bits_alone(loss, optimizer, dtype):
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((50, 3))
    task = {
        "logistic": lambda: Task(inputs, rng.choice([-1, 1], 50), "logistic"),
        "softmax": lambda: Task(inputs, rng.integers(0, 4, 50), "softmax", 4),
        "squared": lambda: Task(inputs, rng.standard_normal((50, 2)), "squared", 2),
    }[loss]()
    network = Network((3, 32, 17, task.n_outputs), sigma_b=0.1)
    rates = np.array([1e-3, 1e-2, 0.1, 1e30, 1e-3])

    def trained(replicas, rates):
        return train(
            network, task, steps=12, batch=16, replicas=replicas, learning_rate=rates,
            optimizer=optimizer, dtype=dtype, rng=4, measure_at=[0, 12],
        )  # fmt: skip

    together = trained(5, rates)
    assert together.parameters.dtype == dtype
    assert not np.array_equal(together.parameters[0], together.parameters[4])
    for chosen in ([0], [1], [2], [3], [4], [4, 2]):
        apart = trained(chosen, rates[chosen])
        for name in ("loss", "accuracy"):
            np.testing.assert_array_equal(getattr(apart, name), getattr(together, name)[:, chosen])
        np.testing.assert_array_equal(apart.parameters, together.parameters[chosen])
        np.testing.assert_array_equal(apart.diverged_at, together.diverged_at[chosen])
        for one, all_ in zip(apart.measurements, together.measurements, strict=True):
            for name in ("loss", "vni", "jacobian_vni", "gradient_norms"):
                np.testing.assert_array_equal(getattr(one, name), getattr(all_, name)[..., chosen])


def test_same_seed_same_training():
    first = train(NETWORK, CONTINUOUS, steps=5, batch=20, replicas=2, rng=5)
    for rng in (5, np.random.SeedSequence(5), np.random.default_rng(5)):
        again = train(NETWORK, CONTINUOUS, steps=5, batch=20, replicas=2, rng=rng)
        np.testing.assert_array_equal(again.parameters, first.parameters)
    assert not np.array_equal(train(NETWORK, CONTINUOUS, steps=5, batch=20, rng=6).parameters, first.parameters[:1])


def test_measuring_changes_nothing():
    plain = train(NETWORK, CONTINUOUS, steps=9, batch=20, replicas=2, rng=7)
    measured = train(NETWORK, CONTINUOUS, steps=9, batch=20, replicas=2, rng=7, measure_at=range(10))
    np.testing.assert_array_equal(measured.parameters, plain.parameters)
    assert [m.step for m in measured.measurements] == list(range(10))
    assert plain.measurements == ()


def test_an_epoch_sees_each_sample_once_in_each_replicas_own_order():
    # A linear network at rate ~0 shows each sample's label, one a step: the loss ½(z − y)² with z = 0.
    task = Task(np.zeros((6, 1)), np.arange(1.0, 7.0)[:, None], "squared")
    trained = train(
        Network((1, 1), activation="linear"), task, steps=14, batch=1, optimizer="sgd", learning_rate=1e-300,
        replicas=3, dtype=float, rng=8,
    )  # fmt: skip
    seen = np.sqrt(2 * trained.loss).round(6)
    for epoch in (seen[:6], seen[6:12]):
        np.testing.assert_array_equal(np.sort(epoch, axis=0), np.repeat(task.labels, 3, axis=1))
    assert len({tuple(order) for order in (*seen[:6].T, *seen[6:12].T)}) == 6
    assert np.isnan(trained.accuracy).all()
    # Where the batch does not divide the samples, an epoch ends early: 4 of 6 are seen, and a new order begins.
    pairs = train(
        Network((1, 1), activation="linear"), task, steps=6, batch=4, optimizer="sgd", learning_rate=1e-300, rng=8
    )
    assert len(np.unique(pairs.loss)) > 1


# --- what is learned --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_xor_is_learned(dtype):
    trained = train(
        Network((2, 16, 16, 1)), XOR, steps=400, batch=4, learning_rate=0.01, replicas=10, dtype=dtype, rng=9
    )
    assert (trained.accuracy[-1] == 1).all()
    assert not trained.diverged.any()
    assert training.evaluate(Network((2, 16, 16, 1)), trained.parameters, XOR)[0].max() < 0.1


def test_an_odd_network_never_learns_xor():
    # f(−x) = −f(x), but XOR(−x) = XOR(x): of each pair at most one is right, and the mean loss is at least ln 2.
    trained = train(
        Network((2, 16, 16, 1)), XOR, steps=400, batch=4, learning_rate=0.01, replicas=10, biases=False, rng=9
    )
    assert (trained.accuracy <= 0.5).all()
    assert (trained.loss >= np.log(2) - 1e-6).all()
    relu = train(
        Network((2, 16, 16, 1), activation="relu"), XOR, steps=400, batch=4, learning_rate=0.01, biases=False, rng=9
    )
    assert relu.accuracy[-1] == 1  # not odd: it is not for want of biases alone


def test_a_linear_network_finds_its_teacher():
    task = tasks.linear_teacher(64, 4, n_outputs=2, rng=10)
    network = Network((4, 8, 2), activation="linear")
    trained = train(network, task, steps=800, batch=32, learning_rate=0.01, replicas=3, rng=11)
    assert training.evaluate(network, trained.parameters, task)[0].max() < 1e-3


def test_digits_are_learned():
    task = tasks.digits()
    network = Network((64, 32, 32, 10), activation="relu", sigma_w=2**0.5)
    trained = train(network, task, steps=300, batch=64, learning_rate=3e-3, replicas=2, rng=12)
    assert training.evaluate(network, trained.parameters, task)[1].min() > 0.95


# --- what diverges ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", optimizers.OPTIMIZERS)
@pytest.mark.parametrize("activation", ["linear", "tanh", "relu"])
def test_replicas_that_diverge_are_counted_and_disturb_no_other(activation, optimizer):
    # Adam and RMSProp move at most by the rate a step, so only rates near the largest float32 lead them there.
    rates = [1e-2, 3e38, 1e-2, 1e-2]
    network = Network((2, 8, 8, 1), activation=activation)
    trained = train(
        network, CONTINUOUS, steps=30, batch=20, replicas=4, learning_rate=rates, optimizer=optimizer, rng=13,
        measure_at=[0, 30],
    )  # fmt: skip
    np.testing.assert_array_equal(trained.diverged, [False, True, False, False])
    calm = train(
        network, CONTINUOUS, steps=30, batch=20, replicas=[0, 2, 3], learning_rate=1e-2, optimizer=optimizer, rng=13
    )
    np.testing.assert_array_equal(trained.parameters[[0, 2, 3]], calm.parameters)
    at = trained.diverged_at[1]
    assert np.isfinite(trained.loss[:at, 1]).all()
    assert np.isnan(trained.loss[at + 1 :, 1]).all()
    assert np.isnan(trained.accuracy[at + 1 :, 1]).all()
    assert np.isnan(trained.parameters[1]).all()
    last = trained.measurements[-1]
    for values in (
        last.loss,
        last.accuracy,
        last.vni,
        last.jacobian_vni[1:],
        last.gradient_norms,
        last.gradient_ratios,
    ):
        assert np.isnan(values[..., 1]).all()
        assert np.isfinite(values[..., [0, 2, 3]]).all()


# --- what is measured -------------------------------------------------------------------------------------------------


def test_a_measurement_is_of_the_parameters_of_its_step():
    probe = tasks.continuous_xor(40, rng=14)
    settings = {"batch": 20, "replicas": 3, "dtype": float, "rng": 15}
    trained = train(NETWORK, CONTINUOUS, steps=8, measure_at=[0, 5], probe=probe, **settings)
    after_five = train(NETWORK, CONTINUOUS, steps=5, **settings).parameters
    measured = trained.measurements[1]
    assert measured.step == 5
    loss, accuracy = training.evaluate(NETWORK, after_five, probe)
    np.testing.assert_array_equal(measured.loss, loss)
    np.testing.assert_array_equal(measured.accuracy, accuracy)
    for k in range(3):
        x = probe.inputs
        for layer, w in enumerate(mlp.layers(NETWORK, after_five)[:-1]):
            x = np.tanh(x @ w[k, :, :-1].T + w[k, :, -1])
            assert measured.vni[layer, k] == pytest.approx(measures.plug_in_vni(x), rel=1e-10)
    assert measured.jacobian_vni.shape == (2, 3)
    np.testing.assert_allclose(measured.gradient_ratios, measured.gradient_norms[:-1] / measured.gradient_norms[1:])
    # The loss falls by rate × ‖gradient‖² along the gradient.
    one = {"steps": 1, "batch": 40, "optimizer": "sgd", "dtype": float, "rng": 15, "measure_at": [0, 1]}
    before, after = train(NETWORK, probe, learning_rate=1e-5, **one).measurements
    assert before.loss[0] - after.loss[0] == pytest.approx(1e-5 * np.sum(before.gradient_norms**2), rel=1e-3)


def test_two_inputs_make_two_effective_nodes_and_the_jacobian_knows_better():
    network = Network((2, *[32] * 8, 1), sigma_w=0.5)
    (start,) = train(network, CONTINUOUS, steps=1, batch=50, replicas=8, rng=16, measure_at=[0]).measurements
    assert (start.vni > 0.49).all()
    np.testing.assert_allclose(start.jacobian_vni[0], 1 / 32)
    assert (start.jacobian_vni[1] < 0.1).all()


# --- bad input --------------------------------------------------------------------------------------------------------

VALID = {"network": NETWORK, "task": CONTINUOUS, "steps": 2, "batch": 10}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 201}, "batch must be at most the 200 samples of the task, got 201"),
        ({"batch": 0}, "batch must be an integer ≥ 1, got 0"),
        ({"steps": 0}, "steps must be an integer ≥ 1, got 0"),
        ({"steps": 2.5}, r"steps must be an integer ≥ 1, got 2\.5"),
        ({"replicas": 0}, "replicas must be an integer ≥ 1, got 0"),
        ({"replicas": True}, "replicas must be an integer ≥ 1, got True"),
        ({"replicas": []}, r"replicas must be different from one another and at least one, got \[\]"),
        ({"replicas": [1, 1]}, r"different from one another and at least one, got \[1, 1\]"),
        ({"replicas": [-1]}, "replicas must be an integer ≥ 0, got -1"),
        ({"replicas": "ten"}, "replicas must be an integer ≥ 0, got 't'"),
        ({"learning_rate": 0}, "learning_rate must be positive and finite, got 0"),
        ({"learning_rate": np.nan}, "learning_rate must be positive and finite, got nan"),
        ({"learning_rate": [1e-3, 1e-3]}, r"one number or 1, one a replica, got shape \(2,\)"),
        ({"optimizer": "lbfgs"}, "optimizer must be one of sgd, momentum, rmsprop, adam, got 'lbfgs'"),
        ({"dtype": np.float16}, "dtype must be float32 or float64, got float16"),
        ({"measure_at": [0, 3]}, "measure_at must be steps from 0 to 2, got 3"),
        ({"network": Network((3, 4, 1))}, r"widths must be \(2, …, 1\), got \(3, …, 1\)"),
        ({"network": Network((2, 4, 2))}, r"widths must be \(2, …, 1\), got \(2, …, 2\)"),
        ({"network": Network((2, 4, 1), keep=0.5)}, "without dropout"),
        ({"network": Network((2, 4, 1), sigma_b=0.5), "biases": False}, r"needs sigma_b = 0, got 0\.5"),
        ({"probe": tasks.parity(3), "measure_at": [0]}, r"widths must be \(3, …, 1\), got \(2, …, 1\)"),
    ],
)
def test_impossible_trainings(wrong, message):
    with pytest.raises((TypeError, ValueError), match=message):
        train(**{**VALID, **wrong})


def test_parameters_that_do_not_fit():
    for function in (training.evaluate, training.measure):
        with pytest.raises(ValueError, match="parameters must have 105 columns"):
            function(NETWORK, np.zeros((2, 7)), XOR)
        with pytest.raises(ValueError, match=r"widths must be \(3, …, 1\)"):
            function(NETWORK, np.zeros((2, 105)), tasks.parity(3))
