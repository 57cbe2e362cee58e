"""The VNI of single random networks, layer by layer, as the samplers of predictions hand it on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SimulatedVNI:
    """The VNI of each layer of single random networks.

    Attributes
    ----------
    values : ndarray, shape (L, n_networks)
        NaN where a network has none.
    mean, stderr : ndarray, shape (L,)
        The mean over random networks, and its standard error.
    """

    values: np.ndarray
    mean: np.ndarray
    stderr: np.ndarray


def summary(values: np.ndarray) -> SimulatedVNI:
    """Values (L, n_networks) of independent networks, with their mean and its standard error."""
    counts = np.sum(~np.isnan(values), axis=1)
    return SimulatedVNI(values, np.nanmean(values, axis=1), np.nanstd(values, axis=1, ddof=1) / np.sqrt(counts))


def with_last_layer_of(simulated: SimulatedVNI, other: SimulatedVNI) -> SimulatedVNI:
    """All layers of the first but the last one, which is the other's."""
    pairs = (simulated.values, other.values), (simulated.mean, other.mean), (simulated.stderr, other.stderr)
    return SimulatedVNI(*(np.concatenate([one[:-1], last[-1:]]) for one, last in pairs))
