"""`Network`: what it refuses, and that it is a value."""

import copy
import dataclasses
import math
import pickle
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmt_vn import Activation, Network
from rmt_vn.activations import ACTIVATIONS, leaky_relu

BAD_WIDTHS = [
    ((3, 0), "0"),
    ((0, 3), "0"),
    ((3, -2), "-2"),
    ((3, 2.5), "2.5"),
    ((3, 4.0), "4.0"),
    ((3, math.nan), "nan"),
    ((True, 3), "True"),
    ((3, np.True_), "True"),
    ((3, "4"), "'4'"),
    ((3, None), "None"),
    ((3, (4, 5)), "(4, 5)"),
    (np.array([3.0, 4.0]), "3.0"),
    ((3, 10**10), "10000000000"),
    ((3, np.int64(2**62)), str(2**62)),
]


@pytest.mark.parametrize(("widths", "shown"), BAD_WIDTHS)
def test_a_bad_width_is_named_with_the_range(widths, shown):
    with pytest.raises((TypeError, ValueError)) as error:
        Network(widths)
    message = str(error.value)
    assert shown in message
    assert "integer from 1 to 1000000000" in message
    assert "\n" not in message


# A set has no order and a mapping is no list of widths, though one can iterate over both; the bytes of b"34" are
# integers, but nobody means them as widths.
@pytest.mark.parametrize("widths", [5, 2.5, None, "34", b"34", {3, 40}, {3: 4, 5: 6}], ids=repr)
def test_widths_must_be_a_sequence(widths):
    with pytest.raises(TypeError) as error:
        Network(widths)
    assert repr(widths) in str(error.value)
    assert "sequence of integers" in str(error.value)


@pytest.mark.parametrize("widths", [(), (3,)])
def test_a_network_has_inputs_and_a_layer(widths):
    with pytest.raises(ValueError) as error:
        Network(widths)
    assert repr(widths) in str(error.value)
    assert "at least two" in str(error.value)


NOT_FINITE_NUMBERS = [
    (math.nan, "nan"),
    (math.inf, "inf"),
    (-math.inf, "-inf"),
    ("1", "'1'"),
    (None, "None"),
    (True, "True"),
    (1j, "1j"),
    ((1.0,), "(1.0,)"),
]


@pytest.mark.parametrize(("value", "shown"), [*NOT_FINITE_NUMBERS, (0, "0"), (-1, "-1"), (1e-300, "1e-300")])
def test_sigma_w_has_a_square(value, shown):
    _assert_refused("sigma_w", value, shown, "≥ 1e-100")


@pytest.mark.parametrize(("value", "shown"), [*NOT_FINITE_NUMBERS, (-0.5, "-0.5")])
def test_sigma_b_is_not_negative(value, shown):
    _assert_refused("sigma_b", value, shown, "≥ 0")


@pytest.mark.parametrize(
    ("value", "shown"),
    [*NOT_FINITE_NUMBERS, (0, "0"), (-0.1, "-0.1"), (1.01, "1.01"), (2, "2")],
)
def test_keep_is_a_probability(value, shown):
    _assert_refused("keep", value, shown, "(0, 1]")


@pytest.mark.parametrize(("name", "valid"), [("sigma_w", "≥ 1e-100"), ("sigma_b", "≥ 0"), ("keep", "(0, 1]")])
def test_an_integer_that_no_float_can_hold_is_not_finite(name, valid):
    with pytest.raises(ValueError) as error:
        Network((3, 4), **{name: 10**400})
    assert name in str(error.value)
    assert valid in str(error.value)


def _assert_refused(name, value, shown, valid):
    with pytest.raises((TypeError, ValueError)) as error:
        Network((3, 4), **{name: value})
    message = str(error.value)
    assert name in message
    assert shown in message
    assert valid in message


@pytest.mark.parametrize("name", ["tanhh", "Tanh", "", "heaviside"])
def test_an_unknown_activation_lists_the_known(name):
    with pytest.raises(ValueError) as error:
        Network((3, 4), activation=name)
    message = str(error.value)
    assert repr(name) in message
    assert all(known in message for known in ACTIVATIONS)


def test_a_mistyped_activation_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'hard_tanh'"):
        Network((3, 4), activation="hardtanh")


