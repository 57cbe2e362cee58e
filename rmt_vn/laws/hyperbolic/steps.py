"""The steps of the walk: what each weight matrix of a network, or each linear residual block, multiplies M(ν) by.

All are Gaussian matrices of some fan-in, which may be random: the number of live nodes of a masked layer (`masks`), or
that of a residual block (`residual_fan_in`). For Haar weights the factor of a Gaussian matrix of the frame's fan-in is
divided by. The order of steps does not matter, so that steps of one kind are taken together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expm1, log1p

from rmt_vn.laws.hyperbolic.masks import live_count_quadrature
from rmt_vn.laws.hyperbolic.residual_fan_in import fan_in_quadrature
from rmt_vn.laws.hyperbolic.transforms import log_gaussian_step, log_gaussian_step_off_axis
from rmt_vn.network import Network, ResidualNetwork, Weights, mask_probability

_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class Step:
    """`count` steps of one kind.

    Attributes
    ----------
    fan_ins, probabilities : ndarray, shape (K,)
        Values of the fan-in k ≥ 1 in increasing order, and their probabilities.
    frame : int or None
        For Haar weights the size of the rotation of which the matrix is a corner.
    count : int
    """

    fan_ins: np.ndarray
    probabilities: np.ndarray
    frame: int | None = None
    count: int = 1

    @property
    def no_step(self) -> float:
        """Probability that the step leaves ρ as it is: no node is masked."""
        return float(self.probabilities[-1]) if self.frame is not None and self.fan_ins[-1] == self.frame > 1 else 0.0

    @property
    def merging(self) -> float:
        """Probability that all nodes have the same single live input."""
        return float(self.probabilities[0]) if self.fan_ins[0] == 1 else 0.0

    @property
    def pole(self) -> float:
        """The first pole iτ of the factor, that of the least k > 1."""
        return np.inf if self.no_step == 1 else float(self.fan_ins[self.fan_ins > 1][0]) - 0.5

    def log_factor(self, nu: np.ndarray) -> np.ndarray:
        """ln of one step's factor of M(ν), accurate relative to itself, at real ν ≥ 0."""
        if self.merging == 1:
            return np.full(nu.shape, -np.inf)
        if self.no_step == 1:
            return np.zeros(nu.shape)
        if len(self.fan_ins) == 1:
            log_m = log_gaussian_step(self.fan_ins, nu)
        else:
            log_m = log_gaussian_step(self.fan_ins[:, None], nu)
            deficit = -self.probabilities @ np.expm1(log_m)
            mean = np.log(self.probabilities @ np.exp(log_m))
            # A wide layer's factor is 1 − O(1/n): its logarithm must be accurate relative to that small number.
            log_m = np.where(deficit < 0.5, np.log1p(-np.minimum(deficit, 0.5)), mean)
        return log_m if self.frame is None else log_m - log_gaussian_step(self.frame, nu)

    def log_factor_off_axis(self, nu: np.ndarray) -> np.ndarray:
        """ln of one step's factor of M(ν) for complex ν; of Haar weights as a ratio that keeps its digits."""
        if self.no_step == 1:
            return np.zeros(nu.shape, dtype=complex)
        flat, haar = nu.ravel(), self.frame is not None
        frame = np.zeros(1) if self.frame is None else log_gaussian_step_off_axis(self.frame, flat, haar)
        k, probability = self.fan_ins, self.probabilities
        if len(k) == 1:
            return (log_gaussian_step_off_axis(k, flat, haar) - frame).reshape(nu.shape)
        # ln E[m_k/frame], m_1 = 0.
        deficit, mean, peak = np.full(len(flat), -probability[k == 1].sum(), dtype=complex), 0.0, -np.inf
        k, probability = k[k > 1], probability[k > 1]
        size = max(1, _BLOCK // (4 * len(flat)))
        for start in range(0, len(k), size):
            log_m = log_gaussian_step_off_axis(k[start : start + size, None], flat, haar) - frame
            weight = probability[start : start + size]
            with np.errstate(over="ignore", invalid="ignore"):
                deficit += weight @ expm1(log_m)
            top = np.maximum(peak, log_m.real.max(axis=0))
            mean = mean * np.exp(peak - top) + weight @ np.exp(log_m - top)
            peak = top
        small = np.abs(deficit) < 0.5
        return np.where(small, log1p(np.where(small, deficit, 0)), np.log(mean) + peak).reshape(nu.shape)


class Refusal(NamedTuple):
    """The words in which a law says that it does not cover a network: what it is, and what to take instead."""

    law: str
    instead: str


def network_steps(network: Network | ResidualNetwork, refusal: Refusal) -> list[Step]:
    """The steps of the walk of two nodes of the last layer: one for each kind of matrix or block.

    Raises
    ------
    ValueError
        If the walk is not exact: other activations than "linear" and "relu"; for residual networks, anything but
        Gaussian branches of a single matrix without normalization.
    """
    if isinstance(network, ResidualNetwork):
        return _residual_steps(network, refusal)
    probability = mask_probability(network, refusal.law, refusal.instead)
    # The inputs are never masked.
    steps = [layer_step(network.widths[:2], 1.0, network.weights)]
    for shape, count in network.hidden_shapes.items():
        steps.append(layer_step(shape, probability, network.weights, count=count))
    return steps


def layer_step(shape: tuple[int, ...], live_probability: float, weights: Weights, *, count: int = 1) -> Step:
    """`count` weight matrices of one shape (n_in, n_out), whose inputs are the live ones of n_in nodes."""
    n_in, n_out = shape
    frame = max(n_in, n_out) if weights == "orthogonal" else None
    if live_probability == 1:
        return Step(np.array([n_in]), np.ones(1), frame, count)
    return Step(*live_count_quadrature(n_in, live_probability), frame, count)


def linear_block_ratio(network: ResidualNetwork) -> float:
    """a of a block x → s x + β W x: N times the variance of the entries of βW/s."""
    return (network.beta * network.sigma_w[0] / network.skip) ** 2


def _residual_steps(network: ResidualNetwork, refusal: Refusal) -> list[Step]:
    if network.hidden is not None or network.weights != "gaussian" or network.normalization != "none":
        raise ValueError(
            f"{refusal.law} is for residual networks whose branch is a single Gaussian matrix, without normalization, "
            f"got hidden={network.hidden}, {network.weights!r}, {network.normalization!r}{refusal.instead}"
        )
    ratio = linear_block_ratio(network)
    # A branch of nothing leaves everything as it is.
    steps = [Step(*fan_in_quadrature(network.width, ratio), count=network.depth)] if ratio > 0 else []
    for end in (network.embedding, network.readout):
        if end is not None:
            steps += network_steps(end, refusal)
    return steps
