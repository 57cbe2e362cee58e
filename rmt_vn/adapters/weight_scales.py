"""σ_w and σ_b of layers of weights: one number for all of them, where theory allows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import chdtr, chdtrc

from rmt_vn.activations import Activation
from rmt_vn.gaussian_averages import second_moment, slope_moment
from rmt_vn.network import Weights

# With this probability a mean square is as far off by chance: as five standard errors of a normal number.
_CHANCE = 1e-6
# One number is taken for all layers where it misstates the root mean square of gradients by no more than this factor,
# effective depths by no more than this part of them, or of the 0.1 from which nodes are said to vanish, and the part
# that biases have in the variance of pre-activations by no more than this, which matters over wide inputs alone. There,
# default networks of widths 1, 64, 64, … (0.62 of at most 0.7) have VNIs that are then 3% off (ReLU) and 14% (tanh),
# those of widths 2, 64, 64, … (0.4) up to 7%: less than single networks scatter.
GRADIENTS, DEPTHS, _LEAST_DEPTH, BIASES = 1.25, 0.1, 0.1, 0.7
# By whose rule σ_w² depends on the widths, in which way.
_RULES: tuple[tuple[str, Weights, Callable[[int, int], float]], ...] = (
    ("Xavier's", "gaussian", lambda n_out, n_in: 2 * n_in / (n_in + n_out)),
    ("fan-out", "gaussian", lambda n_out, n_in: n_in / n_out),
    ("orthogonal", "orthogonal", lambda n_out, n_in: n_in / max(n_in, n_out)),
)


class _MeanField(NamedTuple):
    """ln E‖∂_l‖²/E‖∂_L‖² for l = L−1 … 0, up to what widths do; t, and σ_b²/q, for l = 1 … L."""

    gradients: np.ndarray
    depths: np.ndarray
    biases: np.ndarray


class Scales(NamedTuple):
    """σ_w² and σ_b² of each layer, shape (L,), and of all layers together."""

    w: np.ndarray
    b: np.ndarray
    all_w: float
    all_b: float


def scales_of(weights: Sequence[np.ndarray], biases: Sequence[np.ndarray]) -> Scales:
    """σ_w² is the mean square of weights times their fan-in, and σ_b² that of biases."""
    squares = [float(np.mean(w**2)) * w.shape[1] for w in weights]
    bias_squares = [float(np.mean(b**2)) for b in biases]
    return Scales(
        np.array(squares),
        np.array(bias_squares),
        float(np.average(squares, weights=[w.size for w in weights])),
        float(np.average(bias_squares, weights=[b.size for b in biases])),
    )


def why_not_one_scale(
    names: Sequence[str], shapes: Sequence[tuple[int, int]], scales: Scales, activation: Activation, family: Weights
) -> str | None:
    """Why layers cannot be described by one σ_w and one σ_b; None if they can.

    A mean square of n Gaussian numbers is χ² with n degrees of freedom, of relative standard error √(2/n). Layers
    within what that explains (to one in 10⁶, about five standard errors) have the common scale. If some are outside, as
    first layers are by PyTorch's default biases of 1/√(3 fan-in), the mean field of the layers with scales of their own
    is held against that with common ones, for inputs of mean square 1: gradients, effective depths, and the part of
    biases in the variance of pre-activations.

    Parameters
    ----------
    names : sequence of str
    shapes : sequence of (n_out, n_in)
    scales : Scales
    activation : Activation
    family : {"gaussian", "orthogonal"}
    """
    own_w = _beyond_chance(scales.w, scales.all_w, [n_out * n_in for n_out, n_in in shapes])
    own_b = _beyond_chance(scales.b, scales.all_b, [n_out for n_out, _ in shapes])
    if not (own_w.any() or own_b.any()):
        return None
    apart = _mean_field(
        np.where(own_w, scales.w, scales.all_w), np.where(own_b, scales.b, scales.all_b), shapes, activation, family
    )
    together = _mean_field(
        np.full(len(shapes), scales.all_w), np.full(len(shapes), scales.all_b), shapes, activation, family
    )
    wrong = _misstated(apart, together)
    if wrong is None:
        return None
    told = [f"sigma_w is {_extremes(names, np.sqrt(scales.w))}{_rule(shapes, scales.w, family)}"] if own_w.any() else []
    told += [f"sigma_b is {_extremes(names, np.sqrt(scales.b))}"] if own_b.any() else []
    return f"{', and '.join(told)}, where Network has one for all: {wrong}"


def _beyond_chance(squares: np.ndarray, together: float, counts: Sequence[int]) -> np.ndarray:
    """Which mean squares of so many numbers differ from the common one by more than chance explains."""
    if together == 0:
        return np.zeros(len(squares), dtype=bool)
    freedom = np.asarray(counts, dtype=float)
    chi_square = freedom * squares / together
    return np.minimum(chdtr(freedom, chi_square), chdtrc(freedom, chi_square)) < _CHANCE / len(squares)


def _mean_field(
    w: np.ndarray, b: np.ndarray, shapes: Sequence[tuple[int, int]], activation: Activation, family: Weights
) -> _MeanField | None:
    """None beyond its range."""
    logs, depths, parts, signal, slope, ratio = [], [], [], 1.0, 1.0, 1.0
    try:
        for square, bias, (n_out, n_in) in zip(w.tolist(), b.tolist(), shapes, strict=True):
            logs.append(math.log(square * slope))
            depths.append(ratio / n_in - (1 / max(n_in, n_out) if family == "orthogonal" else 0.0))
            q = square * signal + bias
            parts.append(bias / q)
            signal, slope = second_moment(activation, q), slope_moment(activation, q, 1)
            ratio = slope_moment(activation, q, 2) / slope**2
    except (ArithmeticError, ValueError):
        return None
    return _MeanField(np.cumsum(logs[::-1]), np.cumsum(depths), np.array(parts))


def _misstated(apart: _MeanField | None, together: _MeanField | None) -> str | None:
    """What would be wrong with one number for all layers, and by how much."""
    if apart is None or together is None:
        return "the variances of its pre-activations leave the range of the mean field"
    factor = math.exp(np.abs(apart.gradients - together.gradients).max() / 2)
    if factor > GRADIENTS:
        return f"root mean square gradients would be wrong by a factor of {factor:.3g}; up to {GRADIENTS} is allowed"
    worst = np.argmax(np.abs(apart.depths - together.depths) / np.maximum(apart.depths, _LEAST_DEPTH))
    right, wrong = apart.depths[worst], together.depths[worst]
    if abs(wrong - right) > DEPTHS * max(right, _LEAST_DEPTH):
        return f"the effective depth would be {wrong:.3g} for {right:.3g}; {DEPTHS:.0%} off is allowed"
    worst = np.argmax(np.abs(apart.biases - together.biases))
    right, wrong = apart.biases[worst], together.biases[worst]
    if abs(wrong - right) > BIASES:
        return f"the part of biases in a variance would be {wrong:.3g} for {right:.3g}; {BIASES} off is allowed"
    return None


def _extremes(names: Sequence[str], values: np.ndarray) -> str:
    low, high = int(values.argmin()), int(values.argmax())
    return f"{values[low]:.3g} in layer {names[low]!r} and {values[high]:.3g} in {names[high]!r}"


def _rule(shapes: Sequence[tuple[int, int]], squares: np.ndarray, family: Weights) -> str:
    """By which rule of initialization all σ_w² differ as they do, if by one of these."""
    for rule, its_family, of_shape in _RULES:
        if its_family != family:
            continue
        by_rule = squares / np.array([of_shape(*shape) for shape in shapes])
        counts = [n_out * n_in for n_out, n_in in shapes]
        if not _beyond_chance(by_rule, float(np.average(by_rule, weights=counts)), counts).any():
            return f" (as {rule} initialization gives layers of different shapes)"
    return ""
