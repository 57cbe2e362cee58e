"""The measures of activations that arrive batch by batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg.lapack import dsfrk

from rmt_vn.measures.arrays import as_samples
from rmt_vn.measures.conversion import real_array
from rmt_vn.measures.duplicates import checked_threshold, linked_groups
from rmt_vn.measures.effective_dimension import rank_of, stable_rank_of
from rmt_vn.measures.grouping import group_numbers
from rmt_vn.measures.indicator.error import pair_variance
from rmt_vn.measures.indicator.estimate import vni
from rmt_vn.measures.indicator.few_samples import FEW_SAMPLES
from rmt_vn.measures.indicator.many_samples import vni_of_many_samples
from rmt_vn.measures.indicator.part_sums import TELLING_NODES, PartSums, telling_nodes, vni_of_groups
from rmt_vn.measures.indicator.result import NodeVNI, of_one_node
from rmt_vn.measures.nodes import extremes
from rmt_vn.measures.paging import BLOCK, doubles, pieces
from rmt_vn.measures.products import correlations, unpacked
from rmt_vn.measures.rounding import range_by_rounding, rounding_caveat, unit_roundoff

# Sums of squares that are less have lost digits.
_LEAST = 1e-290


class VNIAccumulator:
    """Means and covariance of nodes from batches of samples, and the measures of `rmt_vn.measures` at any time.

    It holds nodes × (nodes + 1)/2 numbers in float64, which are half of a symmetric matrix, 256 samples, and 4 nodes +
    256 numbers more, however many samples come; and sums over 32 parts of the samples, of up to 128 nodes, which take
    up to 4 MB. An update needs some MB more for a moment, however large the batch, which may be a mapped file; a
    measure needs memory for a few times nodes² numbers.

    Each mean is kept as two doubles, so that means a million times larger than the spread cost no digits. But for
    rounding, the sizes of batches do not matter; nor does it, for measures of the sample (`NodeVNI.plug_in`, ranks,
    correlations), in which order samples come, or whether they went through one accumulator or through several that
    were merged. `vni` leaves out parts of the samples, which are others then; it changes by a small part of its error.

    Up to 256 samples are all kept, and `vni` is that of the array. So it is up to 128 nodes, but for some of the error.
    Beyond, κ and κ₀ of the notes of `vni` are computed from 256 samples, chosen at random but the same each time, which
    adds to the error: those of all need means and scales that are known only at the end. Of groups none are kept.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((1000, 4))
    >>> layer = VNIAccumulator()
    >>> for batch in np.split(x, 10):
    ...     layer.update(batch)
    >>> layer.n_samples, round(layer.vni().effective_nodes, 1)
    (1000, 4.0)
    """

    def __init__(self) -> None:
        self.n_samples = 0
        self._unit = 0.0
        self._least = self._largest = np.zeros(0)
        self._parts: PartSums | None = None
        self._grouped = False
        self._high = self._low = np.zeros(0)
        self._scatter = np.zeros(0)  # LAPACK's rectangular full packed format
        self._marks, self._kept = np.zeros(0, np.uint64), np.zeros((0, 0))

    @property
    def n_nodes(self) -> int:
        """The number of nodes; 0 before the first batch."""
        return len(self._high)

    def update(
        self,
        batch: ArrayLike,
        *,
        node_axis: int | None = None,
        groups: ArrayLike | None = None,
        precision: Any = None,
    ) -> None:
        """Add a batch of samples, shape (samples, nodes) or more axes.

        Parameters
        ----------
        batch, node_axis
            As for `rmt_vn.measures.vni`.
        groups : int or array_like, optional
            Samples of this batch that belong together, as for `vni`; a group must not go on in the next batch. Either
            all batches have groups or none has; where they have, each sample of a batch of two axes is a group.
        precision : str or dtype, optional
            In which this batch was computed, as for `vni`. What is measured is so by the lowest of all batches.

        Raises
        ------
        TypeError
            If the values are not real numbers.
        ValueError
            If values are NaN or infinite, or have squares that are, or the number of nodes is not that of the batches
            before, or the batches before had no groups. The accumulator then stays as it was.
        """
        given = real_array("activations", batch)
        array = as_samples(given, node_axis=node_axis)
        if not len(array):
            return
        n_nodes = array.shape[1]
        self._check_nodes(n_nodes)
        unit = unit_roundoff(precision, array.dtype)
        numbers = group_numbers(given.shape, node_axis, groups)
        if numbers is not None and not self._grouped and self.n_samples:
            raise ValueError("samples of the batches before have no groups, those of this batch do; give them to all")
        # All of a batch is checked before anything of it is added.
        least, largest = (bound.astype(np.float64) for bound in extremes(array))
        # A sample is subtracted before the mean: what all samples share then costs no digits, a constant gives 0.
        first = self.n_samples
        bounds = _bounds((self._least, self._largest), (least, largest), first + len(array))
        if not first:
            self._high, self._low = doubles(array, slice(0, 1))[0], np.zeros(n_nodes)
            self._scatter = np.zeros(0 if self._is_in_parts else n_nodes * (n_nodes + 1) // 2)
        self._unit = max(self._unit, unit)
        self._grouped = self._grouped or numbers is not None
        self._least, self._largest = bounds
        self._add_to_parts(array, numbers, largest > least)
        for each in pieces(0, len(array), n_nodes, max(BLOCK, FEW_SAMPLES * n_nodes)):
            if self._grouped and self._is_in_parts:
                break
            x = doubles(array, each)
            if not self._grouped:
                self._keep(_marks(np.arange(first + each.start, first + each.stop, dtype=np.uint64)), x)
            if not self._is_in_parts:
                self._add(x)
        if self._is_in_parts:
            self._take_from_parts()

    def merge(self, other: VNIAccumulator) -> None:
        """Add all samples that another accumulator has seen; it stays as it was. Errors as `update`."""
        if not other.n_samples:
            return
        self._check_nodes(other.n_nodes)
        if self.n_samples and self._grouped != other._grouped:
            raise ValueError("samples of one of the two have groups, those of the other have none")
        first = self.n_samples
        step = (other._high - self._high) + (other._low - self._low) if first else np.zeros(0)
        bounds = _bounds((self._least, self._largest), (other._least, other._largest), first + other.n_samples)
        # Marks are drawn again, since those of both are of samples number 0, 1, …: at random below the largest there.
        most = other._marks.max() / 2**64 if len(other._marks) == FEW_SAMPLES else 1.0
        marks = (_marks(other._marks ^ np.uint64(first)) * most).astype(np.uint64) if first else other._marks
        self._keep(marks, other._kept)
        self._grouped = other._grouped
        if other._parts is not None:
            self._parts = self._parts or PartSums(other._parts.nodes)
            self._parts.merge(other._parts)
        self._unit = max(self._unit, other._unit)
        self._least, self._largest = bounds
        if other._is_in_parts:
            self._take_from_parts()
        elif not self.n_samples:
            self.n_samples, self._high, self._low = other.n_samples, other._high, other._low
            self._scatter = other._scatter.copy()
        else:
            self._scatter += other._scatter
            self._move(other.n_samples, step)

    def mean(self) -> np.ndarray:
        """Means of the nodes, shape (nodes,)."""
        self._check_samples(1)
        return self._high + self._low

    def covariance(self) -> np.ndarray:
        """Covariance of the nodes, with divisor samples − 1, shape (nodes, nodes)."""
        self._check_samples(2)
        return self._products() / (self.n_samples - 1)

    def correlation(self) -> np.ndarray:
        """ρ_ij of the varying nodes, as `rmt_vn.measures.correlation`."""
        return correlations(self._varying()[1])

    def vni(self) -> NodeVNI:
        """VNI, its bias removed, with a confidence interval. Errors as `rmt_vn.measures.vni`."""
        varying, scatter = self._varying()
        p, n = self.n_samples, len(varying)
        counts = {"n_nodes": self.n_nodes, "n_samples": p, "constant_nodes": self.n_nodes - n}
        caveat = rounding_caveat(*self._spread())
        caveats = (caveat,) if caveat else ()
        if self._parts is None or (p <= FEW_SAMPLES and not self._grouped):
            return vni(self._kept, precision=self._unit)
        # Nodes that vary by rounding alone are not measured.
        parts = self._parts.among(varying)
        if self._grouped:
            r = correlations(scatter)
            return vni_of_groups(parts, float(np.vdot(r, r)) / n**2, counts, caveats)
        if n == 1:
            return of_one_node(counts, caveats)
        z = ((self._kept - self._high) - self._low)[:, varying] / np.sqrt(scatter.diagonal() / p)
        overlaps = z @ z.T / n
        left_out, plug_in = parts.left_out(n, independent=True, constant=counts["constant_nodes"])
        if n <= TELLING_NODES and len(parts.nodes) == n:
            pairs = pair_variance(overlaps, p, n, left_out.overlap(n), True)
            return left_out.vni(plug_in, counts, caveats, *pairs)
        r = correlations(scatter)
        np.fill_diagonal(r, 0)
        square = np.vdot(r, r) / (n * (n - 1))
        caveats = (*caveats, *left_out.caveats)
        return vni_of_many_samples(
            square, None, z, r, overlaps, counts, correction=left_out.correction, caveats=caveats
        )

    def participation_ratio(self) -> float:
        """(Tr C)²/Tr C² of the sample, as `rmt_vn.measures.participation_ratio`."""
        scatter = self._scaled()
        return float(np.trace(scatter) ** 2 / np.vdot(scatter, scatter))

    def effective_rank(self) -> float:
        """exp of the entropy of the spectrum of C, as `rmt_vn.measures.effective_rank`."""
        return rank_of(self._scaled())

    def stable_rank(self) -> float:
        """Tr C/λ_max, as `rmt_vn.measures.stable_rank`."""
        return stable_rank_of(self._scaled())

    def dead_nodes(self) -> int:
        """The number of nodes that were zero in all samples."""
        return int(np.count_nonzero((self._least == 0) & (self._largest == 0)))

    def near_duplicates(self, *, threshold: float = 0.99) -> list[np.ndarray]:
        """Groups of nodes that are nearly copies of each other, as `rmt_vn.measures.near_duplicates`."""
        checked_threshold(threshold)
        links = np.nonzero(np.abs(self.correlation()) >= threshold * (1 - 1e-12))
        return linked_groups(np.array(links), self._varying()[0])

    @property
    def _is_in_parts(self) -> bool:
        """Whether the sums over parts are of all nodes, so that there need be no others."""
        return self.n_nodes <= TELLING_NODES

    def _take_from_parts(self) -> None:
        assert self._parts is not None
        self.n_samples, self._high, self._low = self._parts.n_samples, self._parts.origin, self._parts.mean()

    def _products(self) -> np.ndarray:
        """The scatter, shape (nodes, nodes)."""
        if self._is_in_parts and self._parts is not None:
            return self._parts.scatter()
        return unpacked(self._scatter, self.n_nodes)

    def _power(self) -> np.ndarray:
        """The diagonal of the scatter."""
        if self._is_in_parts and self._parts is not None:
            return self._parts.power()
        n, half = self.n_nodes, self.n_nodes // 2
        columns = np.arange(n - half) * (n + 1 - n % 2)
        first = (columns + half + 1 + np.arange(n - half))[:half]
        return self._scatter[np.concatenate([first, columns + half + np.arange(n - half)])]

    def _add_to_parts(self, array: np.ndarray, numbers: np.ndarray | None, varying: np.ndarray) -> None:
        if self._parts is None:
            self._parts = PartSums(telling_nodes(varying))
        n_told = len(self._parts.nodes)
        nodes = slice(None) if n_told == array.shape[1] else self._parts.nodes
        first = self._parts.n_groups
        for each in pieces(0, len(array), max(1, n_told), BLOCK):
            self._parts.update(doubles(array, each, nodes), None if numbers is None else numbers[each] + first)

    def _spread(self) -> tuple[np.ndarray, np.ndarray]:
        """Half the range of the values of each node, and that over which rounding may spread them."""
        largest = np.maximum(np.abs(self._largest / 2), np.abs(self._least / 2))
        return self._largest / 2 - self._least / 2, range_by_rounding(largest, self._unit)

    def _add(self, x: np.ndarray) -> None:
        x -= self._high
        step = np.full(len(x), 1 / len(x)) @ x
        x -= step
        self._add_squares(x)
        self._move(len(x), step - self._low)

    def _add_squares(self, x: np.ndarray) -> None:
        """Add xᵀ x to the scatter, in place."""
        self._scatter = dsfrk(self.n_nodes, len(x), 1.0, x.T, 1.0, self._scatter, overwrite_c=True)

    def _move(self, count: int, step: np.ndarray) -> None:
        """Add `count` samples with a mean one step from this, whose squares are added (Chan, Golub & LeVeque 1983)."""
        before, total = self.n_samples, self.n_samples + count
        if before:
            self._add_squares((step * (before * count / total) ** 0.5)[None])
        step = self._low + step * (count / total)
        # Two numbers for a mean: the nearest double, and what is missing to the mean.
        mean = self._high + step
        self.n_samples, self._high, self._low = total, mean, (self._high - mean) + step

    def _keep(self, marks: np.ndarray, samples: np.ndarray) -> None:
        """Of the samples kept before and these, keep the 256 with the least marks, in the order in which they came."""
        if len(self._marks) == FEW_SAMPLES:
            less = marks < self._marks.max()
            if not less.any():
                return
            marks, samples = marks[less], samples[less]
        if len(self._marks):
            marks, samples = np.concatenate([self._marks, marks]), np.concatenate([self._kept, samples])
        least = np.sort(np.argsort(marks, kind="stable")[:FEW_SAMPLES])
        self._marks, self._kept = marks[least], samples[least]

    def _check_nodes(self, got: int) -> None:
        if self.n_samples and got != self.n_nodes:
            raise ValueError(f"batches must have the {self.n_nodes} nodes of the first, got {got}")

    def _check_samples(self, least: int) -> None:
        if self.n_samples < least:
            raise ValueError(f"activations must have at least {least} samples (rows), got {self.n_samples}")

    def _varying(self) -> tuple[np.ndarray, np.ndarray]:
        self._check_samples(2)
        spread, by_rounding = self._spread()
        varying = np.flatnonzero(spread > by_rounding)
        if not len(varying):
            raise ValueError(f"all {self.n_nodes} nodes are constant over the samples; at least one must vary")
        if not (power := self._power()[varying]).min() > _LEAST:
            raise ValueError(
                f"{np.count_nonzero(power <= _LEAST)} of {self.n_nodes} nodes vary by less than some 1e-146, "
                "and squares of that have too few digits; multiply the activations by a large number"
            )
        scatter = self._products()
        return varying, scatter if len(varying) == self.n_nodes else scatter[np.ix_(varying, varying)]

    def _scaled(self) -> np.ndarray:
        scatter = self._varying()[1]
        return scatter / scatter.diagonal().max()


def _bounds(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], n_samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest values of both; an error if sums of squares about some point between are not finite."""
    least, largest = (np.minimum(one[0], other[0]), np.maximum(one[1], other[1])) if len(one[0]) else other
    with np.errstate(over="ignore", invalid="ignore"):
        if not n_samples * (largest - least).max() ** 2 < np.finfo(np.float64).max / 4:
            raise ValueError("activations must have differences whose squares are finite; divide them by their scale")
    return least, largest


def _marks(numbers: np.ndarray) -> np.ndarray:
    """A pseudorandom number for each number (splitmix64; Steele, Lea & Flood 2014).

    Numbers of samples, not their values: of samples that are equal, as those of zeros, no more are kept than of others.
    """
    marks = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    marks = (marks ^ (marks >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    marks = (marks ^ (marks >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return marks ^ (marks >> np.uint64(31))
