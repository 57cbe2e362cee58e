"""Reports from arrays: the numbers are those measured, and the words say what the numbers do, and no more."""

import csv
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from rmt_vn import Baseline, Network, laws, measures, report
from rmt_vn.reports import LayerReport, Report
from rmt_vn.reports.against import farther
from rmt_vn.reports.assembled import assembled
from rmt_vn.reports.sentences import verdict

N_SAMPLES, WIDTH, DEPTH, FRESH = 60, 12, 3, 20
X = np.random.default_rng(0).standard_normal((N_SAMPLES, 8))


def network(seed, *, depth=DEPTH, aligned=0.0):
    """Pre-activations of a tanh network; with `aligned` its weights have a common direction, as after training."""
    rng, x, layers = np.random.default_rng(seed), X, {}
    for layer in range(1, depth + 1):
        weights = rng.standard_normal((x.shape[1], WIDTH)) / math.sqrt(x.shape[1])
        weights += aligned * np.outer(np.ones(x.shape[1]), rng.standard_normal(WIDTH)) / math.sqrt(x.shape[1])
        layers[f"h{layer}"] = x @ weights
        x = np.tanh(layers[f"h{layer}"])
    return layers


def null_of(networks):
    values = {name: np.array([measures.vni(each[name]).value for each in networks]) for name in networks[0]}
    return Baseline(tuple(values), values, dict.fromkeys(values, WIDTH), {})


def without(seed):
    """The null without one of its networks."""
    return replace(NULL, values={name: np.delete(each, seed) for name, each in NULL.values.items()})


FRESH_NETWORKS = [network(seed) for seed in range(FRESH)]
NULL = null_of(FRESH_NETWORKS)
TRAINED = network(100, aligned=2.0)
TOLD = report(TRAINED, null=NULL)


def words(told):
    """Sentences by what they begin with."""
    return {each.partition(":")[0]: each for each in told.verdict}


def test_numbers_are_those_of_the_measure_and_of_the_null():
    for name, row in zip(TRAINED, TOLD.layers, strict=True):
        measured = measures.vni(TRAINED[name])
        assert (row.name, row.measured) == (name, measured)
        ends = [1 / each for each in measured.confidence_interval()]
        assert row.interval == (ends[1], ends[0])
        assert row.fresh.mean == 1 / np.mean(NULL.values[name])
        assert row.fresh.low < row.fresh.mean < row.fresh.high
        assert (1 / row.fresh.high, 1 / row.fresh.low) == pytest.approx(tuple(NULL.interval(name)))
        effective = 1 / NULL.values[name]
        assert row.fresh.fewer == sum(effective < row.effective_nodes)
        assert row.fresh.n_networks == FRESH
        assert TOLD[name] is row
    with pytest.raises(KeyError, match="'h9'"):
        TOLD["h9"]


def test_the_rank_of_a_network_among_itself_and_others():
    """One of the fresh networks, put beside the others: equal values count one half."""
    for seed in (3, 11):
        alone, with_itself = (report(FRESH_NETWORKS[seed], null=null) for null in (without(seed), NULL))
        for one, two in zip(alone.layers, with_itself.layers, strict=True):
            assert two.fresh.fewer == one.fresh.fewer + 0.5
            assert 0 <= one.fresh.fewer <= FRESH - 1


# --- all layers together ----------------------------------------------------------------------------------------------


MEASURED = measures.vni(X)


def rows_and_null(values):
    """A report's rows and a null from VNIs (networks, layers), of which the first network is the one measured."""
    names = [f"{layer}" for layer in range(values.shape[1])]
    rows = [
        LayerReport(name, replace(MEASURED, value=float(value)), fresh=TOLD.layers[0].fresh)
        for name, value in zip(names, values[0], strict=True)
    ]
    null = Baseline(tuple(names), dict(zip(names, values[1:].T, strict=True)), dict.fromkeys(names, 8), {})
    return rows, null


def p_values(n_trials, n_fresh, shift=0.0):
    """Networks whose layers depend on each other strongly, as those of one network do, and scatter unequally."""
    rng, found = np.random.default_rng(5), []
    for _ in range(n_trials):
        walks = np.cumsum(rng.standard_normal((n_fresh + 1, 6)), axis=1)
        walks[0] += shift
        k, n = farther(*rows_and_null(0.1 * np.exp(0.1 * walks)))
        assert n == n_fresh
        found.append((k + 1) / (n + 1))
    return np.array(found)


