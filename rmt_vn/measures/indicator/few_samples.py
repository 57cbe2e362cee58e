"""The VNI of few samples: the jackknife, from overlaps, samples × samples."""

from __future__ import annotations

from math import nan

import numpy as np

from rmt_vn.measures.indicator.bias import debiasing, uncorrelated_part
from rmt_vn.measures.indicator.error import pair_variance, standard_error, variance_parts
from rmt_vn.measures.indicator.result import NodeVNI, of_too_few_samples, summarized, with_unseen_nodes
from rmt_vn.measures.nodes import Nodes
from rmt_vn.measures.paging import pieces

# With fewer samples there is a plug-in VNI, but no correction of its bias, which divides by (P − 3)(P − 4).
LEAST_SAMPLES = 5
# Up to so many samples the jackknife is worth its cost; beyond, the correction that it would make is computed.
FEW_SAMPLES = 256
# Groups of samples that the jackknife leaves out in turn.
_GROUPS = 20
# Numbers in one piece, of which there are several copies at a time.
_PIECE = 2**18


def vni_of_few_samples(nodes: Nodes, counts: dict[str, int]) -> NodeVNI:
    """w of the notes of `vni` and its jackknife, from overlaps of samples: Σ_ij r_ij² = Σ_pq (a_p·a_q)²."""
    n_samples, n_varying = nodes.shape
    edges = np.linspace(0, n_samples, min(n_samples, _GROUPS) + 1).round().astype(int)
    sizes = np.diff(edges)
    groups = [np.arange(0), *np.split(np.arange(n_samples), edges[1:-1])]
    kept = [np.delete(np.arange(n_samples), group) for group in groups]
    sums = [_Overlaps(len(rows)) for rows in kept]
    for columns in pieces(0, n_varying, n_samples, _PIECE):
        x = nodes.piece(columns=columns).astype(np.float64, copy=False)
        for rows, each in zip(kept, sums, strict=True):
            each.add(x[rows], nodes.centred)
    square, joint = np.array([each.off_diagonal() for each in sums]).T
    off = 1 - 1 / n_varying
    plug_in = float(1 / n_varying + off * square[0])
    if n_samples < LEAST_SAMPLES:
        return of_too_few_samples(plug_in, counts, nodes.caveats)
    linear, excess = debiasing(square, joint, np.array([len(rows) for rows in kept]), centred=nodes.centred)
    whole, *rest = linear - uncorrelated_part(linear[0], excess[0]) * excess
    # Where few samples are not zero, some nodes vary through those of one group alone, and others not at all: how many
    # there are is estimated by leaving out, too.
    counted = np.maximum([each.count for each in sums[1:]], 1.0)
    whole, without = 1 / n_varying + off * whole, 1 / counted + (1 - 1 / counted) * np.array(rest)
    # The jackknife for groups that need not be of one size: Busing, Meijer & van der Leeden (1999).
    if not np.all(np.isfinite(without)):
        few = f"without some of {n_samples} samples fewer than two nodes vary, which tells nothing of the error"
        return of_too_few_samples(plug_in, counts, (*nodes.caveats, few))
    repeats = n_samples / sizes
    value = len(sizes) * whole - np.sum((1 - 1 / repeats) * without)
    deviations = (repeats * whole - (repeats - 1) * without - value) / np.sqrt(repeats - 1)
    overlap = (value - 1 / n_varying) / off
    found = len(sizes) * n_varying - np.sum((1 - 1 / repeats) * counted)
    counts, caveats = with_unseen_nodes(counts, nodes.caveats, found)
    overlaps = sums[0].overlaps * (n_samples / n_varying)
    pairs, known = pair_variance(overlaps, n_samples, n_varying, overlap, nodes.centred)
    stderr, freedom = standard_error(deviations, pairs, known)
    variances = variance_parts(stderr, freedom, known)
    return summarized(value, variances, plug_in=plug_in, caveats=caveats, **counts)


class _Overlaps:
    """Sums over nodes that come piece by piece, from which v and k follow."""

    def __init__(self, n_samples: int) -> None:
        self.overlaps, self.norms = np.zeros((n_samples, n_samples)), np.zeros(n_samples)
        self.fourth, self.count = 0.0, 0

    def add(self, x: np.ndarray, centred: bool) -> None:
        # A node may vary only over the samples of the group that is left out.
        x = x[:, np.ptp(x, axis=0) > 0] if centred else x[:, x.any(axis=0)]
        if centred:
            x = x - x.mean(axis=0)
        a = x / np.linalg.norm(x, axis=0)
        self.overlaps += a @ a.T
        squares = a * a
        self.norms += squares.sum(axis=1)
        self.fourth += np.vdot(squares, squares)
        self.count += a.shape[1]

    def off_diagonal(self) -> tuple[float, float]:
        """v and k, means over i ≠ j; NaN where there is no pair."""
        pairs = self.count * (self.count - 1)
        if not pairs:
            return nan, nan
        square = (np.vdot(self.overlaps, self.overlaps) - self.count) / pairs
        joint = len(self.norms) * (np.vdot(self.norms, self.norms) - self.fourth) / pairs
        return float(square), float(joint)
