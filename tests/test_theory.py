"""The derivations as a whole: none is missing, the command tells of failures, the document is what they say."""

import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest
from derivations import ALGEBRA, ANALYSIS, committed, parts, without_layout

import theory
from rmt_vn import laws
from theory import __main__ as command
from theory.derivation import Claim, Derivation

ROOT = Path(__file__).parents[1]

# Where each law is derived. A test in test_theory_algebra.py or test_theory_analysis.py holds the two together.
DERIVED_IN = {
    "annealed_participation": "moments",
    "approximate_vni": "diffusion",
    "complex_ginibre_density": "finite_products",
    "correlation_cdf": "correlation",
    "correlation_density": "correlation",
    "correlation_moment": "correlation",
    "correlation_p_value": "correlation",
    "correlation_quantile": "correlation",
    "effective_depth": "diffusion",
    "exact_vni": "exact",
    "exact_vni_complement": "exact",
    "expected_characteristic_polynomial": "finite_products",
    "first_order_vni": "moments",
    "fuss_catalan_density": "free_products",
    "gradient_growth": "gradients",
    "layer_depth": "diffusion",
    "log_trace_moments": "wick",
    "lyapunov_exponents": "finite_products",
    "mean_log_determinant": "finite_products",
    "spectral_atoms": "free_products",
    "spectral_density": "free_products",
    "spectral_distribution": "free_products",
    "spectral_edges": "free_products",
    "spectral_moments": "free_products",
    "trace_moment": "zonal",
    "universal_vni": "diffusion",
    "universal_vni_complement": "exact",
    "wide_input_vni": "wide_inputs",
}


def test_every_law_has_a_derivation_and_meets_it():
    assert set(DERIVED_IN) == set(laws.__all__)
    assert set(DERIVED_IN.values()) <= set(theory.NAMES)
    meetings = "".join(
        (ROOT / "tests" / f"test_theory_{part}.py").read_text("utf-8") for part in ("algebra", "analysis")
    )
    assert [law for law in laws.__all__ if f"{law}(" not in meetings] == []


def test_every_module_is_run():
    modules = {path.stem for path in (ROOT / "theory").glob("*.py")} - {"__init__", "__main__", "derivation"}
    assert modules == set(theory.NAMES)


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


def test_one_derivation_with_its_steps():
    done = subprocess.run([sys.executable, "-m", "theory", "indicator"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Question." in done.stdout and "1. " in done.stdout
    assert "proved" in done.stdout and "residual 0" in done.stdout


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