def test_the_p_value_of_all_layers_is_uniform_for_fresh_networks_and_small_for_others():
    n_trials, n_fresh = 500, 9
    p = p_values(n_trials, n_fresh)
    places = np.bincount(np.round(p * (n_fresh + 1)).astype(int), minlength=n_fresh + 2)[1:]
    expected = n_trials / (n_fresh + 1)
    # χ² with 9 degrees of freedom: mean 9, standard deviation √18. Four of them.
    assert np.sum((places - expected) ** 2 / expected) < n_fresh + 4 * math.sqrt(2 * n_fresh)
    shifted = p_values(100, n_fresh, shift=3.0)
    places = np.bincount(np.round(shifted * (n_fresh + 1)).astype(int), minlength=n_fresh + 2)[1:]
    assert np.sum((places - 10) ** 2 / 10) > n_fresh + 12 * math.sqrt(2 * n_fresh)


def test_all_layers_together_by_the_definition():
    values = 0.1 + 0.8 * np.random.default_rng(2).random((6, 4))
    log = np.log(values)
    distance = [np.mean([((row[j] - log[:, j].mean()) / log[:, j].std()) ** 2 for j in range(4)]) for row in log]
    assert farther(*rows_and_null(values)) == (sum(each >= distance[0] for each in distance[1:]), 5)


def test_layers_that_tell_nothing_are_left_out():
    values = 0.1 + 0.8 * np.random.default_rng(2).random((6, 3))
    few = values.copy()
    few[2, 1], few[:, 2] = np.nan, 1.0
    assert farther(*rows_and_null(few)) == farther(*rows_and_null(values[:, :1]))
    few[3, 0] = np.nan
    assert farther(*rows_and_null(few)) is None


def test_values_that_are_not_of_one_network_are_not_taken_together():
    """The null of `Prediction.baseline` over a ball has each layer in increasing order."""
    values = 0.1 + 0.8 * np.random.default_rng(2).random((21, 3))
    rows, null = rows_and_null(values)
    ordered = replace(null, values={name: np.sort(each) for name, each in null.values.items()})
    assert farther(rows, null) is not None
    assert farther(rows, ordered) is None


# --- words ------------------------------------------------------------------------------------------------------------


def test_data_depth_and_training_are_told_by_their_numbers():
    told = words(TOLD)
    assert list(told) == ["Measured", "Data", "Depth", "Training", "Chance"]
    first, last = TOLD.layers[0].fresh, TOLD.layers[-1].fresh
    assert f"{first.mean:.2f} effective nodes of {WIDTH} in the first layer here, 'h1'" in told["Data"]
    assert f"and {last.mean:.2f} in 'h3', the last layer" in told["Depth"]
    fewer = sum(NULL.values["h3"] > NULL.values["h1"])
    assert re.search(rf"; ({fewer} of the 20|all {fewer}) have fewer in the latter", told["Depth"])
    below = [row.name for row in TOLD.layers if row.fresh.fewer == 0]
    assert (
        below
        and f"fewer effective nodes than all 20 fresh networks in layers {', '.join(map(repr, below))}"
        in (told["Training"])
    )
    assert "in 2 of 21 cases, so in 0.3 of 3 layers on average" in told["Chance"]
    assert TOLD.together == (0, FRESH)
    assert "none of the 20" in told["Chance"] and "with probability 1/21. That speaks for training" in told["Chance"]


def test_one_of_twenty_fresh_networks_is_the_farthest_and_the_others_are_not_said_to_be_trained():
    """All networks are treated alike, so that each of the twenty against the rest has its own place among them."""
    places = [report(FRESH_NETWORKS[seed], null=without(seed)) for seed in range(FRESH)]
    assert sorted(each.together[0] for each in places) == list(range(FRESH))
    for each in places:
        fresh = each.together[0] > 0
        assert ("it may be fresh itself" in words(each)["Chance"]) == fresh
        assert ("speaks for" in words(each)["Chance"]) != fresh


def test_few_fresh_networks_are_said_to_be_few():
    told = words(report(TRAINED, null=null_of(FRESH_NETWORKS[:3])))
    assert "with probability 1/4. So few fresh networks cannot say more" in told["Chance"]
    assert "for 1/20 it takes 19" in told["Chance"] and 1 / (19 + 1) <= 0.05 < 1 / (18 + 1)


def test_how_many_layers_lie_outside_by_chance_grows_with_depth():
    rows, null = rows_and_null(0.1 + 0.8 * np.random.default_rng(2).random((21, 150)))
    assert "in 2 of 21 cases, so in 14.3 of 150 layers on average" in verdict(rows, null, (4, 20))[-1]


