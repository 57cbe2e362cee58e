"""What the README shows runs, and says what it says."""

import re
from pathlib import Path

import numpy as np
import pytest

from rmt_vn import laws
from rmt_vn.command import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")

EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_example_predicts_and_samples_agree(capsys):
    names = {}
    exec(EXAMPLES[0], names)
    network, sampled = names["network"], names["sampled"]
    # S4 is off by some 1/N of R, N = 200 the narrowest fan-in: 3.3 of them are allowed, k = 4 standard errors on top.
    assert abs(sampled.value - laws.approximate_vni(network)) < 4 * sampled.stderr + 3.3 / 200 * sampled.value
    assert f"{sampled.value:.4f}" in capsys.readouterr().out


def test_arrays_are_measured(capsys):
    names = {}
    exec(EXAMPLES[1], names)
    layer = names["layer"]
    # Forty nodes that are all the same.
    assert (layer.n_nodes, round(layer.value, 6)) == (40, 1)
    assert "of 40 alive" in capsys.readouterr().out


@pytest.mark.parametrize("command", re.findall(r"^rmt-vn (predict|design) (.*)", README, re.MULTILINE))
def test_the_command_lines_run(command, capsys):
    verb, options = command
    assert main([verb, *options.split()]) == 0
    assert "gaussian" in capsys.readouterr().out


def test_a_network_is_watched():
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(8, 30), torch.nn.Tanh(), torch.nn.Linear(30, 2))
    (example,) = [text for text in re.findall(r"```py\n(.*?)```", README, re.DOTALL) if "watch" in text]
    names = {"model": model, "inputs": torch.randn(200, 8)}
    exec(example, names)
    assert names["layer"].n_nodes == 2


def test_every_law_is_in_the_table():
    missing = [name for name in laws.__all__ if f"laws.{name}" not in README]
    assert missing == ["exact_vni_complement", "layer_depth", "universal_vni_complement"]  # variants of those listed


def test_the_reference_is_what_the_command_prints(capsys):
    assert main(["api"]) == 0
    assert f"\n\n{capsys.readouterr().out}\n" in README, "paste what `rmt-vn api` prints"


def test_the_sweep_runs_and_goes_on_from_what_it_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(EXAMPLES[2], names)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert len(kept) == 3 * 8
    once = capsys.readouterr().out
    exec(EXAMPLES[2], names)
    assert capsys.readouterr().out == once and "mean" in once
    assert kept == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    # Wide inputs in a chaotic network: S7 is a closure, good to 15%.
    for estimate in names["estimates"]:
        law = 1 / laws.wide_input_vni(estimate.point["network"])[-1]
        assert abs(estimate.mean / law - 1) < 0.15 + 5 * estimate.stderr / law


def committed(name):
    return np.genfromtxt(ROOT / "figures" / f"{name}.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")


def rows_of(name, keys):
    """The last column of a committed table by the first ones."""
    return {tuple(row)[:keys]: tuple(row)[keys] for row in committed(name)}


def said(text):
    assert text in README, "README says something else"


WIDTHS = (8, 16, 32)


def test_what_is_said_of_failure_is_in_the_committed_data():
    settings = committed("training_failure_settings")
    said(f"{settings['runs'].sum()} runs in all")

    def failures(weights, width, depth, rates):
        at = (settings["weights"] == weights) & (settings["width"] == width) & (settings["depth"] == depth)
        return settings["failed"][at & np.isin(settings["learning_rate"], rates)].min()

    all_rates, depths = (np.unique(settings[name]).tolist() for name in ("learning_rate", "depth"))
    said("L = 96: 20, 8, 8 of 20")
    assert [failures("gaussian", n, 96, all_rates) for n in WIDTHS] == [20, 8, 8]
    said("L = 32: 0, 0, 16 of 20")
    assert [failures("gaussian", n, 32, [1e-3]) for n in WIDTHS] == [0, 0, 16]
    said(f"none of {len(WIDTHS) * len(depths) * 20} fails there")
    assert sum(failures("orthogonal", n, depth, all_rates) for n in WIDTHS for depth in depths) == 0

    half = rows_of("training_failure_half_depths", 3)
    said("half of the Gaussian networks fail at L/N = 8, 6, 3 for N = 8, 16, 32 at the best rate; 6, 3, 0.8 at 0.001")
    assert [round(half["gaussian", n, "best"] / n) for n in WIDTHS] == [8, 6, 3]
    assert [float(f"{half['gaussian', n, '0.001'] / n:.1g}") for n in WIDTHS] == [6, 3, 0.8]
    said("half fail 1.5 times as deep or more at the best rate")
    assert min(half["orthogonal", n, "best"] / half["gaussian", n, "best"] for n in WIDTHS) > 1.5
    said("1.5, 1.0, 1.3 times at 0.001")
    gains = [half["orthogonal", n, "0.001"] / half["gaussian", n, "0.001"] for n in WIDTHS]
    assert [round(each, 1) for each in gains] == [1.5, 1.0, 1.3]

    score = rows_of("training_failure_trends", 3)
    said("z = 17 at the learning rate 0.001, 13 at the best rate (Gaussian)")
    assert [round(score["depth", "gaussian", rate]) for rate in ("0.001", "best")] == [17, 13]
    said("z = −5 there")
    said("z = +6")
    assert [round(score["width", "gaussian", rate]) for rate in ("best", "0.001")] == [-5, 6]


