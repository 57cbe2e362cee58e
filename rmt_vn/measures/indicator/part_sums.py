"""Sums over parts of the samples, which may come in batches, and the VNI without each of the parts.

There are up to 32 parts. Which samples, or groups of samples, as positions of images are, one is of is a matter of
chance; what groups have inside does not matter. Sums are held of some of the nodes, all of them up to 128; so the same
numbers come from an array and from batches.
"""

from __future__ import annotations

from math import nan

import numpy as np
from scipy.linalg.blas import dsyrk

from rmt_vn.measures.indicator.leaving_out import MOST_PARTS, LeftOut, part_numbers, value_of, values_without
from rmt_vn.measures.indicator.part_overlaps import ROUNDING, overlaps_without_each
from rmt_vn.measures.indicator.result import NodeVNI, of_one_node, of_too_few_samples

# Nodes that tell of all by how much the VNI changes.
TELLING_NODES = 128
# Of fewer groups nothing is known of the error.
_FEWEST = 4


def telling_nodes(varying: np.ndarray) -> np.ndarray:
    """Up to 128 nodes that tell of all: in random order, since neighbours may be alike, and those that vary first."""
    order = np.random.default_rng(0).permutation(len(varying))
    return np.sort(order[np.argsort(~varying[order], kind="stable")][:TELLING_NODES])


