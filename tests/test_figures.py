"""Each figure's claim, on the data files that the command writes; and the command itself."""

import functools
import json
import subprocess
import sys

import numpy as np
import pytest

from rmt_vn import figures, laws
from rmt_vn.figures import __main__ as command
from rmt_vn.figures import output
from rmt_vn.network import Network

# Each claim is one comparison of many points: for them all to hold, single points must be allowed 5 standard errors.
K = 5


@pytest.fixture(scope="session")
def quick(tmp_path_factory):
    """What the README's command writes with the quick preset, by one process and by two."""
    folders = {}
    for jobs in ("1", "2"):
        folders[jobs] = tmp_path_factory.mktemp(f"jobs{jobs}")
        arguments = [sys.executable, "-m", "rmt_vn.figures", "--out", str(folders[jobs]), "--jobs", jobs]
        done = subprocess.run(arguments, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert [line.split(":")[0] for line in done.stdout.splitlines()] == list(figures.NAMES)
    return folders


@pytest.fixture
def table(quick):
    def read(name):
        return np.genfromtxt(quick["1"] / f"{name}.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")

    return read


def test_same_data_for_any_number_of_processes(quick):
    data = sorted(path.name for path in quick["1"].iterdir() if path.suffix in (".csv", ".npz"))
    assert len(data) >= len(figures.NAMES)
    for name in data:
        assert (quick["1"] / name).read_bytes() == (quick["2"] / name).read_bytes(), name


@pytest.mark.parametrize("name", figures.NAMES)
def test_picture_and_manifest(quick, name):
    manifest = json.loads((quick["1"] / f"{name}.json").read_text(encoding="utf-8"))
    assert manifest["claim"] == figures.load(name).CLAIM and manifest["seed"] == 0
    assert manifest["files"][0] == f"{name}.png"
    assert all((quick["1"] / file).stat().st_size > 0 for file in manifest["files"])


def test_node_correlation(quick):
    with np.load(quick["1"] / "node_correlation_matrices.npz") as data:
        vni = np.mean(data["correlation"] ** 2, axis=(-2, -1))
        n = data["correlation"].shape[-1]
    gaussian, haar = vni
    assert np.all(np.diff(vni) > 0)
    assert np.all(gaussian > haar)
    # One layer of Haar weights keeps tanh's nodes all but independent.
    assert haar[0] < 1.5 / n


def test_vni_depth_width(table):
    samples, theory = table("vni_depth_width_samples"), table("vni_depth_width_theory")
    exact = [laws.exact_vni(Network.uniform(int(n), int(depth), activation="linear")) for n, depth, *_ in samples]
    # Beyond t = 10 what is left of 1 − VNI lies with rare networks, of which a sample may hold none.
    common = samples["depth"] <= 10 * samples["width"]
    assert np.all((np.abs(samples["vni"] - exact) < K * samples["stderr"])[common])
    assert np.all(samples["vni"][~common] > 0.9)
    # "At first": S1 is within 10% where L/N ≤ 0.06; where L/N ≥ 1 it is over 1, off by 80% and more, and rejected.
    t = theory["depth"] / theory["width"]
    error = theory["first_order"] / theory["exact"] - 1
    assert np.all(error[t <= 0.06] < 0.1) and np.all(error[t >= 1] > 0.8)
    late = samples["depth"] >= samples["width"]
    first_order = (1 + samples["depth"]) / samples["width"]
    assert np.all(np.abs(samples["vni"] - first_order)[late] > K * samples["stderr"][late])


def test_scaling_collapse(table):
    samples = table("scaling_collapse_samples")
    universal = laws.universal_vni(samples["t"])
    # S4 is the limit N → ∞. At finite N, allow what S3 says is missing at half the width: ReLU halves the fan-ins.
    missing = np.array([_finite_width_correction(row["width"], row["t"]) for row in samples])
    deviation = np.abs(samples["mean_square_correlation"] - universal)
    assert np.all(deviation < K * samples["stderr"] + missing)
    # The collapse is sharp: on a curve 20% off in t, the same points would not lie.
    wrong = np.abs(samples["mean_square_correlation"] - laws.universal_vni(1.2 * samples["t"]))
    middle = (samples["t"] > 0.1) & (samples["t"] < 1)
    assert np.mean((wrong > K * samples["stderr"] + missing)[middle]) > 0.3


def _finite_width_correction(n, t):
    """S3 − S4 for a linear network of half the width and the same t."""
    half = int(n) // 2
    network = Network.uniform(half, max(1, round(t * half)), activation="linear")
    mean_square = (half * laws.exact_vni(network) - 1) / (half - 1)
    return abs(mean_square - laws.universal_vni(laws.effective_depth(network)))


def test_effective_nodes(table):
    samples, theory, limit = (table(f"effective_nodes_{label}") for label in ("samples", "theory", "limit"))
    exact = [laws.exact_vni(Network.uniform(int(n), int(depth), activation="linear")) for n, depth, *_ in samples]
    assert np.all(np.abs(samples["vni"] - exact) < K * samples["stderr"])
    # To one, at the rate 1/8 of the tail: local slopes of ln(1 − R(t)) + (3/2) ln t.
    t, complement = limit["t"][60:], limit["complement"][60:]
    slope = np.gradient(np.log(complement) + 1.5 * np.log(t), t)
    assert np.all(np.diff(np.abs(slope + 1 / 8)) < 0) and abs(slope[-1] + 1 / 8) < 0.012
    assert np.all(1 / theory["vni"][theory["depth"] > 20 * theory["width"]] < 1.02)


def test_three_indicators(table):
    samples, theory = table("three_indicators_samples"), table("three_indicators_theory")
    exact = np.interp(samples["t"], theory["t"], theory["exact_vni"])
    annealed = np.interp(samples["t"], theory["t"], theory["annealed"])
    assert np.all(np.abs(samples["vni"] - exact) < K * samples["vni_stderr"] + 1e-3)  # interpolation
    late = samples["t"] > 0.3
    gap = samples["participation"] - samples["vni"]
    assert np.all(gap[late] > K * np.hypot(samples["participation_stderr"], samples["vni_stderr"])[late])
    assert np.all((annealed - samples["participation"])[late] > K * samples["participation_stderr"][late])
    first = samples["t"] < 0.05
    assert np.all(np.abs(samples["participation"] / exact - 1)[first] < 0.1)


def test_width_profile(table):
    samples, theory = table("width_profile_samples"), table("width_profile_theory")
    exact = {tuple(row)[:3]: row["exact"] for row in theory}
    expected = np.array([exact[tuple(row)[:3]] for row in samples])
    assert np.all(np.abs(samples["vni"] - expected) < K * samples["stderr"])
    for comparison, spread in (("equal sum of 1/n", (0, 0.02)), ("equal parameters", (0.1, 1))):
        last = theory[(theory["comparison"] == comparison) & (theory["depth"] == theory["depth"].max())]
        assert spread[0] <= np.ptp(last["exact"]) < spread[1]
        equal = last["inverse_sum"] if comparison == "equal sum of 1/n" else last["parameters"]
        assert np.ptp(equal) / equal.mean() < 0.03  # widths are integers


def test_phase_diagram(quick):
    with np.load(quick["1"] / "phase_diagram_plane.npz") as plane:
        chi, rate = plane["chi"], plane["rate"]
    near_critical = np.abs(chi - 1) < 0.05
    # On the line χ = 1 nodes vanish everywhere, and faster here than there: neither number fixes the other.
    assert rate[near_critical].min() >= 1
    assert rate[near_critical].max() > 1.5 * rate[near_critical].min()


def test_gradients_and_nodes(table):
    samples, theory = table("gradients_and_nodes_samples"), table("gradients_and_nodes_theory")
    along = {(row["chi"], row["depth"]): row for row in theory}
    rows = [along[row["chi"], row["depth"]] for row in samples]
    for name in ("gradient", "vni"):
        expected = np.array([row[name] for row in rows])
        assert np.all(np.abs(samples[name] - expected) < K * samples[f"{name}_stderr"])
    assert np.ptp(theory["gradient"][theory["depth"] == theory["depth"].max()]) > 100
    for depth in np.unique(theory["depth"]):
        assert np.ptp(theory["vni"][theory["depth"] == depth]) == 0


def test_wide_inputs(table):
    samples, theory = table("wide_inputs_samples"), table("wide_inputs_theory")
    key = ("sigma_w_squared", "weights", "depth")
    closure = {tuple(row[label] for label in key): row["wide_inputs"] for row in theory}
    expected = np.array([closure[tuple(row[label] for label in key)] for row in samples])
    # S7 is a closure: it is held to 15% beyond the error of the sample, not to the error alone.
    assert np.all(np.abs(samples["vni"] - expected) < K * samples["stderr"] + 0.15 * expected)
    deepest = samples[samples["depth"] == samples["depth"].max()]
    gaussian = deepest[deepest["weights"] == "gaussian"]
    ordered, critical, weakly, strongly = gaussian["vni"]
    assert min(ordered, critical) > 2 * weakly > 2 * 1.5 * strongly
    haar = samples[samples["weights"] == "orthogonal"]
    assert np.all(np.abs(haar["vni"] - 0.01) < 5e-4)


@pytest.fixture
def run(run_main):
    return functools.partial(run_main, command.main)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["scaling_colapse"], ["'scaling_colapse'", "'scaling_collapse'"]),
        (["--preset", "slow"], ["slow", "quick", "paper"]),
        (["--seed", "-1"], ["'-1'", "≥ 0"]),
        (["--seed", "1.5"], ["'1.5'", "integer"]),
        (["--jobs", "0"], ["'0'", "≥ 1"]),
        (["--format", "png,gif"], ["png,gif", "png,pdf,svg"]),
    ],
)
def test_bad_arguments_are_one_line(run, arguments, told):
    code, lines = run(*arguments)
    assert code == 2 and len(lines) == 1
    assert all(word in lines[0] for word in told)


