"""The VNI of samples in groups, as positions of images are: value and error by leaving out groups in turn.

Groups are independent of each other, and what they have inside does not matter. They are put together, in the order in
which they come, into 17 to 32 parts (fewer if there are fewer groups) of equally many groups, a power of two. Of each
part the sums over some of the nodes are held, all of them up to 128; so the same numbers come from an array and from
batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, nan

import numpy as np

from rmt_vn.measures.indicator.error import standard_error
from rmt_vn.measures.indicator.result import NodeVNI, of_one_node, of_too_few_samples, summarized, with_unseen_nodes

# Parts that are left out in turn, and nodes that tell of all by how much the VNI changes.
_PARTS, _NODES = 32, 128
# Of fewer groups nothing is known of the error.
_FEWEST = 4
# What is left of a node's sum of squares by rounding, relative to what it was.
_ROUNDING = 1e-12


@dataclass
class _Part:
    """Sums over the samples of some groups, of deviations from one origin."""

    groups: int
    samples: int
    total: np.ndarray
    products: np.ndarray

    def add(self, other: _Part) -> None:
        self.groups += other.groups
        self.samples += other.samples
        self.total = self.total + other.total
        self.products = self.products + other.products


def telling_nodes(varying: np.ndarray) -> np.ndarray:
    """Up to 128 nodes that tell of all: in random order, since neighbours may be alike, and those that vary first."""
    order = np.random.default_rng(0).permutation(len(varying))
    return np.sort(order[np.argsort(~varying[order], kind="stable")][:_NODES])


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


class GroupSums:
    """Sums over groups of samples that arrive in order, of the nodes that tell of all.

    Attributes
    ----------
    nodes : ndarray of int
        The columns of these nodes.
    n_groups : int
    """

    def __init__(self, nodes: np.ndarray) -> None:
        self.nodes, self.n_groups, self._most = nodes, 0, 1
        self._parts: list[_Part] = []
        self._origin = np.zeros(len(nodes))

    def update(self, x: np.ndarray, numbers: np.ndarray) -> None:
        """Add samples of these nodes, with the numbers of their groups, 0, 1, …, all of them in this batch."""
        if not self.n_groups:
            self._origin = x[0].copy()
        x = x - self._origin
        if np.any(numbers[1:] < numbers[:-1]):
            order = np.argsort(numbers, kind="stable")
            x, numbers = x[order], numbers[order]
        edges = np.searchsorted(numbers, np.arange(numbers.max() + 2))
        at, n_groups = 0, int(numbers.max()) + 1
        while at < n_groups:
            room = self._most - self._parts[-1].groups if self._parts else 0
            until = min(at + (room or self._most), n_groups)
            some = x[edges[at] : edges[until]]
            self._append(_Part(until - at, len(some), some.sum(axis=0), some.T @ some), fresh=not room)
            at = until

    def merge(self, other: GroupSums) -> None:
        """Add the groups of another; these sums are then of the nodes that both have."""
        if not other.n_groups:
            return
        if not self.n_groups:
            self.nodes, self._origin = other.nodes, other._origin
        _, ours, theirs = np.intersect1d(self.nodes, other.nodes, return_indices=True)
        self.nodes, self._origin = self.nodes[ours], self._origin[ours]
        self._parts = [_Part(p.groups, p.samples, p.total[ours], p.products[np.ix_(ours, ours)]) for p in self._parts]
        shift = other._origin[theirs] - self._origin
        for part in other._parts:
            total, products = part.total[theirs], part.products[np.ix_(theirs, theirs)]
            cross = np.outer(total, shift)
            products = products + cross + cross.T + part.samples * np.outer(shift, shift)
            self._append(_Part(part.groups, part.samples, total + part.samples * shift, products), fresh=True)

    def _append(self, part: _Part, *, fresh: bool) -> None:
        self.n_groups += part.groups
        if fresh:
            self._parts.append(part)
        else:
            self._parts[-1].add(part)
        while len(self._parts) > _PARTS:
            self._most *= 2
            pairs = [self._parts[at : at + 2] for at in range(0, len(self._parts), 2)]
            for first, *rest in pairs:
                for each in rest:
                    first.add(each)
            self._parts = [first for first, *_ in pairs]

    def vni(self, plug_in: float, counts: dict[str, int], caveats: tuple[str, ...]) -> NodeVNI:
        """The VNI of all nodes, of which the plug-in estimate is given."""
        counts = {**counts, "n_groups": self.n_groups}
        n_varying = counts["n_nodes"] - counts["constant_nodes"]
        if n_varying == 1:
            return of_one_node(counts, caveats)
        if self.n_groups < _FEWEST:
            several = "group of samples tells" if self.n_groups == 1 else "groups of samples tell"
            few = f"{self.n_groups} {several} nothing of the error; it takes {_FEWEST}"
            return of_too_few_samples(plug_in, counts, (*caveats, few))
        sizes = np.array([part.samples for part in self._parts], dtype=float)
        (whole, without), counted = self._left_out(n_varying)
        if np.isnan(whole):
            few = f"of the {len(self.nodes)} nodes that tell of the error fewer than two vary"
            return of_too_few_samples(plug_in, counts, (*caveats, few))
        # The jackknife for groups that need not be of one size: Busing, Meijer & van der Leeden (1999).
        repeats = sizes.sum() / sizes
        correction = np.sum((1 - 1 / repeats) * (whole - without))
        deviations = ((repeats - 1) * (whole - without) - correction) / np.sqrt(repeats - 1)
        counts, caveats = with_unseen_nodes(
            counts, caveats, n_varying + np.sum((1 - 1 / repeats) * (n_varying - counted))
        )
        stderr, freedom = standard_error(deviations)
        # Parts of very unequal size are as good as fewer equal ones.
        freedom = min(freedom, max(np.sum(1 / repeats**2) ** -1 - 1, 1.0))
        parts = ((0.0, inf), (stderr**2, float(freedom)))
        return summarized(plug_in + correction, parts, plug_in=plug_in, caveats=caveats, **counts)

    def _left_out(self, n_varying: int) -> tuple[tuple[float, np.ndarray], np.ndarray]:
        """The plug-in VNI of the nodes at hand, as if of n nodes, and without each part; how many vary without it."""
        samples = sum(part.samples for part in self._parts)
        total = np.sum([part.total for part in self._parts], axis=0)
        products = np.sum([part.products for part in self._parts], axis=0)
        power = products.diagonal() - total**2 / samples
        alive = power > _ROUNDING * products.diagonal()
        if alive.sum() < 2:
            return (nan, np.full(len(self._parts), nan)), np.zeros(len(self._parts))
        scale = n_varying / np.count_nonzero(alive)

        def of_rest(part: _Part | None) -> tuple[float, float]:
            rest, sums, squares = samples, total, products
            if part is not None:
                rest, sums, squares = samples - part.samples, total - part.total, products - part.products
            power_of_rest = squares.diagonal() - sums**2 / rest
            left = alive & (power_of_rest > _ROUNDING * power)
            # Nodes that do not vary get no weight in the sum of s_ij²/(s_ii s_jj), and it needs no matrix without them.
            inverse = np.where(left, 1 / np.where(left, power_of_rest, 1.0), 0.0)
            scatter = squares - np.outer(sums / rest, sums)
            n = max(int(np.count_nonzero(left)), 1)
            square = (inverse @ np.square(scatter, out=scatter) @ inverse - n) / max(n * (n - 1), 1)
            return 1 / (scale * n) + (1 - 1 / (scale * n)) * float(square), scale * n

        without, counted = np.array([of_rest(part) for part in self._parts]).T
        return (of_rest(None)[0], without), counted