def test_without_fresh_networks_nothing_is_told_apart():
    alone = report(TRAINED)
    assert list(words(alone)) == ["Measured", "Without fresh networks nothing tells data, depth and training apart."]
    assert (alone.null, alone.together, alone.replicas) == (None, None, 0)
    other = replace(NULL, layers=("x",), values={"x": NULL.values["h1"]}, n_nodes={"x": WIDTH})
    told = report(TRAINED, null=other)
    assert told.verdict[1].startswith("No layer could be compared")
    assert [row.name for row in told.layers] == ["h1", "h2", "h3", "x"]
    assert "this network has not" in told["x"].fault


def test_widths_and_depth_are_not_mixed_up():
    layers = {"a": TRAINED["h1"], "b": TRAINED["h2"][:, :7]}
    values = {"a": NULL.values["h1"], "b": NULL.values["h2"]}
    told = words(report(layers, null=Baseline(("a", "b"), values, {"a": WIDTH, "b": 7}, {})))
    assert "no two layers have the same number of nodes" in told["Depth"]
    layers["c"], values["c"] = TRAINED["h3"], NULL.values["h3"]
    told = words(report(layers, null=Baseline(("a", "b", "c"), values, {"a": WIDTH, "b": 7, "c": WIDTH}, {})))
    assert f"in 'c', the last layer of {WIDTH} nodes" in told["Depth"]


@pytest.mark.parametrize(
    ("fewer", "said"),
    [
        (0, ", fewer than in all 20 fresh networks (mean 5.00)."),
        (20, ", more than in all 20 fresh networks (mean 5.00)."),
        (7, "; 7 of 20 fresh networks have fewer (mean 5.00)."),
        (1, "; 1 of 20 fresh networks has fewer (mean 5.00)."),
        (0.5, "; 0.5 of 20 fresh networks have fewer (mean 5.00)."),
    ],
)
def test_the_sentence_of_a_layer(fewer, said):
    row = replace(TOLD.layers[0], fresh=replace(TOLD.layers[0].fresh, fewer=fewer, mean=5.0))
    assert row.sentence == f"{row.effective_nodes:.2f} of {WIDTH} nodes are effective{said}"


# --- nodes that do nothing --------------------------------------------------------------------------------------------


def test_constant_dead_and_duplicate_nodes_are_counted():
    x = np.random.default_rng(3).standard_normal((300, 12))
    x[:, 0] = 0.5
    x[:, [1, 2]] = 0.0
    x[:, 4] = -3 * x[:, 5]
    x[:, 6] = x[:, 5] + 1e-3 * x[:, 7]
    (row,) = report({"x": x}).layers
    assert (row.measured.constant_nodes, row.dead_nodes, row.near_duplicates) == (3, 2, 2)
    assert row.sentence.endswith("; 3 are constant, 2 of them zero throughout; 2 nearly copy another.")


def test_few_samples_tell_no_duplicates():
    """Among five samples of 60 independent nodes some two are nearly proportional by chance."""
    x = np.random.default_rng(4).standard_normal((300, 60))
    assert len(measures.near_duplicates(x[:5])) > 0
    assert [report({"x": x[:few]}).layers[0].near_duplicates for few in (5, 300)] == [None, 0]


# --- layers that cannot be measured -----------------------------------------------------------------------------------

BAD = {
    "nan": np.where(np.arange(60)[:, None] == 7, np.nan, TRAINED["h1"]),
    "constant": np.ones((60, 12)),
    "one axis": np.ones(60),
    "complex": TRAINED["h1"] + 1j,
    "text": np.array([["a", "b"]]),
    "four axes": np.zeros((3, 4, 5, 6)),
    "few": TRAINED["h1"][:4],
    "none": None,
}


def test_a_bad_layer_is_a_row_that_says_why_and_the_rest_is_made():
    told = report({**BAD, **TRAINED}, null=NULL)
    assert [row.name for row in told.layers] == [*BAD, *TRAINED]
    for row in told.layers[: len(BAD)]:
        assert row.measured is None and row.fresh is None and "\n" not in row.fault and 10 < len(row.fault) < 400
        assert row.sentence == f"Not measured: {row.fault}." and row.interval is None and row.effective_nodes is None
    assert told.layers[len(BAD) :] == TOLD.layers
    assert told.together == TOLD.together
    assert f"3 of {3 + len(BAD)} layers" in words(told)["Measured"]


def test_a_layer_that_fresh_networks_lack_is_told_so():
    values = {**NULL.values, "h2": np.full(FRESH, np.nan)}
    null = replace(NULL, values=values, faults={"h2": "all 12 nodes are constant"}, notes={"h3": "but for one"})
    told = report({**TRAINED, "h1": TRAINED["h1"][:, :9]}, null=null)
    assert told["h1"].no_fresh == "fresh networks have 12 nodes here"
    assert told["h2"].no_fresh == "not measured in fresh networks: all 12 nodes are constant"
    assert told["h3"].fresh is not None and told["h3"].note == "but for one"
    for name in ("h1", "h2"):
        assert told[name].fresh is None and told[name].measured is not None
        assert told[name].no_fresh in str(told).replace("\n  ", " ") and told[name].no_fresh in told[name].sentence


