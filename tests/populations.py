"""Layers whose true VNI is known: mixtures of independent sources, x = A s, of several shapes and tails."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rmt_vn.measures import NodeVNI
from rmt_vn.measures.indicator.error import half_width

TAILS = ("gaussian", "t5", "elliptical")


def mixing(name: str, nodes: int) -> np.ndarray:
    """A, shape (nodes, sources)."""
    rng = np.random.default_rng(7)
    own = np.eye(nodes)
    if name == "independent":
        return own
    if name == "one factor":
        return np.hstack([np.full((nodes, 1), 0.7), own * 0.51**0.5])
    if name == "three factors":
        return np.hstack([rng.standard_normal((nodes, 3)), own])
    if name == "groups of four":
        factors = np.kron(np.eye(nodes // 4), np.ones((4, 1)))
        return np.hstack([factors * 0.8**0.5, own * 0.2**0.5])
    if name == "spectrum 1/k":
        rotation = np.linalg.qr(rng.standard_normal((nodes, nodes)))[0]
        return rotation / np.sqrt(np.arange(1, nodes + 1))
    raise ValueError(name)


POPULATIONS = ("independent", "one factor", "three factors", "groups of four", "spectrum 1/k")


def covariance(a: np.ndarray) -> np.ndarray:
    return a @ a.T


def true_vni(a: np.ndarray) -> float:
    c = covariance(a)
    return float(np.mean(c**2 / np.outer(c.diagonal(), c.diagonal())))


def sample(a: np.ndarray, n_samples: int, tails: str, rng: np.random.Generator) -> np.ndarray:
    """Sources that are Gaussian, t of 5 degrees of freedom each, or t of 8 together: large at once, or not at all."""
    shape = (n_samples, a.shape[1])
    if tails == "t5":
        return rng.standard_t(5, shape) @ a.T
    sources = rng.standard_normal(shape)
    if tails == "elliptical":
        sources *= np.sqrt(8 / rng.chisquare(8, (n_samples, 1)))
    return sources @ a.T


class Study:
    """What `measure` says of many samples, against the truth: bias, error, and how often the interval holds it."""

    def __init__(
        self,
        measure: Callable[[np.ndarray], NodeVNI],
        name: str,
        tails: str,
        n_samples: int,
        *,
        nodes: int,
        repeats: int,
        seed: int = 1,
    ) -> None:
        a = mixing(name, nodes)
        rng = np.random.default_rng(seed)
        self.truth, self.repeats = true_vni(a), repeats
        self.measured = [measure(sample(a, n_samples, tails, rng)) for _ in range(repeats)]
        self.values = np.array([each.unlimited for each in self.measured])
        self.spread = self.values.std(ddof=1)
        self.bias = self.values.mean() - self.truth
        self.plug_in_bias = np.mean([each.plug_in for each in self.measured]) - self.truth

    @property
    def relative_stderr(self) -> float:
        """Root mean square of the stated standard errors over the true one."""
        return float(np.sqrt(np.mean([each.stderr**2 for each in self.measured])) / self.spread)

    def coverage(self, stretch: float = 1.0) -> float:
        """Share of intervals, their reciprocals stretched about the estimate, that hold the truth."""
        held = 0
        for each in self.measured:
            middle = 1 / max(each.unlimited, 0.5 / (each.n_nodes - each.constant_nodes))
            half = half_width(each.variances, 0.95) * middle**2
            few = max(middle - half, 1)
            held += middle + stretch * (few - middle) <= 1 / self.truth <= middle + stretch * half
        return held / self.repeats