class PartSums:
    """Sums over parts of the samples, of the nodes that tell of all.

    Attributes
    ----------
    nodes : ndarray of int
        The columns of these nodes.
    n_groups : int
        Groups of samples, or samples if each is a group.
    origin : ndarray, shape (nodes,)
        The middle one of the first three samples: sums are of deviations from it, which cost no digits of what all
        samples share, nor, if one of them is far from all others, of these.
    """

    def __init__(self, nodes: np.ndarray) -> None:
        self.nodes, self.n_groups = nodes, 0
        self.origin = np.zeros(len(nodes))
        # Of each part the number of samples, and sums of them and of their products, of these half of each symmetric
        # matrix: on its diagonal and below. The last part is empty always: without it there are all samples.
        self._sizes = np.zeros(MOST_PARTS + 1)
        self._totals = np.zeros((MOST_PARTS + 1, len(nodes)))
        self._products = np.zeros((MOST_PARTS + 1, len(nodes), len(nodes)))

    def update(self, x: np.ndarray, numbers: np.ndarray | None = None) -> None:
        """Add samples of these nodes, with the numbers of their groups, which may have had samples before.

        Without numbers each sample is a group.
        """
        if not self.n_groups:
            self.origin = np.sort(x[:3], axis=0)[len(x[:3]) // 2].astype(np.float64)
        if numbers is None:
            parts = part_numbers(self.n_groups, len(x))
            self.n_groups += len(x)
        else:
            first = int(numbers.min())
            parts = part_numbers(first, int(numbers.max()) + 1 - first)[numbers - first]
            self.n_groups = max(self.n_groups, int(numbers.max()) + 1)
        x = np.subtract(x, self.origin, dtype=np.float64)
        if np.any(parts[1:] < parts[:-1]):
            order = np.argsort(parts, kind="stable")
            x, parts = x[order], parts[order]
        edges = np.searchsorted(parts, np.arange(MOST_PARTS + 1))
        for part in np.flatnonzero(edges[1:] > edges[:-1]):
            some = x[edges[part] : edges[part + 1]]
            self._sizes[part] += len(some)
            self._totals[part] += np.ones(len(some)) @ some
            if len(self.nodes):  # accumulators whose nodes varied at different times have none in common
                dsyrk(1.0, some.T, 1.0, self._products[part].T, overwrite_c=True)

    def merge(self, other: PartSums) -> None:
        """Add the groups of another; these sums are then of the nodes that both have."""
        if not other.n_groups:
            return
        both = self.among(other.nodes) if self.n_groups else PartSums(other.nodes)
        theirs = other.among(both.nodes)
        if not self.n_groups:
            both.origin = theirs.origin
        shift = theirs.origin - both.origin
        # The largest part goes to the smallest: else of many that have a group each all would be in one part.
        into = np.argsort(both._sizes[:MOST_PARTS], kind="stable")
        largest = np.argsort(-theirs._sizes, kind="stable")[: np.count_nonzero(theirs._sizes)]
        # Copies of these, since the other may be this one.
        taken = theirs._sizes[largest], theirs._totals[largest], theirs._products[largest]
        for part, size, total, products in zip(into, *taken, strict=False):
            cross = np.outer(total, shift)
            both._sizes[part] += size
            both._totals[part] += total + size * shift
            both._products[part] += products + cross + cross.T + size * np.outer(shift, shift)
        both.n_groups += theirs.n_groups
        self.nodes, self.n_groups, self.origin = both.nodes, both.n_groups, both.origin
        self._sizes, self._totals, self._products = both._sizes, both._totals, both._products

    def among(self, nodes: np.ndarray) -> PartSums:
        """These sums, of those nodes alone that are among the given columns; they themselves if these are all."""
        kept = np.isin(self.nodes, nodes)
        if kept.all():
            return self
        sums = PartSums(self.nodes[kept])
        sums.n_groups, sums.origin, sums._sizes = self.n_groups, self.origin[kept], self._sizes.copy()
        # Chosen along their last axis arrays are not in C order, in which alone `update` adds to them in place.
        sums._totals, sums._products = self._totals[:, kept], self._products[:, kept][:, :, kept].copy("C")
        return sums

    @property
    def n_samples(self) -> int:
        return int(self._sizes.sum())

    def mean(self) -> np.ndarray:
        """Means of the nodes, less the origin."""
        return self._totals.sum(axis=0) / self.n_samples

    def power(self) -> np.ndarray:
        """Sums of squared deviations from the means."""
        return self._diagonals().sum(axis=0) - self.n_samples * self.mean() ** 2

    def scatter(self) -> np.ndarray:
        """Sums of products of deviations from the means, shape (nodes, nodes)."""
        mean = self.mean()
        return _whole(self._products.sum(axis=0)) - self.n_samples * np.outer(mean, mean)

    def concentration(self) -> float:
        """(K − 1)/P for nodes of kurtosis K, as parts tell: near one if one sample is all that nodes vary by."""
        mean, power, sizes = self.mean(), self.power(), self._sizes[:, None]
        of_parts = self._diagonals() - (2 * self._totals - sizes * mean) * mean
        shares = of_parts[:, power > 0] / power[power > 0]
        return float(np.mean(np.sum(shares**2, axis=0)) - np.sum((sizes / self.n_samples) ** 2)) if shares.size else 1.0

    def mean_and_size(self, *, centred: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Means of the nodes, and the lengths of their deviations from them; or zeros, and of the nodes themselves."""
        if centred:
            return self.origin + self.mean(), np.sqrt(self.power())
        total = self._totals.sum(axis=0)
        power = self._diagonals().sum(axis=0) + (2 * total + self.n_samples * self.origin) * self.origin
        return np.zeros(len(total)), np.sqrt(power)

    def _diagonals(self) -> np.ndarray:
        return self._products.diagonal(axis1=1, axis2=2)

    def left_out(
        self, n_varying: int, *, independent: bool, constant: int = 0, centred: bool = True
    ) -> tuple[LeftOut, float]:
        """The VNI of the nodes at hand, as if of n nodes, and without each part; and their plug-in VNI.

        Parameters
        ----------
        n_varying : int
        independent : bool
            Whether samples of one part are independent of each other.
        constant : int
            How many nodes are constant over all samples, beside those n.
        centred : bool
            Whether deviations are from the mean of the samples, or from zero.
        """
        parts = [*np.flatnonzero(self._sizes), MOST_PARTS]
        sizes, totals = self._sizes[parts], self._totals[parts]
        # Deviations are from the origin; these are from here.
        here = totals.sum(axis=0) / sizes.sum() if centred else -self.origin
        deviations = totals - np.outer(sizes, here)
        diagonals = self._diagonals()[parts]
        power = np.sum(diagonals - (totals + deviations) * here, axis=0)
        alive = power > ROUNDING * diagonals.sum(axis=0)
        n_alive = int(np.count_nonzero(alive))
        if n_alive < 2:
            nothing = np.full(len(sizes) - 1, nan)
            return LeftOut(nan, nothing, nothing, np.zeros(len(nothing)), sizes[:-1], nan, self.n_groups), nan
        inverse = 1 / np.sqrt(power[alive])
        before, after, here = totals[:, alive] * inverse, deviations[:, alive] * inverse, here[alive] * inverse
        held = self._products if n_alive == len(alive) else self._products[:, alive][:, :, alive]
        unit = np.outer(inverse, inverse)
        products = np.empty((len(parts), n_alive, n_alive))
        # Part by part, since one fits into the processor's cache.
        shared = np.broadcast_to(here, after.shape)
        moved = zip(np.stack([before, shared], axis=2), np.stack([shared, after], axis=1), strict=True)
        for of_part, part, (left, right) in zip(products, parts, moved, strict=True):
            np.multiply(_whole(held[part]), unit, out=of_part)
            of_part -= left @ right
        found = overlaps_without_each(
            products, after if centred else np.zeros_like(after), sizes, independent=independent, centred=centred
        )
        counted = n_varying * found.count[:-1] / n_alive
        whole = float(value_of(found.overlap[-1], n_varying))
        without, of_all_nodes = values_without(found.overlap[:-1], counted, n_varying, constant)
        left_out = LeftOut(whole, without, of_all_nodes, counted, sizes[:-1], found.own, self.n_groups)
        return left_out, float(value_of(found.square[-1], n_varying))


def _whole(lower: np.ndarray) -> np.ndarray:
    """A symmetric matrix, of which what is above the diagonal was not there."""
    return np.tril(lower) + np.tril(lower, -1).T


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
    left_out, of_telling = sums.left_out(n_varying, independent=False, constant=counts["constant_nodes"])
    if np.isnan(of_telling):
        few = f"of the {len(sums.nodes)} nodes that tell of the error fewer than two vary"
        return of_too_few_samples(plug_in, counts, (*caveats, few))
    value = plug_in + (left_out.whole + left_out.correction - of_telling)
    return left_out.vni(plug_in, counts, caveats, value=value)
