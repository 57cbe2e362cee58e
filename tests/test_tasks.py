"""Tasks: labels that are what they should be, digits, IDX files good and bad, and bad input."""

import gzip
import math
import struct
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmt_vn import tasks
from rmt_vn.tasks import Task


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_parity(bits):
    task = tasks.parity(bits)
    assert task.inputs.shape == (2**bits, bits)
    assert len(np.unique(task.inputs, axis=0)) == 2**bits
    for x, y in zip(task.inputs, task.labels, strict=True):
        odd = sum(value == -1 for value in x) % 2
        assert y == (-1 if odd else 1)


def test_continuous_xor():
    task = tasks.continuous_xor(20_000, rng=1)
    np.testing.assert_array_equal(task.labels, np.sign(task.inputs[:, 0] * task.inputs[:, 1]))
    assert np.abs(task.inputs).max() <= 1
    # Uniform on [−1, 1]: variance 1/3, fourth moment 1/5; a mean of n is known to σ/√n; k = 4.
    assert np.abs((task.inputs**2).mean(axis=0) - 1 / 3).max() < 4 * math.sqrt((1 / 5 - 1 / 9) / 20_000)
    assert abs(task.labels.mean()) < 4 / math.sqrt(20_000)
    noisy = tasks.continuous_xor(20_000, noise=0.1, rng=1)
    np.testing.assert_array_equal(noisy.labels, task.labels)
    moved = noisy.inputs - task.inputs
    assert abs(np.mean(moved**2) / 0.01 - 1) < 4 * math.sqrt(2 / moved.size)


def test_two_spirals():
    task = tasks.two_spirals(1001, turns=2.0, rng=2)
    radius = np.linalg.norm(task.inputs, axis=1)
    assert radius.max() <= 1
    # y·x lies on the one spiral r ↦ r e^{2πi·2r}.
    one = (task.labels[:, None] * task.inputs) @ [1, 1j]
    np.testing.assert_allclose(one, radius * np.exp(4j * np.pi * radius), atol=1e-12)
    assert task.labels.sum() == 1
    assert not np.array_equal(tasks.two_spirals(9, noise=0.1, rng=2).inputs, tasks.two_spirals(9, rng=2).inputs)


def test_linear_teacher():
    task = tasks.linear_teacher(50, 7, n_outputs=3, rng=3)
    assert (task.inputs.shape, task.labels.shape, task.n_outputs) == ((50, 7), (50, 3), 3)
    _, residual, _, _ = np.linalg.lstsq(task.inputs, task.labels)
    assert residual.max() < 1e-25
    large = tasks.linear_teacher(200, 100, n_outputs=500, noise=0.5, rng=4)
    # E y² = 1 + 0.25, known from 500 × 100 weights and 200 × 100 inputs.
    assert np.mean(large.labels**2) == pytest.approx(1.25, abs=4 * math.sqrt(2 / 50_000 + 2 / 20_000))


def test_digits_are_real():
    task = tasks.digits()
    assert (task.inputs.shape, task.loss, task.n_outputs) == ((1797, 64), "softmax", 10)
    assert (task.inputs.min(), task.inputs.max()) == (-1, 1)
    assert sorted(set(task.labels)) == list(range(10))
    # Real: the nearest other digit is of the same class nearly always (Alpaydin & Kaynak report 98%).
    squares = np.sum(task.inputs**2, axis=1)
    distance = squares[:, None] + squares - 2 * task.inputs @ task.inputs.T
    np.fill_diagonal(distance, np.inf)
    assert np.mean(task.labels[distance.argmin(axis=1)] == task.labels) > 0.97


def test_digits_without_scikit_learn_say_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(
        ImportError, match=r"^digits need scikit-learn, the extra `data`: pip install 'rmt_vn\[data\]'$"
    ):
        tasks.digits()


MAKERS = {
    "continuous_xor": lambda rng: tasks.continuous_xor(9, noise=0.1, rng=rng),
    "two_spirals": lambda rng: tasks.two_spirals(9, noise=0.1, rng=rng),
    "linear_teacher": lambda rng: tasks.linear_teacher(9, 3, noise=0.1, rng=rng),
}


