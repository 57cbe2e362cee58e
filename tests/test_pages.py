"""Pages written by commands are what the commands write, and the version is the same wherever it stands."""

import ast
import importlib.util
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import rmt_vn
from rmt_vn.command import main

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "tests" / "benchmarks"


def test_the_page_of_the_api_is_what_the_command_prints(capsys):
    assert main(["api"]) == 0
    written = (ROOT / "rmt_vn" / "README.md").read_text("utf-8")
    assert capsys.readouterr().out == written, "stale: run python -m rmt_vn api > rmt_vn/README.md"


def test_the_page_of_the_api_links_to_files_and_headings():
    text = (ROOT / "rmt_vn" / "README.md").read_text("utf-8")
    headings = {f"#{line[3:].replace('.', '')}" for line in text.splitlines() if line.startswith("## ")}
    targets = set(re.findall(r"\]\(([^)]*)\)", text))
    assert {target for target in targets if target.startswith("#")} == headings - {"#The statements"}
    for target in targets - headings:
        assert (ROOT / "rmt_vn" / target).is_file(), target


# --- benchmarks -------------------------------------------------------------------------------------------------------


def benchmark_rows():
    """The rows of the committed table."""
    text = (BENCHMARKS / "README.md").read_text("utf-8")
    return [line for line in text.splitlines() if line.startswith("| ")][1:]


def patterns_of_rows():
    """What the benchmarks call their rows, with * for what depends on parameters."""
    for path in sorted(BENCHMARKS.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "row":
                parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]]
                yield "".join(part.value if isinstance(part, ast.Constant) else "*" for part in parts)


def test_every_benchmark_has_its_rows_and_every_row_its_benchmark():
    patterns = list(patterns_of_rows())
    assert patterns
    found = [
        [pattern for pattern in patterns if fnmatchcase(row.split(" | ")[0][2:], pattern)] for row in benchmark_rows()
    ]
    assert [len(each) for each in found] == [1] * len(found), "run python -m pytest tests/benchmarks --page"
    assert {pattern for (pattern,) in found} == set(patterns), "run python -m pytest tests/benchmarks --page"


def test_the_page_of_the_benchmarks_is_what_the_command_writes():
    spec = importlib.util.spec_from_file_location("benchmark_page", BENCHMARKS / "page.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    written = page.PATH.read_text("utf-8")
    (machine,) = (line for line in written.splitlines() if line.startswith("Python "))
    assert page.page(benchmark_rows(), machine) == written, "stale: run python -m pytest tests/benchmarks --page"


# --- the version ------------------------------------------------------------------------------------------------------


def citation(field):
    (value,) = re.findall(rf'^{field}: "?([^"\n]*)"?$', (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    return value


def test_the_version_and_the_year_are_the_same_wherever_they_stand(capsys):
    assert citation("version") == rmt_vn.__version__
    assert main(["cite"]) == 0
    software = capsys.readouterr().out.split("\n\n")[0]
    assert f"{{{rmt_vn.__version__}}}" in software
    assert re.findall(r"\byear *= *\{(\d+)\}", software) == [citation("date-released")[:4]]


def test_the_changelog_knows_the_version():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"## {rmt_vn.__version__} ({citation('date-released')})" in text


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "tests/benchmarks/README.md"])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text("utf-8")
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", text) + re.findall(r'<img src="([^"]+)"', text)
    missing = [each for each in targets if "://" not in each and not (ROOT / page).parent.joinpath(each).exists()]
    assert missing == []


def test_files_that_contributing_names_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"\b((?:rmt_vn|tests|theory|figures)/[\w/.]+\.(?:py|md|txt))", text)
    missing = [each for each in named if "NAME" not in each and not (ROOT / each).is_file()]
    assert len(named) > 10 and missing == []