def test_out_must_be_a_folder_that_can_be_written(run, tmp_path):
    file = tmp_path / "file"
    file.write_text("keep me")
    for out in (file, file / "below", "/proc/none"):
        code, lines = run("--out", str(out))
        assert code == 2 and len(lines) == 1 and str(out) in lines[0]
    assert file.read_text() == "keep me"


def test_list_names_every_figure_and_makes_none(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command.main(["--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(figures.NAMES)
    assert not list(tmp_path.iterdir())


def test_a_failed_figure_stops_no_other(run, tmp_path, monkeypatch):
    def fail(**_):
        raise ArithmeticError("on purpose")

    monkeypatch.setattr(figures.load("phase_diagram"), "compute", fail)
    code, lines = run("phase_diagram", "node_correlation", "--out", str(tmp_path), "--jobs", "1")
    assert code == 1 and "phase_diagram: FAILED: ArithmeticError: on purpose" in lines
    assert (tmp_path / "node_correlation.png").exists() and not (tmp_path / "phase_diagram.png").exists()


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt, 130), (OSError, 1)])
def test_what_stops_a_figure_leaves_the_old_files_whole(run, tmp_path, monkeypatch, stop, code):
    arguments = ("node_correlation", "--out", str(tmp_path), "--jobs", "1")
    assert run(*arguments)[0] == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def write_half(stem, table):
        stem.with_suffix(".npz").write_bytes(b"half")
        raise stop

    monkeypatch.setattr(output, "write_table", write_half)
    assert run(*arguments, "--seed", "1")[0] == code
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_all_formats(run, tmp_path):
    assert run("phase_diagram", "--out", str(tmp_path), "--jobs", "1", "--format", "pdf,svg,png")[0] == 0
    starts = {"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG"}
    for kind, start in starts.items():
        assert (tmp_path / f"phase_diagram.{kind}").read_bytes().startswith(start)
