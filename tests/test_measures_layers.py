"""Axes, large arrays, spectra of the covariance, near-duplicates."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from populations import covariance, mixing, sample

from rmt_vn.measures import (
    as_samples,
    correlation,
    effective_rank,
    near_duplicates,
    participation_ratio,
    plug_in_vni,
    stable_rank,
    vni,
)
from rmt_vn.measures import nodes as measured_nodes
from rmt_vn.measures.indicator import estimate
from rmt_vn.measures.indicator.estimate import unbiased_vni

properties = settings(deadline=None, derandomize=True, max_examples=50)


# --- axes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "axis"), [((7, 3), -1), ((7, 3), 0), ((4, 3, 5, 2), 1), ((4, 3, 5), -1), ((4, 3, 5), 2)]
)
def test_all_axes_but_one_are_samples(shape, axis):
    x = np.random.default_rng(1).standard_normal(shape)
    flat = as_samples(x, node_axis=axis)
    assert flat.shape == (x.size // shape[axis], shape[axis])
    for node in range(shape[axis]):
        np.testing.assert_array_equal(flat[:, node], np.take(x, node, axis=axis).ravel())
    for measure in (plug_in_vni, effective_rank, stable_rank, participation_ratio):
        assert measure(x, node_axis=axis) == pytest.approx(measure(flat))
    if len(shape) == 2:
        # Three samples have no VNI: field by field, since NaN is no number equal to itself.
        np.testing.assert_equal(vni(x, node_axis=axis).to_dict(), vni(flat).to_dict())
    np.testing.assert_array_equal(correlation(x, node_axis=axis), correlation(flat))


def test_what_is_no_axis():
    with pytest.raises(ValueError, match=r"node_axis must be an axis of shape \(4, 3\), from -2 to 1, got 2"):
        vni(np.ones((4, 3)), node_axis=2)
    with pytest.raises(TypeError):
        as_samples(np.ones((4, 3)), node_axis=0.5)


# --- large arrays -----------------------------------------------------------------------------------------------------


def test_a_file_is_read_in_pieces(tmp_path):
    shape = (100_000, 100)
    file = np.memmap(tmp_path / "layer", dtype=np.float32, mode="w+", shape=shape)
    file[:] = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    tracemalloc.start()
    result = vni(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # As float64 it would be 80 MB; pieces are of 16, and there are a few at a time.
    assert peak < 60e6
    assert (result.n_samples, result.n_nodes) == shape
    # E r² = 1/(P − 1), and the mean of N²/2 of them has 2/N of that for its standard error.
    expected = 1 / shape[1] + (1 - 1 / shape[1]) / (shape[0] - 1)
    assert result.plug_in == pytest.approx(expected, abs=4 * 2 / shape[1] / shape[0])


def written(path, shape, order):
    """A file of 4 MB of random numbers, again and again."""
    header = {"descr": "<f4", "fortran_order": order == "F", "shape": shape}
    numbers = np.random.default_rng(1).standard_normal(2**20, dtype=np.float32).tobytes()
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for at in range(0, 4 * shape[0] * shape[1], 2**22):
            file.write(numbers[: 4 * shape[0] * shape[1] - at])
    return path


MAPPED = """
import sys
import numpy as np
import rmt_vn.command
from rmt_vn.measures import VNIAccumulator, effective_rank, near_duplicates, sketch_vni, vni

def peak():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1])

file = sys.argv[1]
mapped = np.load(file, mmap_mode="r")
vni(np.random.default_rng(1).standard_normal((300, 5)))  # what is loaded by the way
layer = VNIAccumulator()
before = peak()
vni(mapped), effective_rank(mapped)
vni(mapped[:, :100], groups=np.random.default_rng(2).integers(len(mapped) // 4, size=len(mapped)))
vni(mapped[:, :40], groups=np.arange(len(mapped)) // (len(mapped) // 4))
sketch_vni(mapped, rng=1, probes=2) if mapped.flags.c_contiguous else None  # which would take its time
near_duplicates(mapped[:, :500])
layer.update(mapped[:, :500])
layer.vni()
rmt_vn.command.main(["measure", file])
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="where the kernel tells the peak")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "order"), [((1_000_000, 64), "C"), ((1_000_000, 64), "F"), ((400, 160_000), "C"), ((400, 160_000), "F")]
)
def test_a_mapped_file_is_never_in_memory_as_a_whole(tmp_path, shape, order):
    file = written(tmp_path / "layer.npy", shape, order)
    assert file.stat().st_size > 250e6
    run = subprocess.run([sys.executable, "-c", MAPPED, file], capture_output=True, text=True, check=True)
    assert int(run.stdout.split()[-1]) < 130_000  # kilobytes


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_what_was_changed_in_a_mapped_file_stays(tmp_path, mode):
    file = written(tmp_path / "layer.npy", (3000, 20), "C")
    mapped = np.load(file, mmap_mode=mode)
    mapped[:, 3] = mapped[:, 4]
    expected = np.array(mapped)
    for measure in (vni, near_duplicates):
        assert str(measure(mapped)) == str(measure(expected))
    np.testing.assert_array_equal(mapped, expected)
    if mode == "r+":
        mapped.flush()
        np.testing.assert_array_equal(np.load(file), expected)


