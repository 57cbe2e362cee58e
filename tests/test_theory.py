"""The derivations as a whole: each law is proved and met, modules are written alike, the command tells of failures."""

import ast
import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import test_theory_algebra
import test_theory_analysis
import test_theory_residual
from derivations import ALGEBRA, ANALYSIS, MEETINGS, committed, is_met, parts, without_layout

import theory
from rmt_vn import Network, laws
from theory import __main__ as command
from theory import exact
from theory.derivation import Claim, Derivation

ROOT = Path(__file__).parents[1]
# Importing them is what fills the register of meetings.
MEETING_PLACES = (test_theory_algebra, test_theory_analysis, test_theory_residual)


# --- laws and proofs --------------------------------------------------------------------------------------------------


def module_of(law):
    """Where a law is stated, below `rmt_vn.laws`."""
    return getattr(laws, law).__module__.removeprefix("rmt_vn.laws.")


@pytest.mark.parametrize("law", laws.__all__)
def test_every_law_is_proved_under_its_own_name(law):
    proofs = [name for name in theory.NAMES if law in theory.load(name).LAWS]
    # The moments of ρ are stated in laws/correlation.py and proved in theory/correlation_moments.py, the depth of
    # residual blocks in effective_depth.py and effective_depth_residual.py; all others are proved in a file of the same
    # name, and some once more elsewhere.
    assert proofs and proofs[0] in {f"{module_of(law)}{more}" for more in ("", "_moments", "_residual")}


def test_what_is_proved_is_a_law():
    proved = {law for name in theory.NAMES for law in theory.load(name).LAWS}
    assert proved == set(laws.__all__)
    assert set(MEETINGS) == set(laws.__all__)


@pytest.mark.parametrize("law", laws.__all__)
def test_every_law_meets_its_derivation(law):
    assert is_met(law, MEETINGS)


def test_a_meeting_that_is_none_is_not_taken_for_one():
    network = Network((2, 3), activation="linear")
    derived = 1 / 3 + 2 / 3 * (1 - float(1 - 1 / 2))

    def only_mentions_it():  # laws.exact_vni(network) == exact.mean_vni(3)
        assert exact.mean_vni(3) is not None

    def calls_it_and_compares_nothing():
        assert exact.mean_vni(3) is not None and laws.exact_vni(network) > 0

    def compares_with_a_number_alone():
        assert laws.exact_vni(network) == pytest.approx(derived)

    def meets_it():
        assert laws.exact_vni(network) == pytest.approx(float(exact.mean_vni(3, 0.5)))

    refused = (only_mentions_it, calls_it_and_compares_nothing, compares_with_a_number_alone)
    verdicts = [is_met("exact_vni", {"exact_vni": [functools.partial(test)]}) for test in (*refused, meets_it)]
    assert verdicts == [False, False, False, True]
    assert not is_met("exact_vni", {"exact_vni": []})


# --- how modules are written ------------------------------------------------------------------------------------------


def test_every_module_is_run():
    folder = ROOT / "theory"
    modules = {".".join(path.relative_to(folder).with_suffix("").parts) for path in folder.rglob("*.py")}
    others = {"__main__", "derivation"}
    assert {name for name in modules - others if not name.endswith("__init__")} == set(theory.NAMES)


HEADINGS = ["Question", "Assumptions", "Method", "Result", "Source"]


@pytest.mark.parametrize("name", theory.NAMES)
def test_every_module_says_the_same_things_in_the_same_order(name):
    summary, *paragraphs = theory.load(name).__doc__.strip().split("\n\n")
    assert "\n" not in summary and summary.endswith(".")
    headings = [re.match(r"\*\*(\w+)\.\*\* \S", text) for text in paragraphs]
    assert [heading[1] for heading in headings if heading] == HEADINGS
    assert headings[0], "nothing stands before the question"


@pytest.mark.parametrize("name", theory.NAMES)
def test_a_module_builds_on_earlier_ones_alone(name):
    source = Path(theory.load(name).__file__).read_text("utf-8")
    earlier = theory.NAMES[: theory.NAMES.index(name)]
    builds_on = {module.removeprefix("theory.") for module in modules_named_in(source)} - {"derivation"}
    assert builds_on <= set(earlier)


