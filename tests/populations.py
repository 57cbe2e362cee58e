"""Layers whose true VNI is known: mixtures of sources, x = A s, or functions of Gaussian ones, of several shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.linalg import toeplitz
from scipy.sparse import csr_array
from scipy.stats import norm

from rmt_vn.measures import NodeVNI
from rmt_vn.measures.indicator.error import half_width

TAILS = ("gaussian", "t5", "elliptical")
# Sources of heavy or skewed tails, or with ten classes of samples, or some samples that are three times as large.
SOURCES = (*TAILS, "t3", "exponential", "classes", "two scales")
# Functions of Gaussian nodes of variance one: exp, ReLU, and whether a node is in its highest tenth.
FUNCTIONS = {
    "lognormal": np.exp,
    "relu": lambda g: np.maximum(g, 0),
    "binary": lambda g: 1.0 * (g > norm.ppf(0.9)),
}


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
        factors = np.kron(np.eye(-(-nodes // 4)), np.ones((4, 1)))[:nodes]
        return np.hstack([factors * 0.8**0.5, own * 0.2**0.5])
    if name == "spectrum 1/k":
        rotation = np.linalg.qr(rng.standard_normal((nodes, nodes)))[0]
        return rotation / np.sqrt(np.arange(1, nodes + 1))
    raise ValueError(name)


POPULATIONS = ("independent", "one factor", "three factors", "groups of four", "spectrum 1/k")


def covariance(a: np.ndarray) -> np.ndarray:
    return a @ a.T


def correlation(a: np.ndarray, tails: str = "gaussian") -> np.ndarray:
    if tails == "classes":
        means = _class_means(a.shape[1])
        c = covariance(a) + covariance(a @ (means - means.mean(axis=0)).T) / len(means)
    else:
        c = covariance(a)
    r = np.clip(c / np.sqrt(np.outer(c.diagonal(), c.diagonal())), -1, 1)
    if tails == "lognormal":
        return np.expm1(r) / np.expm1(1)
    if tails == "relu":
        # Cho & Saul (2009): the mean of the product is ((1 − r²)^½ + r (π − arccos r))/(2π).
        return (np.sqrt(1 - r**2) + r * (np.pi - np.arccos(r)) - 1) / (np.pi - 1)
    if tails == "binary":
        # The derivative by r of the chance that both are beyond q is their density at (q, q); r = sin θ.
        nodes, weights = np.polynomial.legendre.leggauss(40)
        values, where = np.unique(r.round(12), return_inverse=True)
        theta = np.arcsin(values)[:, None] * (nodes + 1) / 2
        joint = np.exp(-(norm.ppf(0.9) ** 2) / (1 + np.sin(theta))) @ weights * np.arcsin(values) / (4 * np.pi)
        return (joint / 0.09)[where].reshape(r.shape)
    return r


def true_vni(a: np.ndarray, tails: str = "gaussian") -> float:
    return float(np.mean(correlation(a, tails) ** 2))


def sample(
    a: np.ndarray, n_samples: int, tails: str, rng: np.random.Generator, *, group: tuple[int, ...] = ()
) -> np.ndarray:
    """Samples, shape (samples, nodes); or groups, (samples, *group, nodes), correlated along each axis of a group.

    Sources are independent of each other. Elliptical ones, t of 8 degrees of freedom together, are large at once, or
    not at all; so are those of two scales. The correlation from each position of a group to the next is 0.9.
    """
    shape, one = (n_samples, *group, a.shape[1]), (n_samples, *(1 for _ in (*group, 1)))
    if tails in ("t3", "t5"):
        sources = rng.standard_t(int(tails[1]), shape)
    elif tails == "exponential":
        sources = rng.exponential(size=shape) - 1
    else:
        sources = rng.standard_normal(shape)
    for axis, length in enumerate(group, 1):
        # Rows of the root have length one, so that variances stay as they are.
        root = np.linalg.cholesky(toeplitz(0.9 ** np.arange(length)))
        sources = np.moveaxis(np.tensordot(root, sources, axes=(1, axis)), 0, axis)
    if tails == "elliptical":
        sources *= np.sqrt(8 / rng.chisquare(8, one))
    elif tails == "two scales":
        sources *= np.where(rng.random(one) < 0.1, 3.0, 1.0)
    elif tails == "classes":
        means = _class_means(a.shape[1])
        sources += means[rng.integers(len(means), size=n_samples)].reshape(n_samples, *one[1:-1], -1)
    flat = sources.reshape(-1, a.shape[1])
    # Most of the wide ones are nearly empty.
    sparse = a.size > 1e5 and np.count_nonzero(a) < a.size / 10
    x = np.ascontiguousarray((csr_array(a) @ flat.T).T) if sparse else flat @ a.T
    if tails in FUNCTIONS:
        x = FUNCTIONS[tails](x / np.sqrt(np.sum(a**2, axis=1)))
    return x.reshape(*shape[:-1], len(a))


def _class_means(sources: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((10, sources))


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
        seed: int | Sequence[int] = 1,
        group: tuple[int, ...] = (),
    ) -> None:
        a = mixing(name, nodes)
        rng = np.random.default_rng(seed)
        self.truth, self.repeats = true_vni(a, tails), repeats
        self.measured = [measure(sample(a, n_samples, tails, rng, group=group)) for _ in range(repeats)]
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
