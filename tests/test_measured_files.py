"""Files that are measured: headers, indices and gaps of CSV files are never guessed; faults of layers are rows."""

import json
import re

import numpy as np
import pytest
from refused import refused

from rmt_vn import command, measures
from rmt_vn.command.tables import table
from rmt_vn.files import read_activations

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 8))


# --- CSV --------------------------------------------------------------------------------------------------------------

ROWS = [",".join(map(repr, row)) for row in X.tolist()]
LINES = "\n".join(ROWS)
NAMES = [f"node {i}" for i in range(8)]
HEADER = ",".join(NAMES)
COUNT, COUNT_1 = (",".join(str(i + first) for i in range(8)) for first in (0, 1))


def numbered(labels):
    return "\n".join(f"{label},{row}" for label, row in zip(labels, ROWS, strict=True))


@pytest.fixture
def csv_file(tmp_path):
    def write(text):
        file = tmp_path / "h.csv"
        file.write_text(text, encoding="utf-8")
        return file

    return write


BOTH = ("line 1 taken as a header", "column 1 taken as an index")


@pytest.mark.parametrize(
    ("text", "options", "notes"),
    [
        (LINES, {}, ()),
        (f"{HEADER}\n{LINES}", {}, BOTH[:1]),
        ('"a, b","c ""d""",' + ",".join(f'"{name}"' for name in NAMES[2:]) + "\n" + LINES, {}, BOTH[:1]),
        ('"a\nb",' + ",".join(NAMES[1:]) + "\n" + LINES, {}, BOTH[:1]),
        (
            f"# by hand\n{HEADER}\n{LINES}\n# the end",
            {},
            ("line 2 taken as a header", "2 of the lines begin with #, and were left out"),
        ),
        (f"{COUNT}\n{LINES}", {"header": True}, BOTH[:1]),
        (f"NA,{HEADER[7:]}\n{LINES}", {"header": True}, BOTH[:1]),
        # As pandas and R write tables with an index.
        (f",{COUNT}\n{numbered(range(40))}", {}, BOTH),
        (f",{COUNT_1}\n{numbered(range(1, 41))}", {}, BOTH),
        (f",{COUNT}\n{numbered(NAMES * 5)}", {}, BOTH),
        (f",{HEADER}\n{numbered(range(7, 47))}", {}, BOTH),
        ('"",' + HEADER + "\n" + numbered(f'"{i}"' for i in range(40)), {}, BOTH),
        (f",{COUNT}\n{numbered(range(0, 80, 2))}", {"header": True}, BOTH),
        (f",{COUNT}\n{numbered(range(0, 80, 2))}", {"index": True}, BOTH),
        (f"id,{HEADER}\n{numbered(range(40))}", {"index": True}, BOTH),
        (f"id,{COUNT}\n{numbered(range(40))}", {"index": True, "header": True}, BOTH),
        (numbered(range(40)), {"index": True}, BOTH[1:]),
        (numbered(NAMES * 5), {"index": True}, BOTH[1:]),
        (numbered(NAMES * 5), {"index": True, "header": False}, BOTH[1:]),
    ],
)
def test_tables_are_read_and_what_was_taken_is_said(csv_file, text, options, notes):
    contents = read_activations(csv_file(text), **options)
    np.testing.assert_array_equal(contents.arrays["h"], X)
    assert contents.notes == notes


