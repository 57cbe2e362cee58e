"""`baseline` with JAX, flax and Keras: a function of a seed that returns activations is all it takes."""

from itertools import pairwise

import numpy as np
import pytest
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn.baseline import baseline

WIDTHS, REPLICAS = (12, 30, 30), 30
INPUTS = np.random.default_rng(0).standard_normal((200, 12)).astype(np.float32)
pytestmark = [
    pytest.mark.slow,  # to import them takes seconds
    # They warn of their own old functions, and of those of others.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]


def by_numpy(seed):
    """tanh networks of variance one over fan-in, without biases."""
    rng, x, layers = np.random.default_rng(seed), INPUTS, []
    for n_in, n_out in pairwise(WIDTHS):
        x = np.tanh(x @ rng.standard_normal((n_in, n_out)) / n_in**0.5)
        layers.append(x)
    return layers


def check(null, names):
    """It is the null of networks whose weights have the same distribution, and not of those with fewer layers."""
    assert null.layers == names and null.replicas == REPLICAS and not null.faults
    assert [null.n_nodes[name] for name in names] == list(WIDTHS[1:])
    expected = baseline(by_numpy, replicas=REPLICAS, rng=1)
    means = [mean_and_error(np.stack(list(each.values.values()), axis=1)) for each in (null, expected)]
    (value, error), (other, of_other) = means
    assert_sampled(value, other, np.hypot(error, of_other), wrong=[other[::-1]], k=4.5)


def test_jax():
    jax = pytest.importorskip("jax")

    def run(seed):
        keys, x, layers = jax.random.split(jax.random.key(seed), len(WIDTHS) - 1), INPUTS, []
        for key, (n_in, n_out) in zip(keys, pairwise(WIDTHS), strict=True):
            x = jax.nn.tanh(x @ jax.random.normal(key, (n_in, n_out)) / n_in**0.5)
            layers.append(x)
        return layers

    check(baseline(run, replicas=REPLICAS, rng=0), ("1", "2"))
    # JAX has no global random state: replicas may be made side by side.
    one, two = (baseline(run, replicas=4, rng=0, jobs=jobs) for jobs in (1, 2))
    assert all(np.array_equal(one.values[name], two.values[name]) for name in one.layers)


def test_flax():
    jax = pytest.importorskip("jax")
    nn = pytest.importorskip("flax.linen")
    init = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
    layers = [layer for n in WIDTHS[1:] for layer in (nn.Dense(n, use_bias=False, kernel_init=init), nn.tanh)]
    model = nn.Sequential(layers)

    def run(seed):
        variables = model.init(jax.random.key(seed), INPUTS)
        _, state = model.apply(variables, INPUTS, capture_intermediates=True, mutable=["intermediates"])
        seen = state["intermediates"]
        return {name: np.tanh(seen[name]["__call__"][0]) for name in ("layers_0", "layers_2")}

    check(baseline(run, replicas=REPLICAS, rng=0), ("layers_0", "layers_2"))


def test_flax_nnx():
    jax = pytest.importorskip("jax")
    nnx = pytest.importorskip("flax.nnx")
    init = nnx.initializers.variance_scaling(1.0, "fan_in", "normal")

    def run(seed):
        rngs, x, layers = nnx.Rngs(seed), INPUTS, {}
        for number, (n_in, n_out) in enumerate(pairwise(WIDTHS)):
            x = jax.nn.tanh(nnx.Linear(n_in, n_out, use_bias=False, kernel_init=init, rngs=rngs)(x))
            layers[f"tanh{number}"] = x
        return layers

    check(baseline(run, replicas=REPLICAS, rng=0), ("tanh0", "tanh1"))


def test_keras(monkeypatch):
    pytest.importorskip("jax")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    scaled = {"class_name": "VarianceScaling", "config": {"distribution": "untruncated_normal"}}
    model = keras.Sequential(
        [keras.Input((WIDTHS[0],))]
        + [
            keras.layers.Dense(n, "tanh", use_bias=False, kernel_initializer=scaled, name=f"dense{number}")
            for number, n in enumerate(WIDTHS[1:])
        ]
    )
    before = [each.copy() for each in model.get_weights()]

    def run(seed):
        keras.utils.set_random_seed(seed)
        fresh = keras.models.clone_model(model)
        hidden = keras.Model(fresh.inputs, [layer.output for layer in fresh.layers])
        return dict(zip([layer.name for layer in fresh.layers], hidden.predict(INPUTS, verbose=0), strict=True))

    check(baseline(run, replicas=REPLICAS, rng=0), ("dense0", "dense1"))
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))
