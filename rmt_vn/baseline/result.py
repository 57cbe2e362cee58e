"""`Baseline`, the VNI of replicas, and what it says of one more network: an interval and a rank."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, stdtrit

from rmt_vn.results import ConfidenceInterval, Result

# Values whose relative difference is no more than this are equal but for rounding.
_EQUAL = 1e-9
# A VNI of one has no log odds; this is as near to it as counts.
_NEARLY_ONE = 1 - 1e-9


class Rank(NamedTuple):
    """Of `n` replicas so many have a lower value; those that are equal count one half."""

    below: float
    n: int


@dataclass(frozen=True, eq=False, repr=False)
class Baseline(Result):
    """The VNI of each layer of a network in replicas: copies with weights drawn anew, over the same inputs.

    Attributes
    ----------
    layers : tuple of str
        All layers, in the order of the network.
    values : dict of str to ndarray, shape (replicas,)
        The VNI of each replica; NaN where it could not be measured.
    n_nodes : dict of str to int
        The nodes of each layer that was measured.
    faults : dict of str to str
        The layers that could be measured in no replica, and why.
    notes : dict of str to str
        What must be known of layers that were measured: in how many replicas they were not, and why. What is under the
        name "" is of the whole model.
    """

    layers: tuple[str, ...]
    values: dict[str, np.ndarray]
    n_nodes: dict[str, int]
    faults: dict[str, str]
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def replicas(self) -> int:
        """How many replicas were made."""
        return len(next(iter(self.values.values()), ()))

    def mean(self, layer: str) -> float:
        """The mean VNI of the replicas.

        Raises
        ------
        KeyError, ValueError
            If there is no such layer, or it could not be measured.
        """
        return float(self._measured(layer).mean())

    def interval(self, layer: str, level: float = 0.95) -> ConfidenceInterval:
        """The interval in which the VNI of one more network with fresh weights lies with this probability.

        Its ends are `interval_of_another` of the replicas, and no lower than 1/n_nodes. NaN for fewer than two.

        Raises
        ------
        KeyError, ValueError
            As `mean`; or if the level is not between 0 and 1.
        """
        low, high = interval_of_another(self._measured(layer), level=level)
        least = 1 / self.n_nodes[layer]
        return ConfidenceInterval(max(low, least), max(high, least))

    def rank(self, layer: str, value: float) -> Rank:
        """How many replicas have a lower VNI than a network, of how many.

        For a network whose weights are as fresh as theirs, each place among them is as probable as any other: of 20
        replicas, all are above it with probability 1/21.

        Raises
        ------
        KeyError, ValueError
            As `mean`; or if the value is NaN.
        """
        values = self._measured(layer)
        if np.isnan(value):
            raise ValueError(f"value must be a number, got {value!r}")
        tied = np.isclose(values, value, rtol=_EQUAL, atol=0)
        return Rank(float(np.sum((values < value) & ~tied) + np.sum(tied) / 2), len(values))

    def to_dict(self) -> dict[str, Any]:
        """As of every result, with the means and the 95% intervals of the layers that were measured."""
        measured = [name for name in self.layers if name not in self.faults]
        return super().to_dict() | {
            "means": {name: self.mean(name) for name in measured},
            "intervals": {name: list(self.interval(name)) for name in measured},
        }

    def __repr__(self) -> str:
        counts = f"{len(self.layers) - len(self.faults)} layers measured, {len(self.faults)} not"
        return f"<Baseline: {self.replicas} replicas, {counts}>"

    def _measured(self, layer: str) -> np.ndarray:
        if layer not in self.values:
            raise KeyError(f"the baseline has no layer {layer!r}; it has {', '.join(self.layers)}")
        if layer in self.faults:
            raise ValueError(f"layer {layer!r}: {self.faults[layer]}")
        values = self.values[layer]
        return values[~np.isnan(values)]


def interval_of_another(values: ArrayLike, *, level: float = 0.95) -> ConfidenceInterval:
    """The interval in which one more VNI lies with this probability, from n independent ones of the same distribution.

    From n = 2/(1 − level) − 1 values on (39 for 95%) its ends are quantiles, Weibull's: those that the next value
    exceeds with just these probabilities, whatever the distribution. Fewer values have none so far out. Then the log
    odds are taken to be normal, and mean ± t s √(1 + 1/n) is the interval in which the next one lies, with a quantile
    of Student's t of n − 1 degrees of freedom.

    Parameters
    ----------
    values : array_like, shape (n,)
        Between 0 and 1.
    level : float
        Between 0 and 1.

    Returns
    -------
    ConfidenceInterval
        NaN for fewer than two values.

    Raises
    ------
    ValueError
        If the level is not between 0 and 1.

    Examples
    --------
    >>> low, high = interval_of_another([0.11, 0.10, 0.12, 0.09, 0.10])
    >>> round(low, 3), round(high, 3)
    (0.074, 0.143)
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be a number between 0 and 1, got {level!r}")
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n < 2:
        return ConfidenceInterval(np.nan, np.nan)
    if np.ptp(values) == 0:
        return ConfidenceInterval(float(values[0]), float(values[0]))
    outside = (1 - level) / 2
    if outside * (n + 1) >= 1 - 1e-9:
        return ConfidenceInterval(*np.quantile(values, (outside, 1 - outside), method="weibull").tolist())
    odds = logit(np.minimum(values, _NEARLY_ONE))
    half = stdtrit(n - 1, 1 - outside) * odds.std(ddof=1) * np.sqrt(1 + 1 / n)
    return ConfidenceInterval(float(expit(odds.mean() - half)), float(expit(odds.mean() + half)))
