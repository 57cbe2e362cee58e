"""Benchmarks end with one table, in markdown, of every fast way against its rivals."""

import platform
from importlib.metadata import PackageNotFoundError, version

import pytest
from side_by_side import Lane, markdown_row

_ROWS = pytest.StashKey[list]()
_HEAD = "| what | this package | obvious way | usual alternative |\n|---|---|---|---|"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.stash[_ROWS] = []
    # The plugin's own table knows the first column alone; `--benchmark-verbose` brings it back.
    config.option.benchmark_quiet = True


def pytest_terminal_summary(terminalreporter, config):
    if rows := config.stash[_ROWS]:
        terminalreporter.section("side by side", sep="-")
        terminalreporter.write_line("\n".join(["", _HEAD, *rows, "", _caption(), ""]))


def _caption() -> str:
    libraries = ", ".join(f"{name} {_version(name)}" for name in ("numpy", "scipy", "mpmath", "torch"))
    return (
        "Best of a few interleaved runs on one thread; what takes long ran less often. × is how many times as long as\n"
        "this package a rival takes; ≈ is extrapolated, from the time of one network and the number of them that\n"
        "± 0.001 takes, or from a few steps. This package computes in float64, `train` in float32 as its rivals.\n"
        f"Python {platform.python_version()}, {libraries}."
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


@pytest.fixture
def race(benchmark):
    """Times rivals in turn; the first is ours, and is what pytest-benchmark times.

    Returns whether there are timings: with `--benchmark-disable` ours runs once, and the others do not run.
    """

    def run(ours: Lane, *rivals: Lane | None, rounds: int = 5) -> bool:
        if benchmark.disabled:
            benchmark(ours.run)
            return False
        rivals = [lane for lane in rivals if lane]
        for lane in (ours, *rivals):
            lane.warm_up()

        def rivals_turn():
            for lane in rivals:
                lane.take_time()

        # Rivals run between the rounds of ours, so that a busy moment of the machine meets all of them.
        benchmark.pedantic(ours.run_calls, setup=rivals_turn, rounds=ours.rounds(rounds))
        ours.seconds = benchmark.stats.stats.min / ours.calls
        benchmark.extra_info["calls_a_round"] = ours.calls
        benchmark.extra_info["seconds_of_rivals"] = {lane.name: lane.seconds for lane in rivals if lane.run}
        return True

    return run


@pytest.fixture
def row(request):
    """Adds a row to the table: what was computed, and the lanes of a race, ours first."""

    def add(what: str, ours: Lane, obvious: Lane | None, *usual: Lane) -> None:
        request.config.stash[_ROWS].append(markdown_row(what, ours, obvious, usual))

    return add
