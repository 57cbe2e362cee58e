"""The narrowest width that keeps the mean VNI within a target, by samples.

The signal chain, at a cost that does not depend on the width, finds the neighbourhood and how fast the VNI falls there:
locally, as a power of the width. Rows of the Jacobian, which are exact, decide. A first sample of them says how wide
the networks must be, a larger one near there how large their mean VNI is, and the chain's power carries it over the
last per cents. Narrow networks, which a single node more or less changes much, are sampled width by width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rmt_vn.network import Network
from rmt_vn.prediction.blocks import in_blocks
from rmt_vn.samplers import sample_vni
from rmt_vn.samplers.forward import block_sizes
from rmt_vn.samplers.turned_rows import turned_rows_vni

Kind = Literal["turned", "chain", "signal_chain"]
WIDEST = 10**9
# In ln(width): its standard error, how far a mean is carried at most, and how near the chain comes.
_ACCURACY, _FAR, _NEAR = 0.0045, 0.03, 0.05
# Up to this width every width is sampled by itself.
_NARROW = 30
# Networks of first samples, by rows and by the chain, and of those that tell the chain's power.
_FIRST_ROWS, _FIRST_CHAINS, _SLOPE_CHAINS = 256, 512, 2048
# What a sample may take, about half a minute of one core by rows and ten seconds by the chain: nodes of all networks,
# and layers of all chains, those of a search, and those that are to have some accuracy.
_ROWS_WORK, _SEARCH_WORK, _CHAIN_WORK = 8e7, 3e5, 2e6
# A layer of fewer nodes takes as long as one of so many.
_LEAST_NODES = 150
# Blocks of networks that are sampled at a time, each with a generator of its own.
_ROWS_BLOCK, _CHAIN_BLOCK = 32, 1024
# Rows and walks of wide networks, and from which width on they are worth it.
_ROWS, _TURNS, _TURNED_FROM = 8, 16, 16
# Where the VNI is near 1 it hardly falls: limits to its power of the width, and to one step of ln(width).
_LEAST_SLOPE, _MOST_SLOPE, _LONGEST_STEP = 0.3, 1.5, math.log(8)
_MOST_STEPS = 40


@dataclass(frozen=True)
class SampledWidth:
    """A width, its mean VNI, and whether that is of exact samples."""

    width: int
    vni: float
    stderr: float
    exact: bool


@dataclass(frozen=True)
class Widths:
    """Networks of any width, and where the random numbers to sample them come from."""

    network_of: Callable[[int], Network]
    input_variance: float
    rng: np.random.Generator

    @property
    def depth(self) -> int:
        """L, the same for all widths."""
        return self.network_of(1).depth

    def work(self, width: int) -> float:
        """Nodes of a network, which say how long it takes to sample it by rows."""
        return float(self.depth * max(width, _LEAST_NODES))

    def sample(self, width: int, n_networks: int, *, exact: bool) -> SampledWidth:
        """The mean VNI of so many networks, by rows or by the chain."""
        network, blocks = self.network_of(width), block_sizes(n_networks, _ROWS_BLOCK if exact else _CHAIN_BLOCK)
        kind: Kind = "signal_chain" if not exact else "chain" if width <= _TURNED_FROM else "turned"

        def of_block(size: int, rng: np.random.Generator) -> np.ndarray:
            return _sampled(network, size, kind, self.input_variance, rng)

        values = np.concatenate(in_blocks(of_block, blocks, self.rng, f"networks of width {width}"))
        return SampledWidth(width, float(values.mean()), float(values.std(ddof=1) / math.sqrt(n_networks)), exact)

    def chains(self, n_networks: int, work: float = _SEARCH_WORK) -> int:
        """So many chains, or what the work allows; 64 at least."""
        return max(min(n_networks, int(work / self.depth)), 64)

    def sample_well(self, width: int, accuracy: float, *, exact: bool) -> SampledWidth:
        """The mean VNI with some relative standard error; of the chain, as far as its work allows."""
        n_first = _FIRST_ROWS if exact else self.chains(_FIRST_CHAINS)
        first = self.sample(width, n_first, exact=exact)
        needed = math.ceil(_networks_for(first, n_first, accuracy))
        n_more = (needed if exact else self.chains(needed, _CHAIN_WORK)) - n_first
        if n_more < 2:
            return first
        more = self.sample(width, n_more, exact=exact)
        share = n_more / (n_first + n_more)
        vni = (1 - share) * first.vni + share * more.vni
        return SampledWidth(width, vni, math.hypot((1 - share) * first.stderr, share * more.stderr), exact)


def sampled_width(widths: Widths, target: float, start: int) -> SampledWidth | None:
    """The narrowest width whose mean VNI is within the target, with that mean; None if it is beyond 10⁹.

    Parameters
    ----------
    widths : Widths
    target : float
    start : int
        The width from which to search.
    """
    near = _near_width(widths, target, start)
    if near is None:
        return None
    slope, slope_error = _slope(widths, near)
    accuracy = _ACCURACY * min(max(slope, 0.5), 1.0)
    width, exact = near, widths.work(near) * _FIRST_ROWS <= _ROWS_WORK / 4
    if exact:
        first = widths.sample(near, _FIRST_ROWS, exact=True)
        width = _crossing(first, target, slope)
        exact = widths.work(width) * _networks_for(first, _FIRST_ROWS, accuracy) <= _ROWS_WORK
    if width <= _NARROW:
        return _width_by_width(lambda width: widths.sample_well(width, accuracy, exact=exact), target, width)
    for _ in range(_MOST_STEPS):
        found = widths.sample_well(width, accuracy, exact=exact)
        width = _crossing(found, target, slope)
        if abs(math.log(width / found.width)) <= _FAR:
            break
    return _carried(found, width, slope, slope_error)


def _sampled(
    network: Network,
    size: int,
    kind: Kind,
    input_variance: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """The VNI of some networks, or of some chains."""
    if kind == "turned":
        return turned_rows_vni(network, size, _ROWS, _TURNS, rng, input_variance)
    # It samples no fewer than two.
    return sample_vni(network, max(size, 2), rng=rng, method=kind, input_variance=input_variance).values[:size]


def _near_width(widths: Widths, target: float, start: int) -> int | None:
    """A width at which the signal chain is within 5% of the target, if there is one; None if it is beyond 10⁹."""
    width, slope, before = max(start, 2), 1.0, None
    for _ in range(_MOST_STEPS):
        found = widths.sample(width, widths.chains(_FIRST_CHAINS), exact=False)
        if before is not None:
            slope = _power(before, found)
        step = math.log(found.vni / target) / slope
        if step > 0 and width == WIDEST:
            return None
        stepped = max(_clipped(width * math.exp(min(max(step, -_LONGEST_STEP), _LONGEST_STEP))), 2)
        if abs(step) < _NEAR or stepped == width:
            break
        before, width = found, stepped
    return width


def _slope(widths: Widths, width: int) -> tuple[float, float]:
    """−d ln VNI/d ln width, and its standard error, by the chain."""
    low, high = (
        widths.sample(each, widths.chains(_SLOPE_CHAINS), exact=False)
        for each in (_clipped(width / 1.3), _clipped(width * 1.3 + 1))
    )
    error = math.hypot(low.stderr / low.vni, high.stderr / high.vni) / math.log(high.width / low.width)
    return _power(low, high), error


def _power(low: SampledWidth, high: SampledWidth) -> float:
    """The power of 1/width with which the VNI falls from one width to another, within limits."""
    power = -math.log(high.vni / low.vni) / math.log(high.width / low.width)
    return min(max(power, _LEAST_SLOPE), _MOST_SLOPE)


def _width_by_width(sample: Callable[[int], SampledWidth], target: float, width: int) -> SampledWidth:
    """The narrowest width within the target, from samples of it and of the width below."""
    found = sample(width)
    while found.vni > target:
        found, below = sample(found.width + 1), found
        if found.vni <= target:
            return found
    while found.width > 1:
        below = sample(found.width - 1)
        if below.vni > target:
            break
        found = below
    return found


def _crossing(found: SampledWidth, target: float, slope: float) -> int:
    """The narrowest width within the target, where the VNI is a power of the width."""
    return _clipped(math.ceil(found.width * (found.vni / target) ** (1 / slope)))


def _carried(found: SampledWidth, width: int, slope: float, slope_error: float) -> SampledWidth:
    """The mean VNI at another width near by."""
    shift = math.log(width / found.width)
    vni = found.vni * math.exp(-slope * shift)
    return SampledWidth(width, vni, vni * math.hypot(found.stderr / found.vni, slope_error * shift), found.exact)


def _networks_for(found: SampledWidth, n_networks: int, accuracy: float) -> float:
    """How many networks make the relative standard error so small, where so many made that of a sample."""
    return n_networks * (found.stderr / (found.vni * accuracy)) ** 2


def _clipped(width: float) -> int:
    return int(min(max(round(width), 1), WIDEST))
