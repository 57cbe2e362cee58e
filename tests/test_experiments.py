"""Sweeps: what a number depends on, what is computed again, and the arithmetic of pooling."""

import os
import tracemalloc
import warnings

import numpy as np
import pytest
from statistics_checks import assert_sampled

from rmt_vn import Network, figures
from rmt_vn.experiments import Engine, monte_carlo, run, tidy
from rmt_vn.samplers import sample_vni


def normal(loc, size=50, *, rng):
    # Not into a list of this module: what a function can reach is part of what its result depends on.
    with open(os.environ["CALLS"], "a") as file:
        file.write(f"{loc}\n")
    return loc + rng.standard_normal((size, 2))


def points(*locs):
    return [{"loc": loc} for loc in locs]


@pytest.fixture(autouse=True)
def calls(tmp_path, monkeypatch):
    """Number of calls since it was last asked for."""
    log = tmp_path / "calls"
    log.touch()
    monkeypatch.setenv("CALLS", str(log))

    def since():
        lines = log.read_text().splitlines()
        log.write_text("")
        return len(lines)

    return since


@pytest.fixture
def engine(tmp_path):
    return Engine(jobs=1, cache=tmp_path / "cache")


def numbers(estimates):
    return {estimate.point["loc"]: (estimate.mean.tolist(), estimate.stderr.tolist()) for estimate in estimates}


def test_a_larger_grid_and_another_order_change_no_number():
    alone = numbers(monte_carlo(normal, points(1.0, 2.0), replicates=3, seed=0, engine=Engine(jobs=1)))
    among = numbers(monte_carlo(normal, points(5.0, 2.0, 1.0), replicates=3, seed=0, engine=Engine(jobs=1)))
    assert {loc: among[loc] for loc in alone} == alone
    other = numbers(monte_carlo(normal, points(1.0, 2.0), replicates=3, seed=1, engine=Engine(jobs=1)))
    assert all(other[loc] != alone[loc] for loc in alone)


def test_more_replicates_refine_the_old_estimate(engine, calls):
    monte_carlo(normal, points(1.0, 2.0), replicates=4, seed=0, engine=engine)
    assert calls() == 2 * 4
    refined = monte_carlo(normal, points(1.0, 2.0), replicates=10, seed=0, engine=engine)
    assert calls() == 2 * (10 - 4)
    at_once = monte_carlo(normal, points(1.0, 2.0), replicates=10, seed=0, engine=Engine(jobs=1))
    assert numbers(refined) == numbers(at_once)
    assert [estimate.count for estimate in refined] == [500, 500]


def test_nothing_is_computed_twice(engine, calls):
    first = monte_carlo(normal, points(1.0, 2.0), replicates=4, seed=0, engine=engine)
    assert calls() == 8
    again = monte_carlo(normal, points(2.0, 1.0), replicates=4, seed=0, engine=engine)
    assert calls() == 0
    assert numbers(first) == numbers(again)


