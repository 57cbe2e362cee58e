"""Sums over parts of the samples, which may come in batches, and the VNI without each of the parts.

There are up to 32 parts. Which samples, or groups of samples, as positions of images are, one is of is a matter of
chance; what groups have inside does not matter. Sums are held of some of the nodes, all of them up to 128; so the same
numbers come from an array and from batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan

import numpy as np

from rmt_vn.measures.indicator.bias import overlap_of_different_parts
from rmt_vn.measures.indicator.leaving_out import MOST_PARTS, LeftOut, part_numbers
from rmt_vn.measures.indicator.result import NodeVNI, of_one_node, of_too_few_samples

# Nodes that tell of all by how much the VNI changes.
TELLING_NODES = 128
# Of fewer groups nothing is known of the error.
_FEWEST = 4
# What is left of a node's sum of squares by rounding, relative to what it was.
_ROUNDING = 1e-12


def telling_nodes(varying: np.ndarray) -> np.ndarray:
    """Up to 128 nodes that tell of all: in random order, since neighbours may be alike, and those that vary first."""
    order = np.random.default_rng(0).permutation(len(varying))
    return np.sort(order[np.argsort(~varying[order], kind="stable")][:TELLING_NODES])


def whole_groups(numbers: np.ndarray, most: int) -> Iterator[tuple[slice | np.ndarray, np.ndarray]]:
    """Rows and group numbers from 0 on, of as many whole groups at a time as have no more than `most` samples, or one.

    `numbers` are the groups of the samples, each from 0 to the largest at least once. Where they are in order, rows are
    a slice.
    """
    in_order = not np.any(numbers[1:] < numbers[:-1])
    order = np.arange(len(numbers)) if in_order else np.argsort(numbers, kind="stable")
    edges = np.searchsorted(numbers[order], np.arange(numbers.max() + 2))
    first = 0
    while first < len(edges) - 1:
        last = max(first + 1, int(np.searchsorted(edges, edges[first] + most, side="right")) - 1)
        chosen = slice(int(edges[first]), int(edges[last]))
        rows = chosen if in_order else order[chosen]
        yield rows, numbers[rows] - first
        first = last


class PartSums:
    """Sums over parts of the samples, of the nodes that tell of all.

    Attributes
    ----------
    nodes : ndarray of int
        The columns of these nodes.
    n_groups : int
        Groups of samples, or samples if each is a group.
    """

    def __init__(self, nodes: np.ndarray) -> None:
        self.nodes, self.n_groups = nodes, 0
        self._origin = np.zeros(len(nodes))
        # Of each part the number of samples, and sums of them and of their products, as deviations from the origin.
        self._sizes = np.zeros(MOST_PARTS)
        self._totals = np.zeros((MOST_PARTS, len(nodes)))
        self._products = np.zeros((MOST_PARTS, len(nodes), len(nodes)))

    def update(self, x: np.ndarray, numbers: np.ndarray | None = None) -> None:
        """Add samples of these nodes, with the numbers of their groups, 0, 1, …, all of them in this batch.

        Without numbers each sample is a group.
        """
        if not self.n_groups:
            self._origin = x[0].copy()
        n_groups = len(x) if numbers is None else int(numbers.max()) + 1
        parts = part_numbers(self.n_groups, n_groups)
        if numbers is not None:
            parts = parts[numbers]
        order = np.argsort(parts, kind="stable")
        x, edges = (x - self._origin)[order], np.searchsorted(parts[order], np.arange(MOST_PARTS + 1))
        for part in np.unique(parts):
            some = x[edges[part] : edges[part + 1]]
            self._sizes[part] += len(some)
            self._totals[part] += some.sum(axis=0)
            self._products[part] += some.T @ some
        self.n_groups += n_groups

    def merge(self, other: PartSums) -> None:
        """Add the groups of another; these sums are then of the nodes that both have."""
        if not other.n_groups:
            return
        both = self.among(other.nodes) if self.n_groups else PartSums(other.nodes)
        theirs = other.among(both.nodes)
        if not self.n_groups:
            both._origin = theirs._origin
        shift = theirs._origin - both._origin
        # What has few groups has some empty parts, which are filled first.
        empty = iter(np.flatnonzero(both._sizes == 0))
        for part in np.flatnonzero(theirs._sizes):
            size, total = theirs._sizes[part], theirs._totals[part]
            cross, into = np.outer(total, shift), next(empty, part)
            both._sizes[into] += size
            both._totals[into] += total + size * shift
            both._products[into] += theirs._products[part] + cross + cross.T + size * np.outer(shift, shift)
        both.n_groups += theirs.n_groups
        self.nodes, self.n_groups, self._origin = both.nodes, both.n_groups, both._origin
        self._sizes, self._totals, self._products = both._sizes, both._totals, both._products

    def among(self, nodes: np.ndarray) -> PartSums:
        """These sums, of those nodes alone that are among the given columns."""
        kept = np.isin(self.nodes, nodes)
        sums = PartSums(self.nodes[kept])
        sums.n_groups, sums._origin, sums._sizes = self.n_groups, self._origin[kept], self._sizes.copy()
        sums._totals, sums._products = self._totals[:, kept], self._products[:, kept][:, :, kept]
        return sums

    def mean_and_size(self, *, centred: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Means of the nodes, and the lengths of their deviations from them; or zeros, and of the nodes themselves."""
        samples, total = self._sizes.sum(), self._totals.sum(axis=0)
        power = self._products.sum(axis=0).diagonal()
        if centred:
            return self._origin + total / samples, np.sqrt(power - total**2 / samples)
        return np.zeros(len(total)), np.sqrt(power + (2 * total + samples * self._origin) * self._origin)

    def left_out(self, n_varying: int, *, independent: bool, centred: bool = True) -> tuple[LeftOut, float]:
        """The VNI of the nodes at hand, as if of n nodes, and without each part; and their plug-in VNI.

        Parameters
        ----------
        n_varying : int
        independent : bool
            Whether samples of one part are independent of each other.
        centred : bool
            Whether deviations are from the mean of the samples, or from zero.
        """
        filled = self._sizes > 0
        sizes, totals, products = self._sizes[filled], self._totals[filled], self._products[filled]
        about_origin = products.sum(axis=0).diagonal()
        if centred:
            mean = totals.sum(axis=0) / sizes.sum()
            deviations = totals - np.outer(sizes, mean)
            products = products - totals[:, :, None] * mean - mean[:, None] * deviations[:, None, :]
        else:
            origin, deviations = self._origin, np.zeros_like(totals)
            products = products + totals[:, :, None] * origin + origin[:, None] * totals[:, None, :]
            products += sizes[:, None, None] * np.outer(origin, origin)
        power = products.sum(axis=0).diagonal()
        alive = power > _ROUNDING * about_origin
        n_alive = int(np.count_nonzero(alive))
        if n_alive < 2:
            nothing = np.full(len(sizes), nan)
            return LeftOut(nan, nothing, np.zeros(len(sizes)), sizes, nan, self.n_groups), nan
        unit = np.sqrt(power[alive])
        products = products[:, alive][:, :, alive] / unit / unit[:, None]
        moments = _Moments.of(products, deviations[:, alive] / unit, sizes)
        scale = n_varying / n_alive

        def vni_of(square: float, count: int) -> float:
            n = max(scale * count, 1.0)
            return 1 / n + (1 - 1 / n) * square

        (plug_in, whole, _), *rest = [
            moments.overlaps(at, independent=independent, centred=centred) for at in (None, *range(len(sizes)))
        ]
        counted = np.array([count for *_, count in rest])
        without = np.array([vni_of(square, count) for _, square, count in rest])
        own = float(np.mean(np.sum(products.diagonal(axis1=1, axis2=2) ** 2, axis=0)))
        left_out = LeftOut(vni_of(whole, n_alive), without, scale * counted, sizes, own, self.n_groups)
        return left_out, vni_of(plug_in, n_alive)