@pytest.mark.slow
def test_float32_products_have_six_digits():
    rng = np.random.default_rng(2)
    x = sample(mixing("three factors", 400), 8000, "gaussian", rng).astype(np.float32)
    wide = sample(mixing("three factors", 6000), 500, "gaussian", rng).astype(np.float32)
    for each in (x, wide):
        single, double = vni(each), vni(each.astype(np.float64))
        assert single.plug_in != double.plug_in
        for name in ("plug_in", "value", "stderr"):
            assert getattr(single, name) == pytest.approx(getattr(double, name), rel=1e-6)
    # Means of a hundred thousand spreads cost float32 data their digits when they are written, not here.
    rounded = np.round(x * 2**6) / 2**6
    assert vni(rounded + np.float32(1e5)).plug_in == pytest.approx(vni(rounded).plug_in, rel=1e-6)
    assert vni(rounded[:500] + np.float32(1e5)).plug_in == pytest.approx(vni(rounded[:500]).plug_in, rel=1e-6)
    # Scales that differ by 10¹², whose products float32 does not hold.
    scales = np.float32(10) ** np.linspace(-25, 25, 400).round().astype(np.float32)
    assert np.isfinite(x * scales).all() and np.abs(x * scales).max() > np.finfo(np.float32).max ** 0.5
    assert vni(x * scales).plug_in == pytest.approx(vni(x).plug_in, rel=1e-6)


@pytest.mark.parametrize(("shape", "n_groups"), [((600, 150), None), ((450, 1360), None), ((600, 150), 200)])
def test_one_huge_sample_costs_no_digits_in_float32(monkeypatch, shape, n_groups):
    """v and κ of the notes are near one then, and their difference is far less than what float32 tells apart."""
    monkeypatch.setattr(measured_nodes, "_MANY_PRODUCTS", 0)
    x = np.random.default_rng(4).standard_normal(shape, dtype=np.float32)
    groups = n_groups and np.arange(len(x)) % n_groups
    assert vni(x, groups=groups).plug_in != vni(x.astype(np.float64), groups=groups).plug_in
    x[7] *= 1000
    exact = vni(x.astype(np.float64), groups=groups)

    def difference():
        found = vni(x, groups=groups)
        return max(abs(found.unlimited / exact.unlimited - 1), abs(found.stderr / exact.stderr - 1))

    assert difference() < 1e-9
    assert unbiased_vni(x, groups=groups) == pytest.approx(exact.value, rel=1e-9)
    monkeypatch.setattr(estimate, "_CONCENTRATED", 1.0)
    assert difference() > 1e-6


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_order_in_memory_does_not_matter(order):
    x = np.asarray(np.random.default_rng(3).standard_normal((300, 7)), order=order)
    assert vni(x[::-1][::-1]) == vni(np.ascontiguousarray(x))


# --- spectra ----------------------------------------------------------------------------------------------------------


def with_covariance(spectrum, n_samples, seed=0):
    """Samples whose covariance has just that spectrum."""
    rng = np.random.default_rng(seed)
    n = len(spectrum)
    columns = rng.standard_normal((n_samples, n))
    rotation = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return np.linalg.qr(columns - columns.mean(axis=0))[0] * np.sqrt(spectrum) @ rotation + 3


@pytest.mark.parametrize("n_samples", [7, 30])
@pytest.mark.parametrize("spectrum", [(1, 1, 1, 1), (5, 0, 0), (4, 3, 2, 1), (1, 1e-3), (2,)])
def test_ranks_of_known_spectra(spectrum, n_samples):
    x = with_covariance(np.array(spectrum, dtype=float), n_samples)
    share = np.array([each for each in spectrum if each]) / sum(spectrum)
    # An eigenvalue of 1e-16 for 0 adds 4e-15 to the entropy.
    assert effective_rank(x) == pytest.approx(np.prod(share**-share), rel=1e-12)
    assert stable_rank(x) == pytest.approx(sum(spectrum) / max(spectrum), rel=1e-12)


