"""Thousands of damaged files: each is read as an independent reader reads it, or refused in one line; nothing else.

A few hundred in the quick tests, 24,000 in the slow ones; RMT_VN_SEED, 0 by default, makes others.
"""

import csv
import gzip
import io
import os
import struct
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rmt_vn.files import read_activations
from rmt_vn.tasks import read_idx

SEED = int(os.environ.get("RMT_VN_SEED", "0"))
LIMIT = 2**20  # bytes: that of the reader
X = np.random.default_rng(0).standard_normal((7, 3))
LONG = np.random.default_rng(1).standard_normal((40, 30))


# --- good files -------------------------------------------------------------------------------------------------------


def npy(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def npz(method):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, array in (("a", X), ("b", LONG.astype("f4")), ("c", np.arange(12, dtype=">i2").reshape(2, 6))):
            archive.writestr(f"{name}.npy", npy(array))
    return file.getvalue()


def idx(array, code):
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


ROWS = [",".join(map(repr, row)) for row in X.tolist()]
INDEXED = "\n".join(f"{i},{row}" for i, row in enumerate(ROWS))
IMAGES = np.random.default_rng(2).integers(0, 256, (3, 5, 4), dtype="u1")
GOOD = {
    "h.npy": [npy(X), npy(X[::2].T), npy(LONG.astype(">f4")), npy(X > 0), npy(np.arange(6).reshape(2, 3), (2, 0))],
    "h.npz": [npz(zipfile.ZIP_STORED), npz(zipfile.ZIP_DEFLATED), npz(zipfile.ZIP_BZIP2), npz(zipfile.ZIP_LZMA)],
    "h.csv": [
        text.encode()
        for text in (
            "\n".join(ROWS),
            "a,b,c\r\n" + "\r\n".join(ROWS),
            ",0,1,2\n" + INDEXED,
            '"x, y","z ""w""",é\n# by hand\n' + "\n".join(ROWS) + "\n\n",
            "\ufeff" + "\n".join(",".join(f'"{field}"' for field in row.split(",")) for row in ROWS),
            "3,1,4\n-1e-5,2,.5",
            "1.5\n2\nnan\n-inf\n",
        )
    ],
    "h.idx": [
        idx(IMAGES, 0x08),
        gzip.compress(idx(IMAGES, 0x08), mtime=0),
        idx(X.astype(">f4"), 0x0D),
        gzip.compress(idx(X.astype(">f8"), 0x0E), mtime=0),
        idx(np.arange(9, dtype=">i2"), 0x0B),
    ],
}
WORDS = [*(b",", b"\n", b"\r", b'"', b"#", b"NA", b"1e5", b"1d5", b"_", b"0", b"-", b"nan", b"\0", b" ", b"1e999")]
WORDS += [b"\xff" * 4, b"\0" * 4, b"\xff" * 8, b"\x7f", "٣".encode(), "\u2028".encode(), b"('", b"|O", b"<f2", b"True"]


def mutated(good, rng):
    """One to three changes of the kinds that disks, transfers, editors and ill will make."""
    content = bytearray(good)
    for _ in range(rng.integers(1, 4)):
        # Half of them near the start, where headers are, or near the end, where the list of members is.
        near = int(rng.integers(min(len(content), 150) + 1))
        place = [near, len(content) - near, *rng.integers(0, len(content) + 1, 2)][rng.integers(4)]
        length = int(rng.integers(1, 9))
        part = content[place : place + length]
        kind = rng.integers(8)
        if kind == 0:
            del content[place:]
        elif kind == 1:
            del content[place : place + length]
        elif kind == 2:
            content[place:place] = part * int(rng.integers(1, 40))
        elif kind == 3:
            content[place : place + length] = rng.bytes(length)
        elif kind == 4:
            word = WORDS[rng.integers(len(WORDS))]
            content[place : place + (len(word) if rng.random() < 0.5 else 0)] = word
        elif kind == 5:
            other = int(rng.integers(len(content) + 1))
            content[other : other + length] = part
        elif part:
            content[place] = part[0] ^ (1 << int(rng.integers(8))) if kind == 6 else int(rng.integers(256))
    return bytes(content)


# --- independent readers ----------------------------------------------------------------------------------------------


def same(read, expected):
    return (
        read.shape == expected.shape
        and read.dtype.kind == expected.dtype.kind
        and read.tobytes() == (expected.astype(read.dtype).tobytes())
    )


def is_as_numpy_reads(contents, content):
    if content[:6] == b"\x93NUMPY":
        return same(contents.arrays["h"], np.load(io.BytesIO(content), allow_pickle=False))
    loaded = np.lib.npyio.NpzFile(io.BytesIO(content), allow_pickle=False)
    return all(same(array, loaded[name]) for name, array in contents.arrays.items())


def is_as_all_text_at_once(contents, content):
    """Every field of every line is in the array, but for the header and the index that the notes name."""
    text = io.StringIO(content.decode("utf-8-sig"), newline=None).read()
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    rows = list(csv.reader(f"{line}\n" for line in lines))
    notes = " ".join(contents.notes)
    rows = rows["taken as a header" in notes :]
    numbers = [[float(field) for field in row["taken as an index" in notes :]] for row in rows]
    comments = sum(line.lstrip().startswith("#") for line in text.split("\n"))
    return same(contents.arrays["h"], np.array(numbers)) and (f"{comments} of the lines begin with #" in notes) == (
        comments > 0
    )


def is_as_bytes_in_a_row(array, content):
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    axes = content[3]
    shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
    dtype = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}[content[2]]
    return same(array, np.frombuffer(content[4 + 4 * axes :], dtype).reshape(shape))


