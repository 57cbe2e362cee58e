"""Memory follows the limit: files that cost many times their size are read, or refused, in little more than is stated.

Each file is read in a fresh process, whose peak is at most 1.5 times the limit and 100 MB, the interpreter included.
"""

import gzip
import io
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux")
MB = 2**20
READ = """
import sys
from rmt_vn.files import read_activations
from rmt_vn.tasks import read_idx
limit, *paths = sys.argv[1:]
for path in paths:
    try:
        contents = (read_idx if path.endswith(".idx") else read_activations)(path, max_bytes=int(limit))
        told = getattr(contents, "faults", None) or "read"
        del contents
    except ValueError as error:
        told = str(error)
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(1024 * int(line.split()[1]), told)
"""


def peaks(limit, *paths):
    """The peak after each file, in bytes, and what was told of it."""
    run = subprocess.run(
        [sys.executable, "-c", READ, str(limit), *map(str, paths)], capture_output=True, text=True, check=True
    )
    return [(int(line.partition(" ")[0]), line.partition(" ")[2]) for line in run.stdout.splitlines()]


# --- files that were dear ---------------------------------------------------------------------------------------------


def text(path, unit, times, head="", tail=""):
    """`times` times the unit, written in portions."""
    portion = max(1, MB // len(unit))
    with path.open("w") as file:
        file.write(head)
        for _ in range(times // portion):
            file.write(unit * portion)
        file.write(unit * (times % portion) + tail)


def bomb(path, method, size):
    """A member that says it is small."""
    with zipfile.ZipFile(path, "w", method) as archive, archive.open("a.npy", "w") as member:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (872, 1)})
        member.write(header.getvalue())
        for _ in range(size // MB):
            member.write(bytes(MB))
    content = path.read_bytes()
    declared = struct.pack("<I", len(header.getvalue()) + size // MB * MB)
    assert content.count(declared) == 2
    path.write_bytes(content.replace(declared, struct.pack("<I", 1000)))


def many_members(path, count):
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(count):
            archive.writestr(f"{i}.npy", b"")


def idx(path, dtype, code, n_values, opened=open):
    with opened(path, "wb") as file:
        file.write(struct.pack(">HBBI", 0, code, 1, n_values))
        for start in range(0, n_values, MB):
            file.write(np.arange(start, min(start + MB, n_values)).astype(dtype).tobytes())


def honest(path, n_columns, limit):
    row = np.random.default_rng(0).standard_normal((100, n_columns)).tolist()
    lines = "".join(",".join(map(repr, each)) + "\n" for each in row)
    text(path, lines, limit // (8 * 100 * n_columns))


# What makes a file for a limit, and what is told of it.
FILES = {
    "bomb.bz2.npz": (lambda path, limit: bomb(path, zipfile.ZIP_BZIP2, 16 * limit), "compression method 12"),
    "bomb.lzma.npz": (lambda path, limit: bomb(path, zipfile.ZIP_LZMA, 16 * limit), "compression method 14"),
    "bomb.deflated.npz": (lambda path, limit: bomb(path, zipfile.ZIP_DEFLATED, 16 * limit), "Bad CRC-32"),
    "members.npz": (lambda path, limit: many_members(path, 30_000), "list of members takes more than"),
    "one.csv": (lambda path, limit: text(path, "1\n", limit // 8), "read"),
    "one.too.many.csv": (lambda path, limit: text(path, "1\n", limit // 2), "save it as NPY"),
    "two.csv": (lambda path, limit: text(path, "1.5,2\n", limit // 16), "read"),
    "counted.csv": (lambda path, limit: text(path, "1,2\n", limit // 16), "--header yes or --header no"),
    "line.csv": (lambda path, limit: text(path, "1,", limit // 8 - 1, tail="1"), "read"),
    "line.too.long.csv": (lambda path, limit: text(path, "1,", limit // 2, tail="1"), "save it as NPY"),
    "digits.csv": (lambda path, limit: text(path, "1", limit), "field of more than"),
    "columns.csv": (lambda path, limit: text(path, ".5," * (limit // 32 - 1) + "1\n", 4), "read"),
    "names.csv": (
        lambda path, limit: text(path, "0," * (limit // 32 - 1) + "1\n", 4, "n," * (limit // 32 - 1) + "n\n"),
        "read",
    ),
    "quoted.csv": (lambda path, limit: text(path, '"1",' * (limit // 8 - 1) + '"1"\n', 1), "read"),
    "blank.csv": (lambda path, limit: text(path, "\n", limit // 4, "1,0\n"), "read"),
    "remarks.csv": (lambda path, limit: text(path, "#\n", limit // 8, "1,0\n"), "read"),
    "open.quote.csv": (lambda path, limit: text(path, "a\n", limit // 2, '"'), "field larger than"),
    "honest.csv": (lambda path, limit: honest(path, 1000, limit), "read"),
    "narrow.csv": (lambda path, limit: honest(path, 5, limit), "read"),
    "double.idx": (lambda path, limit: idx(path, ">f8", 0x0E, limit // 8), "read"),
    "byte.idx": (lambda path, limit: idx(path, "u1", 0x08, limit), "read"),
    "zipped.idx": (lambda path, limit: idx(path, ">f4", 0x0D, limit // 4, gzip.open), "read"),
    "double.npy": (lambda path, limit: np.save(path, np.ones(limit // 8 - 16)), "read"),
    "double.npz": (lambda path, limit: np.savez(path, a=np.ones(limit // 8 - 16)), "read"),
    "deflated.npz": (lambda path, limit: np.savez_compressed(path, a=np.ones(limit // 8 - 16)), "read"),
}


def test_dear_files_are_read_in_little_memory(tmp_path):
    """In one process, which each of the dearest ones of old would fill."""
    limit = 4 * MB
    names = ["bomb.bz2.npz", "one.too.many.csv", "two.csv", "line.csv"]
    for name in names:
        FILES[name][0](tmp_path / name, limit)
    for name, (peak, told) in zip(names, peaks(limit, *(tmp_path / name for name in names)), strict=True):
        assert FILES[name][1] in told, name
        assert peak < 1.5 * limit + 1e8, name


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_the_peak_follows_the_limit(tmp_path, name):
    # Beyond 110 MB two copies of an array are more than what is held here.
    limit = (256 if name.startswith(("double", "byte", "zipped", "deflated")) else 16) * MB
    make, expected = FILES[name]
    make(tmp_path / name, limit)
    ((peak, told),) = peaks(limit, tmp_path / name)
    size = (tmp_path / name).stat().st_size
    print(f"{name:18} {size / MB:8.3f} MB, limit {limit // MB} MB, peak {peak / MB:.0f} MB: {told[:60]}")
    assert expected in told and peak < 1.5 * limit + 1e8


MEASURE = """
import sys
import numpy as np
from rmt_vn import measures
from rmt_vn.measures.nodes import varying_nodes
from rmt_vn.measures.paging import pieces
x = np.random.default_rng(0).integers(0, 256, (8, int(sys.argv[1])), dtype="u1")
if sys.argv[2] == "vni":
    measures.vni(x)
else:
    nodes = varying_nodes(x)
    assert all(nodes.piece(columns=columns).max() <= 1 for columns in pieces(0, x.shape[1], len(x)))
(line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(1024 * int(line.split()[1]))
"""


@pytest.mark.parametrize("what, n_nodes", [("pieces", 2**22), pytest.param("vni", 2**24, marks=pytest.mark.slow)])
def test_wide_layers_of_small_numbers_are_measured_in_little_memory(what, n_nodes):
    """Per node few bytes are held beside the array, which has few itself: 8 samples of one byte."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(n_nodes), what], capture_output=True, text=True, check=True
    )
    print(f"{what}: array {8 * n_nodes / MB:.0f} MB, peak {int(run.stdout) / MB:.0f} MB")
    assert int(run.stdout) < 1.5 * 8 * n_nodes + 1e8
