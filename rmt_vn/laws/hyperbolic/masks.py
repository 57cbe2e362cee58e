"""Random masks: how many nodes of a ReLU layer, or of a layer under dropout, are live."""

from __future__ import annotations

import numpy as np


def live_count_quadrature(n: int, probability: float) -> tuple[np.ndarray, np.ndarray]:
    """Some values k ≥ 1 with weights: averages of smooth functions of k ~ Bin(n, p), given k ≥ 1, are sums over them.

    Four values to a standard deviation are as good as all: the mean of a smooth function is the same up to e^{−2π²4²}.
    So there are about a hundred, however large n is.
    """
    stride = max(1, int(np.sqrt(n * probability * (1 - probability)) / 4))
    k, weight = (array[::stride] for array in live_count_distribution(n, probability))
    return k, weight / weight.sum()


def live_count_distribution(n: int, probability: float) -> tuple[np.ndarray, np.ndarray]:
    """The values k ≥ 1 and probabilities of Bin(n, p) given k ≥ 1, but for tails below 1e-22.

    They are computed from the mode outwards by ratios of neighbours, which are exact up to rounding.
    """
    mean = n * probability
    spread = 11 * np.sqrt(mean * (1 - probability)) + 60
    low, high = max(1, int(mean - spread)), min(n, int(mean + spread))
    k = np.arange(low, high + 1)
    mode = min(max(round(mean), low), high) - low
    ratio = (n - k[:-1]) / (k[:-1] + 1) * (probability / (1 - probability))
    weight = np.ones(len(k))
    weight[mode + 1 :] = np.cumprod(ratio[mode:])
    weight[:mode] = np.cumprod(1 / ratio[:mode][::-1])[::-1]
    return k, weight / weight.sum()
