"""What newcomers give by mistake: errors of one line that say what is valid, and reports that say what is wrong."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from refused import refused
from sklearn.neural_network import MLPRegressor

from rmt_vn import (
    Network,
    ResidualNetwork,
    laws,
    mean_field,
    measures,
    prediction,
    report,
    residual_mean_field,
    samplers,
    training,
)
from rmt_vn.baseline import baseline
from rmt_vn.command import main
from rmt_vn.files import read_activations

PLAIN, RESIDUAL = Network.uniform(4, 2), ResidualNetwork(4, 2, 8)
X = np.random.default_rng(0).standard_normal((40, 4))
POINT = {"x": 0.5}
OF_PLAIN = [
    (laws.annealed_participation, {}),
    (laws.first_order_vni, {}),
    (laws.log_trace_moments, {}),
    (laws.lyapunov_exponents, {}),
    (laws.mean_log_determinant, {}),
    (laws.signal_mode_outlier, {}),
    (laws.signal_mode_share, {}),
    (laws.spectral_atoms, {}),
    (laws.spectral_density, POINT),
    (laws.spectral_distribution, POINT),
    (laws.spectral_edges, {}),
    (laws.spectral_moments, {"order": 2}),
    (laws.wide_input_limit, {}),
    (laws.wide_input_participation, {}),
    (laws.wide_input_vni, {}),
    (mean_field.fixed_point, {}),
    (mean_field.layer_moments, {"variance": 1.0}),
    (mean_field.length_map, {"input_variance": 1.0}),
    (samplers.sample_log_singular_values, {"n_networks": 2}),
    (samplers.sample_lyapunov, {"n_networks": 2}),
    (samplers.sample_wide_participation, {"n_networks": 2}),
]
OF_RESIDUAL = [
    (laws.pre_norm_slope, {}),
    (residual_mean_field.blocks_mean_field, {}),
    (residual_mean_field.depth_phase, {}),
]
OF_BOTH = [
    (laws.approximate_vni, {}),
    (laws.effective_depth, {}),
    (laws.exact_vni, {}),
    (laws.exact_vni_complement, {}),
    (laws.gradient_growth, {}),
    (prediction.predict, {}),
    (samplers.sample_activations, {"inputs": X}),
    (samplers.sample_correlation, {"n_networks": 2}),
    (samplers.sample_vni, {"n_networks": 2}),
    (lambda network: next(samplers.walk_activations(network, X)), {}),
    (lambda network: next(samplers.walk_jacobian(network, 2)), {}),
    (training.train, {"task": None, "steps": 1, "batch": 1}),
]


@pytest.mark.parametrize(
    "function, others, wrong, told",
    [(f, others, RESIDUAL, "a Network, got ResidualNetwork") for f, others in OF_PLAIN]
    + [(f, others, PLAIN, "a ResidualNetwork, got Network") for f, others in OF_RESIDUAL]
    + [(f, others, (4, 4, 4), "a Network or a ResidualNetwork, got tuple") for f, others in OF_BOTH],
)
def test_another_kind_of_network_is_named(function, others, wrong, told):
    refused(wrong, f"^network must be {told}$", TypeError, function, **others)


@pytest.mark.parametrize("network", [RESIDUAL, "tanh"])
def test_a_report_has_the_law_of_plain_networks_alone(network):
    refused({"1": X}, f"^network must be a Network, got {type(network).__name__}$", TypeError, report, network=network)


@pytest.mark.parametrize("bad", [X * np.nan, X[:3]], ids=["NaN", "few samples"])
def test_a_report_of_nothing_that_can_be_measured_says_so(bad, tmp_path):
    told = report({"1": bad}, null=lambda seed: np.random.default_rng(seed).standard_normal(X.shape), replicas=3)
    assert told.verdict == (
        "Measured: 0 of 1 layers, beside 3 fresh networks on the same inputs.",
        "No layer could be compared with fresh networks; each row says why.",
    )
    assert "not measured: " in str(told)
    told.to_html(tmp_path / "report.html")


@pytest.mark.parametrize(
    "model, told",
    [
        ("trained.npz", "^model must be a model, a watch or activations, got str$"),
        ({}, "^activations must be of at least one layer, got an empty dict$"),
        (MLPRegressor(), "^inputs must be given with a model, got MLPRegressor without"),
    ],
)
def test_what_cannot_be_reported(model, told):
    refused(model, told, by=report)


def test_a_model_that_was_not_fitted_is_not_taken_for_one_of_another_library():
    refused(MLPRegressor(), "^mlp must be a fitted MLPClassifier or MLPRegressor", TypeError, report, inputs=X)


@pytest.mark.parametrize("same", [np.full((40, 4), np.nan), np.zeros((40, 4)), X[:1]])
def test_what_cannot_be_measured_is_not_taken_for_weights_that_are_equal(same):
    null = baseline(lambda seed: same, replicas=3, rng=0)
    assert list(null.faults) == ["1"]
    refused(lambda seed: X, "run returned the same activations for two seeds", ValueError, baseline, replicas=3)


@pytest.mark.parametrize("n_samples", [2, 4])
def test_too_few_samples_are_told_in_the_caveats(n_samples):
    told = (f"{n_samples} samples tell nothing of the error; it takes 5",)
    assert measures.vni(X[:n_samples]).caveats == told
    assert measures.sketch_vni(X[:n_samples], rng=0).caveats == told
    assert not any("tell nothing" in caveat for caveat in measures.vni(X[:5]).caveats)


def test_a_report_of_a_file_of_which_a_member_cannot_be_read(tmp_path):
    np.savez(tmp_path / "h.npz", good=X, objects=np.array([{}, None]))
    with np.load(tmp_path / "h.npz") as file:
        told = report(file)
    assert told["good"].effective_nodes == measures.vni(X).effective_nodes
    assert "Object arrays cannot be loaded" in told["objects"].fault


@pytest.mark.parametrize(
    "options, told",
    [
        ({"node_axis": 2}, r"^node_axis must be an axis of shape \(40, 4\), from -2 to 1, got 2$"),
        ({"node_axis": "nodes"}, "^node_axis must be an integer, got 'nodes'$"),
        ({"groups": [1, 2]}, r"^groups must be an axis, or labels of shape \(40,\), got shape \(2,\)$"),
    ],
)
def test_axes(options, told):
    refused(X, told, by=measures.vni, **options)


def test_layers_that_there_are_not_are_answered_by_those_that_there_are():
    told = report({"first": X, "second": X}, null=lambda seed: {"first": X + seed % 7 * X**2}, replicas=3, rng=0)
    with pytest.raises(KeyError, match="no layer 'third'; it has first, second"):
        told["third"]
    with pytest.raises(KeyError, match="no layer 'third'; it has first"):
        told.null.mean("third")


@pytest.mark.parametrize(
    "text, told",
    [
        ("1;2\n3;4\n5;6\n", "'3;4' is not a number; columns must be separated by commas$"),
        ("a\tb\n1\t2\n", "is not a number; columns must be separated by commas$"),
        ("a,b\n,2\n3,4\n", "line 2, column 1: '' is not a number$"),
        ("a,b\nx1,2\nx2,4\n", "'x1' is not a number; if the column is an index, say --index yes"),
    ],
)
def test_tables(tmp_path, text, told):
    (tmp_path / "h.csv").write_text(text)
    refused(tmp_path / "h.csv", told, ValueError, read_activations)


def test_nodes_are_not_said_to_vanish_from_a_layer_on_where_later_layers_keep_them():
    predicted = prediction.predict(Network.uniform(4, 3, activation="linear"), rng=0)
    said = {
        (0.9, 0.9, 0.9): "from layer 1 on",
        (0.3, 0.9, 0.9): "from layer 2 on",
        (0.9, 0.3, 0.3): "in 1 of 3 layers, first in layer 1",
        (0.3, 0.9, 0.3): "in 1 of 3 layers, first in layer 2",
        (0.9, 0.3, 0.9): "in 2 of 3 layers, first in layer 1",
    }
    for values, where in said.items():
        rows = [replace(row, pre_activation_vni=vni) for row, vni in zip(predicted.layers, values, strict=True)]
        told = replace(predicted, layers=tuple(rows)).verdict[1]
        assert told.startswith(f"Nodes are vanishing: the mean rho^2 of two nodes is above 0.1 {where}, and the last")


@pytest.mark.parametrize("inputs, which", [("ball", "live nodes"), ("wide", "nodes that are not constant")])
def test_a_node_is_live_at_a_point_and_constant_over_samples(inputs, which, capsys):
    assert main(["predict", "--widths", "4,4,4", "--activation", "relu", "--inputs", inputs]) == 0
    note = f"(VNI: of the activations of {which}; VNI of h, and rho^2 below: of the pre-activations of all nodes)"
    assert note in capsys.readouterr().out


@pytest.mark.parametrize("keep", [0, 1.5])
def test_the_valid_range_is_said_once(keep):
    refused((4, 4), rf"^keep must be a number in \(0, 1\], got {keep}$", ValueError, Network, keep=keep)


def test_without_sympy_the_proofs_name_the_extra():
    """With a module of that name that cannot be imported."""
    code = "import sys, runpy; sys.modules['sympy'] = None; runpy.run_module('theory', run_name='__main__')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    told = "python -m theory: error: sympy is missing; the extra 'theory' has it: pip install '.[theory]'\n"
    assert (run.returncode, run.stderr) == (1, told)
