"""What people give for an array of numbers, and is none, or is one in disguise: the right value, or one line."""

import json
import re

import numpy as np
import pytest

from rmt_vn import command, measures
from rmt_vn.command.tables import table
from rmt_vn.files import read_activations

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 8))
MEASURES = [
    measures.vni,
    measures.plug_in_vni,
    measures.sketch_vni,
    measures.correlation,
    measures.near_duplicates,
    measures.participation_ratio,
    measures.effective_rank,
    measures.stable_rank,
    lambda x: measures.VNIAccumulator().update(x),
    measures.jacobian_vni,
]


def refused(values, told, kind=(TypeError, ValueError), by=measures.plug_in_vni, **options):
    with pytest.raises(kind, match=told) as raised:
        by(values, **options)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


# --- masked arrays ----------------------------------------------------------------------------------------------------


def test_masked_values_are_refused_by_all_measures():
    masked = np.ma.masked_array(np.where(np.arange(8) < 2, 1e9, X), mask=np.zeros((40, 8), bool))
    masked[:3, 0] = np.ma.masked
    for measure in MEASURES:
        refused(masked, r"no masked values, got 3 of 320", ValueError, by=measure)
    refused(list(masked), "no masked values, got 3 of 320", ValueError)
    refused(np.ma.masked_equal(np.arange(20).reshape(5, 4), 7), "got 1 of 20", ValueError)


def test_a_mask_that_hides_nothing_is_no_fault():
    expected = measures.vni(X)
    for mask in (np.ma.nomask, np.zeros((40, 8), bool)):
        assert measures.vni(np.ma.masked_array(X, mask=mask)) == expected


# --- numbers that float64 does not hold -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["i8", "u8", ">i8"])
def test_integers_beyond_doubles_are_counted(dtype):
    # Float64 has the even ones alone up there: independent nodes would lose their last digit.
    values = RNG.integers(0, 2, (40, 8)).astype(dtype)
    far = values + np.array(2**53, dtype)
    n_beyond = int(np.count_nonzero(far != far.astype(float).astype(dtype)))
    assert n_beyond > 100
    for measure in MEASURES:
        refused(far, rf"at most 2\*\*53, got {n_beyond} others of 320", ValueError, by=measure)
    near = values + np.array(2**53 - 1, dtype)
    assert measures.plug_in_vni(near) == pytest.approx(measures.plug_in_vni(values), rel=1e-12)


def test_the_least_integer_is_one_of_them():
    refused(np.full((3, 2), -(2**63)), "got 6 others of 6 ", ValueError)
    assert measures.plug_in_vni(np.array([[-(2**53), 2**53], [2**53, 1], [0, 0]])) > 0.5


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="long doubles are doubles here")
def test_long_doubles_are_exact_or_refused():
    wide = X.astype(np.longdouble)
    assert measures.vni(wide) == measures.vni(X)
    small = np.ldexp(wide, -60)
    expected = measures.plug_in_vni(X)
    assert measures.plug_in_vni(small) == pytest.approx(expected, rel=1e-12)
    n_beyond = np.count_nonzero(1 + small != 1)
    assert n_beyond > 200
    for measure in MEASURES:
        refused(1 + small, f"float64 holds exactly, got {n_beyond} others of 320", ValueError, by=measure)
        refused(wide * np.longdouble("1e4000"), "float64 holds exactly, got 320 others", ValueError, by=measure)
    wide[0, 0] = np.nan
    refused(wide, "finite, got 1 NaN", ValueError)


def test_a_mapped_file_of_integers_is_checked_too(tmp_path):
    np.save(tmp_path / "h.npy", RNG.integers(0, 9, (3000, 200)) + 2**53)
    refused(np.load(tmp_path / "h.npy", mmap_mode="r"), r"at most 2\*\*53, got 5\d{5} others of 600000", ValueError)


# --- types of other packages ------------------------------------------------------------------------------------------


def test_short_floating_point_types():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for name in ("bfloat16", "float8_e4m3fn", "int4"):
        short = (2 * X).astype(getattr(ml_dtypes, name))
        for measure in (measures.plug_in_vni, measures.stable_rank):
            assert measure(short) == measure(short.astype(np.float32))


def test_bytes_without_a_type_are_told_what_to_be():
    refused(np.zeros((5, 3), "V2"), r"real numbers, got dtype \|V2; make it float32", TypeError)


class Tensor:
    """What tensors of PyTorch do: no array is made of one that requires a gradient, is elsewhere, or is bfloat16."""

    def __init__(self, array, *, grad=True, device="cuda", short=False):
        self.array, self.grad, self.device, self.short = array, grad, device, short

    def __array__(self, dtype=None, copy=None):
        if self.grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.device != "cpu" or self.short:
            raise TypeError("can't convert\nsuch a tensor")
        return np.asarray(self.array, dtype=dtype)

    def detach(self):
        return Tensor(self.array, grad=False, device=self.device, short=self.short)

    def cpu(self):
        if self.device == "meta":
            raise NotImplementedError("Cannot copy out of meta tensor;\n no data!" + 9 * "\nat there, and there" * 100)
        return Tensor(self.array, grad=self.grad, device="cpu", short=self.short)

    def float(self):
        return Tensor(self.array.astype(np.float32), grad=self.grad, device=self.device)


def test_tensors_wherever_they_are():
    assert measures.vni(Tensor(X)) == measures.vni(X)
    assert measures.vni(Tensor(X, short=True)) == measures.vni(X.astype(np.float32))
    layer = measures.VNIAccumulator()
    layer.update(Tensor(X))
    assert layer.vni().plug_in == pytest.approx(measures.plug_in_vni(X))
    refused(Tensor(X, device="meta"), "activations must be an array of real numbers: Cannot copy", TypeError)
    # A list of them, and arrays that are elsewhere and say so themselves.
    refused([Tensor(X[0])] * 3, "real numbers: Can't call numpy.. on Tensor that requires grad", TypeError)