@pytest.mark.parametrize("activation", [3, None, np.tanh, ("tanh",)], ids=repr)
def test_activation_is_a_name_or_an_activation(activation):
    with pytest.raises(TypeError) as error:
        Network((3, 4), activation=activation)
    assert repr(activation) in str(error.value)
    assert "name or an Activation" in str(error.value)


@pytest.mark.parametrize("weights", ["Gaussian", "haar", "", None, 3, ["gaussian"]], ids=repr)
def test_unknown_weights_list_the_known(weights):
    with pytest.raises(ValueError) as error:
        Network((3, 4), weights=weights)
    message = str(error.value)
    assert repr(weights) in message
    assert "gaussian" in message
    assert "orthogonal" in message


@pytest.mark.parametrize("depth", [0, -1, 1.5, 2.0, math.nan, "3", None, True], ids=repr)
def test_depth_is_at_least_one(depth):
    with pytest.raises((TypeError, ValueError)) as error:
        Network.uniform(3, depth)
    assert repr(depth) in str(error.value)
    assert "depth must be an integer ≥ 1" in str(error.value)


@pytest.mark.parametrize("width", [0, 2.5, True, None], ids=repr)
def test_uniform_checks_its_width(width):
    with pytest.raises((TypeError, ValueError)) as error:
        Network.uniform(width, 3)
    assert repr(width) in str(error.value)
    assert "integer from 1 to" in str(error.value)


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 10**9), st.integers(1, 50))
def test_uniform_has_depth_layers_and_as_many_inputs(width, depth):
    network = Network.uniform(width, depth, activation="relu", weights="orthogonal", sigma_w=2)
    assert network == Network([width] * (depth + 1), "relu", "orthogonal", 2.0)
    assert network.depth == depth


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=12))
def test_hidden_shapes_count_the_matrices_behind_the_first(widths):
    assert Network(widths).hidden_shapes == Counter(list(pairwise(widths))[1:])


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Network)])
def test_frozen(field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(Network((3, 4)), field, getattr(Network((3, 4)), field))


def test_equal_by_value_however_it_was_said():
    network = Network((3, 4), "tanh", sigma_w=1, sigma_b=0)
    same = [
        Network([3, 4]),
        Network(np.array([3, 4], dtype=np.uint8)),
        Network((np.int64(3), np.int32(4))),
        Network((3, 4), ACTIVATIONS["tanh"], "gaussian", np.float32(1), np.float64(0)),
    ]
    assert {network, *same} == {network}
    assert all(type(width) is int for width in same[1].widths)
    assert all(type(sigma) is float for sigma in (network.sigma_w, same[3].sigma_w, same[3].sigma_b))


def test_any_field_tells_networks_apart():
    networks = [
        Network((3, 4)),
        Network((4, 3)),
        Network((3, 4, 4)),
        Network((3, 4), "relu"),
        Network((3, 4), weights="orthogonal"),
        Network((3, 4), sigma_w=2),
        Network((3, 4), sigma_b=1),
        Network((3, 4), keep=0.5),
    ]
    assert len(set(networks)) == len(networks)


def test_activations_of_equal_parameters_are_equal():
    assert Network((3, 4), leaky_relu(0.2)) == Network((3, 4), leaky_relu(0.2))
    assert Network((3, 4), leaky_relu(0.2)) != Network((3, 4), leaky_relu(0.3))


# Networks travel to worker processes and come back inside results, to be looked up there.
@pytest.mark.parametrize("activation", [*ACTIVATIONS, Activation(np.arctan, np.cosh)], ids=str)
@pytest.mark.parametrize("duplicate", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy], ids=["pickle", "copy"])
def test_a_copy_is_the_same_network(activation, duplicate):
    network = Network((3, 4, 5, 4), activation, "orthogonal", sigma_w=1.5, sigma_b=0.1, keep=0.9)
    again = duplicate(network)
    assert again == network
    assert hash(again) == hash(network)
    assert again.hidden_shapes == network.hidden_shapes


def test_numpy_integers_are_integers():
    assert Network.uniform(np.int64(3), np.uint8(2)) == Network((3, 3, 3))


def test_s1_is_the_first_coefficient_of_the_s_transform():
    # W Wᵀ of a square matrix has S(z) = 1/(1 + z) = 1 − z + … if Gaussian and S(z) = 1 if orthogonal.
    assert Network((3, 4), weights="gaussian").s1 == -1
    assert Network((3, 4), weights="orthogonal").s1 == 0
