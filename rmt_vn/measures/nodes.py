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
# So many samples are enough to find about where a node's values lie, and so many nodes stand for all.
_SOME = 512


@dataclass(frozen=True)
class Nodes:
    """The varying nodes of an array (samples, nodes), to be read in pieces.

    Attributes
    ----------
    array : ndarray, shape (samples, all nodes)
    varying : ndarray of int
        The columns that vary, or that are not all zero where nodes are not centred.
    origin, scale : ndarray, shape (varying nodes,)
        A piece holds (factor x − origin)/scale, which in every column is at most about one, and near zero on average.
        Without centring the origin is zero.
    factor : float
        1, or ½ where differences would overflow.
    dtype : type
        The dtype of pieces: float64, or float32 if the data have no more digits and there are many of them.
    centred : bool
    caveats : tuple of str
        What is to be known of the nodes before anything is concluded from them.
    """

    array: np.ndarray
    varying: np.ndarray
    origin: np.ndarray
    scale: np.ndarray
    factor: float
    dtype: type
    centred: bool
    caveats: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Samples, varying nodes."""
        return len(self.array), len(self.varying)

    @property
    def constant(self) -> int:
        return self.array.shape[1] - len(self.varying)

    def piece(self, rows: slice | np.ndarray = slice(None), columns: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Some samples of some of the varying nodes, shifted and scaled, in C order."""
        origin, scale = self.origin[columns], self.scale[columns]
        of_array = columns if self.constant == 0 else self.varying[columns]
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
    low, high = _extremes(array)
    by_rounding = np.zeros(n_nodes)
    if centre:
        # Differences of numbers near the largest double overflow, and so would differences of unsigned ones.
        spread, largest = high / 2 - low / 2, np.maximum(np.abs(high / 2), np.abs(low / 2))
        by_rounding = range_by_rounding(largest.astype(np.float64), unit_roundoff(precision, array.dtype))
    # Deviations from the mean would not do: the rounded mean of equal numbers may be another number.
    varying = np.flatnonzero((low < high) & (spread > by_rounding) if centre else (low != 0) | (high != 0))
    n_constant = n_nodes - len(varying)
    if n_constant == n_nodes or (n_constant and constant == "raise"):
        kind = "constant" if centre else "zero"
        left_out = np.setdiff1d(np.arange(n_nodes), varying)
        first = int(left_out[0])
        rounded = " but for rounding" if centre and np.any(low[left_out] < high[left_out]) else ""
        raise ValueError(
            f"{n_constant} of {n_nodes} nodes are {kind} over the samples{rounded}, the first at column {first}; "
            "a correlation needs nodes that vary"
        )
    caveat = rounding_caveat(np.where(low < high, spread, 0.0), by_rounding) if centre else ""
    factor = 0.5 if np.finfo(dtype).max / 4 < max(high.max(), -float(low.min())) else 1.0
    low, high = (np.multiply(bound[varying], factor, dtype=dtype) for bound in (low, high))
    if not centre:
        return Nodes(array, varying, np.zeros_like(low), np.maximum(high, -low), factor, dtype, centred=False)
    some = np.unique(np.linspace(0, n_samples - 1, min(n_samples, _SOME, max(1, PIECE // n_nodes))).astype(int))
    mean = np.zeros(len(varying))
    for (_, node), values in blocks(array, some, varying if n_constant else slice(None)):
        mean[node] += np.multiply(values, factor / len(some), dtype=np.float64, order="C").sum(axis=0)
    origin = np.clip(mean.astype(dtype), low, high)
    scale = np.maximum(high - origin, origin - low)
    return Nodes(array, varying, origin, scale, factor, dtype, True, (caveat,) if caveat else ())


def some_nodes(n_varying: int, most: int = _SOME) -> np.ndarray:
    """All nodes, or `most` of them in order: drawn at random, because neighbours may be alike."""
    return np.sort(np.random.default_rng(0).permutation(n_varying)[:most])


def some_samples(n_samples: int, n_varying: int) -> np.ndarray:
    """All samples, or 512 of them, evenly spaced; fewer, down to 256, in layers of many nodes."""
    some = min(n_samples, max(256, min(_SOME, 2**20 // n_varying)))
    return np.arange(some) * n_samples // some


def _extremes(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest value of every column, or an error that counts what is not finite."""
    low = np.empty_like(array, shape=array.shape[1:])
    for (_, node), values in blocks(array, slice(0, 1)):
        low[node] = values[0]
    high = low.copy()
    for (_, node), values in blocks(array):
        # The minimum of NaN and anything is NaN, without a warning.
        np.minimum(low[node], values.min(axis=0), out=low[node])
        np.maximum(high[node], values.max(axis=0), out=high[node])
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        n_finite = sum(np.count_nonzero(np.isfinite(values)) for _, values in blocks(array))
        raise not_finite("activations", array.size - int(n_finite), array.size)
    return low, high
