"""Every statement of the package with its law, proof, sampler, tests and pictures: the rows of the README's table.

`statements()` reads them from where each is declared: laws from `rmt_vn.laws`, proofs from `LAWS` in the modules of
`theory`, pictures from `LAWS` in `rmt_vn/figures/claims`, and tests from the calls of a law in their code.
`python tests/statements.py`, from the root of the repository, prints them as a table with links.
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Which function of `rmt_vn.samplers` simulates what a law is about. Complex weights are sampled in a test alone.
SAMPLERS = {
    "annealed_participation": "sample_along_depth",
    "approximate_vni": "sample_vni",
    "complex_ginibre_density": None,
    "correlation_cdf": "sample_correlation",
    "correlation_density": "sample_correlation",
    "correlation_moment": "sample_correlation",
    "correlation_p_value": "sample_correlation",
    "correlation_quantile": "sample_correlation",
    "effective_depth": "sample_vni",
    "exact_vni": "sample_vni",
    "exact_vni_complement": "sample_vni",
    "expected_characteristic_polynomial": "sample_log_singular_values",
    "first_order_vni": "sample_vni",
    "fuss_catalan_density": "sample_log_singular_values",
    "gradient_growth": "sample_along_depth",
    "layer_depth": "sample_vni",
    "log_trace_moments": "sample_along_depth",
    "lyapunov_exponents": "sample_lyapunov",
    "mean_log_determinant": "sample_log_singular_values",
    "pre_norm_slope": "sample_vni",
    "residual_block_depth": "sample_vni",
    "signal_mode_outlier": "walk_jacobian",
    "signal_mode_share": "walk_jacobian",
    "signal_mode_vni": "sample_vni",
    "spectral_atoms": "sample_log_singular_values",
    "spectral_density": "sample_log_singular_values",
    "spectral_distribution": "sample_log_singular_values",
    "spectral_edges": "sample_log_singular_values",
    "spectral_moments": "sample_log_singular_values",
    "trace_moment": "sample_log_singular_values",
    "universal_vni": "sample_vni",
    "universal_vni_complement": "sample_vni",
    "wide_input_limit": "walk_activations",
    "wide_input_participation": "sample_wide_participation",
    "wide_input_vni": "walk_activations",
}


@dataclass(frozen=True)
class Statement:
    """One law, and where it is stated, proved, sampled, tested and drawn; files are relative to the root.

    Attributes
    ----------
    statement : str
        "S3"; more than one where a law is behind several, "S3, S4".
    law : str
        Its name in `rmt_vn.laws`.
    law_file : str
    proof_file : str
        The derivation of that name in `theory`.
    sampler : str or None
        In `rmt_vn.samplers`.
    test_files : tuple of str
        Tests that call the law.
    pictures : tuple of str
        Figures that show it: those of `figures/NAME.png`.
    """

    statement: str
    law: str
    law_file: str
    proof_file: str
    sampler: str | None
    test_files: tuple[str, ...]
    pictures: tuple[str, ...]


def statements() -> list[Statement]:
    """All rows, in the order of the statements."""
    from rmt_vn import laws

    rows = []
    for law in laws.__all__:
        proof = proof_of(law)
        rows.append(
            Statement(
                statement=statement_of(proof),
                law=law,
                law_file=relative(getattr(laws, law).__module__),
                proof_file=relative(proof),
                sampler=SAMPLERS[law],
                test_files=tuple(file for file, called in calls_in_tests().items() if law in called),
                pictures=tuple(name for name, shown in laws_in_pictures().items() if law in shown),
            )
        )
    return sorted(rows, key=lambda row: (row.statement[-2:], row.proof_file, row.law))


def relative(module: str) -> str:
    """The file of a module, relative to the root."""
    return module.replace(".", "/") + ".py"


def proof_of(law: str) -> str:
    """The first derivation that declares a law."""
    import theory

    return next(f"theory.{name}" for name in theory.NAMES if law in theory.load(name).LAWS)


def statement_of(proof: str) -> str:
    """S1 to S8, as the first line of the proof names them."""
    summary = (ast.get_docstring(ast.parse((ROOT / relative(proof)).read_text("utf-8"))) or "").splitlines()[0]
    return ", ".join(re.findall(r"S\d", summary))


@cache
def calls_in_tests() -> dict[str, set[str]]:
    """Of each test file, the names that its code calls; what a comment or a string says is no call."""
    files = sorted((ROOT / "tests").glob("test_laws_*.py")) + sorted((ROOT / "tests").glob("test_theory_*.py"))
    return {file.relative_to(ROOT).as_posix(): called_in(file.read_text("utf-8")) for file in files}


def called_in(source: str) -> set[str]:
    """Names of functions that are called: f(…), or laws.f(…)."""
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    names = {node.id if isinstance(node, ast.Name) else getattr(node, "attr", None) for node in calls}
    return {name for name in names if name}


@cache
def laws_in_pictures() -> dict[str, tuple[str, ...]]:
    """Of each figure, the laws that it declares to show; read without importing matplotlib."""
    shown = {}
    for file in sorted((ROOT / "rmt_vn/figures/claims").glob("*.py")):
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "LAWS" and node.value is not None:
                shown[file.stem] = ast.literal_eval(node.value)
    return shown


def markdown(rows: list[Statement]) -> str:
    """The rows as a table with links, relative to the root."""

    def link(name: str, file: str) -> str:
        return f"[{name}]({file})"

    lines = ["| | law | proof | sampler | picture |", "|---|---|---|---|---|"]
    for row in rows:
        pictures = ", ".join(link(f"`{name}`", f"figures/{name}.png") for name in row.pictures)
        proof = link(row.proof_file.removeprefix("theory/").removesuffix(".py"), row.proof_file)
        sampler = f"`samplers.{row.sampler}`" if row.sampler else ""
        lines.append(
            f"| {row.statement} | {link(f'`laws.{row.law}`', row.law_file)} | {proof} | {sampler} | {pictures} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    print(markdown(statements()))