HEADER_OR_NOT = r"may be the names of the nodes.* or .*sample.*: say --header yes or --header no \(in Python header="
INDEX_OR_NOT = r"may be an index.*: say --index yes or --index no \(in Python index=True or index=False\)"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{COUNT}\n{LINES}", r"line 1 \(0, 1, …, 7\) " + HEADER_OR_NOT),
        (f"{COUNT_1}\n{LINES}", r"line 1 \(1, 2, …, 8\) " + HEADER_OR_NOT),
        (f"3,14,15,92,653,589,793,2384\n{LINES}".replace("589", "700"), r"line 1 \(3, 14, …, 2384\) " + HEADER_OR_NOT),
        (",".join(f'"{i}"' for i in range(8)) + "\n" + LINES, r"line 1 \(0, 1, …, 7\) " + HEADER_OR_NOT),
        (f",{COUNT}\n{numbered(range(0, 80, 2))}", "line 1 " + HEADER_OR_NOT),
        (
            f"{HEADER}\n{COUNT}\n{LINES}",
            r"line 2 \(0, 1, …, 7\) .*: delete it if it is a second header, else say --hea",
        ),
        (f",{HEADER}\n,{COUNT}\n{numbered(range(40))}", "line 2 has no index in column 1; if it is a second header"),
        (numbered(range(40)), r"column 1 \(0, 1, …, 39\) " + INDEX_OR_NOT),
        (numbered(range(1, 41)), r"column 1 \(1, 2, …, 40\) " + INDEX_OR_NOT),
        (f"epoch,{HEADER}\n{numbered(range(0, 400, 10))}", r"column 1 \(0, 10, …, 390\) " + INDEX_OR_NOT),
        (
            f",step,{HEADER}\n{numbered(f'{i},{2 * i}' for i in range(40))}",
            r"column 2 \(0, 2, …, 78\) may be an index.*: delete it if it is a second index, else say --index yes",
        ),
        (f",,{HEADER}\n{numbered(f'{i},{2 * i}' for i in range(40))}", "line 1, column 2: '' is not a number"),
        (f",{COUNT}\n{numbered(['NA'] * 40)}", "line 2 has no index in column 1"),
        (f",{COUNT}\n{numbered(['a', '-'] * 20)}", "line 1 " + HEADER_OR_NOT),
    ],
)
def test_where_it_cannot_be_known_the_user_is_asked(csv_file, text, told):
    refused(csv_file(text), told, ValueError, by=read_activations)


def test_whole_numbers_beside_others_are_noted(csv_file):
    """An index of two levels, of which neither increases all the time, or classes; but not what is whole throughout."""
    levels = [f"{i // 8},{i % 8}" for i in range(40)]
    note = "column {} taken as a node, though it has whole numbers alone, unlike the others"
    for options, notes in (({}, (note.format(1),)), ({"index": True}, ("column 1 taken as an index", note.format(2)))):
        contents = read_activations(csv_file(numbered(levels)), **options)
        assert contents.notes == notes and contents.arrays["h"].shape == (40, 10 - len(options))
    assert read_activations(csv_file(numbered(levels)), index=False).notes == ()
    assert read_activations(csv_file(numbered([0] * 40))).notes == ()
    assert read_activations(csv_file("3,1,2\n3,2,2\n4,0,1\n")).notes == ()


def test_blank_lines_are_gaps_of_one_column(csv_file):
    for text, rows in (("\n1.5\n2\n\n\n", [[1.5], [2]]), ("\n1.5,2\n\n3,4\n", [[1.5, 2], [3, 4]])):
        np.testing.assert_array_equal(read_activations(csv_file(text)).arrays["h"], rows)
    refused(csv_file("1.5\n\n2\n"), "line 2 is blank, which is a gap where there is one column", by=read_activations)


def test_quoted_numbers_are_one_line(csv_file):
    """Without the end of the line this would be 23."""
    refused(csv_file('a,b\n1,"2\n3"\n'), r"line 2, column 2: '2\\n3' is not a number", by=read_activations)
    refused(csv_file('a,b\n1,"2\n'), "not a CSV file: line 2: unexpected end of data", by=read_activations)


def test_an_answer_is_taken(csv_file):
    """The wrong answer too: the numbers are then samples or nodes, as the user has said."""
    for text, options, shape in (
        (f"{COUNT}\n{LINES}", {"header": False}, (41, 8)),
        (f"{HEADER}\n{COUNT}\n{LINES}", {"header": True}, (41, 8)),
        (numbered(range(40)), {"index": False}, (40, 9)),
        (f",{COUNT}\n{numbered(range(40))}", {"header": True, "index": False}, (40, 9)),
    ):
        contents = read_activations(csv_file(text), **options)
        assert contents.arrays["h"].shape == shape
    refused(csv_file("1\n2\n4"), "there is one column; if it is an index", ValueError, by=read_activations, index=True)


