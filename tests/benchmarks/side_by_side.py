"""Rivals side by side: how they are timed, held against each other, and written down as one markdown table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, inf

import numpy as np

from rmt_vn.samplers import SampledVNI

# A timing spans many calls of what is quick, so that the clock's own cost does not count.
_SHORTEST = 5e-3
# A lane leaves the race once it has run for so many seconds: enough to see past the noise of the machine.
_BUDGET = 10.0
# The standard error that Monte Carlo is to reach.
TARGET = 1e-3


@dataclass
class Lane:
    """One way to compute something: what it is called, how to run it, and in the end what it took.

    `run` is None where its library is not installed. `factor` is how many runs the whole task takes, where not all of
    them were made; `note` is what else there is to know.
    """

    name: str
    run: Callable[[], object] | None
    factor: float = 1.0
    note: str = ""
    calls: int = 1
    seconds: float = inf
    spent: float = 0.0
    results: list = field(default_factory=list)

    def warm_up(self) -> None:
        """The first runs, which also tell how many calls a timing should span."""
        self.take_time()
        if self.seconds < _SHORTEST:
            # What is quick is slower the first time.
            self.take_time()
            self.calls = ceil(_SHORTEST / self.seconds)

    def rounds(self, most: int) -> int:
        """As many as there is time for, but at least two."""
        return max(2, min(most, int(_BUDGET / (self.calls * self.seconds))))

    def take_time(self) -> None:
        if self.run is None or self.spent > _BUDGET:
            return
        start = time.perf_counter()
        result = self.run_calls()
        taken = time.perf_counter() - start
        self.seconds = min(self.seconds, taken / self.calls)
        self.spent += taken
        self.results.append(result)

    def run_calls(self) -> object:
        for _ in range(self.calls - 1):
            self.run()
        return self.run()

    @property
    def total(self) -> float:
        return self.factor * self.seconds


def samples_needed(sampled: SampledVNI) -> int:
    """Samples of the same kind that reach a standard error of TARGET."""
    return ceil((sampled.stderr / TARGET) ** 2 * sampled.n_networks)


def assert_same_mean(samples, expected, *, expected_stderr=0.0) -> None:
    """Means over the first axis within four standard errors; wrong by chance once in 16,000."""
    samples = np.asarray(samples, dtype=float)
    stderr = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    assert np.all(np.abs(samples.mean(axis=0) - expected) < 4 * np.hypot(stderr, expected_stderr))


def markdown_row(what: str, ours: Lane, obvious: Lane | None, usual: tuple[Lane, ...]) -> str:
    others = "; ".join(_cell(lane, ours) for lane in usual)
    return f"| {what} | {_cell(ours)} | {_cell(obvious, ours) if obvious else '–'} | {others or '–'} |"


def _cell(lane: Lane, against: Lane | None = None) -> str:
    """`name: time, ratio, note`; an extrapolated time says so by its ≈."""
    if lane.run is None:
        return f"{lane.name}: not installed"
    parts = [("≈ " if lane.factor != 1 else "") + _duration(lane.total)]
    if against:
        parts.append(f"{_two_digits(lane.total / against.total)} ×")
    if lane.note:
        parts.append(lane.note)
    return f"{lane.name}: {', '.join(parts)}"


def _duration(seconds: float) -> str:
    for unit, size in (("s", 1), ("ms", 1e-3)):
        if seconds >= 0.095 * size:
            return f"{_two_digits(seconds / size)} {unit}"
    return f"{_two_digits(seconds / 1e-6)} µs"


def _two_digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):.12g}"
