"""What all tests share."""

import pytest
from threadpoolctl import threadpool_limits

# The files that take longest, the longest first: begun last, one of them would keep one process busy alone at the end.
LONGEST = (
    "figures",
    "prediction_designing",
    "prediction_wide",
    "laws_signal_mode",
    "theory_analysis",
    "laws_against_samples",
    "samplers",
    "theory_algebra",
    "faults",
    "laws_exact",
)


def pytest_configure(config):
    """With `--dist loadfile` the files are handed out in the order below, not those first that have the most tests."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    order = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread():
    """Threads change the last bits of a product, and fight over the cores of a busy machine."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def run_main(capsys):
    """Runs a command line's `main`; returns the exit code and the lines on standard error."""

    def run(main, *arguments):
        try:
            code = main(list(arguments))
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().err.splitlines()

    return run
