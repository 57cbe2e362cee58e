"""``rmt-vn measure --null`` and ``--html``: fresh networks from a file each, compared layer by layer."""

import json
import math
import re
import shlex

import numpy as np
import pytest

from rmt_vn import Baseline, command, measures, report

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 8))


def network(seed, aligned=0.0):
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((2, 8, 12)) / math.sqrt(8)
    weights[0] += aligned * np.outer(np.ones(8), rng.standard_normal(12)) / math.sqrt(8)
    first = X @ weights[0]
    return {"first": first, "second": np.tanh(first[:, :8]) @ weights[1]}


FRESH = [network(seed) for seed in range(1, 5)]
THIS = network(0, aligned=2.0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("this.npz", **THIS)
    for seed, layers in enumerate(FRESH, 1):
        np.savez(f"fresh{seed}.npz", **layers)
    return tmp_path


ALL = "measure this.npz --null fresh1.npz fresh2.npz fresh3.npz fresh4.npz"


def printed(capsys, line):
    assert command.main(shlex.split(line)) == 0
    return capsys.readouterr().out


def test_the_report_of_files_is_that_of_their_arrays(folder, capsys):
    values = {name: np.array([measures.vni(each[name]).value for each in FRESH]) for name in THIS}
    told = report(THIS, null=Baseline(tuple(THIS), values, dict.fromkeys(THIS, 12), {}))
    assert printed(capsys, ALL) == f"{told}\n"
    record = json.loads(printed(capsys, f"{ALL} --json"))
    assert record["report"] == json.loads(json.dumps(told.to_dict()))
    assert [each["value"] for each in record["layers"]] == [row.measured.value for row in told.layers]


def test_the_picture_shows_fresh_networks(folder, capsys):
    out = printed(capsys, f"{ALL} --plot drawn.svg --layers first")
    assert "Training: " in out and "second" not in out
    assert "#bfe0f5" in (folder / "drawn.svg").read_text()


def test_a_page_without_fresh_networks(folder, capsys):
    """That of the example of the help, in test_command.py, has some."""
    assert printed(capsys, "measure this.npz --html page.html") == printed(capsys, "measure this.npz")
    page = (folder / "page.html").read_text("utf-8")
    assert "Without fresh networks" in page and ">first</th>" in page and ">second</th>" in page


@pytest.mark.parametrize("kind", ["npy", "csv"])
def test_a_file_of_one_array_is_the_layer_of_this_network(folder, capsys, kind):
    for name, array in {"mine": THIS["first"], "one": FRESH[0]["first"], "two": FRESH[1]["first"]}.items():
        np.save(f"{name}.npy", array)
        np.savetxt(f"{name}.csv", array, delimiter=",", fmt="%.18e")
    record = json.loads(printed(capsys, f"measure mine.{kind} --null one.{kind} two.{kind} --json"))
    (row,) = record["report"]["layers"]
    assert row["name"] == "mine" and row["fresh"]["n_networks"] == 2


def test_what_cannot_be_compared_is_told_and_the_rest_is(folder, capsys):
    np.savez("bad.npz", first=FRESH[0]["first"][:50], third=FRESH[0]["first"])
    np.savez("nan.npz", first=FRESH[1]["first"] * [math.nan, *[1] * 11], second=FRESH[1]["second"][:, :9])
    record = json.loads(printed(capsys, f"{ALL} bad.npz nan.npz --json"))["report"]
    first, second = record["layers"]
    assert first["fresh"]["n_networks"] == second["fresh"]["n_networks"] == 4
    assert first["note"] == (
        "not measured in 2 of 6 fresh networks: bad.npz: 50 samples, so not the same inputs, where this network has 60"
    )
    assert second["note"].endswith("bad.npz: there is no such layer")
    for number in (2, 3):
        np.savez(f"narrow{number}.npz", first=FRESH[number]["first"], second=FRESH[number]["second"][:, :9])
    record = json.loads(printed(capsys, "measure this.npz --null bad.npz narrow2.npz narrow3.npz --json"))["report"]
    assert [each["fresh"] is None for each in record["layers"]] == [False, True]
    assert "not measured in fresh networks: bad.npz: there is no such layer" in record["layers"][1]["no_fresh"]


def test_a_layer_of_this_network_that_cannot_be_measured_is_a_row(folder, capsys):
    np.savez("this.npz", first=np.ones((60, 12)), second=THIS["second"])
    out = printed(capsys, ALL)
    assert re.search(r"^first +not measured: 12 of 12 nodes are constant", out, re.MULTILINE)
    assert "Measured: 1 of 2 layers" in out and "Depth: one layer alone" in out


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("measure this.npz --null fresh1.npz", "--null must be the files of at least 2 fresh networks, got 1"),
        ("measure this.npz --null fresh1.npz fresh2.npz fresh1.npz", "fresh1.npz: its layers are those of fresh1.npz"),
        (
            "measure this.npz --null fresh1.npz this.npz",
            "this.npz: its layers are those of the network that is measured",
        ),
        ("measure this.npz --null fresh1.npz none.npz", "none.npz: No such file or directory"),
        ("measure --null fresh1.npz this.npz", "FILE"),
        ("measure this.npz --null", "--null"),
        ("measure this.npz --html page.npz", "must end in .html, got 'page.npz'"),
    ],
)
def test_bad_arguments_are_one_line(folder, run_main, line, told):
    code, lines = run_main(command.main, *shlex.split(line))
    assert code == 2 and len(lines) == 1 and told in lines[0]
    assert not list(folder.glob("page*"))