def test_what_is_said_of_the_walking_dead_is_in_the_committed_data():
    counts = rows_of("walking_dead_counts", 4)
    dead, learned = (
        [counts[criterion, lost, True, True] for criterion in ("could begin", "as learned")] for lost in (True, False)
    )
    said(f"{dead[0]} ({dead[1]}) runs failed, {learned[0]} ({learned[1]}) learned")
    warning = committed("walking_dead_early_warning")
    said(f"in {warning['share_of_pairs']:.2f} of pairs (z = {warning['standard_score']:.1f})")
    runs = committed("walking_dead_runs")
    at = (runs["weights"] == "gaussian") & (runs["width"] == 8) & (runs["depth"] == 64) & (runs["step"] == 0)
    begin = runs["jacobian_vni"][at & (runs["learning_rate"] == 1e-4) & ~runs["failed"]]
    said("N = 8, L = 64 and the rate 0.0001, 13 of 20 learn, eight of them from a VNI above 0.99")
    assert (len(begin), np.count_nonzero(begin > 0.99)) == (13, 8)


def test_what_is_said_of_optimizers_is_in_the_committed_data():
    settings = committed("optimizers_settings")
    deepest = settings[settings["depth"] == 96]
    said("20 and 20 of 20 fail with SGD and momentum, 1 with RMSProp, 2 with Adam")
    names = ("sgd", "momentum", "rmsprop", "adam")
    assert [deepest["failed"][deepest["optimizer"] == name].min() for name in names] == [20, 20, 1, 2]


def test_what_is_said_of_the_vni_in_training_is_in_the_committed_data():
    means = committed("training_vni_means")

    def range_of(weights, outcome, step, *depths):
        at = (means["weights"] == weights) & (means["outcome"] == outcome) & (means["step"] == step)
        vni = means["jacobian_vni"][at & np.isin(means["depth"], depths)]
        return round(float(vni.min()), 2), round(float(vni.max()), 2)

    end, depths = means["step"].max(), (8, 32, 96)
    said("from 0.33 (L = 8) and 0.68 (L = 32) to 0.94–0.95, Gaussian; from 0.08–0.09 to 0.87–0.98, Haar")
    assert range_of("gaussian", "learned", 0, 8) == (0.33, 0.33)
    assert range_of("gaussian", "learned", 0, 32) == (0.68, 0.68)
    assert range_of("gaussian", "learned", end, *depths) == (0.94, 0.95)
    assert range_of("orthogonal", "learned", 0, *depths) == (0.08, 0.09)
    assert range_of("orthogonal", "learned", end, *depths) == (0.87, 0.98)
    said("L = 96: from 0.92 to 0.86–0.92, Gaussian; from 0.09 to 0.47, Haar")
    assert range_of("gaussian", "failed", 0, 96) == (0.92, 0.92)
    assert range_of("gaussian", "failed", end, 96) == (0.86, 0.92)
    assert range_of("orthogonal", "failed", 0, 96) == (0.09, 0.09)
    assert range_of("orthogonal", "failed", end, 96) == (0.47, 0.47)


def test_what_is_said_of_readouts_is_in_the_committed_data():
    readouts = committed("representation_power_samples")
    explained = readouts["explained"][readouts["inputs"] == "narrow"]
    said(f"from {explained.max():.2f} of their variance to {explained.min():.2f}")
