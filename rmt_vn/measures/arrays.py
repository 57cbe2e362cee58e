"""Arrays of activations: which axes are samples, what is wrong with them, and how to read large ones in pieces."""

from __future__ import annotations

import mmap
import operator
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

DEAD = ("omit", "raise")
# Numbers in one piece: small enough that the copies of a piece stay far below the array, large enough for BLAS.
PIECE = 2**21
# Products beyond which float32 data are multiplied in float32.
_MANY_PRODUCTS = 10**9
# Numbers of a block: what is done to it one after the other finds it in the cache.
BLOCK = 2**18
# Samples that tell about where a node is, and nodes that tell about all.
_SOME = 512
# Bytes of a mapped file that may be in memory at a time, and what comes along with what is touched: a huge page.
_MAPPED, _AROUND = 2**25, 2**21


def finite_array(name: str, values: ArrayLike) -> np.ndarray:
    """The values as float64, or an error that says how many of them are NaN or infinite, or that they are not real."""
    array = _real_array(name, values).astype(np.float64, copy=False)
    n_bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if n_bad:
        raise not_finite(name, n_bad, array.size)
    return array


def as_samples(activations: ArrayLike, node_axis: int = -1) -> np.ndarray:
    """Activations of any number of axes as (samples, nodes): all axes but that of the nodes are samples.

    Parameters
    ----------
    activations : array_like
        Say (batch, nodes), (batch, time, nodes), or (batch, channels, height, width).
    node_axis : int
        The axis of the nodes. The default is the last; the channels of a convolution in PyTorch's order are axis 1.

    Returns
    -------
    ndarray, shape (samples, nodes)
        Samples of one item of the batch stay neighbours. A view where possible, and never of another dtype.

    Raises
    ------
    TypeError
        If the values are not real numbers, or `node_axis` is no integer.
    ValueError
        If there are fewer than two axes, no such axis, or no node.

    Examples
    --------
    >>> as_samples(np.zeros((32, 3, 8, 8)), node_axis=1).shape
    (2048, 3)
    """
    array = _real_array("activations", activations)
    if array.ndim < 2:
        raise ValueError(f"activations must have two axes (samples, nodes) or more, got shape {array.shape}")
    axis = operator.index(node_axis)
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(f"node_axis must be an axis of shape {array.shape}, from {-array.ndim} on, got {axis}")
    moved = np.moveaxis(array, axis, -1)
    if moved.shape[-1] < 1:
        raise ValueError(f"activations must have at least 1 node (column), got shape {array.shape}")
    return moved.reshape(-1, moved.shape[-1]) if moved.ndim > 2 else moved


@dataclass(frozen=True)
class Nodes:
    """The live nodes of an array (samples, nodes), to be read in pieces.

    Attributes
    ----------
    array : ndarray, shape (samples, all nodes)
    live : ndarray of int
        The columns that vary, or that are not all zero where nodes are not centred.
    origin, scale : ndarray, shape (live nodes,)
        A piece is (factor x − origin)/scale: at most about one, and near zero on average, in every column. Without
        centring the origin is zero.
    factor : float
        One, but a half where differences would overflow.
    dtype : type
        What pieces are computed in: float64, or float32 for data that have no more digits and are many.
    centred : bool
    """

    array: np.ndarray
    live: np.ndarray
    origin: np.ndarray
    scale: np.ndarray
    factor: float
    dtype: type
    centred: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Samples, live nodes."""
        return len(self.array), len(self.live)

    @property
    def dead(self) -> int:
        return self.array.shape[1] - len(self.live)

    def piece(self, rows: slice | np.ndarray = slice(None), columns: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Some samples of some of the live nodes, shifted and scaled, in C order."""
        origin, scale = self.origin[columns], self.scale[columns]
        of_array = columns if self.dead == 0 else self.live[columns]
        shape = _length(rows, len(self.array)), len(origin)
        x = np.empty(shape, self.dtype)
        for at, values in blocks(self.array, rows, of_array):
            out, node = x[at], at[1]
            if self.factor != 1:
                values = np.multiply(values, self.factor, out=out)
            # From a number like those in the column: what all samples have in common costs no digits.
            np.subtract(values, origin[node], out=out)
            np.divide(out, scale[node], out=out)
        return x