def test_one_fresh_network_tells_nothing():
    alone = {name: np.where(np.arange(FRESH) == 3, each, np.nan) for name, each in NULL.values.items()}
    told = report(TRAINED, null=replace(NULL, values={**NULL.values, "h2": alone["h2"]}))
    assert told["h2"].fresh is None and "in one fresh network alone" in told["h2"].no_fresh
    assert told["h1"].fresh is not None
    assert "No layer could be compared" in str(report(TRAINED, null=replace(NULL, values=alone))).replace("\n  ", " ")


def test_one_layer_is_one():
    told = [str(report({"h1": network(seed)["h1"]}, null=NULL)).replace("\n  ", " ") for seed in range(100, 110)]
    assert any("Training: in the one layer the effective nodes of this network lie among" in each for each in told)


# --- the law ----------------------------------------------------------------------------------------------------------


def test_the_law_is_that_of_the_network():
    linear = Network((8, WIDTH, WIDTH, WIDTH), activation="linear")
    told = report(TRAINED, null=NULL, network=linear)
    for depth, row in enumerate(told.layers, 1):
        shallower = Network(linear.widths[: depth + 1], activation="linear")
        assert row.law_vni == pytest.approx(laws.exact_vni(shallower), rel=1e-12)
        assert f"a law says {1 / row.law_vni:.2f}" in row.sentence
    assert f"a law says {1 / told.layers[0].law_vni:.2f}." in words(told)["Data"]
    hidden = report(TRAINED, network=Network((8, *[WIDTH] * 3, 2), activation="linear"))
    assert [row.law_vni for row in hidden.layers] == [row.law_vni for row in told.layers]
    with pytest.raises(ValueError, match="have 12, 12, 12 nodes, got the widths 8, 12, 7"):
        report(TRAINED, network=Network((8, 12, 7)))


def test_a_law_outside_its_domain_is_told():
    rows = [LayerReport(f"{layer}", replace(MEASURED, n_nodes=300)) for layer in range(40)]
    for sigma_w, told in ((1.35, True), (1.0, False)):
        softplus = Network.uniform(300, 40, activation="softplus", sigma_w=sigma_w)
        notes = assembled(rows, network=softplus).notes
        assert (len(notes) == 1 and notes[0].startswith("law: ")) if told else notes == ()


# --- what is handed on ------------------------------------------------------------------------------------------------


def test_json_has_all_that_the_report_says():
    told = json.loads(json.dumps(TOLD.to_dict()))
    assert told["verdict"] == list(TOLD.verdict) and told["together"] == [0, FRESH] and told["replicas"] == FRESH
    for each, row in zip(told["layers"], TOLD.layers, strict=True):
        assert each["fresh"]["mean"] == row.fresh.mean and each["measured"]["value"] == row.measured.value
        assert each["sentence"] == row.sentence
    assert len(repr(TOLD)) < 100


def test_csv_has_a_line_for_each_layer(tmp_path):
    file = tmp_path / "told.csv"
    told = report({**TRAINED, 'bad, "layer"\n': BAD["nan"]}, null=NULL)
    told.to_csv(file)
    with file.open(encoding="utf-8", newline="") as opened:
        lines = list(csv.DictReader(opened))
    assert [line["layer"] for line in lines] == [row.name for row in told.layers]
    for line, row in zip(lines[:3], told.layers, strict=False):
        assert float(line["effective_nodes"]) == row.effective_nodes
        assert float(line["fresh_low"]) == row.fresh.low and float(line["rank"]) == row.fresh.fewer
        assert line["law"] == "" and line["says"] == row.sentence
    assert lines[3]["nodes"] == lines[3]["fresh_mean"] == "" and "NaN" in lines[3]["says"]


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    """Of pictures tests/test_figures_layers.py says so."""
    file = tmp_path / "told.csv"
    file.write_text("before")
    with monkeypatch.context() as broken:
        broken.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left") as stopped:
            TOLD.to_csv(file)
    assert stopped.value.filename == str(file)
    assert file.read_text() == "before" and list(tmp_path.iterdir()) == [file]
    TOLD.to_csv(str(file))
    assert file.read_text().startswith("layer,nodes") and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("write", [Report.to_csv, Report.to_html, Report.plot])
def test_files_have_the_suffix_of_their_kind(tmp_path, write):
    with pytest.raises(ValueError, match=r"must end in .*told\.npz"):
        write(TOLD, tmp_path / "told.npz")
    assert list(tmp_path.iterdir()) == []