@pytest.mark.parametrize(
    ("first", "told"),
    [
        ("0.1,NA,0.3", "line 1, column 2: 'NA' is not a number; if the line is a header, say --header yes"),
        (",2,3", "line 1, column 1: '' is not a number; .*--header yes.*--index yes"),
        ("1,,3", "line 1, column 2: '' is not a number"),
        ("1,2,x", "line 1, column 3: 'x' is not a number"),
        ("1d5,2,3", "line 1, column 1: '1d5' is not a number"),
        ("1_0,2,3", "line 1, column 1: '1_0' is not a number"),
        ("NA,NA,NA", "line 1, column 1: 'NA' is not a number"),
        (",,", "line 1, column 2: '' is not a number"),
        ("a,,c", "line 1, column 2: '' is not a number"),
        ("row 0,0.1,0.2", "line 1, column 1: 'row 0' is not a number; .*if the column is an index, say --index yes"),
    ],
)
def test_a_first_line_with_numbers_and_gaps_is_no_header(csv_file, first, told):
    below = "\n".join(",".join(map(repr, row)) for row in X[:, :3].tolist())
    refused(csv_file(f"{first}\n{below}"), told, ValueError, by=read_activations)


def test_characters_that_are_no_blanks_are_no_part_of_numbers(csv_file):
    """Whether many lines are read at once or not: numpy alone takes U+001D for a blank."""
    for first in ("0.5,1.5", '"0.5",1.5'):
        refused(csv_file(f"{first}\n2.5,0.5\x1d\n"), "line 2, column 2: ", by=read_activations)