@properties
@given(st.integers(2, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_the_order_of_the_ranks(n_samples, n_nodes, seed):
    """Rényi entropies fall with their order: rank ≥ exp H_1 ≥ exp H_2 ≥ exp H_∞, the last three these measures."""
    x = np.random.default_rng(seed).standard_normal((n_samples, n_nodes))
    first, second, last = effective_rank(x), participation_ratio(x), stable_rank(x)
    most = min(n_samples - 1, n_nodes)
    assert most * (1 + 1e-9) >= first >= second * (1 - 1e-9) >= last * (1 - 2e-9) >= 1 - 1e-8


def distinct_samples_ratio(x):
    """The ratio of unbiased estimates, as sums over distinct samples, from the definition: x_p − x_q has twice C."""
    p = len(x)
    above = below = 0.0
    for i in range(p):
        for j in range(p):
            for k in range(p):
                for m in range(p):
                    if len({i, j, k, m}) == 4:
                        a, b = x[i] - x[j], x[k] - x[m]
                        above += (a @ a) * (b @ b)
                        below += (a @ b) ** 2
    return above / below


@pytest.mark.parametrize("shape", [(5, 3), (7, 9), (4, 40), (8, 2)])
def test_corrected_participation_ratio_is_of_distinct_samples(shape):
    x = np.random.default_rng(4).standard_t(5, shape)
    expected = np.clip(distinct_samples_ratio(x), 1, shape[1])
    assert participation_ratio(x, corrected=True) == pytest.approx(expected, rel=1e-9)
    assert participation_ratio(1e200 * x, corrected=True) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("tails", ["gaussian", "elliptical"])
def test_corrected_participation_ratio_has_little_bias(tails):
    a = mixing("three factors", 30)
    c = covariance(a)
    truth = np.trace(c) ** 2 / np.sum(c**2)
    rng = np.random.default_rng(5)
    draws = [sample(a, 25, tails, rng) for _ in range(400)]
    # Of the reciprocal: there the unbiased sum over samples stands above.
    unbiased, plain = (
        np.array([1 / participation_ratio(x, corrected=each) for x in draws]) * truth - 1 for each in (True, False)
    )
    assert abs(unbiased.mean()) < 0.2 * unbiased.std() + 4 * unbiased.std() / 20
    assert plain.mean() > 0.2 * plain.std() + 4 * plain.std() / 20


def test_corrected_participation_ratio_needs_four_samples():
    with pytest.raises(ValueError, match="at least 4 samples, got 3"):
        participation_ratio(np.eye(3), corrected=True)


# --- near-duplicates --------------------------------------------------------------------------------------------------


def groups_of(x, threshold):
    """By the definition: join whom a link joins, until nothing changes."""
    linked = np.abs(np.corrcoef(x.T)) >= threshold
    label = np.arange(len(linked))
    while True:
        new = np.array([label[row].min() for row in linked])
        if np.array_equal(new, label):
            break
        label = new
    groups = [np.flatnonzero(label == each).tolist() for each in np.unique(label)]
    return sorted((group for group in groups if len(group) > 1), key=lambda group: (-len(group), group[0]))


@properties
@given(st.integers(0, 2**32 - 1), st.floats(0.3, 0.95))
def test_near_duplicates_hang_together(seed, threshold):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((50, 4))[:, rng.integers(0, 4, 12)] + 0.4 * rng.standard_normal((50, 12))
    assert [group.tolist() for group in near_duplicates(x, threshold=threshold)] == groups_of(x, threshold)


def test_near_duplicates_name_columns_and_see_no_sign_or_scale():
    x = np.random.default_rng(6).standard_normal((40, 3))
    layer = np.stack([x[:, 0], np.ones(40), -3 * x[:, 0], x[:, 1], 1e-8 * x[:, 1] + 7, x[:, 2], 5 * x[:, 0]], axis=1)
    assert [group.tolist() for group in near_duplicates(layer, threshold=1)] == [[0, 2, 6], [3, 4]]
    assert near_duplicates(x) == []


@pytest.mark.parametrize("threshold", [0, -0.5, 1.1, np.nan])
def test_thresholds_out_of_range(threshold):
    with pytest.raises(ValueError, match=f"threshold must be above 0 and at most 1, got {threshold}"):
        near_duplicates(np.eye(4), threshold=threshold)