@pytest.mark.parametrize("name", MAKERS)
def test_same_seed_same_task(name):
    first = MAKERS[name](5)
    for rng in (5, np.random.SeedSequence(5), np.random.default_rng(5)):
        again = MAKERS[name](rng)
        np.testing.assert_array_equal(again.inputs, first.inputs)
        np.testing.assert_array_equal(again.labels, first.labels)
    assert not np.array_equal(MAKERS[name](6).inputs, first.inputs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tasks.parity(0), "bits must be an integer from 1 to 20, got 0"),
        (lambda: tasks.parity(21), "bits must be an integer from 1 to 20, got 21"),
        (lambda: tasks.parity(2.0), r"bits must be an integer from 1 to 20, got 2\.0"),
        (lambda: tasks.continuous_xor(0), "n_samples must be an integer ≥ 1, got 0"),
        (lambda: tasks.continuous_xor(True), "n_samples must be an integer ≥ 1, got True"),
        (lambda: tasks.continuous_xor(5, noise=-0.1), r"noise must be a finite number ≥ 0, got -0\.1"),
        (lambda: tasks.two_spirals(5, noise=math.nan), "noise must be a finite number ≥ 0, got nan"),
        (lambda: tasks.two_spirals(5, turns=0), "turns must be a finite number > 0, got 0"),
        (lambda: tasks.two_spirals(5, turns=math.inf), "turns must be a finite number > 0, got inf"),
        (lambda: tasks.linear_teacher(5, 0), "n_inputs must be an integer ≥ 1, got 0"),
        (lambda: tasks.linear_teacher(5, 2, n_outputs=-1), "n_outputs must be an integer ≥ 1, got -1"),
    ],
)
def test_impossible_numbers(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_scales_are_numbers():
    for wrong in ("0.1", None, True):
        with pytest.raises(TypeError, match="noise must be a number ≥ 0"):
            tasks.continuous_xor(5, noise=wrong)


X = np.ones((4, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, np.ones(4), "hinge"), "loss must be one of logistic, softmax, squared, got 'hinge'"),
        ((X, np.ones(3), "logistic"), r"labels of the logistic loss must have shape \(4,\), got \(3,\)"),
        ((X, np.ones((4, 1)), "logistic"), r"must have shape \(4,\), got \(4, 1\)"),
        ((X, np.array([0, 1, 1, 0]), "logistic"), "labels must be −1 or 1, got 0"),
        ((X, np.array([0, 1, 3, 0]), "softmax", 3), "labels must be from 0 to 2, got 3"),
        ((X, np.array([0, 1, -1, 0]), "softmax", 3), "labels must be from 0 to 2, got -1"),
        ((X, np.ones(4, int), "softmax", 1), "n_outputs must be an integer ≥ 2, got 1"),
        ((X, np.ones(4), "logistic", 2), "the logistic loss needs n_outputs = 1, got 2"),
        ((X, np.ones(4), "squared", 1), r"squared loss must have shape \(4, 1\), got \(4,\)"),
        ((X, np.array([[1.0], [np.nan], [1], [1]]), "squared", 1), "labels must be finite, got 1 that are not"),
        ((X * np.inf, np.ones(4), "logistic"), "inputs must be finite, got 8 that are not"),
        ((np.ones(4), np.ones(4), "logistic"), r"inputs must have shape .*, got \(4,\)"),
        ((np.ones((0, 2)), np.ones(0), "logistic"), r"got \(0, 2\)"),
        ((np.ones((4, 0)), np.ones(4), "logistic"), r"got \(4, 0\)"),
    ],
)
def test_parts_that_do_not_fit(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Task(*arguments)


def test_parts_of_the_wrong_kind():
    for arguments, message in (
        ((X, np.ones(4), "softmax", 3), "labels of the softmax loss must be integers, got dtype float64"),
        ((X, np.array(list("abcd")), "logistic"), "labels must be real numbers, got dtype <U1"),
        ((X * 1j, np.ones(4), "logistic"), "inputs must be real numbers, got dtype complex128"),
        ((X.astype(object), np.ones(4), "logistic"), "inputs must be real numbers, got dtype object"),
    ):
        with pytest.raises(TypeError, match=message):
            Task(*arguments)


# --- IDX files --------------------------------------------------------------------------------------------------------

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array, code=None, shape=None):
    shape = array.shape if shape is None else shape
    header = struct.pack(
        f">HBB{len(shape)}I", 0, CODES[array.dtype.str[1:]] if code is None else code, len(shape), *shape
    )
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


