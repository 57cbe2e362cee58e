"""What all tests share."""

import pytest
from threadpoolctl import threadpool_limits


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