def modules_named_in(source):
    """Modules of `theory` that a source imports, or names of theirs."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "theory":
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            known = [name for name in inside if name.removeprefix("theory.") in theory.NAMES]
            found |= set(known) if known else {node.module}
    return found


@pytest.mark.parametrize("name", theory.NAMES)
def test_modules_that_are_referred_to_exist(name):
    # In docstrings and in steps, `lower_case` words in backticks are modules, or names in the module itself.
    module = theory.load(name)
    source = Path(module.__file__).read_text("utf-8")
    found = re.findall(r"(?<!`)`([a-z_.]+)`(?!`)", source)
    words = {word.split(".")[0] if word.split(".")[0] in theory.NAMES else word for word in found}
    assert {word for word in words if word not in theory.NAMES and word not in local_names(source)} == set()


def local_names(source):
    tree = ast.walk(ast.parse(source))
    return {getattr(node, "name", None) or getattr(node, "arg", None) or getattr(node, "id", None) for node in tree}


# --- the document and the command -------------------------------------------------------------------------------------


def test_document_has_every_derivation_in_its_place():
    # What it says of each is held to the derivation in test_theory_algebra.py and test_theory_analysis.py.
    assert sorted(ALGEBRA + ANALYSIS) == sorted(theory.NAMES)
    headings = re.findall(r"^## (\d+)\. (.*)$", committed(), re.MULTILINE)
    assert [int(number) for number, _ in headings] == list(range(1, len(theory.NAMES) + 1))
    frame = {name: Derivation(title, (), ()) for name, (_, title) in zip(theory.NAMES, headings, strict=True)}
    now, then = (without_layout(parts(text)[0]) for text in (command.document(frame), committed()))
    assert now == then, "stale: run python -m theory --markdown theory/README.md"
    ends = [part[len(part.rstrip("\n")) :] for part in parts(committed())]
    assert ends == ["\n\n"] * len(headings) + ["\n"]


def shell(line):
    """A line of bash; output is buffered, as it is unless the environment says otherwise."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["bash", "-c", line.replace("theory", f"{sys.executable} -m theory", 1)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
    )


def test_one_derivation_with_its_steps():
    done = shell("theory indicator.bounds")
    assert done.returncode == 0, done.stderr
    assert "Question." in done.stdout and "1. " in done.stdout
    assert "proved" in done.stdout and "residual 0" in done.stdout


@pytest.mark.parametrize("arguments", ["--help", "indicator.bias"])
def test_a_reader_who_has_seen_enough_and_an_output_that_is_closed(arguments):
    for end in ("| head -n 1", ">&-"):
        done = shell(f"theory {arguments} {end}")
        assert "Traceback" not in done.stderr and "rror" not in done.stderr
        assert done.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", ["--help", "indicator.bounds"])
def test_a_full_disk_is_told_in_one_line(arguments):
    done = shell(f"theory {arguments} > /dev/full")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "standard output" in done.stderr


@pytest.fixture
def run(run_main):
    return functools.partial(run_main, command.main)


def test_unknown_names_and_files_that_cannot_be_written(run, tmp_path):
    code, lines = run("wik")
    assert code == 2 and len(lines) == 1 and "'wik'" in lines[0] and "'wick'" in lines[0]
    code, lines = run("--markdown", str(tmp_path / "none" / "README.md"))
    assert code == 2 and len(lines) == 1 and "none" in lines[0]
    code, lines = run("wick", "--markdown", str(tmp_path / "README.md"))
    assert code == 2 and len(lines) == 1
    code, lines = run("--markdown", os.devnull)
    assert code == 2 and len(lines) == 1 and os.devnull in lines[0]


@pytest.mark.parametrize("fails", ["claim", "step"])
def test_a_failure_is_named_and_the_exit_code_is_not_zero(run, monkeypatch, fails):
    honest = theory.load("gradients").derive()

    def derive():
        if fails == "step":
            raise ArithmeticError("this step does not go through")
        wrong = Claim("two and two are five", honest.claims[0].stated, honest.claims[0].stated + 1)
        return Derivation("Wrong on purpose", honest.steps, (wrong,))

    monkeypatch.setattr(theory.load("gradients"), "derive", derive)
    code, lines = run("gradients")
    assert code == 1
    told = {"claim": "two and two are five", "step": "this step does not go through"}[fails]
    assert any("FAILED: gradients" in line and told in line for line in lines)
