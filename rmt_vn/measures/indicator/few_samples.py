"""The VNI of few samples of many nodes: leaving out parts of them, from overlaps, samples × samples."""

from __future__ import annotations

from math import nan

import numpy as np

from rmt_vn.measures.indicator.bias import overlap_of_different_parts
from rmt_vn.measures.indicator.error import pair_variance
from rmt_vn.measures.indicator.leaving_out import LeftOut, part_numbers, value_of, values_without
from rmt_vn.measures.indicator.result import NodeVNI, of_too_few_samples
from rmt_vn.measures.nodes import Nodes
from rmt_vn.measures.paging import pieces

# With fewer samples there is a plug-in VNI, but nothing that leaving out tells.
LEAST_SAMPLES = 5
# Up to so many samples all nodes tell of the error; of more, some of them do.
FEW_SAMPLES = 256
# Numbers in one piece, of which there are several copies at a time.
_PIECE = 2**18


def too_few(n_samples: int) -> str:
    """The caveat of fewer samples than an error takes."""
    return f"{n_samples} samples tell nothing of the error; it takes {LEAST_SAMPLES}"


def vni_of_few_samples(nodes: Nodes, counts: dict[str, int]) -> NodeVNI:
    """The VNI and its error, from overlaps of samples: Σ_ij r_ij² = Σ_pq (a_p·a_q)²."""
    n_samples, n_varying = nodes.shape
    numbers = part_numbers(0, n_samples)
    parts = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
    kept = [parts, *(parts[:at] + parts[at + 1 :] for at in range(len(parts)))]
    sums = [_Overlaps(each) for each in kept]
    for columns in pieces(0, n_varying, n_samples, _PIECE):
        x = nodes.piece(columns=columns).astype(np.float64, copy=False)
        for each in sums:
            each.add(x, nodes.centred)
    overlaps = sums[0].overlaps * (n_samples / n_varying)
    plug_in = float(value_of(sums[0].square(), n_varying))
    if n_samples < LEAST_SAMPLES:
        return of_too_few_samples(plug_in, counts, (*nodes.caveats, too_few(n_samples)))
    overlap, *without = [each.overlap(nodes.centred) for each in sums]
    own, counted = sums[0].own / sums[0].count, np.array([each.count for each in sums[1:]])
    values = values_without(np.array(without), counted, n_varying, nodes.constant)
    left_out = LeftOut(value_of(overlap, n_varying), *values, counted, sums[0].sizes, own, n_samples)
    pairs = pair_variance(overlaps, n_samples, n_varying, left_out.overlap(n_varying), nodes.centred)
    return left_out.vni(plug_in, counts, nodes.caveats, *pairs)


class _Overlaps:
    """Sums over nodes that come piece by piece, of the samples of some parts."""

    def __init__(self, parts: list[np.ndarray]) -> None:
        self.rows, self.sizes = np.concatenate(parts), np.array([len(part) for part in parts])
        self.overlaps, self.own, self.count = np.zeros((len(self.rows), len(self.rows))), 0.0, 0

    def add(self, x: np.ndarray, centred: bool) -> None:
        x = x[self.rows]
        # A node may vary only over the samples of the part that is left out.
        x = x[:, np.ptp(x, axis=0) > 0] if centred else x[:, x.any(axis=0)]
        if centred:
            x = x - x.mean(axis=0)
        a = x / np.linalg.norm(x, axis=0)
        self.overlaps += a @ a.T
        self.own += np.sum(np.add.reduceat(a * a, self._first(), axis=0) ** 2)
        self.count += a.shape[1]

    def square(self) -> float:
        """v, the mean of r_ij² over i ≠ j; NaN where there is no pair."""
        if self.count < 2:
            return nan
        return float((np.vdot(self.overlaps, self.overlaps) - self.count) / (self.count * (self.count - 1)))

    def overlap(self, centred: bool) -> float:
        """w of the notes of `vni`, of the nodes that vary over these samples; NaN where there is no pair."""
        if self.count < 2:
            return nan
        squares = self.overlaps**2
        first = self._first()
        blocks = np.add.reduceat(np.add.reduceat(squares, first, axis=0), first, axis=1)
        within = (np.trace(blocks) - self.own) / (self.count * (self.count - 1))
        samples = float(self.sizes.sum()), float(self.sizes @ self.sizes)
        own = self.own / self.count
        return float(overlap_of_different_parts(self.square(), within, own, *samples, centred=centred))

    def _first(self) -> np.ndarray:
        return np.cumsum(self.sizes) - self.sizes