def vni_of_groups(sums: PartSums, plug_in: float, counts: dict[str, int], caveats: tuple[str, ...]) -> NodeVNI:
    """The VNI of all nodes, of which the plug-in estimate is given, from groups of samples."""
    counts = {**counts, "n_groups": sums.n_groups}
    n_varying = counts["n_nodes"] - counts["constant_nodes"]
    if n_varying == 1:
        return of_one_node(counts, caveats)
    if sums.n_groups < _FEWEST:
        several = "group of samples tells" if sums.n_groups == 1 else "groups of samples tell"
        few = f"{sums.n_groups} {several} nothing of the error; it takes {_FEWEST}"
        return of_too_few_samples(plug_in, counts, (*caveats, few))
    left_out, of_telling = sums.left_out(n_varying, independent=False)
    if np.isnan(of_telling):
        few = f"of the {len(sums.nodes)} nodes that tell of the error fewer than two vary"
        return of_too_few_samples(plug_in, counts, (*caveats, few))
    value = plug_in + (left_out.whole + left_out.correction - of_telling)
    return left_out.vni(plug_in, counts, caveats, value=value)


@dataclass(frozen=True)
class _Moments:
    """Sums over parts h of what their products C_h and totals T_h, of deviations from the mean, are multiplied to."""

    products: np.ndarray
    totals: np.ndarray
    sizes: np.ndarray
    full: np.ndarray
    squares: np.ndarray  # Σ C_ij²
    thirds: np.ndarray  # Σ C_ij T_i
    seconds: np.ndarray  # Σ T_i T_j
    weighted: np.ndarray  # Σ n C_ij

    @classmethod
    def of(cls, products: np.ndarray, totals: np.ndarray, sizes: np.ndarray) -> _Moments:
        squares = np.einsum("hij,hij->ij", products, products)
        thirds = np.einsum("hij,hi->ij", products, totals)
        weighted = np.tensordot(sizes, products, axes=1)
        return cls(products, totals, sizes, products.sum(axis=0), squares, thirds, totals.T @ totals, weighted)

    def overlaps(self, at: int | None, *, independent: bool, centred: bool) -> tuple[float, float, int]:
        """v, w of the notes of `vni`, and the number of nodes that vary, without part `at`.

        Without it the mean moves by −T/(P − n), and products of the other parts with it: C − Tδᵀ − δTᵀ + nδδᵀ. Sums of
        squares of these over parts are expanded, so that no part is touched again.
        """
        left = np.arange(len(self.sizes)) != at
        full, diagonal, step = self.full, self.squares.diagonal(), np.zeros(len(self.full))
        if at is not None:
            c, t, size = self.products[at], self.totals[at], self.sizes[at]
            step = -t / self.sizes[left].sum()
            full = full - c
            full -= np.outer(self.sizes[left].sum() * step, step)
        scatter = full.diagonal()
        alive = scatter > _ROUNDING
        count = int(np.count_nonzero(alive))
        if count < 2:
            return nan, nan, count
        pairs = count * (count - 1)
        w = np.where(alive, 1 / np.where(alive, scatter, 1.0), 0.0)
        square = (w @ np.square(full, out=full if at is not None else None) @ w - count) / pairs
        total = w @ self.squares @ w
        if at is not None:
            # Σ w_i w_j of squares of C − Tδᵀ − δTᵀ + nδδᵀ, and, for κ₀, of those with i = j.
            v, of_sizes, uneven = w * step, np.sum(self.sizes[left] ** 2), self.sizes[left] @ self.totals[left]
            thirds = w @ self.thirds @ v - (w * t) @ c @ v
            seconds = v @ self.seconds @ v - (v @ t) ** 2
            weighted = v @ self.weighted @ v - size * (v @ c @ v)
            own_seconds, s = self.seconds.diagonal() - t**2, v @ step
            total += -(w @ np.square(c) @ w) - 4 * thirds + 2 * (weighted + seconds) + 2 * (w @ own_seconds) * s
            total += of_sizes * s**2 - 4 * (v @ uneven) * s
            own_thirds, own_weighted = self.thirds.diagonal() - c.diagonal() * t, self.weighted.diagonal()
            diagonal = diagonal - c.diagonal() ** 2 - 4 * own_thirds * step
            diagonal += step**2 * (2 * (own_weighted - size * c.diagonal()) + 4 * own_seconds)
            diagonal += step**3 * (of_sizes * step - 4 * uneven)
        own = diagonal @ w**2
        within = (total - own) / pairs
        by_means = None if independent else self._left_by_means(left, step, w) / pairs
        overlap = overlap_of_different_parts(
            square, within, own / count, self.sizes[left], centred=centred, left=by_means
        )
        return float(square), float(overlap), count

    def _left_by_means(self, left: np.ndarray, step: np.ndarray, inverse: np.ndarray) -> float:
        """m of the notes of `vni`, summed over i ≠ j: from totals of parts, whose samples may depend on each other.

        2/P Σ_h C_ij T_i T_j − (Σ_h T_i²)(Σ_h T_j²)/P², to leading order in the number of parts.
        """
        products, sizes, before = self.products[left], self.sizes[left], self.totals[left]
        totals = before - np.outer(sizes, step)
        t = totals * inverse
        along = t @ step
        of_each = np.einsum("hi,hi->h", (t[:, None] @ products)[:, 0], t)
        of_each += along * (sizes * along - 2 * np.einsum("hi,hi->h", t, before))
        own = np.einsum("hii->hi", products) + step * (sizes[:, None] * step - 2 * before)
        of_each -= np.einsum("hi,hi->h", own, t**2)
        squares = np.sum(totals * t, axis=0)
        return float(2 * of_each.sum() / sizes.sum() - (squares.sum() ** 2 - squares @ squares) / sizes.sum() ** 2)
