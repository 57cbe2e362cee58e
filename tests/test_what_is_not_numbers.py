"""What people give for an array of numbers, and is none, or is one in disguise: the right value, or one line."""

import numpy as np
import pytest
from refused import refused

from rmt_vn import measures

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


# --- masked arrays ----------------------------------------------------------------------------------------------------


def test_masked_values_are_refused_by_all_measures():
    spoilt = X.copy()
    spoilt[0] = 1e9
    masked = np.ma.masked_array(spoilt, mask=spoilt == 1e9)
    for measure in MEASURES:
        refused(masked, r"no masked values, got 8 of 320", ValueError, by=measure)
    refused(list(masked), "no masked values, got 8 of 320", ValueError)
    refused(np.ma.masked_equal(np.arange(20).reshape(5, 4), 7), "got 1 of 20", ValueError)
    # What the mask hides is one node instead of eight.
    assert measures.plug_in_vni(masked.data) == pytest.approx(1)
    assert measures.plug_in_vni(np.ma.compress_rows(masked)) == pytest.approx(1 / 8 + 7 / 8 / 38, rel=0.15)


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


def streamed(batch, **options):
    layer = measures.VNIAccumulator()
    layer.update(batch, **options)
    return layer.vni().plug_in


BY_AXIS = [
    measures.as_samples,
    measures.plug_in_vni,
    lambda x, **options: measures.vni(x, **options).plug_in,
    lambda x, **options: measures.sketch_vni(x, rng=1, **options).value,
    streamed,
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
        np.testing.assert_allclose(measure(images, node_axis=axis), measure(flat), rtol=1e-12)
    steps = images[0]  # (batch, time, nodes)
    np.testing.assert_allclose(measure(steps), measure(steps.reshape(-1, 4)), rtol=1e-12)
