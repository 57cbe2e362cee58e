"""Optimizers: against torch, against their formulas number by number, learning rates, and what must not happen."""

import math

import numpy as np
import pytest

from rmt_vn import optimizers

RNG = np.random.default_rng(0)
SHAPES = [(3, 4, 5), (3, 7)]
START = [RNG.standard_normal(shape) for shape in SHAPES]
GRADIENTS = [[RNG.standard_normal(shape) * 10.0 ** RNG.integers(-6, 3) for shape in SHAPES] for _ in range(10)]


def ten_steps(name, learning_rate, start=START, gradients=GRADIENTS):
    parameters = [p.copy() for p in start]
    state = optimizers.init(name, parameters)
    for gradient in gradients:
        optimizers.update(parameters, gradient, state, learning_rate)
    return parameters


@pytest.mark.parametrize("learning_rate", [1e-3, 0.3])
@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_ten_steps_are_those_of_torch(name, learning_rate):
    torch = pytest.importorskip("torch")
    theirs = [torch.tensor(p, requires_grad=True) for p in START]
    optimizer = {
        "sgd": lambda p: torch.optim.SGD(p, lr=learning_rate),
        "momentum": lambda p: torch.optim.SGD(p, lr=learning_rate, momentum=0.9),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=learning_rate),
        "adam": lambda p: torch.optim.Adam(p, lr=learning_rate),
    }[name](theirs)
    for gradient in GRADIENTS:
        for p, g in zip(theirs, gradient, strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
    for p, q in zip(ten_steps(name, learning_rate), theirs, strict=True):
        np.testing.assert_allclose(p, q.detach().numpy(), rtol=1e-12, atol=1e-14)


def by_the_formula(name, p, gradients, rate):
    """One number, as the papers have it: Polyak 1964, Tieleman & Hinton 2012, Kingma & Ba 2015."""
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        if name == "sgd":
            p = p - rate * g
        elif name == "momentum":
            m = 0.9 * m + g
            p = p - rate * m
        elif name == "rmsprop":
            v = 0.99 * v + 0.01 * g**2
            p = p - rate * g / (math.sqrt(v) + 1e-8)
        else:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            p = p - rate * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_ten_steps_are_those_of_the_formulas_with_a_rate_for_each_replica(name):
    rates = [1e-3, 0.02, 0.3]
    for which, parameters in enumerate(ten_steps(name, rates)):
        for index in np.ndindex(parameters.shape):
            gradients = [gradient[which][index] for gradient in GRADIENTS]
            expected = by_the_formula(name, START[which][index], gradients, rates[index[0]])
            assert parameters[index] == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_the_comparison_rejects_another_decay(monkeypatch):
    # Control: β_2 = 0.998 instead of 0.999.
    right = ten_steps("adam", 1e-3)
    monkeypatch.setattr(optimizers, "ADAM_DECAYS", (0.9, 0.998))
    wrong = ten_steps("adam", 1e-3)
    assert np.abs(wrong[0] / right[0] - 1).max() > 1e-6


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_replicas_do_not_touch_each_other(name):
    broken = [[g.copy() for g in gradient] for gradient in GRADIENTS]
    for gradient in broken:
        gradient[0][1], gradient[1][1] = np.nan, 1e300
    wholes, parts = ten_steps(name, 0.01), ten_steps(name, 0.01, gradients=broken)
    alone = ten_steps(name, 0.01, [p[2:] for p in START], [[g[2:] for g in gradient] for gradient in GRADIENTS])
    for whole, part, one in zip(wholes, parts, alone, strict=True):
        np.testing.assert_array_equal(whole[::2], part[::2])
        np.testing.assert_array_equal(whole[2:], one)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_only_parameters_change_and_float32_remains(name):
    gradient = [g.astype(np.float32) for g in GRADIENTS[0]]
    before = [g.copy() for g in gradient]
    parameters = ten_steps(name, 0.01, [p.astype(np.float32) for p in START], [gradient] * 3)
    assert all(p.dtype == np.float32 for p in parameters)
    np.testing.assert_array_equal(gradient[0], before[0])
    np.testing.assert_allclose(parameters[0], ten_steps(name, 0.01, gradients=[gradient] * 3)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrong", [0, 0.0, -1e-3, math.nan, math.inf, [1e-3, 0.0, 1e-3], [1e-3, 1e-3, math.nan]])
@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_impossible_learning_rates(name, wrong):
    value = wrong if not isinstance(wrong, list) else next(rate for rate in wrong if rate != 1e-3)
    with pytest.raises(ValueError, match=f"learning_rate must be positive and finite, got {value}"):
        ten_steps(name, wrong)


def test_learning_rates_of_another_shape_or_kind():
    with pytest.raises(ValueError, match=r"one number or 3, one a replica, got shape \(2,\)"):
        ten_steps("sgd", [1e-3, 1e-3])
    for wrong in ("fast", None, True, 1j):
        with pytest.raises(TypeError, match="learning_rate must be a positive number"):
            ten_steps("sgd", wrong)


def test_unknown_optimizers():
    with pytest.raises(ValueError, match="optimizer must be one of sgd, momentum, rmsprop, adam, got 'Adam'"):
        optimizers.init("Adam", START)