def test_numbers_of_any_kind_are_samples(csv_file):
    """Negative controls: whole numbers out of order, binary data, NaN, and increasing numbers with fractions."""
    for rows in (
        [[1, 0, 1], [0, 1, 1], [0, 0, 1], [1, 1, 0]],
        [[3, 1, 2], [7, 5, 6]],
        [[2, 5, 9], [3, 1, 1], [5, 0, 2]],
        [[np.nan, 0.5, np.inf], [0.25, 1, 2]],
        [[0.5, 1.5, 2.5], [1.5, 0, 1]],
    ):
        contents = read_activations(csv_file("\n".join(",".join(map(str, row)) for row in rows)), header=None)
        np.testing.assert_array_equal(contents.arrays["h"], rows)


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def measure(capsys):
    """Exit code, standard output and the lines on standard error of `rmt-vn measure`."""

    def run(*arguments):
        try:
            code = command.main(["measure", *map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err.splitlines()

    return run


def test_a_table_of_pandas_is_measured_as_its_numbers(csv_file, measure):
    file = csv_file(f"{COUNT}\n{LINES}")
    code, printed, (line,) = measure(file)
    assert (code, printed) == (2, "") and "--header yes or --header no" in line
    value = measures.vni(X).value
    for text, answers in ((f"{COUNT}\n{LINES}", ("--header", "yes")), (f",{COUNT}\n{numbered(range(40))}", ())):
        code, printed, errors = measure(csv_file(text), *answers)
        assert (code, errors) == (0, []) and printed.splitlines()[1].split()[1:4] == ["8", "0", "40"]
        assert printed.splitlines()[2:4] == ["", "line 1 taken as a header"]
        record = json.loads(measure(csv_file(text), *answers, "--json")[1])
        assert record["layers"][0]["value"] == value and record["notes"][0] == "line 1 taken as a header"
    # The answer does matter: 40 independent nodes, of VNI 1/40, and what their numbers, taken as a sample, would make.
    wide = "\n".join(",".join(map(repr, row)) for row in RNG.standard_normal((200, 40)).tolist())
    file = csv_file(",".join(map(str, range(40))) + "\n" + wide)
    taken, mistaken = (
        json.loads(measure(file, "--header", answer, "--json")[1])["layers"][0]["plug_in"] for answer in ("yes", "no")
    )
    assert taken == pytest.approx(1 / 40 + 39 / 40 / 199, rel=0.1) and mistaken > 10 * taken
    code, _, (line,) = measure(file, "--header", "maybe")
    assert code == 2 and "maybe" in line
    indexed = csv_file(numbered(range(40)))
    assert measure(indexed)[0] == 2 and "--index yes or --index no" in measure(indexed)[2][0]
    assert json.loads(measure(indexed, "--index", "yes", "--json")[1])["layers"][0]["value"] == value


@pytest.fixture
def many(tmp_path):
    """Layers of which two can be measured."""
    layers = {
        "words": np.array(["a", "b"]),
        "first": X,
        "bias": X[0],
        "dead": np.zeros((40, 8)),
        "image": RNG.standard_normal((6, 3, 5, 4)),
        "NaN": np.where(X > 2, np.nan, X),
        "steps": RNG.standard_normal((8, 5, 8)),
        "id": np.arange(320).reshape(40, 8) + 2**60,
    }
    np.savez(tmp_path / "h.npz", **layers)
    return tmp_path / "h.npz", layers


WHY = {
    "words": "must hold real numbers, got dtype <U1",
    "bias": r"must have two axes \(samples, nodes\) or more, got shape \(8,\)",
    "dead": "8 of 8 nodes are constant",
    "image": r"4 axes, shape \(6, 3, 5, 4\): --node-axis must say.*1 for channels in PyTorch's order, -1 for",
    "NaN": "must be finite, got [1-9]",
    "id": r"at most 2\*\*53, got 320 others of 320",
}


def test_faults_are_rows_of_the_table(many, measure):
    file, layers = many
    code, printed, errors = measure(file)
    assert (code, errors) == (0, [])
    head, *rows = printed.splitlines()
    assert head.startswith("layer  nodes") and [row.split()[0] for row in rows[:8]] == list(layers)
    for row in rows[:8]:
        name = row.split()[0]
        told = rf"{name} +not measured: .*{WHY[name]}" if name in WHY else rf"{name} +8 +0 +40 "
        assert re.match(told, row), row
    groups = "samples at one place of the first axis taken as a group, groups as independent: steps"
    note = "of three axes the last one taken as the nodes, the others as samples (--node-axis names another one): steps"
    assert rows[8:] == ["", groups, note]


def test_faults_are_rows_of_the_json(many, measure):
    file, layers = many
    code, printed, errors = measure(file, "--json")
    record = json.loads(printed, parse_constant=pytest.fail)
    assert (code, errors) == (0, []) and [row["layer"] for row in record["layers"]] == list(layers)
    for row in record["layers"]:
        if row["layer"] in WHY:
            assert set(row) == {"layer", "fault"} and re.search(WHY[row["layer"]], row["fault"])
        else:
            assert row["fault"] is None and row["value"] == measures.vni(layers[row["layer"]]).value


def test_the_exit_code_is_2_only_where_nothing_could_be_measured(many, measure):
    file, _ = many
    code, printed, (line,) = measure(file, "--layers", "dead,words")
    assert code == 2 and "nothing could be measured; layer 'dead': 8 of 8 nodes are constant" in line
    assert [row.split()[0] for row in printed.splitlines()] == ["layer", "dead", "words"]
    code, printed, errors = measure(file, "--layers", "dead,words", "--json")
    assert code == 2 and len(errors) == 1 and all(row["fault"] for row in json.loads(printed)["layers"])
    assert measure(file, "--layers", "dead,first")[0] == 0


def test_a_picture_shows_the_layers_that_could_be_measured(many, measure, tmp_path):
    code, _, errors = measure(many[0], "--layers", "dead,first", "--plot", tmp_path / "h.png")
    assert (code, errors) == (0, []) and (tmp_path / "h.png").stat().st_size > 5000
    assert measure(many[0], "--layers", "dead", "--plot", tmp_path / "none.png")[0] == 2
    assert not (tmp_path / "none.png").exists()


def test_the_axis_of_the_nodes_on_the_command_line(many, measure):
    file, layers = many
    for axis in (1, -1):
        record = json.loads(measure(file, "--layers", "image,steps", "--node-axis", axis, "--json")[1])
        for row, name in zip(record["layers"], ("image", "steps"), strict=True):
            assert row["value"] == measures.vni(layers[name], node_axis=axis).value
        groups = "samples at one place of the first axis taken as a group, groups as independent: image, steps"
        assert record["notes"] == [groups]


def test_rows_of_two_cells():
    lines = table(("layer", "nodes", "VNI"), [("a", "8", "0.125"), ("a long name", "not measured: it is long")])
    assert lines == ["layer        nodes    VNI", "a                8  0.125", "a long name  not measured: it is long"]


def test_rounding_on_the_command_line(tmp_path, measure):
    x = 1 + 1e-3 * np.random.default_rng(3).standard_normal((40, 5))
    x[:, :2] += np.random.default_rng(4).standard_normal((40, 2))
    np.save(tmp_path / "x.npy", x)
    code, printed, _ = measure(tmp_path / "x.npy", "--precision", "bfloat16")
    assert code == 0 and re.search("x +5 +3 +40 ", printed) and "x: 3 nodes vary by no more than rounding" in printed
    assert "rounding" not in measure(tmp_path / "x.npy")[1]
    code, _, errors = measure(tmp_path / "x.npy", "--precision", "float8")
    assert code == 2 and len(errors) == 1 and "precision must be 'float64', 'float32'" in errors[0]
