"""What leaving out parts of the samples in turn tells: the bias that is left, the error, and how many nodes vary."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from rmt_vn.measures.indicator.error import standard_error, variance_parts
from rmt_vn.measures.indicator.result import NodeVNI, of_too_few_samples, summarized, with_unseen_nodes

# Parts that are left out in turn.
MOST_PARTS = 32
# So many samples are put into parts by one generator of random numbers.
_BLOCK = 4096
# From fewer samples or groups, or of nodes of larger kurtosis, intervals may miss the truth too often, and estimates
# be off by up to an error (tests/benchmarks/coverage_of_vni.py). Exponential nodes have 9.
_FEW, _FEW_GROUPS, _HEAVY = 10, 6, 10.0


def part_numbers(first: int, count: int) -> np.ndarray:
    """The parts, 0 to 31, of samples (or groups) number first, first + 1, …: the same numbers for the same samples.

    One of the first 32 samples is in each part, and all others are where chance puts them: neighbours may be alike, as
    those of data that are sorted by class, and parts of neighbours would not be like samples of one population.
    """
    blocks = range(first // _BLOCK, (first + count - 1) // _BLOCK + 1)
    drawn = np.concatenate([_drawn(block) for block in blocks])
    start = first - blocks.start * _BLOCK
    return drawn[start : start + count]


@lru_cache(maxsize=64)  # batches are small, and ask for the same block again and again
def _drawn(block: int) -> np.ndarray:
    drawn = np.random.default_rng(block).integers(MOST_PARTS, size=_BLOCK)
    if block == 0:
        drawn[:MOST_PARTS] = np.arange(MOST_PARTS)
    return drawn


def value_of(overlap: Any, n_nodes: Any) -> Any:
    """The VNI of n nodes, 1/n + (1 − 1/n) w."""
    return 1 / n_nodes + (1 - 1 / n_nodes) * overlap


def values_without(
    overlap: np.ndarray, counted: np.ndarray, n_varying: int, constant: int
) -> tuple[np.ndarray, np.ndarray]:
    """`without` and `of_all_nodes` of `LeftOut`, from w and the number of nodes that vary without each part."""
    without = value_of(overlap, np.maximum(counted, 1.0))
    return without, without if constant else value_of(overlap, n_varying)


@dataclass(frozen=True)
class LeftOut:
    """The VNI of all samples and without each part of them, as the jackknife for parts of any size takes them.

    Busing, Meijer & van der Leeden (1999).

    Attributes
    ----------
    whole : float
    without : ndarray, shape (parts,)
    of_all_nodes : ndarray, shape (parts,)
        The same, but of all nodes, if all of them vary over all samples: their number is known then, and that fewer of
        them vary without a part tells of the error, but of no bias.
    counted : ndarray, shape (parts,)
        How many nodes vary without each part.
    sizes : ndarray, shape (parts,)
        Samples of each part.
    own : float
        κ₀ of the notes of `vni`, of all samples.
    n_groups : int
        Groups of samples, or samples if each is a group.
    """

    whole: float
    without: np.ndarray
    of_all_nodes: np.ndarray
    counted: np.ndarray
    sizes: np.ndarray
    own: float
    n_groups: int

    @property
    def repeats(self) -> np.ndarray:
        """How many parts there would be if all were as large as this one."""
        return self.sizes.sum() / self.sizes

    @property
    def correction(self) -> float:
        """What is to be added to remove bias to first order."""
        return self._added_up(self.of_all_nodes)

    @property
    def deviations(self) -> np.ndarray:
        """What each part contributes; their mean square is the variance."""
        added_up = self._added_up(self.without)
        return ((self.repeats - 1) * (self.whole - self.without) - added_up) / np.sqrt(self.repeats - 1)

    def _added_up(self, without: np.ndarray) -> float:
        return float(np.sum((1 - 1 / self.repeats) * (self.whole - without)))

    def overlap(self, n_varying: int) -> float:
        """The mean of ρ² over i ≠ j."""
        return (self.whole + self.correction - 1 / n_varying) / (1 - 1 / n_varying)

    def nodes_that_vary(self, n_varying: int) -> float:
        """How many nodes vary over more and more samples."""
        return n_varying + float(np.sum((1 - 1 / self.repeats) * (n_varying - self.counted)))

    @property
    def kurtosis(self) -> float:
        """P Σ a_p⁴, its mean over nodes, as parts of the samples tell; for groups a_p² is their sum over a group."""
        return float(1 + self.n_groups * (self.own - np.sum(self.repeats**-2)))

    @property
    def caveats(self) -> tuple[str, ...]:
        """Why the interval may be too short, in sentences."""
        n, kurtosis = self.n_groups, self.kurtosis
        independent = n == self.sizes.sum()
        if independent and n < _FEW:
            study = "in a study 95% intervals from five to nine held the truth in 91%, at worst 79%"
            return (f"{n} samples are few: {study}",)
        if n < _FEW_GROUPS:
            return (f"{n} groups of samples are few: in a study the VNI from so few was too low by half an error",)
        # Few samples show less of it; they cannot show more than their number.
        if kurtosis > _HEAVY * n / (n + 1.6 * _HEAVY):
            few = f"a few of {n} {'samples' if independent else 'groups of samples'}"
            study = "in a study 95% intervals of such nodes held the truth in 70 to 100%, by kind of data"
            return (f"{few} make up much of what nodes vary by (kurtosis {kurtosis:.0f}): {study}",)
        return ()

    def vni(
        self,
        plug_in: float,
        counts: dict[str, int],
        caveats: tuple[str, ...],
        pairs: float = 0.0,
        known: float = 0.0,
        *,
        value: float | None = None,
    ) -> NodeVNI:
        """The result; `value` if it is not that of these nodes alone."""
        if not np.all(np.isfinite(self.without)):
            few = f"without some of {counts['n_samples']} samples fewer than two nodes vary"
            return of_too_few_samples(plug_in, counts, (*caveats, f"{few}, which tells nothing of the error"))
        n_varying = counts["n_nodes"] - counts["constant_nodes"]
        counts, caveats = with_unseen_nodes(counts, (*caveats, *self.caveats), self.nodes_that_vary(n_varying))
        stderr, freedom = standard_error(self.deviations, pairs, known)
        # Parts of very unequal size are as good as fewer equal ones.
        freedom = min(freedom, max(np.sum(1 / self.repeats**2) ** -1 - 1, 1.0)) if np.ptp(self.sizes) else freedom
        value = self.whole + self.correction if value is None else value
        return summarized(value, variance_parts(stderr, freedom, known), plug_in=plug_in, caveats=caveats, **counts)
