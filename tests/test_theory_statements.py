"""Each statement can be followed to its law, proof, sampler, tests and pictures."""

import ast

import pytest
from statements import ROOT, SAMPLERS, called_in, laws_in_pictures, markdown, statements

from rmt_vn import laws, samplers

ROWS = statements()


def test_every_law_has_a_row():
    assert sorted(row.law for row in ROWS) == laws.__all__
    assert sorted(SAMPLERS) == laws.__all__
    named = {statement for row in ROWS for statement in row.statement.split(", ")}
    assert named == {f"S{number}" for number in range(1, 9)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.law)
def test_what_a_row_names_exists(row):
    defined = {node.name for node in ast.parse((ROOT / row.law_file).read_text("utf-8")).body if hasattr(node, "name")}
    assert row.law in defined
    assert (ROOT / row.proof_file).is_file()
    # From the names alone: the proof has the path of the law, or adds a word to it.
    assert row.proof_file.removesuffix(".py").startswith(
        row.law_file.replace("rmt_vn/laws", "theory").removesuffix(".py")
    )
    assert row.sampler is None or row.sampler in samplers.__all__
    assert row.test_files and all((ROOT / file).is_file() for file in row.test_files)
    assert all((ROOT / f"figures/{picture}.png").is_file() for picture in row.pictures)


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "rmt_vn/figures/claims").glob("[!_]*.py"))])
def test_a_picture_shows_the_laws_that_it_computes(name):
    # It may compute a law that it does not show, for evidence or as a means, but not the other way round.
    source = (ROOT / f"rmt_vn/figures/claims/{name}.py").read_text("utf-8")
    called = called_in(source) & set(laws.__all__)
    declared = laws_in_pictures()[name]
    assert list(declared) == sorted(declared)
    assert set(declared) <= called
    assert bool(declared) == bool(called)


def test_a_comment_is_no_call():
    assert called_in(
        "# laws.exact_vni(network)\n'laws.exact_vni(network)'\nlaws.first_order_vni(network)\nexact_vni"
    ) == {"first_order_vni"}


def test_the_table_has_a_link_for_each():
    lines = markdown(ROWS).splitlines()
    assert len(lines) == 2 + len(ROWS)
    assert all(row.law_file in line and row.proof_file in line for row, line in zip(ROWS, lines[2:], strict=True))
