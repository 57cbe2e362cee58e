"""Random networks by brute force, in plain numpy, which share no code with the package.

Weights are drawn and multiplied, φ and φ′ are written out, and ρ² is averaged over all pairs of nodes.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.special import erf, ndtr

# φ and φ′.
ACTIVATIONS = {
    "linear": (lambda h: h, lambda h: np.ones_like(h)),
    "relu": (lambda h: h * (h > 0), lambda h: 1.0 * (h > 0)),
    "leaky_relu": (lambda h: np.where(h > 0, h, 0.01 * h), lambda h: np.where(h > 0, 1.0, 0.01)),
    "tanh": (np.tanh, lambda h: 1 - np.tanh(h) ** 2),
    "hard_tanh": (lambda h: np.clip(h, -1, 1), lambda h: 1.0 * (np.abs(h) < 1)),
    "erf": (erf, lambda h: 2 / np.sqrt(np.pi) * np.exp(-(h**2))),
    "sin": (np.sin, np.cos),
    "sigmoid": (lambda h: 1 / (1 + np.exp(-h)), lambda h: np.exp(-h) / (1 + np.exp(-h)) ** 2),
    "softplus": (lambda h: np.logaddexp(0, h), lambda h: 1 / (1 + np.exp(-h))),
    "gelu": (lambda h: h * ndtr(h), lambda h: ndtr(h) + h * np.exp(-(h**2) / 2) / np.sqrt(2 * np.pi)),
    "silu": (
        lambda h: h / (1 + np.exp(-h)),
        lambda h: (1 + np.exp(-h) + h * np.exp(-h)) / (1 + np.exp(-h)) ** 2,
    ),
}


def weight_matrix(rng, n_out, n_in, kind, sigma_w):
    if kind == "gaussian":
        return rng.normal(0, sigma_w / np.sqrt(n_in), (n_out, n_in))
    n = max(n_in, n_out)
    q, r = np.linalg.qr(rng.normal(size=(n, n)))
    return sigma_w * np.sqrt(n / n_in) * (q * np.sign(np.diagonal(r)))[:n_out, :n_in]


def mean_square(rows):
    """The mean ρ² over all pairs of rows, a row with itself included."""
    rows = rows / np.abs(rows).max(axis=1, keepdims=True)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    return float(np.sum(gram**2)) / len(rows) ** 2


def ball_vni(rng, widths, *, activation="tanh", weights="gaussian", sigma_w=1.0, sigma_b=0.0, keep=1.0, v=1.0):
    """The VNI of the pre-activations of all nodes and of the activations of live ones, for each layer of one network.

    Over inputs in a small ball round a point with mean square v. The last layer has no φ. None if no node of a layer is
    live.
    """
    phi, slope = ACTIVATIONS[activation]
    x = rng.normal(size=widths[0])
    x *= np.sqrt(widths[0] * v) / np.linalg.norm(x)
    jacobian, found = None, []
    for layer, (n_in, n_out) in enumerate(pairwise(widths), start=1):
        w = weight_matrix(rng, n_out, n_in, weights, sigma_w)
        h = w @ x + sigma_b * rng.normal(size=n_out)
        jacobian = w if jacobian is None else w @ jacobian
        if layer == 1 and n_in > n_out:
            jacobian = np.linalg.qr(w.T, mode="r").T
        every = mean_square(jacobian)
        if layer == len(widths) - 1:
            return [*found, (every, every)]
        mask = (rng.random(n_out) < keep) / keep
        d, x = slope(h) * mask, phi(h) * mask
        live = d != 0
        if not live.any():
            return None
        found.append((every, mean_square(jacobian[live])))
        jacobian = d[:, None] * jacobian / np.abs(d).max()
        jacobian = jacobian / np.abs(jacobian).max()
    return found