def test_tensors_of_pytorch():
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(X, requires_grad=True)
    assert measures.vni(tensor) == measures.vni(torch.nn.Parameter(tensor)) == measures.vni(X)
    assert measures.plug_in_vni(tensor.bfloat16()) == measures.plug_in_vni(tensor.detach().bfloat16().float().numpy())
    for other in (tensor.to("meta"), tensor.to_sparse(), tensor.detach() * 1j, list(tensor)):
        refused(other, "activations must be an array of real numbers", TypeError)


class Frame:
    """What data frames have: columns, the dtype of each, and one array of all, of objects if the dtypes differ."""

    def __init__(self, **columns):
        self.arrays = {name: np.asarray(values) for name, values in columns.items()}
        self.columns = list(columns)
        self.dtypes = [values.dtype for values in self.arrays.values()]

    def __array__(self, dtype=None, copy=None):
        kinds = {each.kind for each in self.dtypes}
        common = None if kinds <= set("fiu") or len(kinds) == 1 else object
        return np.stack([each.astype(common or np.result_type(*self.dtypes)) for each in self.arrays.values()], axis=1)


def test_data_frames():
    fires = X[:, 1] > 0
    both = np.column_stack([X[:, 0], fires])
    assert measures.vni(Frame(a=X[:, 0], b=X[:, 1])) == measures.vni(X[:, :2])
    assert measures.vni(Frame(a=X[:, 0], b=fires)) == measures.vni(both)
    refused(Frame(a=X[:, 0], b=["x"] * 40), r"got dtype <U1 in column 'b'", TypeError)
    refused(Frame(a=X[:, 0], b=X[:, 1].astype(object)), "got dtype object in column 'b'", TypeError)
    refused(Frame(a=X[:, 0], b=X[:, 1] * 1j), "got dtype complex128 in column 'b'", TypeError)
    # Beside floats the integers are rounded before anyone sees them.
    refused(Frame(a=X[:, 0], b=2**53 + np.arange(40)), "column 'b' has integers from", ValueError)
    assert measures.plug_in_vni(Frame(a=X[:, 0], b=np.arange(40))) > 0.5


def test_data_frames_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X)
    frame[3] = pandas.array(X[:, 3], dtype="Float64")
    assert measures.vni(frame) == measures.vni(X)
    frame.loc[0, 3] = pandas.NA
    refused(frame, "column 3 has values that are no numbers, or missing", TypeError)
    refused(pandas.DataFrame(X).assign(text="x"), "in column 'text'", TypeError)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (X.astype(object), "dtype object, the first is of type float; make it one by"),
        ([[1.0, None]] * 5, "dtype object, the first is of type float"),
        (None, "dtype object, the first is of type NoneType"),
        ([[1, 2], [3]], "inhomogeneous"),
        ([["a", "b"]], "dtype <U1"),
        (X * 1j, "dtype complex128"),
        (np.zeros(3, "f4,f4"), "f0"),
    ],
)
def test_what_has_no_numbers_is_one_line(values, told):
    refused(values, f"activations must be an array of real numbers.*{told}", TypeError)


def test_booleans_are_numbers():
    assert measures.vni(X > 0) == measures.vni((X > 0).astype(float))


# --- which axis the nodes are -----------------------------------------------------------------------------------------

BY_AXIS = [
    measures.as_samples,
    measures.correlation,
    measures.near_duplicates,
    measures.participation_ratio,
    measures.effective_rank,
    measures.stable_rank,
]


@pytest.mark.parametrize("measure", BY_AXIS, ids=lambda each: each.__name__)
def test_of_four_axes_the_nodes_must_be_named(measure):
    images = RNG.standard_normal((6, 3, 5, 4))
    told = r"4 axes, shape \(6, 3, 5, 4\): node_axis must say.*1 for channels in PyTorch's order, -1 for channels last"
    refused(images, told, ValueError, by=measure)
    refused(images[None], r"5 axes, shape \(1, 6, 3, 5, 4\)", ValueError, by=measure)
    for axis in (1, -1):
        flat = np.moveaxis(images, axis, -1).reshape(-1, images.shape[axis])
        np.testing.assert_array_equal(measure(images, node_axis=axis), measure(flat))
    steps = images[0]  # (batch, time, nodes)
    np.testing.assert_array_equal(measure(steps), measure(steps.reshape(-1, 4)))


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
        (f"# by hand\n{HEADER}\n{LINES}", {}, ("line 2 taken as a header",)),
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
    ],
)
def test_where_it_cannot_be_known_the_user_is_asked(csv_file, text, told):
    refused(csv_file(text), told, ValueError, by=read_activations)


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
    # The answers do matter.
    file = csv_file(f"{COUNT}\n{LINES}")
    assert json.loads(measure(file, "--header", "no", "--json")[1])["layers"][0]["value"] > 1.1 * value
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
        "steps": RNG.standard_normal((4, 10, 8)),
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
    note = "of three axes the last one taken as the nodes, the others as samples (--node-axis names another one): steps"
    assert rows[8:] == ["", note]


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
        assert record["notes"] == []


def test_rows_of_two_cells():
    lines = table(("layer", "nodes", "VNI"), [("a", "8", "0.125"), ("a long name", "not measured: it is long")])
    assert lines == ["layer        nodes    VNI", "a                8  0.125", "a long name  not measured: it is long"]
