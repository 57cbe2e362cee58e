"""What the README shows runs, what it links to is there, and what it says of training is in the committed data."""

import contextlib
import io
import json
import os
import re
import stat
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from statements import statements

from rmt_vn import laws
from rmt_vn.figures.xor_runs import FAILED_BELOW

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")

# (language, text), in the order of the page.
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
FOR_TORCH = [text for language, text in BLOCKS if language == "python" and "import torch" in text]


def test_a_newcomer_is_not_kept_long():
    assert len(README.splitlines()) <= 200


# --- code -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page_run(tmp_path_factory):
    """The page followed from top to bottom, in a folder of its own: Python in one session, each shell line by itself.

    Left out are the blocks for PyTorch, which have a test of their own, and the two commands that install, which the
    continuous integration reads from the page and runs.
    """
    folder = tmp_path_factory.mktemp("readme")
    command = folder / "bin" / "rmt-vn"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rmt_vn "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    paths = {
        "PATH": os.pathsep.join([str(command.parent), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    names, outputs = {"__name__": "readme"}, []
    with contextlib.chdir(folder):
        for language, text in BLOCKS:
            if language == "python" and text not in FOR_TORCH:
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    exec(text, names)
                outputs.append(out.getvalue())
            for line in text.splitlines() if language == "sh" else ():
                if not line.startswith("python -m pip install"):
                    done = subprocess.run(line, shell=True, env=os.environ | paths, capture_output=True, text=True)
                    assert done.returncode == 0, f"{line}\n{done.stderr}"
                    outputs.append(done.stdout)
    return folder, names, outputs


def test_every_block_is_in_a_language_that_is_run():
    assert {language for language, _ in BLOCKS} == {"sh", "python", "math"}


def test_every_block_runs_and_says_something(page_run):
    _, _, outputs = page_run
    assert len(outputs) == 6
    assert all(output.strip() for output in outputs)


def test_what_is_measured_in_python_and_on_the_command_line_is_the_same(page_run):
    folder, names, outputs = page_run
    layer = names["layer"]
    assert layer.n_nodes == 64 and layer == names["told"]["1"].measured
    (told,) = (line for output in outputs for line in output.splitlines() if line.startswith("first "))
    assert f"{layer.effective_nodes:.4g}" in told.split()
    assert (folder / "layers.png").stat().st_size > 0


def test_the_network_beside_fresh_ones_is_as_the_page_says(page_run):
    folder, names, _ = page_run
    told = names["told"]
    fresh = [each.fresh for each in told.layers]
    said = re.search(
        r"have (\d+) effective nodes of (\d+) in the first layer.* in the fourth they have\s(\d+),", README, re.S
    )
    assert [int(each) for each in said.groups()] == [round(fresh[0].mean), 64, round(fresh[-1].mean)]
    assert len(fresh) == 4 and all(each.is_below_all for each in fresh)
    assert told.together == (0, told.replicas) and told.replicas == 20
    assert "20 fresh networks" in (folder / "report.html").read_text("utf-8")


def test_the_law_and_the_samples_agree(page_run):
    _, names, _ = page_run
    network, sampled = names["network"], names["sampled"]
    # S4 is off by some 1/N of R, N = 200 the narrowest fan-in: 3.3 of them are allowed, k = 4 standard errors on top.
    assert abs(sampled.value - laws.approximate_vni(network)) < 4 * sampled.stderr + 3.3 / 200 * sampled.value


def test_the_sweep_goes_on_from_what_it_kept(page_run, capsys):
    folder, names, _ = page_run
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz") if path.name != "trained.npz"}
    assert len(kept) == 3 * 8
    (sweep,) = (text for _, text in BLOCKS if "monte_carlo" in text)
    before = [each.mean for each in names["estimates"]]
    with contextlib.chdir(folder):
        exec(sweep, names)
    assert [each.mean for each in names["estimates"]] == before and "mean" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_network_is_watched(capsys):
    pytest.importorskip("torch")
    (example,) = FOR_TORCH
    names = {}
    exec(example, names)
    assert names["layers"]["0"].n_nodes == 200 and "beside 20 fresh networks" in capsys.readouterr().out


def test_the_two_commands_are_where_the_continuous_integration_reads_them():
    installing = re.findall(r"^python -m pip install .*$", README, re.MULTILINE)
    assert len(installing) == 2
    assert all(line in text.splitlines() for line in installing for _, text in BLOCKS[:1])


def test_names_in_the_text_exist():
    # As `laws.exact_vni`, or `experiments.Engine(client=…)`; files and packages have other endings.
    named = re.findall(r"`(?:rmt_vn\.)?([a-z_]+)\.(\w+)(?:\(.*?\))?`", README)
    modules = {
        name for name, _ in named if (ROOT / "rmt_vn" / f"{name}.py").exists() or (ROOT / "rmt_vn" / name).is_dir()
    }
    assert {"laws", "adapters"} <= modules
    missing = [
        (name, each) for name, each in named if name in modules and not hasattr(import_module(f"rmt_vn.{name}"), each)
    ]
    assert missing == []


# --- the table of statements ------------------------------------------------------------------------------------------


def tables():
    """Tables of the page as lists of rows, without their heads."""
    for lines in re.findall(r"(?:^\|.*\n)+", README, re.MULTILINE):
        rows = [re.split(r" ?\| ?", line.strip())[1:-1] for line in lines.splitlines()]
        yield rows[0], rows[2:]


def rows_of_statements():
    """The rows, each with its statements, those of the row above where the cell is empty, and with its laws."""
    (rows,) = (rows for head, rows in tables() if "proof" in head)
    statement = ""
    for row in rows:
        statement = row[0] or statement
        yield statement, re.findall(r"`laws\.(\w+)`", row[2]), row


def links(cell):
    return re.findall(r"\]\((.*?)\)", cell)


def test_every_law_is_in_the_table():
    listed = [law for _, names, _ in rows_of_statements() for law in names]
    assert len(listed) == len(set(listed))
    variants = {"exact_vni_complement", "layer_depth", "universal_vni_complement"}  # of those listed
    assert set(listed) == set(laws.__all__) - variants


def test_the_table_links_to_the_proofs_and_the_pictures_of_its_laws():
    known = {each.law: each for each in statements()}
    for statement, names, row in rows_of_statements():
        assert {known[name].statement for name in names} == {statement}
        assert set(links(row[4])) == {known[name].proof_file for name in names}
        pictures = {f"figures/README.md#{picture}" for name in names for picture in known[name].pictures}
        shown = set(links(row[5]))
        assert shown <= pictures and bool(shown) == bool(pictures), names


def test_pictures_are_on_the_page_of_figures():
    headings = re.findall(r"^## (\w+)$", (ROOT / "figures" / "README.md").read_text("utf-8"), re.MULTILINE)
    assert set(re.findall(r"figures/README\.md#(\w+)", README)) <= set(headings)


# --- what is said of training -----------------------------------------------------------------------------------------


def committed(name):
    return np.genfromtxt(ROOT / "figures" / f"{name}.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")


def rows_of(name, keys):
    """The last column of a committed table by the first ones."""
    return {tuple(row)[:keys]: tuple(row)[keys] for row in committed(name)}


def numbers(text):
    """The numbers in a text, in their order; words like S4 and x₁ hold none."""
    return [float(each.replace("−", "-")) for each in re.findall(r"(?<![\w.])[−+]?\d+(?:\.\d+)?", text)]


def verdict(row):
    """The numbers of one row of the table of verdicts."""
    (rows,) = (rows for head, rows in tables() if "holds?" in head)
    return numbers(rows[row][2])


WIDTHS = [8, 16, 32]


def failures(weights, width, depth, rates):
    """How many of 20 runs fail, at the best of some learning rates."""
    settings = committed("training_failure_settings")
    at = (settings["weights"] == weights) & (settings["width"] == width) & (settings["depth"] == depth)
    return settings["failed"][at & np.isin(settings["learning_rate"], rates)].min()


def test_the_runs_are_what_is_said():
    settings = committed("training_failure_settings")
    budget = json.loads((ROOT / "figures" / "training_failure.json").read_text("utf-8"))["parameters"]["measure_at"][-1]
    assert np.unique(settings["width"]).tolist() == WIDTHS and set(settings["runs"].tolist()) == {20}
    before_the_table = README.split("## What training shows")[1].split("|")[0]
    assert numbers(before_the_table) == [
        settings["runs"].sum(),
        *(min(WIDTHS), max(WIDTHS)),
        *(settings["depth"].min(), settings["depth"].max()),
        *(FAILED_BELOW, budget),
        *np.unique(settings["learning_rate"]).tolist(),
        20,
    ]


def test_what_is_said_of_the_vni_in_training_is_in_the_committed_data():
    means = committed("training_vni_means")

    def range_of(weights, outcome, step, *depths):
        at = (means["weights"] == weights) & (means["outcome"] == outcome) & (means["step"] == step)
        vni = means["jacobian_vni"][at & np.isin(means["depth"], depths)]
        ends = [round(float(vni.min()), 2), round(float(vni.max()), 2)]
        return ends[:1] if ends[0] == ends[1] else ends

    end, depths = means["step"].max(), (8, 32, 96)
    assert verdict(0) == [
        16,
        *range_of("gaussian", "learned", 0, 8),
        8,
        *range_of("gaussian", "learned", 0, 32),
        32,
        *range_of("gaussian", "learned", end, *depths),
        *range_of("orthogonal", "learned", 0, *depths),
        *range_of("orthogonal", "learned", end, *depths),
        96,
        *range_of("gaussian", "failed", 0, 96),
        *range_of("gaussian", "failed", end, 96),
        *range_of("orthogonal", "failed", 0, 96),
        *range_of("orthogonal", "failed", end, 96),
    ]


def test_what_is_said_of_failure_is_in_the_committed_data():
    settings = committed("training_failure_settings")
    rates, depths = (np.unique(settings[name]).tolist() for name in ("learning_rate", "depth"))
    score = rows_of("training_failure_trends", 3)
    assert verdict(1) == [round(score["depth", "gaussian", "0.001"]), 0.001, round(score["depth", "gaussian", "best"])]
    assert verdict(2) == [
        round(score["width", "gaussian", "best"]),
        20,
        96,
        *(failures("gaussian", width, 96, rates) for width in WIDTHS),
        *WIDTHS,
        0.001,
        round(score["width", "gaussian", "0.001"]),
        32,
        *(failures("gaussian", width, 32, [0.001]) for width in WIDTHS),
    ]
    half = rows_of("training_failure_half_depths", 3)
    assert verdict(3) == [
        *(round(half["gaussian", width, "best"] / width) for width in WIDTHS),
        *WIDTHS,
        *(float(f"{half['gaussian', width, '0.001'] / width:.1g}") for width in WIDTHS),
        0.001,
    ]
    gains = {
        rate: [half["orthogonal", width, rate] / half["gaussian", width, rate] for width in WIDTHS]
        for rate in ("best", "0.001")
    }
    assert min(gains["best"]) > 1.5
    assert sum(failures("orthogonal", width, depth, rates) for width in WIDTHS for depth in depths) == 0
    assert verdict(6) == [
        1.5,
        len(WIDTHS) * len(depths) * 20,
        max(depths),
        *(round(gain, 1) for gain in gains["0.001"]),
        0.001,
    ]


def test_what_is_said_of_gradients_that_have_not_vanished_is_in_the_committed_data():
    counts = rows_of("walking_dead_counts", 4)
    told = [
        counts[criterion, lost, True, True] for criterion in ("could begin", "as learned") for lost in (True, False)
    ]
    assert verdict(4) == [0.9, *told]
    warning = committed("walking_dead_early_warning")
    runs = committed("walking_dead_runs")
    at = (runs["weights"] == "gaussian") & (runs["width"] == 8) & (runs["depth"] == 64) & (runs["step"] == 0)
    begin = runs["jacobian_vni"][at & (runs["learning_rate"] == 1e-4) & ~runs["failed"]]
    share, score = round(float(warning["share_of_pairs"]), 2), round(float(warning["standard_score"]), 1)
    assert verdict(5) == [share, score, 8, 64, 0.0001, len(begin), 20, np.count_nonzero(begin > 0.99), 0.99]


def test_what_is_said_of_optimizers_is_in_the_committed_data():
    settings = committed("optimizers_settings")
    deepest = settings[settings["depth"] == 96]
    sgd, momentum, rmsprop, adam = (
        deepest["failed"][deepest["optimizer"] == name].min() for name in ("sgd", "momentum", "rmsprop", "adam")
    )
    assert verdict(7) == [16, 96, sgd, 20, momentum, rmsprop, adam]


def test_what_is_said_of_residual_networks_is_in_the_committed_data():
    settings, best, digits = (committed(f"residual_training_{name}") for name in ("settings", "best", "digits"))
    rates = np.unique(settings["learning_rate"]).tolist()
    assert set(settings["runs"].tolist()) == {10}
    counts = [
        [best[column][at].sum() for column in ("failed", "runs")]
        for at in (best["jacobian_vni"] > 0.9, best["jacobian_vni"] <= 0.9)
    ]
    of_kind = {each["kind"]: each for each in best[(best["width"] == 8) & (best["depth"] == 128)]}
    scales = (0.25, 0.5, 1, 2, 4, 8)
    post = [of_kind[f"post-LN (β = {beta:g})"] for beta in scales]
    assert all(each["gradient"] > post[0]["gradient"] for each in post[1:])
    assert set(np.unique(best["width"]).tolist()) == set(WIDTHS)
    deepest = np.sort(settings[settings["depth"] == 256], order="learning_rate")
    residual, haar = (deepest["failed"][deepest["kind"] == kind] for kind in ("residual (β = 1/√L)", "Haar tanh"))
    at = (digits["width"] == 32) & (digits["depth"] == 128)
    slow_to_fast = np.sort(digits[at], order="learning_rate")
    on_digits = {kind: slow_to_fast[slow_to_fast["kind"] == kind] for kind in np.unique(digits["kind"]).tolist()}
    assert set(digits["runs"].tolist()) == {5}
    assert not any(on_digits[kind]["failed"].any() for kind in ("pre-LN (β = 1)", "residual (β = 1/√L)"))
    plain, most, kept = (on_digits[kind] for kind in ("plain tanh", "post-LN (β = 8)", "Haar tanh"))
    assert verdict(8) == [
        *(*rates, *WIDTHS[::2], 256, *counts[0], 0.9, *counts[1]),
        *(8, 128, scales[0], scales[-1], *(round(float(each["jacobian_vni"]), 2) for each in (post[0], post[-1]))),
        *(*(each["failed"] for each in post), 10),
        *(256, *residual, 10, 1, *haar),
        *(0.55, 32, 128, *plain["learning_rate"], *plain["failed"], 5, round(float(plain["jacobian_vni"][0]), 2)),
        *(*most["failed"], 8, round(float(most["jacobian_vni"][0]), 2), *kept["failed"], 1),
    ]


def test_what_is_said_of_readouts_is_in_the_committed_data():
    readouts = committed("representation_power_samples")
    explained = readouts["explained"][readouts["inputs"] == "narrow"]
    after = README.split("## What training shows")[1].split("\n\n")[3].split("##")[0]
    assert numbers(after) == [round(float(explained.max()), 2), round(float(explained.min()), 2)]
