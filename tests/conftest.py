"""One BLAS thread: threads change the last bits of a product, and fight over the cores of a busy machine."""

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread():
    with threadpool_limits(1):
        yield
