"""Files of activations, friendly and hostile: what is read is what was written; the rest is refused in one line."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hostile_files import GOOD, LIAR, OBJECTS, X, header_bytes, npy_bytes, zipped

from rmt_vn.files import read_activations
from rmt_vn.tasks import read_idx

TYPES = ["<f8", ">f8", "f4", "f2", "i8", "i2", "u1", "?", "g"]


# --- what is read is what was written ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", TYPES)
def test_npy_and_npz(tmp_path, dtype, order):
    array = np.array(X * 10, dtype, order=order)
    np.save(tmp_path / "h.npy", array)
    (name, whole), *rest = read_activations(tmp_path / "h.npy").arrays.items()
    mapped = read_activations(tmp_path / "h.npy", max_bytes=1).arrays["h"]
    assert name == "h" and not rest and isinstance(mapped, np.memmap) and not isinstance(whole, np.memmap)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "layers.npz", first=array, second=array[:, :2], third=X.reshape(7, 3, 1))
        contents = read_activations(str(tmp_path / "layers.npz"))
        layers = contents.arrays
        assert contents.names == tuple(layers) == ("first", "second", "third") and not contents.faults
        np.testing.assert_array_equal(layers["second"], array[:, :2])
        np.testing.assert_array_equal(layers["third"], X.reshape(7, 3, 1))
        for read in (whole, mapped, layers["first"]):
            assert read.dtype == array.dtype and read.shape == array.shape
            np.testing.assert_array_equal(read, array)


def test_npy_of_version_2(tmp_path):
    with (tmp_path / "h.npy").open("wb") as file:
        np.lib.format.write_array(file, X, version=(2, 0))
    np.testing.assert_array_equal(read_activations(tmp_path / "h.npy").arrays["h"], X)


NUMBERS = "\n".join(",".join(map(repr, row)) for row in X.tolist())


@pytest.mark.parametrize(
    "text",
    [
        NUMBERS,
        NUMBERS + "\n\n",
        NUMBERS.replace("\n", "\r\n"),
        "\ufeff" + NUMBERS,
        "a,b,c\n" + NUMBERS,
        '"a, or so","b","c"\n' + NUMBERS,
        "# a,b,c\n" + NUMBERS,
        ",0,1,2\n" + "\n".join(f"{i},{line}" for i, line in enumerate(NUMBERS.split("\n"))),
        ",0,1,2\n" + "\n".join(f"row {i},{line}" for i, line in enumerate(NUMBERS.split("\n"))),
    ],
    ids=["plain", "blank", "crlf", "bom", "header", "quoted", "savetxt", "index", "names"],
)
def test_csv(tmp_path, text):
    (tmp_path / "h.CSV").write_bytes(text.encode())
    np.testing.assert_array_equal(read_activations(tmp_path / "h.CSV").arrays["h"], X)


def test_csv_may_be_one_line_or_one_column_and_hold_what_is_not_finite(tmp_path):
    file = tmp_path / "h.csv"
    for text, array in (("2,1", [[2, 1]]), ("1\n2\n", [[1], [2]]), ("a,b\n1,nan\n-inf,3", [[1, np.nan], [-np.inf, 3]])):
        file.write_text(text)
        np.testing.assert_array_equal(read_activations(file).arrays["h"], array)


# --- what is refused --------------------------------------------------------------------------------------------------


class Bomb:
    """A pickle that leaves a mark when it is loaded."""

    def __reduce__(self):
        return (os.mkdir, (os.environ["MARK"],))


HOSTILE = {
    "h.npy": {
        "0 bytes": (b"", "empty, 0 bytes"),
        "text": (b"1,2\n3,4\n", "not an NPY file: it begins with b'1,2"),
        "zip": (zipped(("a.npy", GOOD)), "not an NPY file"),
        "only magic": (b"\x93NUMPY", "header is damaged"),
        "half a header": (GOOD[:50], "header is damaged"),
        "unknown version": (b"\x93NUMPY\x09\x00" + GOOD[8:], "header is damaged"),
        "no Python": (header_bytes("{'descr': __import__('os').abort()}"), "header is damaged"),
        "brackets": (header_bytes("(" * 100), "header is damaged"),
        "long header": (header_bytes("{}", (2, 0), 2**32 - 1), "header is damaged"),
        "negative": (header_bytes("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 3), }"), "shape (-1, 3)"),
        "truncated": (GOOD[:-1], "truncated: shape (7, 3) of float64 takes 168 bytes, there are 167"),
        "overfull": (GOOD + b"\0", "damaged: shape (7, 3) of float64 takes 168 bytes, there are 169"),
        "liar": (LIAR, "truncated: shape (1000000000, 1000000000, 10000000) of float64 takes 8"),
        "objects": (OBJECTS, "Python objects, which are never loaded"),
        "structure": (npy_bytes(np.zeros(3, "f8,O")), "Python objects, which are never loaded"),
        "fields": (npy_bytes(np.zeros(3, "f8,f8")), "must hold real numbers"),
        "complex": (npy_bytes(X * 1j), "must hold real numbers, got dtype complex128"),
        "strings": (npy_bytes(np.array(["a"])), "must hold real numbers, got dtype <U1"),
        "dates": (npy_bytes(np.array(["2019-10-22"], "M8[D]")), "must hold real numbers"),
        "nothing": (npy_bytes(np.zeros((0, 3))), "the array is empty, shape (0, 3)"),
    },
    "h.npz": {
        "0 bytes": (b"", "empty, 0 bytes"),
        "text": (b"1,2\n3,4\n", "not a readable NPZ file"),
        "npy": (GOOD, "not a readable NPZ file"),
        "truncated": (zipped(("a.npy", GOOD))[:-30], "not a readable NPZ file"),
        "nothing": (zipped(), "no arrays"),
    },
    "h.csv": {
        "0 bytes": (b"", "empty, 0 bytes"),
        "blank": (b"\n \n", "no numbers"),
        "only a header": (b"a,b\n", "a header, and no numbers"),
        "short line": (b"1,2,3\n4,5,6\n7,8\n", "line 3 has 2 values, the first line has 3"),
        "long line": (b"a,b\n1,2\n3,4,5\n", "line 3 has 3 values, the first line has 2"),
        "longer than the header": (b"a,b\n1,2,3\n4,5,6\n", "line 2 has 3 values, the first line has 2"),
        "short with index": (b",a,b\n0,1,2\n1,3\n", "line 3 has 2 values, the first line has 3"),
        "long with index": (b",a,b\n0,1,2\n1,3,4,5\n", "line 3 has 4 values, the first line has 3"),
        "word": (b"a,b\n1,2\n\n3,four\n", "line 4, column 2: 'four' is not a number"),
        "gap": (b"1,2\n,4\n", "line 2, column 1: '' is not a number"),
        "long word": (b"1,2\n1," + b"x" * 10**5, "'xxxxxxxxxxxxxxxxxxxx…' is not a number"),
        "very long word": (b"1,2\n1," + b"x" * 10**6, "not a CSV file: line 2 has a field of more than"),
        "semicolons": (b"1;2\n3;4\n", "line 2, column 1: '3;4' is not a number"),
        "npy": (GOOD, "not a text file"),
        "zeros": (bytes(100), "no numbers below it"),
        "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "not a text file"),
    },
}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        pytest.param(name, content, told, id=f"{name}-{case}")
        for name, cases in HOSTILE.items()
        for case, (content, told) in cases.items()
    ],
)
def test_hostile_files_are_refused_in_one_line(tmp_path, name, content, told):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ValueError) as raised:
        read_activations(file)
    assert told in str(raised.value) and str(file) in str(raised.value)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 600


def test_pickles_are_never_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    objects = np.array([[Bomb()]], dtype=object)
    np.save(tmp_path / "h.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "h.npz", h=objects)
    with pytest.raises(ValueError, match="Python objects, which are never loaded"):
        read_activations(tmp_path / "h.npy")
    assert "Python objects, which are never loaded" in read_activations(tmp_path / "h.npz").faults["h"]
    assert not (tmp_path / "mark").exists()
    np.load(tmp_path / "h.npy", allow_pickle=True)  # the control: it would have
    assert (tmp_path / "mark").exists()


def test_csv_has_a_limit(tmp_path):
    (tmp_path / "h.csv").write_text("2,1\n" * 1000)
    with pytest.raises(
        ValueError, match="up to line 1000 its numbers take 16000 bytes, the limit is 15999; save it as"
    ):
        read_activations(tmp_path / "h.csv", max_bytes=15999)
    assert read_activations(tmp_path / "h.csv", max_bytes=16000).arrays["h"].shape == (1000, 2)


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("index", [False, True])
def test_csv_lines_of_any_length(tmp_path, monkeypatch, quote, index):
    """Wherever lines are cut that are longer than what is read at a time, and wherever the file ends."""
    x = np.random.default_rng(3).integers(0, 10**4, (3, 30)) / 2**7
    lines = [",".join(f"{quote}{value!r}{quote}" for value in row) for row in x.tolist()]
    if index:
        lines = [f"{quote}row {i}{quote},{line}" for i, line in enumerate(lines)]
    header = ",".join([""] * index + [f"{quote}a{quote}"] + ["n"] * 29)
    for chunk in range(20, 60):
        monkeypatch.setattr("rmt_vn.files.lines._CHUNK", chunk)
        for end in ("", "\n"):
            (tmp_path / "h.csv").write_text("\n".join([header, *lines]) + end)
            contents = read_activations(tmp_path / "h.csv")
            np.testing.assert_array_equal(contents.arrays["h"], x)
            assert len(contents.notes) == 1 + index
            # A gap at the end of a line is one, wherever the line is cut.
            (tmp_path / "h.csv").write_text("\n".join([header, *lines[:-1], lines[-1] + ","]) + end)
            with pytest.raises(ValueError, match=f"line 4 has {31 + index} values, the first line has {30 + index}"):
                read_activations(tmp_path / "h.csv")


def test_what_is_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"must end in .npy, .npz, .csv"):
        read_activations(tmp_path / "h.pickle")
    with pytest.raises(FileNotFoundError):
        read_activations(tmp_path / "h.npy")
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "device.csv").symlink_to("/dev/zero")
    for name in ("folder.csv", "pipe.csv", "device.csv"):
        for read in (read_activations, read_idx):
            with pytest.raises(ValueError, match=f"{name}: not a regular file"):
                read(tmp_path / name)


@pytest.mark.parametrize("is_mapped", [False, True])
def test_files_that_become_shorter(tmp_path, is_mapped):
    """What was read stays; that the process ends where a file is mapped is said, and why small ones are read."""
    np.save(tmp_path / "h.npy", np.ones(10**5))
    code = (
        "import os, sys\nfrom rmt_vn.files import read_activations\n"
        "array = read_activations(sys.argv[1], max_bytes=int(sys.argv[2])).arrays['h']\n"
        "os.truncate(sys.argv[1], 1000)\n"
        "print(array.sum())"
    )
    arguments = [sys.executable, "-c", code, tmp_path / "h.npy", "1" if is_mapped else str(10**6)]
    run = subprocess.run(arguments, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == ((-signal.SIGBUS, "") if is_mapped else (0, "100000.0\n"))
    assert "SIGBUS" in read_activations.__doc__


@pytest.mark.parametrize("name", ["h.npy", "h.npz", "h.csv"])
def test_damage_anywhere_is_refused_in_one_line_or_read(tmp_path, name):
    """A byte changed or the rest cut off, at random places: an array, or a ValueError in one line; nothing else."""
    good = {"h.npy": GOOD, "h.npz": zipped(("a.npy", GOOD), ("b.npy", GOOD)), "h.csv": NUMBERS.encode()}[name]
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(400):
        content = bytearray(good)
        place = int(rng.integers(len(good)))
        if rng.random() < 0.3:
            del content[place:]
        else:
            content[place] = int(rng.integers(256))
        (tmp_path / name).write_bytes(content)
        try:
            contents = read_activations(tmp_path / name)
            assert all(array.dtype.kind in "fiub" and array.size for array in contents.arrays.values())
            assert all("\n" not in fault for fault in contents.faults.values())
            refused += bool(contents.faults)
        except ValueError as error:
            refused += 1
            assert "\n" not in str(error) and str(tmp_path) in str(error)
    assert refused > 100


def test_what_is_mapped_takes_no_memory(tmp_path):
    """256 MB, all but the header of which are a hole on the disk."""
    file = tmp_path / "h.npy"
    header = np.lib.format.header_data_from_array_1_0(np.empty((0, 1000), np.float32)) | {"shape": (64_000, 1000)}
    with file.open("wb") as sparse:
        np.lib.format.write_array_header_1_0(sparse, header)
        sparse.truncate(sparse.tell() + 4 * 64_000 * 1000)
    code = (
        "import resource, sys\nfrom rmt_vn.files import read_activations\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "(array,) = read_activations(sys.argv[1]).arrays.values()\n"
        "assert array.shape == (64_000, 1000) and array[-1, -1] == 0\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    run = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 10_000  # kilobytes