# --- the trial --------------------------------------------------------------------------------------------------------


def peak():
    """Bytes that this process has held at most, since it was last asked."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def outcome(path, content):
    """ok, refused, or what went wrong."""
    path.write_bytes(content)
    before, start = peak(), time.perf_counter()
    try:
        read = (read_idx if path.suffix == ".idx" else read_activations)(path, max_bytes=LIMIT)
    except ValueError as error:
        told = str(error)
        read = None
    except Exception as error:
        return f"wrong exception {error!r}"
    if time.perf_counter() - start > 10:
        return "over 10 s"
    if peak() > before + 1.5 * LIMIT + 1e8:
        return "over memory"
    if read is None:
        return "refused" if told.startswith(f"{path}: ") and "\n" not in told else f"wrong exception {told!r}"
    if path.suffix == ".idx":
        return "ok" if is_as_bytes_in_a_row(read, content) else "wrong number"
    if any("\n" in fault or not fault for fault in read.faults.values()):
        return f"wrong exception {read.faults}"
    if not read.arrays:
        return "refused"
    is_right = is_as_all_text_at_once if path.suffix == ".csv" else is_as_numpy_reads
    return "ok" if is_right(read, content) else "wrong number"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux")
@pytest.mark.parametrize("count", [150, pytest.param(6000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", GOOD)
def test_damaged_files_are_read_as_another_reader_reads_them_or_refused(name, count, tmp_path, monkeypatch):
    rng = np.random.default_rng([SEED, *name.encode()])
    counts = Counter()
    for trial in range(count):
        content = mutated(GOOD[name][trial % len(GOOD[name])], rng)
        # Lines of CSV files are cut where what is read at a time ends.
        monkeypatch.setattr("rmt_vn.files.lines._CHUNK", [2**18, 2**18, 50, 150][rng.integers(4)])
        kind = outcome(tmp_path / name, content)
        counts[kind] += 1
        if kind not in ("ok", "refused"):
            print(f"{name}, trial {trial}: {kind}: {content[:2000]!r}")
    print(f"{name}, seed {SEED}, {count} damaged files: {dict(counts)}")
    assert set(counts) <= {"ok", "refused"}, counts
    # Neither refuses all, nor takes all.
    assert min(counts["ok"], counts["refused"]) > count / 50


@pytest.mark.parametrize("name", GOOD)
def test_what_is_not_damaged_is_read_but_for_other_compressions(name, tmp_path):
    outcomes = [outcome(tmp_path / name, content) for content in GOOD[name]]
    assert outcomes == (["ok", "ok", "refused", "refused"] if name == "h.npz" else ["ok"] * len(outcomes))


def test_the_trial_tells_wrong_numbers(tmp_path):
    """Negative controls: the content of another file, beside what was read."""
    for name, other in (("h.npy", npy(X + 1e-15)), ("h.csv", "\n".join([*ROWS[1:], ROWS[0]]).encode())):
        (tmp_path / name).write_bytes(GOOD[name][0])
        contents = read_activations(tmp_path / name)
        is_right = is_as_all_text_at_once if name == "h.csv" else is_as_numpy_reads
        assert is_right(contents, GOOD[name][0]) and not is_right(contents, other)
    other = bytearray(GOOD["h.idx"][0])
    other[-1] ^= 1
    (tmp_path / "h.idx").write_bytes(GOOD["h.idx"][0])
    assert not is_as_bytes_in_a_row(read_idx(tmp_path / "h.idx"), bytes(other))