def live_nodes(array: np.ndarray, *, centre: bool = True, dead: str = "omit") -> Nodes:
    """The nodes that measures are about, of checked activations (samples, nodes).

    Raises
    ------
    ValueError
        If values are NaN or infinite, there are fewer than two samples, no node is alive, or one is dead and `dead` is
        "raise".
    """
    if dead not in DEAD:
        raise ValueError(f"dead must be one of {', '.join(DEAD)}, got {dead!r}")
    n_samples, n_nodes = array.shape
    if n_samples < 2:
        raise ValueError(f"activations must have at least 2 samples (rows), got {n_samples}")
    # What is added up must not be rounded more than it was: float16 has 11 bits, float32 24.
    few_digits = array.dtype.itemsize <= 4 and array.dtype.kind == "f"
    dtype = np.float32 if few_digits and n_samples * n_nodes * min(array.shape) > _MANY_PRODUCTS else np.float64
    low, high = _extremes(array)
    # Not by the spread of the deviations from the mean: the mean of equal numbers may be another number.
    live = np.flatnonzero((low < high) if centre else (low != 0) | (high != 0))
    n_dead = n_nodes - len(live)
    if n_dead == n_nodes or (n_dead and dead == "raise"):
        kind = "constant" if centre else "zero"
        first = int(np.setdiff1d(np.arange(n_nodes), live)[0])
        raise ValueError(
            f"{n_dead} of {n_nodes} nodes are {kind} over the samples, the first at column {first}; "
            "a correlation needs nodes that vary"
        )
    factor = 0.5 if np.finfo(dtype).max / 4 < max(high.max(), -float(low.min())) else 1.0
    low, high = (np.multiply(bound[live], factor, dtype=dtype) for bound in (low, high))
    if not centre:
        return Nodes(array, live, np.zeros_like(low), np.maximum(high, -low), factor, dtype, centred=False)
    some = np.unique(np.linspace(0, n_samples - 1, min(n_samples, _SOME, max(1, PIECE // n_nodes))).astype(int))
    mean = np.zeros(len(live))
    for (_, node), values in blocks(array, some, live if n_dead else slice(None)):
        mean[node] += np.multiply(values, factor / len(some), dtype=np.float64, order="C").sum(axis=0)
    origin = np.clip(mean.astype(dtype), low, high)
    return Nodes(array, live, origin, np.maximum(high - origin, origin - low), factor, dtype, centred=True)


def pieces(start: int, stop: int, width: int, size: int = PIECE) -> Iterator[slice]:
    """Slices from start to stop, so thick that a piece of that width holds about so many numbers."""
    step = max(1, size // width)
    return (slice(at, min(at + step, stop)) for at in range(start, stop, step))


def some_nodes(n_live: int) -> np.ndarray:
    """All nodes, or some hundred of them, in order; drawn, since neighbours may be alike."""
    return np.sort(np.random.default_rng(0).permutation(n_live)[:_SOME])


def some_samples(n_samples: int, n_live: int) -> np.ndarray:
    """All samples, or some hundred of them, evenly spaced: 512, or down to 256 where those are many numbers."""
    some = min(n_samples, max(256, min(_SOME, 2**20 // n_live)))
    return np.arange(some) * n_samples // some


def add_gram(total: np.ndarray, x: np.ndarray) -> None:
    """Add x xᵀ to what `mirror` makes symmetric in the end: half the products, and little memory."""
    for rows in pieces(0, *total.shape):
        total[rows, : rows.stop] += x[rows] @ x[: rows.stop].T


def mirror(total: np.ndarray) -> None:
    """Above the blocks of `add_gram` what is below."""
    for rows in pieces(0, *total.shape):
        total[: rows.start, rows] = total[rows, : rows.start].T


def correlated(nodes: Nodes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R, nodes × nodes, and the means of the pieces and the lengths of the deviations from them."""
    n_samples, n_live = nodes.shape
    rho, total = np.zeros((n_live, n_live)), np.zeros(n_live)
    for rows in pieces(0, n_samples, n_live):
        x = nodes.piece(rows)
        add_gram(rho, x.T)
        total += np.ones(len(x), x.dtype) @ x
    mirror(rho)
    mean = total / n_samples if nodes.centred else np.zeros(n_live)
    for rows in pieces(0, *rho.shape):
        rho[rows] -= np.outer(n_samples * mean[rows], mean)
    size = np.sqrt(rho.diagonal())
    rho /= size
    rho /= size[:, None]
    return rho, mean, size


def blocks(
    array: np.ndarray, rows: slice | np.ndarray = slice(None), columns: slice | np.ndarray = slice(None)
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Some rows and columns of an array in blocks that fit into the cache, each with its place among them.

    They are cut along the axis whose neighbours are far apart. If the array is a mapped file, not much of it is in
    memory at a time: what was read is given back, which else would count until there is no memory left.
    """
    index, outer = [rows, columns], _outer(array)
    inner = 1 - outer
    lengths = [_length(each, size) for each, size in zip(index, array.shape, strict=True)]
    step = max(1, BLOCK // max(1, lengths[inner]))
    if file := _mapped(array):
        # A row or column takes what is read of it and around it, or less where the next one is nearer.
        width, height = (abs(array.strides[axis]) * _extent(index[axis], array.shape[axis]) for axis in (inner, outer))
        step = min(step, max(1, int(_MAPPED / min(width + _AROUND, max(1, height / max(1, lengths[outer]))))))
    at = [slice(0, length) for length in lengths]
    chosen = index[outer]
    for start in range(0, lengths[outer], step):
        at[outer] = slice(start, min(start + step, lengths[outer]))
        index[outer] = _part(chosen, at[outer], array.shape[outer])
        # At once, not one after the other: chosen rows would be copied in their whole width.
        both = all(isinstance(each, np.ndarray) for each in index)
        yield tuple(at), array[np.ix_(*index) if both else tuple(index)]
        if file:
            file.madvise(mmap.MADV_DONTNEED)


def doubles(array: np.ndarray, rows: slice) -> np.ndarray:
    """A copy of some rows, float64, in C order."""
    x = np.empty((_length(rows, len(array)), array.shape[1]))
    for at, values in blocks(array, rows):
        x[at] = values
    return x


def _length(index: slice | np.ndarray, size: int) -> int:
    return len(range(size)[index]) if isinstance(index, slice) else len(index)


def _extent(index: slice | np.ndarray, size: int) -> int:
    """From the first to the last."""
    chosen = range(size)[index] if isinstance(index, slice) else index
    return int(chosen[-1] - chosen[0]) + 1 if len(chosen) else 0


def _part(index: slice | np.ndarray, at: slice, size: int) -> slice | np.ndarray:
    if not isinstance(index, slice):
        return index[at]
    chosen = range(size)[index][at]
    return slice(chosen.start, chosen.stop, chosen.step)


def _outer(array: np.ndarray) -> int:
    """The axis whose neighbours are further apart in memory."""
    return int(abs(array.strides[1]) > abs(array.strides[0]))


def _mapped(array: np.ndarray) -> mmap.mmap | None:
    """The map of the file that the array is in, if its pages can be given back: a private one would lose changes."""
    shared = False
    while isinstance(array, np.ndarray):
        shared = shared or (isinstance(array, np.memmap) and array.mode != "c")
        array = array.base
    return array if shared and isinstance(array, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") else None


def _extremes(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest value of every column, or an error that counts what is not finite."""
    low = np.empty_like(array, shape=array.shape[1:])
    for (_, node), values in blocks(array, slice(0, 1)):
        low[node] = values[0]
    high = low.copy()
    for (_, node), values in blocks(array):
        # Of NaN and anything the minimum is NaN, without a warning.
        np.minimum(low[node], values.min(axis=0), out=low[node])
        np.maximum(high[node], values.max(axis=0), out=high[node])
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        n_finite = sum(np.count_nonzero(np.isfinite(values)) for _, values in blocks(array))
        raise not_finite("activations", array.size - int(n_finite), array.size)
    return low, high


def _real_array(name: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers, got dtype {array.dtype}")
    return array


def not_finite(name: str, n_bad: int, size: int) -> ValueError:
    return ValueError(f"{name} must be finite, got {n_bad} NaN or infinite values of {size}")
