"""Random networks in blocks, each with a generator of its own, side by side in threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from rmt_vn.progress import progress

Sampled = TypeVar("Sampled")


def in_blocks(
    sample: Callable[[int, np.random.Generator], Sampled],
    sizes: Sequence[int],
    rng: np.random.Generator,
    label: str = "simulated networks",
) -> list[Sampled]:
    """sample(size, generator) of each block, with a bar that counts blocks under this label.

    As each block has a generator of its own, the numbers do not depend on how many threads there are.
    """
    calls = (delayed(sample)(size, child) for size, child in zip(sizes, rng.spawn(len(sizes)), strict=True))
    # BLAS threads would only get in the way of these.
    with threadpool_limits(1):
        parallel = Parallel(n_jobs=-1, prefer="threads", return_as="generator")
        return list(progress(parallel(calls), label, len(sizes)))
