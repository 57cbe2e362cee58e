"""The nodes that are measured: those that vary over the samples, shifted and scaled, read in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rmt_vn.checks import checked_choice
from rmt_vn.measures.arrays import not_finite
from rmt_vn.measures.paging import PIECE, blocks, length_of
from rmt_vn.measures.rounding import range_by_rounding, rounding_caveat, unit_roundoff

CONSTANT = ("omit", "raise")
# Products beyond which float32 data are multiplied in float32.
_MANY_PRODUCTS = 10**9
# Numbers in a row that numpy goes through at full speed.
_LONG_ROW = 2048
# So many samples are enough to find about where a node's values lie, and so many nodes stand for all.
_SOME = 512


@dataclass(frozen=True)
class Nodes:
    """The varying nodes of an array (samples, nodes), to be read in pieces.

    Attributes
    ----------
    array : ndarray, shape (samples, all nodes)
    chosen : ndarray of int, or None
        The columns that vary, or that are not all zero where nodes are not centred; None if these are all.
    low, high : ndarray, shape (all nodes,)
        The least and the largest value of each.
    middle : ndarray, shape (all nodes,), or None
        Of each a number between the two, near its mean; zero without centring, which None stands for. Of layers of very
        many nodes these are the first sample, so that no more numbers than `low` and `high` are held beside the array.
    factor : float
        1, or ½ where differences would overflow.
    dtype : type
        The dtype of pieces: float64, or float32 if the data have no more digits and there are many of them.
    caveats : tuple of str
        What is to be known of the nodes before anything is concluded from them.
    """

    array: np.ndarray
    chosen: np.ndarray | None
    low: np.ndarray
    high: np.ndarray
    middle: np.ndarray | None
    factor: float
    dtype: type
    caveats: tuple[str, ...] = ()

    @property
    def centred(self) -> bool:
        return self.middle is not None

    @property
    def varying(self) -> np.ndarray:
        """The columns that vary, in order."""
        return np.arange(self.array.shape[1]) if self.chosen is None else self.chosen

    @property
    def shape(self) -> tuple[int, int]:
        """Samples, varying nodes."""
        return len(self.array), self.array.shape[1] if self.chosen is None else len(self.chosen)

    @property
    def constant(self) -> int:
        return self.array.shape[1] - self.shape[1]

    @property
    def scale(self) -> np.ndarray:
        """What pieces are divided by, shape (varying nodes,)."""
        return self._origin_and_scale(slice(None) if self.chosen is None else self.chosen)[1]

    def _origin_and_scale(self, columns: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low, high = (np.multiply(bound[columns], self.factor, dtype=self.dtype) for bound in (self.low, self.high))
        if self.middle is None:
            return np.zeros_like(low), np.maximum(high, -low)
        origin = np.clip(np.multiply(self.middle[columns], self.factor, dtype=np.float64).astype(self.dtype), low, high)
        return origin, np.maximum(high - origin, origin - low)

    def piece(self, rows: slice | np.ndarray = slice(None), columns: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Some samples of some of the varying nodes, (factor x − origin)/scale, in C order.

        In every column they are at most about one, and near zero on average; without centring the origin is zero.
        """
        of_array = columns if self.chosen is None else self.chosen[columns]
        origin, scale = self._origin_and_scale(of_array)
        shape = length_of(rows, len(self.array)), len(origin)
        x: np.ndarray = np.empty(shape, self.dtype)
        for at, values in blocks(self.array, rows, of_array):
            out, node = x[at], at[1]
            if self.factor != 1:
                values = np.multiply(values, self.factor, out=out)
            # A number like those in the column is subtracted first: what all samples share then costs no digits.
            np.subtract(values, origin[node], out=out)
            np.divide(out, scale[node], out=out)
        return x


