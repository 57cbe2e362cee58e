"""Samples against laws: a sampled number lies within k standard errors of what is right, and of nothing that is wrong.

With k = 4 one seed in 16 000 is a false alarm, with k = 5 one in two million: 4 where a test compares a few numbers,
5 where it compares some fifty. All seeds are fixed. The wrong values are the negative controls: if one of them were
within k standard errors too, there would be too few samples to tell.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def mean_and_error(samples: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The mean over the first axis, and its standard error."""
    samples = np.asarray(samples)
    return samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(len(samples))


def standard_errors_between(value: ArrayLike, expected: ArrayLike, stderr: ArrayLike) -> float:
    """The largest distance of a value from what is expected, in standard errors.

    Numbers that do not vary have standard errors of zero, and their values have rounding errors: 1e-12 is allowed.
    """
    return float(np.max(np.abs(np.subtract(value, expected)) / np.maximum(stderr, 1e-12)))


def assert_sampled(
    value: ArrayLike, law: ArrayLike, stderr: ArrayLike, *, wrong: Sequence[ArrayLike] = (), k: float = 4
) -> None:
    """All values are within k standard errors of the law, and at least one of them is not, of each wrong law."""
    off = standard_errors_between(value, law, stderr)
    assert off < k, f"{off:.1f} standard errors from the law, {k} are allowed"
    for number, each in enumerate(wrong):
        off = standard_errors_between(value, each, stderr)
        assert off > k, f"only {off:.1f} standard errors from wrong law {number}, which {k} must reject"
