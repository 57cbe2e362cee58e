"""NPZ files, friendly and hostile: a fault of one layer is its own, and nothing is unpacked beyond the limit."""

import io
import struct
import zipfile

import numpy as np
import pytest
from hostile_files import GOOD, LIAR, OBJECTS, X, npy_bytes, zipped

from rmt_vn.files import read_activations

# Members of an archive that are no layers, and what is said of each; a good one lies beside it.
FAULTS = {
    "no array": ([("b.txt", b"x")], "it is not an NPY file"),
    "twice": ([("b.npy", GOOD), ("b.npy", GOOD)], "2 members of the file have this name"),
    "objects": ([("b.npy", OBJECTS)], "it holds Python objects, which are never loaded"),
    "strings": ([("b.npy", npy_bytes(np.array(["a"])))], "it must hold real numbers, got dtype <U1"),
    "bfloat16": ([("b.npy", npy_bytes(np.zeros((4, 3), "V2")))], "bytes without a type (|V2); save it as float32"),
    "short": ([("b.npy", GOOD[:-8])], "truncated"),
    "liar": ([("b.npy", LIAR)], "truncated"),
    "nothing": ([("b.npy", b"")], "not an NPY file"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_of_one_layer_is_its_own(tmp_path, case):
    members, told = FAULTS[case]
    file = tmp_path / "h.npz"
    file.write_bytes(zipped(("a.npy", X_BYTES := npy_bytes(X + 1)), *members, ("c.npy", X_BYTES)))
    contents = read_activations(file)
    (name, fault), *others = contents.faults.items()
    assert not others and told in fault and contents.names == ("a", name, "c")
    for layer in ("a", "c"):
        np.testing.assert_array_equal(contents.arrays[layer], X + 1)
    # Who asks for other layers does not hear of it; who asks for it alone does.
    chosen = read_activations(file, layers=["c", "a"])
    assert (chosen.names, tuple(chosen.arrays), chosen.faults) == (("c", "a"), ("a", "c"), {})
    assert read_activations(file, layers=[name]).faults == {name: fault}


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_that_numpy_does_not_write_are_faults(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "h.npz", "w") as archive:
        archive.writestr("a.npy", GOOD)
        archive.writestr("b.npy", GOOD, method)
    contents = read_activations(tmp_path / "h.npz")
    assert tuple(contents.arrays) == ("a",) and tuple(contents.faults) == ("b",)
    told = f"member 'b.npy' has compression method {method}; numpy writes 0 (stored) and 8 (deflated) alone"
    assert contents.faults["b"] == told


def test_lists_of_members_have_a_limit(tmp_path, monkeypatch):
    np.savez(tmp_path / "h.npz", **{f"layer {i}": X for i in range(30)})
    assert len(read_activations(tmp_path / "h.npz").arrays) == 30
    monkeypatch.setattr("rmt_vn.files.npz.CHUNK", 1000)
    with pytest.raises(ValueError, match="not a readable NPZ file: its list of members takes more than 1000 bytes"):
        read_activations(tmp_path / "h.npz")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_members_of_any_compression_are_faults(tmp_path, method):
    """Bytes changed at random in the second of three layers: the others are read, and nothing is taken for it."""
    rng = np.random.default_rng(2)
    content = io.BytesIO()
    layers = {name: rng.standard_normal((7, 3)) for name in "abc"}
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, array in layers.items():
            archive.writestr(f"{name}.npy", npy_bytes(array))
        start, end = (archive.getinfo(f"{name}.npy").header_offset for name in "bc")
    start += 35  # the header of the member, and its name
    for _ in range(60):
        damaged = bytearray(content.getvalue())
        for place in rng.integers(start, end, 3):
            damaged[place] ^= int(rng.integers(1, 256))
        (tmp_path / "h.npz").write_bytes(damaged)
        contents = read_activations(tmp_path / "h.npz")
        assert set(contents.faults) | set(contents.arrays) == set("abc") and not {"a", "c"} & set(contents.faults)
        for name, array in contents.arrays.items():
            np.testing.assert_array_equal(array, layers[name])
        assert all("\n" not in fault and fault for fault in contents.faults.values())


def test_layers_are_chosen_before_anything_is_read(tmp_path):
    file = tmp_path / "h.npz"
    np.savez(file, wide=np.zeros((1000, 100)), narrow=X)
    with pytest.raises(ValueError, match="the limit is 10000"):
        read_activations(file, max_bytes=10_000)
    np.testing.assert_array_equal(read_activations(file, layers=("narrow",), max_bytes=10_000).arrays["narrow"], X)
    with pytest.raises(ValueError, match=r"h.npz: no layer 'other'; it has wide, narrow"):
        read_activations(file, layers=["narrow", "other"])
    np.save(tmp_path / "h.npy", X)
    assert read_activations(tmp_path / "h.npy", layers=["h"]).names == ("h",)
    with pytest.raises(ValueError, match=r"h.npy: no layer 'other'; it has h"):
        read_activations(tmp_path / "h.npy", layers=["other"])
    with pytest.raises(ValueError, match="only CSV files have a header"):
        read_activations(tmp_path / "h.npy", header=True)


def test_zip_bombs_are_refused_before_they_are_unpacked(tmp_path):
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.npy", "b.npy"):
            archive.writestr(name, npy_bytes(np.zeros((1000, 1000))))
    assert bomb.stat().st_size < 20_000
    assert list(read_activations(bomb, max_bytes=17 * 10**6).arrays) == ["a", "b"]
    with pytest.raises(
        ValueError, match="its arrays take 16000256 bytes, the limit is 15000000; save each layer as NPY"
    ):
        read_activations(bomb, max_bytes=15 * 10**6)
    # It says that it is small: no more than what it says is read, which its checksum does not bear.
    told = bomb.read_bytes().replace(struct.pack("<I", 8_000_128), struct.pack("<I", 1128))
    bomb.write_bytes(told)
    contents = read_activations(bomb, max_bytes=15 * 10**6)
    assert not contents.arrays and contents.faults["a"] == "Bad CRC-32 for file 'a.npy'"
