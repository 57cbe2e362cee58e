"""The numbers on which a claim rests, computed from the data of its figure, and the ranges they must be in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# Each claim compares many points at once. So that all of them hold, each must be allowed 5 standard errors.
STANDARD_ERRORS = 5


@dataclass(frozen=True)
class Evidence:
    """One number on which a claim rests.

    Attributes
    ----------
    says : str
        What the number is, in plain English.
    value : float
        The number.
    low, high : float
        The claim holds only if low ≤ value ≤ high.
    """

    says: str
    value: float
    low: float = -math.inf
    high: float = math.inf

    @property
    def holds(self) -> bool:
        """Whether the number is in its range; NaN is in none."""
        return bool(self.low <= self.value <= self.high)

    @property
    def expected(self) -> str:
        """The range in words: "≤ 5"."""
        if math.isfinite(self.low) and math.isfinite(self.high):
            return f"{self.low:.3g} to {self.high:.3g}"
        return f"≥ {self.low:.3g}" if math.isfinite(self.low) else f"≤ {self.high:.3g}"


def to_json(evidence: Evidence) -> dict:
    """Evidence as a manifest keeps it. JSON has no infinities: absent bounds are null, as are values not finite."""
    numbers = {name: float(getattr(evidence, name)) for name in ("value", "low", "high")}
    finite = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
    return {"says": evidence.says, **finite, "holds": evidence.holds}


def from_json(record: dict) -> Evidence:
    """The evidence that `to_json` made this record of; a value of null is read as NaN."""
    absent = {"value": math.nan, "low": -math.inf, "high": math.inf}
    return Evidence(record["says"], **{k: none if record[k] is None else record[k] for k, none in absent.items()})


def largest_deviation(sampled: np.ndarray, law: ArrayLike, stderr: np.ndarray, allowed: ArrayLike = 0.0) -> float:
    """The largest of (|sampled − law| − allowed)/stderr."""
    # Samples without spread give ∞ or NaN, which no range holds.
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.max((np.abs(sampled - law) - allowed) / stderr))
