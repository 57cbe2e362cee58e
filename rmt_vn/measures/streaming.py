"""The measures of activations that come batch by batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.measures.arrays import as_samples, finite_array
from rmt_vn.measures.indicator import FEW_SAMPLES, NodeVNI, of_many, shares, vni
from rmt_vn.measures.redundancy import checked_threshold, linked_groups
from rmt_vn.measures.spectrum import rank_of, stable_rank_of


class VNIAccumulator:
    """Means and covariance of nodes from batches of samples, and the measures of `rmt_vn.measures` at any time.

    Holds nodes² + 256 nodes numbers and a few times nodes more, in float64, however many samples come. Means are
    carried with twice the digits, so that means a million times the spread cost none. Order and sizes of batches make
    no difference but for rounding, nor does whether samples went through one accumulator or through several that were
    merged.

    Measures of the sample (`NodeVNI.plug_in`, ranks, correlations) are those of the functions. So is the whole of
    `vni` up to 256 samples, which are kept, but for the order in which the jackknife takes them. Of more, 256 are kept,
    drawn by a hash of their values: k of the notes of `vni` is theirs, which adds to the error.

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
        self._scatter = np.zeros((0, 0))
        self._marks, self._kept = np.zeros(0, np.uint64), np.zeros((0, 0))

    @property
    def n_nodes(self) -> int:
        """Nodes, or 0 before the first batch."""
        return len(self._scatter)

    def update(self, batch: ArrayLike, *, node_axis: int = -1) -> None:
        """Add a batch of samples, shape (samples, nodes) or more axes.

        Raises
        ------
        TypeError
            If the values are not real numbers.
        ValueError
            If values are NaN or infinite or have squares that are, or the number of nodes is another than before. The
            accumulator is then as it was.
        """
        x = finite_array("activations", as_samples(batch, node_axis))
        if not len(x):
            return
        # From a sample before the mean: what all samples have in common costs no digits, and a constant gives zero.
        high = x[0] if not self.n_samples else self._high
        low = np.zeros_like(high) if not self.n_samples else self._low
        self._check_nodes(len(high), x.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):
            centred = (x - high) - low
            step = centred.mean(axis=0)
            centred -= step
            self._add(len(x), high, low, step, centred.T @ centred)
        self._keep(_marks(x), x)

    def merge(self, other: VNIAccumulator) -> None:
        """Add all samples that another accumulator has seen; it stays as it was. Errors as `update`."""
        if not other.n_samples:
            return
        if not self.n_samples:
            self._add(other.n_samples, other._high, other._low, np.zeros_like(other._low), other._scatter)
        else:
            self._check_nodes(self.n_nodes, other.n_nodes)
            with np.errstate(over="ignore", invalid="ignore"):
                step = (other._high - self._high) + (other._low - self._low)
                self._add(other.n_samples, self._high, self._low, step, other._scatter)
        self._keep(other._marks, other._kept)

    def mean(self) -> np.ndarray:
        """Means of the nodes, shape (nodes,)."""
        self._check_samples(1)
        return self._high + self._low

    def covariance(self) -> np.ndarray:
        """Covariance of the nodes, with divisor samples − 1, shape (nodes, nodes)."""
        self._check_samples(2)
        return self._scatter / (self.n_samples - 1)

    def correlation(self) -> np.ndarray:
        """ρ_ij of the live nodes, as `rmt_vn.measures.correlation`."""
        scatter = self._live()[1]
        inverse = 1 / np.sqrt(scatter.diagonal())
        return scatter * inverse * inverse[:, None]

    def vni(self) -> NodeVNI:
        """VNI, its bias removed, with a confidence interval. Errors as `rmt_vn.measures.vni`."""
        live, scatter = self._live()
        if self.n_samples <= FEW_SAMPLES:
            return vni(self._kept)
        p, n = self.n_samples, len(live)
        counts = {"n_nodes": self.n_nodes, "n_samples": p, "dead_nodes": self.n_nodes - n}
        if n == 1:
            return NodeVNI(1.0, 0.0, (1.0, 1.0), 1.0, 1.0, **counts)
        rho = self.correlation()
        z = ((self._kept - self._high) - self._low)[:, live] / np.sqrt(scatter.diagonal() * (n / p))
        squares = np.square(rho)
        np.fill_diagonal(squares, 0)
        pairs = n * (n - 1)
        square = squares.sum() / pairs
        joint, share = shares(z, np.sum((z @ rho) * z, axis=1), squares.sum(axis=1) + 1, square, p)
        return of_many(square, np.vdot(squares, squares) / pairs, joint, share, z @ z.T, counts)

    def participation_ratio(self) -> float:
        """(Tr C)²/Tr C² of the sample, as `rmt_vn.measures.participation_ratio`."""
        scatter = self._scaled()
        return float(np.trace(scatter) ** 2 / np.vdot(scatter, scatter))

    def effective_rank(self) -> float:
        """As `rmt_vn.measures.effective_rank`."""
        return rank_of(self._scaled())

    def stable_rank(self) -> float:
        """As `rmt_vn.measures.stable_rank`."""
        return stable_rank_of(self._scaled())

    def near_duplicates(self, threshold: float = 0.99) -> list[np.ndarray]:
        """As `rmt_vn.measures.near_duplicates`."""
        checked_threshold(threshold)
        links = np.nonzero(np.abs(self.correlation()) >= threshold * (1 - 1e-12))
        return linked_groups(np.array(links), self._live()[0])

    def _add(self, count: int, high: np.ndarray, low: np.ndarray, step: np.ndarray, scatter: np.ndarray) -> None:
        """Chan, Golub & LeVeque (1983): `count` samples whose mean is high + low + step."""
        before, total = self.n_samples, self.n_samples + count
        scatter = scatter + np.outer(step * (before * count / total), step)
        if before:
            scatter += self._scatter
        step = low + step * (count / total)
        # Two numbers for a mean: the nearest double, and what is missing.
        mean = high + step
        missing = (high - mean) + step
        if not (np.isfinite(scatter).all() and np.isfinite(mean).all()):
            raise ValueError("activations must have differences whose squares are finite; divide them by their scale")
        self.n_samples, self._high, self._low, self._scatter = total, mean, missing, scatter

    def _keep(self, marks: np.ndarray, samples: np.ndarray) -> None:
        """The samples of the least marks, of those kept and these: whichever came first."""
        if len(self._marks):
            marks, samples = np.concatenate([self._marks, marks]), np.concatenate([self._kept, samples])
        least = np.argsort(marks, kind="stable")[:FEW_SAMPLES]
        self._marks, self._kept = marks[least], samples[least]

    def _check_nodes(self, expected: int, got: int) -> None:
        if expected != got:
            raise ValueError(f"batches must have the {expected} nodes of the first, got {got}")

    def _check_samples(self, least: int) -> None:
        if self.n_samples < least:
            raise ValueError(f"activations must have at least {least} samples (rows), got {self.n_samples}")

    def _live(self) -> tuple[np.ndarray, np.ndarray]:
        self._check_samples(2)
        live = np.flatnonzero(self._scatter.diagonal() > 0)
        if not len(live):
            raise ValueError(f"all {self.n_nodes} nodes are constant over the samples; at least one must vary")
        return live, self._scatter[np.ix_(live, live)]

    def _scaled(self) -> np.ndarray:
        scatter = self._live()[1]
        return scatter / scatter.diagonal().max()


def _marks(samples: np.ndarray) -> np.ndarray:
    """A number for each sample, as good as random, that depends on nothing but its values."""
    # Zero has two signs.
    bits = np.ascontiguousarray(samples + 0.0).view(np.uint64)
    keys = np.random.default_rng(0).integers(2**64, size=bits.shape[1], dtype=np.uint64, endpoint=False) | np.uint64(1)
    # The low bits of doubles are often zero: they are mixed in before and after (Knuth's multiplicative hashing).
    marks = ((bits ^ (bits >> np.uint64(29))) * keys).sum(axis=1, dtype=np.uint64)
    marks = (marks ^ (marks >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    return marks ^ (marks >> np.uint64(29))