GOOD = np.arange(24, dtype="u1").reshape(2, 3, 4)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(sorted(CODES)), shape=st.lists(st.integers(0, 4), min_size=1, max_size=4), zipped=st.booleans()
)
def test_idx_files_are_read_as_written(kind, shape, zipped, tmp_path_factory):
    array = (np.random.default_rng(7).standard_normal(shape) * 50).astype(kind.replace("u1", "i1")).astype(kind)
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array))
    read = tasks.read_idx(path)
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype
    read[...] = 0  # one's own array, not the file's bytes


ZIPPED = gzip.compress(idx_bytes(GOOD))
FLIPPED = bytearray(ZIPPED)
FLIPPED[-6] ^= 0xFF
BAD = {
    "empty": (b"", "its magic number needs 4 bytes, got 0"),
    "short": (b"\0\0\x08", "its magic number needs 4 bytes, got 3"),
    "text": (b"label,pixel0,pixel1\n", "not an IDX file"),
    "magic": (b"\0\1\x08\1\0\0\0\0", "not an IDX file: it must begin 00 00.* got 0001 08"),
    "type": (idx_bytes(GOOD, code=0x0A), "not an IDX file.* got 0000 0a 03"),
    "no dimensions": (b"\0\0\x08\0\7", "not an IDX file.* got 0000 08 00"),
    "header": (idx_bytes(GOOD)[:9], "list of dimensions needs 12 bytes, got 5"),
    "truncated": (idx_bytes(GOOD)[:-1], r"array of dimensions \(2, 3, 4\) needs 24 bytes, got 23"),
    "longer": (idx_bytes(GOOD) + b"\0", r"goes on after its array of dimensions \(2, 3, 4\)"),
    "claims more": (idx_bytes(GOOD, shape=(2, 3, 10**6)), "needs 6000000 bytes, got 24"),
    "absurd": (idx_bytes(GOOD, shape=(2**32 - 1,) * 3), "more than max_bytes"),
    "many dimensions": (idx_bytes(GOOD, shape=(1,) * 254 + (24,)), "dimension"),
    "zipped, truncated": (ZIPPED[:-9], "truncated gzip file"),
    "zipped, header only": (ZIPPED[:5], "truncated gzip file"),
    "zipped, wrong checksum": (bytes(FLIPPED), "corrupt gzip file: CRC"),
    "zipped, corrupt": (ZIPPED[:12] + b"\xff" * 8 + ZIPPED[20:], "corrupt gzip file"),
    "zipped, then more": (ZIPPED + b"more", "corrupt gzip file"),
    "gzip that is not one": (b"\x1f\x8b" + b"\7" * 40, "corrupt gzip file"),
    "zipped text": (gzip.compress(b"label,pixel0\n"), "not an IDX file"),
    "zipped, claims more": (gzip.compress(idx_bytes(GOOD, shape=(2, 3, 10**6))), "needs 6000000 bytes, got 24"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_bad_idx_files(content, message, tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        tasks.read_idx(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def peak_memory(call):
    tracemalloc.start()
    try:
        call()
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


def test_nothing_is_allocated_that_is_not_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(idx_bytes(GOOD, shape=(10**9,)))

    def read():
        with pytest.raises(ValueError, match="needs 1000000000 bytes, got 24"):
            tasks.read_idx(path)

    assert peak_memory(read) < 2**22


def test_bombs_do_not_go_off(tmp_path):
    # 64 MB of zeros in 64 kB: one that says so, and one that says it is small.
    for shape, message in (((2**26,), "more than max_bytes = 1000000"), ((100,), "goes on after")):
        path = tmp_path / "file.gz"
        path.write_bytes(gzip.compress(idx_bytes(np.zeros(2**26, "u1"), shape=shape)))

        def read(message=message, path=path):
            with pytest.raises(ValueError, match=message):
                tasks.read_idx(path, max_bytes=10**6)

        assert peak_memory(read) < 2**22


def test_paths_that_cannot_be_opened(tmp_path):
    with pytest.raises(OSError, match="none"):
        tasks.read_idx(tmp_path / "none")
    with pytest.raises(ValueError, match="not a regular file"):
        tasks.read_idx(tmp_path)
    with pytest.raises(ValueError, match="max_bytes must be an integer ≥ 1, got 0"):
        tasks.read_idx(tmp_path, max_bytes=0)
