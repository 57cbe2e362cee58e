"""Benchmarks end with one table, in Markdown, of every fast way against its rivals; `--page` writes their page."""

import page
import pytest
from side_by_side import Lane, markdown_row

_ROWS = pytest.StashKey[list]()


def pytest_addoption(parser):
    parser.addoption("--page", action="store_true", help="write the page of the benchmarks, README.md")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.stash[_ROWS] = []
    # The plugin's own table knows the first column alone; `--benchmark-verbose` brings it back.
    config.option.benchmark_quiet = True


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    if not (rows := config.stash[_ROWS]):
        return
    terminalreporter.section("side by side", sep="-")
    terminalreporter.write_line("\n".join(["", page.HEAD, *rows, "", page.CAPTION, page.machine(), ""]))
    if config.option.page:
        # Half a table would take the place of a whole one.
        if exitstatus == 0 and "deselected" not in terminalreporter.stats:
            page.PATH.write_text(page.page(rows, page.machine()), encoding="utf-8")
        else:
            terminalreporter.write_line("The page is not written: some benchmarks failed, or were not chosen.")


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