def varying_nodes(array: np.ndarray, *, centre: bool = True, constant: str = "omit", precision: Any = None) -> Nodes:
    """The nodes of activations (samples, nodes) that are measured; the values are checked.

    A node whose values differ by no more than rounding in this precision explains (`unit_roundoff`) does not vary.

    Raises
    ------
    ValueError
        If values are NaN or infinite, there are fewer than two samples, no node varies, or one is constant and
        `constant` is "raise".
    """
    checked_choice("constant", constant, CONSTANT)
    n_samples, n_nodes = array.shape
    if n_samples < 2:
        raise ValueError(f"activations must have at least 2 samples (rows), got {n_samples}")
    # Sums must not be rounded more than the data were: float16 has 11 bits, float32 24.
    few_digits = array.dtype.itemsize <= 4 and array.dtype.kind == "f"
    dtype = np.float32 if few_digits and n_samples * n_nodes * min(array.shape) > _MANY_PRODUCTS else np.float64
    low, high = extremes(array)
    unit = unit_roundoff(precision, array.dtype) if centre else 0.0
    vary, caveat = low < high if centre else (low != 0) | (high != 0), ""
    if unit:
        # Differences of numbers near the largest double overflow.
        spread, largest = high / 2 - low / 2, np.maximum(np.abs(high / 2), np.abs(low / 2))
        by_rounding = range_by_rounding(largest.astype(np.float64), unit)
        # Deviations from the mean would not do: the rounded mean of equal numbers may be another number.
        caveat = rounding_caveat(np.where(vary, spread, 0.0), by_rounding)
        vary &= spread > by_rounding
    n_constant = n_nodes - int(np.count_nonzero(vary))
    if n_constant == n_nodes or (n_constant and constant == "raise"):
        kind = "constant" if centre else "zero"
        left_out = np.flatnonzero(~vary)
        first = int(left_out[0])
        rounded = " but for rounding" if centre and np.any(low[left_out] < high[left_out]) else ""
        raise ValueError(
            f"{n_constant} of {n_nodes} nodes are {kind} over the samples{rounded}, the first at column {first}; "
            "a correlation needs nodes that vary"
        )
    factor = 0.5 if np.finfo(dtype).max / 4 < max(high.max(), -float(low.min())) else 1.0
    chosen = np.flatnonzero(vary) if n_constant else None
    middle = None
    if centre:
        some = np.unique(np.linspace(0, n_samples - 1, min(n_samples, _SOME, max(1, PIECE // n_nodes))).astype(int))
        middle = array[0] if len(some) == 1 else _means(array, some)
    return Nodes(array, chosen, low, high, middle, factor, dtype, (caveat,) if caveat else ())


def _means(array: np.ndarray, some: np.ndarray) -> np.ndarray:
    """The mean of some samples, of each node."""
    mean = np.zeros(array.shape[1])
    for (_, node), values in blocks(array, some):
        mean[node] += np.multiply(values, 1 / len(some), dtype=np.float64, order="C").sum(axis=0)
    return mean


def some_nodes(n_varying: int) -> np.ndarray:
    """All nodes, or 512 of them in order: drawn at random, because neighbours may be alike."""
    return np.sort(np.random.default_rng(0).permutation(n_varying)[:_SOME])


def some_samples(n_samples: int, n_varying: int) -> np.ndarray:
    """All samples, or 512 of them, evenly spaced; fewer, down to 256, in layers of many nodes."""
    some = min(n_samples, max(256, min(_SOME, 2**20 // n_varying)))
    return np.arange(some) * n_samples // some


def extremes(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest value of every column, or an error that counts what is not finite."""
    low = np.empty_like(array, shape=array.shape[1:])
    for (_, node), values in blocks(array, slice(0, 1)):
        low[node] = values[0]
    high = low.copy()
    for (_, node), values in blocks(array):
        # The minimum of NaN and anything is NaN, without a warning.
        for bound, least_or_largest in ((low, np.minimum), (high, np.maximum)):
            least_or_largest(bound[node], _of_columns(least_or_largest, values), out=bound[node])
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        n_finite = sum(np.count_nonzero(np.isfinite(values)) for _, values in blocks(array))
        raise not_finite("activations", array.size - int(n_finite), array.size)
    return low, high


def _of_columns(least_or_largest: np.ufunc, values: np.ndarray) -> np.ndarray:
    """The least or largest value of each column; of short rows several at once, which takes a third of the time."""
    n_samples, n_nodes = values.shape
    at_once = min(n_samples, max(1, _LONG_ROW // n_nodes)) if values.flags.c_contiguous else 1
    rest = n_samples % at_once
    rows = values[rest:].reshape(-1, at_once * n_nodes)
    found = least_or_largest.reduce(rows, axis=0).reshape(-1, n_nodes)
    return least_or_largest.reduce(np.concatenate([values[:rest], found]), axis=0)
