"""The command line: its examples run, its JSON is strict, and whatever it is given, errors are one line and code 2."""

import errno
import functools
import importlib
import json
import os
import re
import shlex
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import rmt_vn
from rmt_vn import Network, ResidualNetwork, command, laws, measures
from rmt_vn import __main__ as rmt_vn_main
from rmt_vn.activations import ACTIVATIONS
from rmt_vn.command.parser import EXAMPLES as EXAMPLES_OF
from rmt_vn.files import SUFFIXES
from rmt_vn.network import WEIGHTS
from rmt_vn.prediction import design, predict
from rmt_vn.prediction.verdict import INPUTS

ROOT = Path(__file__).parents[1]
EXAMPLES = [example for examples in EXAMPLES_OF.values() for example in examples]


@pytest.fixture
def run(run_main):
    return functools.partial(run_main, command.main)


@pytest.fixture
def output(capsys):
    """Runs a command that must succeed; returns what it prints."""

    def run(*arguments):
        assert command.main(list(map(str, arguments))) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out

    return run


def strict_json(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def layers(tmp_path, monkeypatch):
    """A folder with the files of which the examples speak."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    arrays = {"first": rng.standard_normal((60, 8)), "second": rng.standard_normal((60, 3))}
    arrays["second"] = arrays["second"] @ rng.standard_normal((3, 10))
    np.savez("activations.npz", **arrays)
    np.savetxt("activations.csv", arrays["first"], delimiter=",", header="a,b,c,d,e,f,g,h")
    for network in ("trained", "fresh1", "fresh2", "fresh3"):
        np.savez(f"{network}.npz", hidden=rng.standard_normal((60, 8)))
    np.save("digits.npy", rng.standard_normal((30, 64)))
    np.save("conv.npy", rng.standard_normal((5, 6, 4, 4)).astype(np.float16))
    return arrays


# --- what it says -----------------------------------------------------------------------------------------------------


# These take from 5 to 30 seconds; their kin are quicker.
SLOW = ("--residual", "--inputs", "design --depth 20 ")
SLOW_EXAMPLES = [each for each in EXAMPLES if any(words in each for words in SLOW)]


@pytest.mark.parametrize(
    "example", [pytest.param(each, marks=pytest.mark.slow if each in SLOW_EXAMPLES else ()) for each in EXAMPLES]
)
def test_the_examples_of_the_help_run(example, layers, output):
    program, *arguments = shlex.split(example)
    assert program == "rmt-vn"
    printed = output(*arguments)
    assert strict_json(printed) if "--json" in arguments else printed.strip()
    if "--plot" in arguments:
        assert Path("conv.png").read_bytes().startswith(b"\x89PNG")
    if "--html" in arguments:
        assert "Training: " in printed and "Training:" in Path("report.html").read_text("utf-8")


def test_residual_networks_on_the_command_line(output, run):
    printed = output("predict", "--residual", "8x3", "--activation", "linear", "--skip", "0.5")
    network = ResidualNetwork(8, 3, activation="linear", skip=0.5)
    last = printed.splitlines()[3].split()
    assert last[:2] == ["3", "8"] and float(last[6]) == pytest.approx(laws.exact_vni(network), rel=1e-3)
    told = output("design", "--depth", "10", "--vni", "0.3", "--activation", "linear", "--residual")
    assert "1/sqrt(L)" in told
    for wrong, why in (
        ("--widths 3x4", "not allowed with argument --residual"),
        ("--normalization middle", "must be one of"),
    ):
        code, (line,) = run("predict", "--residual", "8x3", *wrong.split())
        assert code == 2 and why in line


def test_help_shows_the_examples(capsys):
    for arguments, examples in ((), EXAMPLES), *(((name,), each) for name, each in EXAMPLES_OF.items()):
        with pytest.raises(SystemExit) as stop:
            command.main([*arguments, "--help"])
        shown = capsys.readouterr().out
        assert stop.value.code == 0 and all(f"  {example}\n" in shown for example in examples)


def test_help_names_what_can_be_chosen(capsys):
    # The help is written without asking the modules that know, for they take a second to import.
    chosen = {"predict": (*ACTIVATIONS, *WEIGHTS, *INPUTS), "measure": SUFFIXES, "design": (*ACTIVATIONS, *WEIGHTS)}
    for name, words in chosen.items():
        with pytest.raises(SystemExit):
            command.main([name, "--help"])
        assert set(words) <= set(re.findall(r"\.?\w+", capsys.readouterr().out))


def test_predict(output):
    arguments = (
        "predict",
        "--widths",
        "12,9x5,4",
        "--activation",
        "relu",
        "--weights",
        "orthogonal",
        "--sigma-w",
        "1.4",
    )
    more = ("--sigma-b", "0.1", "--keep", "0.9", "--input-variance", "2", "--seed", "3")
    network = Network((12, 9, 9, 9, 9, 9, 4), "relu", "orthogonal", 1.4, 0.1, 0.9)
    expected = predict(network, input_variance=2.0, rng=3)
    record = strict_json(output(*arguments, *more, "--json"))
    for given, row in zip(record["layers"], expected.layers, strict=True):
        assert given.pop("interval") == list(row.interval())
        assert given.pop("pre_activation_interval") == list(row.interval(kind="pre-activations"))
        assert given.pop("effective_nodes") == row.effective_nodes
        assert given == {name: getattr(row, name) for name in given}
    assert record["widths"] == list(network.widths) and record["statement"] == "S3"
    assert (record["gradients"], record["nodes"]) == (expected.gradients, expected.nodes)
    text = output(*arguments, *more)
    head, *rows = text.splitlines()[: 1 + network.depth]
    assert head.split()[:2] == ["layer", "width"]
    assert [row.split()[:2] for row in rows] == [[str(row.layer), str(row.width)] for row in expected.layers]
    assert float(rows[-2].split()[6]) == pytest.approx(expected.layers[-2].vni, rel=1e-3)
    assert text.endswith("\n".join(expected.verdict) + "\n")


@pytest.mark.slow
def test_inputs_in_a_file(output, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).standard_normal((40, 5))
    np.save("x.npy", x.astype(np.float32))
    np.savez("two.npz", one=x, other=x)
    asked = ("predict", "--widths", "5,6,4", "--seed", "3", "--inputs")
    record = strict_json(output(*asked, "x.npy", "--json"))
    expected = predict(Network((5, 6, 4)), inputs=x.astype(np.float32), rng=3)
    assert (record["inputs"], record["n_samples"]) == ("given", 40)
    assert record["input_variance"] == pytest.approx(np.mean(x**2), rel=1e-6)
    assert [row["vni"] for row in record["layers"]] == pytest.approx([row.vni for row in expected.layers], rel=1e-12)
    assert "Over the 40 given inputs" in output(*asked, "x.npy")
    for arguments, told in (
        ((*asked, "two.npz"), "must hold one array of inputs, got 2"),
        (("predict", "--widths", "7,6,4", "--inputs", "x.npy"), "n_0 = 7), got shape (40, 5)"),
        ((*asked, "x.npy", "--input-variance", "2"), "leave input_variance out, got 2.0"),
        ((*asked, "absent.npy"), "absent.npy: No such file"),
    ):
        code, lines = run(*arguments)
        assert code == 2 and len(lines) == 1 and told in lines[0]


def test_deep_networks_fill_no_more_than_a_screen(output):
    lines = output("predict", "--widths", "5x301").splitlines()
    numbers = [int(line.split()[0]) for line in lines[1 : lines.index("") - 1]]
    assert 20 <= len(numbers) <= 24 and numbers[:3] == [1, 2, 3] and numbers[-1] == 300
    assert lines[lines.index("") - 1] == f"({300 - len(numbers)} of 300 layers not shown; --json has all)"


def test_what_is_not_finite_is_null(output):
    # χ = 10⁶ E cos² = 5 × 10⁵ in each of eighty layers, and at a width of 3 the law is of order 1/width.
    record = strict_json(output("predict", "--widths", "3x81", "--activation", "sin", "--sigma-w", "1e3", "--json"))
    assert record["gradient_growth"] is None and record["gradients"] == "explode"
    assert record["layers"][-2]["gradient"] == pytest.approx(5e5, rel=0.01)


def test_wide_inputs(output):
    text = output("predict", "--widths", "50x11", "--inputs", "wide")
    assert "Over inputs N(0, 1 I)" in text and "S7 says" in text
    wide = ("predict", "--widths", "20x3", "--inputs", "wide", "--activation", "relu", "--sigma-b", "0.1", "--json")
    record = strict_json(output(*wide))
    assert record["statement"] is None
    assert all(row["interval"][0] < row["vni"] < row["interval"][1] for row in record["layers"])


def test_measure(layers, output):
    record = strict_json(output("measure", "activations.npz", "--json"))
    assert [each["layer"] for each in record["layers"]] == list(layers)
    for each in record["layers"]:
        measured = measures.vni(layers[each["layer"]])
        assert each["value"] == measured.value and each["interval"] == list(measured.confidence_interval())
    head, *rows = output("measure", "activations.npz").splitlines()
    assert head.split()[:5] == ["layer", "nodes", "constant", "samples", "eff."]
    assert [row.split()[:4] for row in rows] == [["first", "8", "0", "60"], ["second", "10", "0", "60"]]
    assert output("measure", "activations.npz", "--layers", "second").splitlines()[1] == rows[1]
    (images,) = strict_json(output("measure", "conv.npy", "--node-axis", "1", "--json"))["layers"]
    assert (images["n_nodes"], images["n_samples"]) == (6, 5 * 4 * 4)
    (columns,) = strict_json(output("measure", "conv.npy", "--node-axis", "-1", "--json"))["layers"]
    assert (columns["n_nodes"], columns["n_samples"]) == (4, 5 * 6 * 4)


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_plots(layers, output, kind):
    output("measure", "activations.npz", "--plot", f"plot.{kind}")
    assert Path(f"plot.{kind}").stat().st_size > 5000


def test_a_plot_is_written_whole_or_not_at_all(layers, monkeypatch, capsys):
    Path("plot.png").write_text("what was there")

    def fill_the_disk(figure, file):
        Path(file).write_text("half a pict")
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fill_the_disk)
    with pytest.raises(SystemExit) as stopped:
        command.main(["measure", "activations.npz", "--plot", "plot.png"])
    assert (stopped.value.code, Path("plot.png").read_text()) == (2, "what was there")
    assert capsys.readouterr().err == "rmt-vn measure: error: plot.png: No space left on device\n"
    assert not list(Path().glob(".rmt_vn-*"))


@pytest.mark.parametrize(
    ("kind", "setting"),
    [("png", "backend: pgf"), ("pdf", "text.usetex: True"), ("svg", "backend: pgf\ntext.usetex: True")],
)
def test_pictures_are_drawn_whatever_matplotlib_is_told_elsewhere(layers, output, kind, setting):
    Path("matplotlibrc").write_text(setting)
    with matplotlib.rc_context(fname="matplotlibrc"):
        output("measure", "activations.npz", "--plot", f"plot.{kind}")
    assert Path(f"plot.{kind}").stat().st_size > 5000


def test_pgf_and_a_backend_that_is_none_are_one_line(layers, run):
    code, (line,) = run("measure", "activations.npz", "--plot", "plot.pgf")
    assert code == 2 and "must end in one of .png, .pdf, .svg; got 'plot.pgf'" in line
    failed = program("measure", str(Path("activations.npz").resolve()), "--plot", "plot.png", MPLBACKEND="nonsense")
    assert failed.returncode == 2 and failed.stderr.count(b"\n") == 1 and b"'nonsense'" in failed.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system with limits on the size of files")
@pytest.mark.slow
def test_a_picture_for_which_there_is_no_room_is_one_line(layers):
    Path("plot.pdf").write_text("what was there")
    limited = "ulimit -f 4; trap '' XFSZ; exec \"$@\""
    run = subprocess.run(
        [
            "bash",
            "-c",
            limited,
            "-",
            sys.executable,
            "-m",
            "rmt_vn",
            "measure",
            "activations.npz",
            "--plot",
            "plot.pdf",
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (2, "rmt-vn measure: error: plot.pdf: File too large\n")
    assert Path("plot.pdf").read_text() == "what was there" and not list(Path().glob(".rmt_vn-*"))


def test_names_of_layers_cannot_command_the_terminal(tmp_path, output, run):
    numbers = np.random.default_rng(0).standard_normal((9, 3))
    np.savez(tmp_path / "h.npz", **{"\x1b[2Jgone": numbers})
    printed = output("measure", tmp_path / "h.npz")
    assert "\x1b" not in printed and r"\x1b[2Jgone" in printed
    # The message lists the layers that there are.
    code, (line,) = run("measure", str(tmp_path / "h.npz"), "--layers", "other")
    assert code == 2 and "\x1b" not in line and r"\x1b[2Jgone" in line
    code, (line,) = run("measure", str(tmp_path / "\x1b[2J\u202e.npy"))
    assert code == 2 and "\x1b" not in line and r"\x1b[2J\u202e.npy: No such file" in line


@pytest.mark.parametrize("plot", ["plot", "plot.doc", "none/plot.png", "p.png"])
@pytest.mark.parametrize("name", ["first", "p$^$"])
def test_the_table_is_printed_whatever_becomes_of_the_picture(tmp_path, monkeypatch, capsys, plot, name):
    monkeypatch.chdir(tmp_path)
    np.savez("h.npz", **{name: np.random.default_rng(0).standard_normal((9, 3))})
    try:
        code = command.main(["measure", "h.npz", "--plot", plot])
    except SystemExit as stop:
        code = stop.code
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1].split()[:4] == [name, "3", "0", "9"]
    assert code in (0, 2)
    assert Path(plot).exists() == (code == 0) == (plot == "p.png") or (name == "p$^$" and code == 2)
    assert len(printed.err.splitlines()) == (code == 2)


def test_design(output):
    record = strict_json(output("design", "--depth", 30, "--vni", 0.2, "--activation", "relu", "--json"))
    found = design(30, 0.2, activation="relu")
    assert [(each["weights"], each["width"]) for each in record["designs"]] == [
        (each.weights, each.width) for each in found
    ]
    _, row = output("design", "--depth", 30, "--vni", 0.2, "--activation", "relu", "--weights", "gaussian").splitlines()
    assert row.split()[:2] == ["gaussian", str(found[0].width)] and "exact law" in row


def test_design_samples_where_no_law_is_exact(output):
    asked = ("design", "--depth", 3, "--vni", 0.4, "--weights", "orthogonal", "--activation", "gelu")
    (found,) = design(3, 0.4, activation="gelu", weights="orthogonal", rng=5)
    (record,) = strict_json(output(*asked, "--seed", 5, "--json"))["designs"]
    assert record == found.to_dict() and record["method"] == "rows" and record["stderr"] > 0
    row = output(*asked, "--seed", 5).splitlines()[1].split()
    assert row[:5] == ["orthogonal", str(found.width), f"{found.vni:.4g}", f"{found.stderr:.1g}", "rows"]


def test_cite_says_what_the_citation_file_says(output):
    printed, citation = output("cite"), (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert len(re.findall(r"^@\w+\{\w+,$", printed, re.MULTILINE)) == 3
    assert printed.count("{") == printed.count("}")
    for field in (
        "10.6342/NTU201901446",
        "1910.09745",
        "Vanishing Nodes: Another Phenomenon",
        "National Taiwan University",
    ):
        assert field in printed and field in citation
    assert f"{{{rmt_vn.__version__}}}" in printed
    released = re.search(r'^date-released: "(\d{4})-', citation, re.MULTILINE)
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == rmt_vn.__version__
    assert re.search(r"year +\D*(\d+)", printed)[1] == released[1]


# --- what it refuses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "COMMAND"),
        ("prdict", "invalid choice: 'prdict'"),
        ("predict", "--widths"),
        ("predict --widths 784,", "must be like 784,200x50,10 (inputs first), got '784,'"),
        ("predict --widths 784,200x", "got '784,200x'"),
        ("predict --widths 10,-5", "got '10,-5'"),
        ("predict --widths 10,0", "each width must be an integer from 1"),
        ("predict --widths 10,5x0", "1 to 2000 layers"),
        ("predict --widths 10,5x9999999999", "1 to 2000 layers"),
        ("predict --widths 100x100000", "1 to 2000 layers, got '100x100000'"),
        ("predict --widths 5", "at least two"),
        ("predict --widths 5,5 --activation tahn", "unknown activation 'tahn'"),
        ("predict --widths 5,5 --weights gauss", "weights must be one of gaussian, orthogonal, got 'gauss'"),
        ("predict --widths 5,5 --inputs narrow", "inputs must be one of ball, wide, got 'narrow'"),
        ("predict --widths 5,5 --sigma-w much", "--sigma-w: must be a number, got 'much'"),
        ("predict --widths 5,5 --sigma-w 0", "sigma_w must be a number ≥ 1e-100 and at most 1e+100, got 0.0"),
        ("predict --widths 5,5 --sigma-w 1e-300", "sigma_w must be a number ≥ 1e-100 and at most 1e+100, got 1e-300"),
        ("predict --widths 5,5 --sigma-w 1e-90", "sigma_w must be at least 1e-06 for tanh, got 1e-90"),
        ("predict --widths 5,5 --sigma-w 1e-7 --activation softplus", "sigma_w must be at least 1e-06 for softplus"),
        (
            "design --depth 3 --vni 0.3 --sigma-w 1e-300",
            "sigma_w must be a number ≥ 1e-100 and at most 1e+100, got 1e-300",
        ),
        ("design --depth 3 --vni 0.3 --sigma-w 1e-90", "sigma_w must be at least 1e-06 for tanh, got 1e-90"),
        ("predict --widths 5,5 --sigma-w nan", "got nan"),
        ("predict --widths 5,5 --keep 0", "keep must be a number in (0, 1]"),
        ("predict --widths 5,5 --seed -1", "--seed must be an integer from 0, got -1"),
        ("predict --widths 5,5 --seed 1.5", "must be an integer, got '1.5'"),
        ("predict --widths 5,5 --input-variance -1", "input_variance must be a number from 0"),
        ("predict --widths 2,1x30,1 --inputs wide --activation relu", "varies over the inputs in all but one of 200"),
        ("predict --widths 5,5 --output softmax", "output must be one of linear, activation, got 'softmax'"),
        ("predict --widths 9x900 --activation linear --sigma-w 9", "variance"),
        ("measure", "FILE"),
        ("measure none.npy", "none.npy: No such file or directory"),
        ("measure .", "must end in .npy, .npz, .csv"),
        ("measure activations.npz --layers third", "no layer 'third'; it has first, second"),
        (
            "measure activations.npz --node-axis 2",
            "layer 'first': --node-axis must be an axis of shape (60, 8), from -2 to 1, got 2",
        ),
        ("measure activations.npz --plot none/plot.png", "No such file or directory"),
        ("measure activations.npz --plot plot.doc", "doc"),
        ("design --depth 10", "--vni"),
        ("design --depth 0 --vni 0.1", "depth must be an integer from 1 to 100000, got 0"),
        ("design --depth 999999999999999 --vni 0.1", "depth must be an integer from 1 to 100000, got 999999999999999"),
        ("design --depth 10 --vni 0.1 --seed -1", "--seed must be an integer from 0, got -1"),
        (
            "design --depth 10 --vni 0.1 --activation relu --residual --branch-ratio 0",
            "--branch-ratio must be a number > 0 and at most 1000, got 0",
        ),
        ("predict --residual 8x2 --branch-scale 1/L", "--branch-scale: must be a number, or 1/sqrt(L), got '1/L'"),
        ("design --depth 10 --vni 1", "vni must be a number between 0 and 1"),
        ("design --depth 10 --vni 1e-12", "no width up to"),
    ],
)
def test_bad_arguments_are_one_line(run, layers, arguments, told):
    code, lines = run(*arguments.split())
    assert code == 2 and len(lines) == 1
    assert told in lines[0] and lines[0].startswith("rmt-vn")


def test_what_takes_too_much_memory_is_one_line(run, monkeypatch):
    def fill(*arguments, **options):
        np.empty((10**9, 10**9))

    monkeypatch.setattr("rmt_vn.command.predicting.predict", fill)
    code, (line,) = run("predict", "--widths", "999999999x3")
    assert code == 2 and "it takes more memory than there is: Unable to allocate" in line


X = np.random.default_rng(0).standard_normal((6, 4))


@pytest.mark.parametrize(
    ("name", "array", "told"),
    [
        ("NaN", np.where(X > 1, np.nan, X), f"layer 'h': .*{np.count_nonzero(X > 1)} "),
        ("infinite", np.where(X > 1, np.inf, X), f"layer 'h': .*{np.count_nonzero(X > 1)} "),
        ("half infinite", np.full((6, 4), np.inf, np.float16), "layer 'h': .*24 "),
        ("one sample", X[:1], "layer 'h': .*2 samples"),
        ("few samples", X[:4], "layer 'h': 4 samples tell nothing of the error; it takes 5"),
        ("one node", X[:, :1], "layer 'h': it has one node"),
        ("constant", np.ones((6, 4)), "layer 'h': .*constant"),
        ("one axis", X[0], "layer 'h': .*axes"),
        ("no axis", X[0, 0], "layer 'h': it must have two axes \\(samples, nodes\\) or more, got shape"),
    ],
)
def test_hostile_numbers_are_one_line_that_names_the_layer(run, tmp_path, name, array, told):
    np.save(tmp_path / "h.npy", array)
    np.savez(tmp_path / "h.npz", good=X, h=array)
    for arguments in (("h.npy",), ("h.npz", "--layers", "h")):
        code, lines = run("measure", str(tmp_path / arguments[0]), *arguments[1:])
        assert code == 2 and len(lines) == 1 and re.search(told, lines[0]), lines
    # Beside a layer that can be measured it is a row.
    assert run("measure", str(tmp_path / "h.npz")) == (0, [])


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\x93NUMPY", b"PK\x03\x04", b"1,2\n3\n", bytes(range(256)), struct.pack("<20d", *range(20))]
)
@pytest.mark.parametrize("suffix", ["npy", "npz", "csv"])
def test_hostile_files_are_one_line(run, tmp_path, suffix, content):
    file = tmp_path / f"h.{suffix}"
    file.write_bytes(content)
    code, lines = run("measure", str(file))
    assert code == 2 and len(lines) == 1 and str(file) in lines[0]


# --- as a program -----------------------------------------------------------------------------------------------------


def test_the_command_is_installed_under_its_name():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, function = scripts["rmt-vn"].partition(":")
    assert getattr(importlib.import_module(module), function) is rmt_vn_main.main


def program(*arguments, encoding="utf-8", **environment):
    environment = os.environ | {"PYTHONIOENCODING": encoding} | environment
    return subprocess.run([sys.executable, "-m", "rmt_vn", *arguments], cwd=ROOT, env=environment, capture_output=True)


def test_it_runs_as_a_module_also_where_there_is_no_greek(tmp_path):
    ascii_only = program("predict", "--widths", "5,4", encoding="ascii")
    assert ascii_only.returncode == 0 and ascii_only.stderr == b""
    assert ascii_only.stdout.decode("ascii") and b"?" not in ascii_only.stdout
    failed = program("design", "--depth", "0", "--vni", "0.1", encoding="ascii")
    assert failed.returncode == 2 and failed.stderr.count(b"\n") == 1 and b"Traceback" not in failed.stderr


def test_who_reads_may_stop_reading():
    code = (
        "import subprocess, sys\n"
        "run = subprocess.Popen([sys.executable, '-m', 'rmt_vn', 'predict', '--widths', '2x500', '--json'], "
        "stdout=subprocess.PIPE, stderr=subprocess.PIPE)\n"
        "run.stdout.read(10); run.stdout.close()\n"
        "print(run.stderr.read().decode(), end=''); sys.exit(run.wait())"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_help_and_version_load_no_numerical_library():
    code = (
        "import sys\n"
        "from rmt_vn.command import main\n"
        "for name in 'predict', 'measure', 'design', '--help', '--version':\n"
        "    try: main([name, '--help'] if name[0] != '-' else [name])\n"
        "    except SystemExit as stop: assert stop.code == 0\n"
        "main(['cite'])\n"
        "print({'numpy', 'scipy', 'matplotlib', 'tqdm'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "set()"


def test_predictions_take_one_thread(monkeypatch, output):
    seen = []

    def counted(*arguments, **options):
        seen.extend(each["num_threads"] for each in threadpool_info())
        return predict(*arguments, **options)

    monkeypatch.setattr("rmt_vn.command.predicting.predict", counted)
    with threadpool_limits(2):
        output("predict", "--widths", "5,4")
    assert set(seen) == {1}