def test_without_a_cache_all_is_computed_and_nothing_left(calls, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    for _ in range(2):
        monte_carlo(normal, points(1.0), replicates=4, seed=0, engine=Engine(jobs=1))
    assert calls() == 8
    assert list(folder.iterdir()) == []


def _halved(loc, *, rng):
    return normal(loc, rng=rng) / 2


def test_changed_code_is_computed_again(engine, monkeypatch):
    monte_carlo(_halved, points(1.0), replicates=2, seed=0, engine=engine)
    changed = lambda loc, *, rng: 2 * loc + rng.standard_normal((50, 2))  # noqa: E731
    monkeypatch.setattr("test_experiments.normal", changed)
    (after,) = monte_carlo(_halved, points(1.0), replicates=2, seed=0, engine=engine)
    # The mean is (2 + 0)/2 now, and was 1/2 before.
    assert_sampled(after.mean, 1.0, after.stderr, wrong=[0.5])


def test_pooling_is_the_mean_and_its_standard_error_over_all_samples():
    seen = []

    def recorded(loc, *, rng):
        seen.append(1e6 + rng.standard_normal((int(loc), 3)))
        return seen[-1]

    (estimate,) = monte_carlo(recorded, points(7.0), replicates=5, seed=0, engine=Engine(jobs=1))
    values = np.concatenate(seen)
    np.testing.assert_allclose(estimate.mean, values.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(estimate.stderr, values.std(axis=0, ddof=1) / np.sqrt(len(values)), rtol=1e-8)


def _constant(loc, *, rng):
    return np.full((1, 2), loc)


def test_the_error_of_one_sample_is_not_a_number_without_a_warning():
    (estimate,) = monte_carlo(_constant, points(3.0), replicates=1, seed=0, engine=Engine(jobs=1))
    assert estimate.mean.tolist() == [3.0, 3.0] and np.isnan(estimate.stderr).all() and estimate.count == 1


def test_one_process_and_two_give_the_same_bits(tmp_path):
    grid = [{"network": Network.uniform(64, depth, activation="relu"), "n_networks": 50} for depth in (4, 16)]
    one, two = (monte_carlo(sample_vni, grid, replicates=4, seed=3, engine=Engine(jobs=jobs)) for jobs in (1, 2))
    assert [(each.mean.tobytes(), each.stderr.tobytes()) for each in one] == [
        (each.mean.tobytes(), each.stderr.tobytes()) for each in two
    ]


@pytest.mark.slow
def test_memory_does_not_grow_with_replicates(engine):
    def peak(replicates):
        tracemalloc.start()
        monte_carlo(_large, points(1.0), replicates=replicates, seed=0, engine=engine)
        height = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return height

    peak(2)  # imports
    few, many = peak(10), peak(100)
    # A chunk's moments are 0.8 MB twice, and 90 more would be 144 MB.
    assert many - few < 1e6


def _large(loc, *, rng):
    return loc + rng.standard_normal((2, 100_000))


def test_tidy_has_a_row_for_each_point_and_component():
    network = Network.uniform(20, 5, activation="linear", sigma_w=1.5)
    table = tidy(monte_carlo(sample_vni, [{"network": network, "n_networks": 9}], replicates=2, seed=0))
    assert {name: column.tolist() for name, column in table.items() if name not in ("mean", "stderr")} == {
        "width": [20], "depth": [5], "activation": ["linear"], "weights": ["gaussian"], "sigma_w": [1.5],
        "sigma_b": [0.0], "n_networks": [9], "count": [18],
    }  # fmt: skip
    table = tidy(monte_carlo(normal, points(1.0, 2.0), replicates=2, seed=0, engine=Engine(jobs=1)))
    assert table["loc"].tolist() == [1.0, 1.0, 2.0, 2.0] and table["component"].tolist() == [0, 1, 0, 1]
    assert tidy([]) == {}


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replicates", [0, -1, 2.0, True])
def test_replicates_must_be_positive(replicates):
    with pytest.raises((TypeError, ValueError), match=f"≥ 1, got {replicates!r}"):
        monte_carlo(normal, points(1.0), replicates=replicates, seed=0)


def test_points_must_have_a_repr_that_lasts():
    with pytest.raises(ValueError, match="same in every process"):
        monte_carlo(normal, [{"loc": object()}], replicates=1, seed=0)


@pytest.mark.parametrize("result", [1.0, [np.ones(2)], {"a": np.array([None])}, {"a": {}}])
def test_results_must_be_named_arrays(result, engine):
    with pytest.raises(TypeError, match="dict of arrays of numbers"):
        list(run(lambda: result, [{}], engine=engine))


def test_an_error_in_a_chunk_is_told_as_it_is_and_the_others_are_kept(engine, calls):
    def fragile(loc, *, rng):
        if loc == 3.0:
            raise ArithmeticError("no value at 3.0")
        return normal(loc, rng=rng)

    computed = 0
    for _ in range(30):  # in another order each time
        with pytest.raises(ArithmeticError, match=r"no value at 3\.0"):
            monte_carlo(fragile, points(1.0, 2.0, 3.0), replicates=1, seed=0, engine=engine)
        computed += calls()
        assert len(entries(engine)) == computed <= 2
    assert computed == 2


# --- the kept results -------------------------------------------------------------------------------------------------


def entries(engine):
    return sorted(engine.cache.rglob("*.npz"))


def spoil_truncated(entries):
    entries[0].write_bytes(entries[0].read_bytes()[:-100])


def spoil_empty(entries):
    entries[0].write_bytes(b"")


def spoil_garbage(entries):
    entries[0].write_bytes(np.random.default_rng(0).bytes(1000))


def spoil_one_bit(entries):
    content = bytearray(entries[0].read_bytes())
    where = content.index(b"NUMPY") + 130  # among the numbers
    content[where] ^= 1
    entries[0].write_bytes(bytes(content))


def spoil_exchanged(entries):
    entries[0].write_bytes(entries[1].read_bytes())


def spoil_pickle(entries):
    np.savez(entries[0], **{"result.mean": np.array([print], dtype=object)}, allow_pickle=True)


def spoil_plain_array(entries):
    with entries[0].open("wb") as file:
        np.save(file, np.ones(3))


def spoil_folder(entries):
    entries[0].unlink()
    entries[0].write_bytes(b"PK")


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_truncated,
        spoil_empty,
        spoil_garbage,
        spoil_one_bit,
        spoil_exchanged,
        spoil_pickle,
        spoil_plain_array,
        spoil_folder,
    ],
)
def test_a_damaged_entry_is_computed_again_with_a_warning(engine, spoil, calls):
    before = monte_carlo(normal, points(1.0, 2.0), replicates=2, seed=0, engine=engine)
    spoil(entries(engine))
    calls()
    with pytest.warns(UserWarning, match="damaged and is computed again"):
        after = monte_carlo(normal, points(1.0, 2.0), replicates=2, seed=0, engine=engine)
    assert calls() == 1
    assert numbers(before) == numbers(after)
    # It was replaced: the next run has nothing to complain of.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monte_carlo(normal, points(1.0, 2.0), replicates=2, seed=0, engine=engine)
    assert calls() == 0


def test_a_cache_that_is_emptied_meanwhile_does_no_harm(engine):
    tasks = [{"loc": loc} for loc in (1.0, 2.0)]
    results = run(_echo, tasks, engine=engine)
    first = next(results)
    for entry in entries(engine):
        entry.unlink()
    assert [float(each["loc"]) for each in (first, *results)] == [1.0, 2.0]


def _echo(loc):
    return {"loc": np.array(loc)}


# --- the figures on the engine ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vni_depth_width", "width_profile", "effective_nodes", "three_indicators"])
def test_the_paper_preset_begins_with_what_quick_has_computed(name, monkeypatch):
    module = figures.load(name)
    tasks = {}

    def noted(sample, points, *, replicates, seed, **_):
        tasks[preset] = {(repr(point), replicate, seed) for point in points for replicate in range(replicates)}
        raise InterruptedError

    monkeypatch.setattr(module, "monte_carlo", noted)
    for preset in ("quick", "paper"):
        with pytest.raises(InterruptedError):
            module.compute(seed=0, engine=Engine(jobs=1), **module.PRESETS[preset])
    assert tasks["quick"] < tasks["paper"]
