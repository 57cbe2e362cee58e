"""Means over random networks, with their standard errors: what samplers return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rmt_vn.network import Network, ResidualNetwork
from rmt_vn.results import ConfidenceInterval, Result, student_interval


@dataclass(frozen=True, eq=False, repr=False)
class SampledMean(Result):
    """The mean of a number, or of an array of numbers, over random networks.

    Attributes
    ----------
    values : ndarray, shape (n_networks, …)
        The number, or array, of each network.
    network : Network or ResidualNetwork
        The description from which the networks were drawn.
    """

    derived: ClassVar[tuple[str, ...]] = ("value", "stderr", "n_networks")

    values: np.ndarray
    network: Network | ResidualNetwork

    @property
    def value(self) -> Any:
        """The mean: a float, or an array."""
        return _number(self.values.mean(axis=0))

    @property
    def stderr(self) -> Any:
        """The standard error of the mean: a float, or an array."""
        with np.errstate(invalid="ignore"):  # ∞ − ∞
            return _number(self.values.std(axis=0, ddof=1) / np.sqrt(self.n_networks))

    @property
    def n_networks(self) -> int:
        """How many random networks were sampled."""
        return len(self.values)

    def confidence_interval(self, level: float = 0.95) -> ConfidenceInterval:
        """A confidence interval of the mean, by Student's t.

        Parameters
        ----------
        level : float
            Between 0 and 1.

        Raises
        ------
        ValueError
            If the level is not between 0 and 1.
        """
        return student_interval(self.value, self.stderr, self.n_networks - 1, level)


def _number(mean: np.ndarray) -> Any:
    return mean if mean.ndim else float(mean)
