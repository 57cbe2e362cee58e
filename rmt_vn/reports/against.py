"""This network against fresh ones: layer by layer, and all layers taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rmt_vn.baseline import Baseline
from rmt_vn.reports.layer import FreshNetworks, LayerReport


def against(layers: Sequence[LayerReport], null: Baseline) -> list[LayerReport]:
    """The rows with the fresh networks beside them, and a row for each layer that only fresh networks have."""
    names = {each.name for each in layers}
    rest = [
        LayerReport(name, None, "fresh networks have this layer, this network has not")
        for name in null.layers
        if name not in names
    ]
    return [_with_fresh(each, null) for each in layers] + rest


def _with_fresh(row: LayerReport, null: Baseline) -> LayerReport:
    if row.measured is None:
        return row
    if row.name not in null.layers:
        return replace(row, no_fresh="fresh networks have no such layer")
    if row.name in null.faults:
        return replace(row, no_fresh=f"not measured in fresh networks: {null.faults[row.name]}")
    if null.n_nodes[row.name] != row.measured.n_nodes:
        return replace(row, no_fresh=f"fresh networks have {null.n_nodes[row.name]} nodes here")
    # Whatever has a larger VNI has fewer effective nodes.
    low, high = null.interval(row.name)
    rank = null.rank(row.name, row.measured.value)
    if rank.n < 2:
        return replace(row, no_fresh="measured in one fresh network alone; it takes two")
    fresh = FreshNetworks(1 / null.mean(row.name), 1 / high, 1 / low, rank.n - rank.below, rank.n)
    told = [each for each in (row.note, null.notes.get(row.name)) if each]
    return replace(row, fresh=fresh, note="; ".join(told))


def farther(layers: Sequence[LayerReport], null: Baseline) -> tuple[int, int] | None:
    """How many fresh networks lie at least as far from the common mean as this one, all layers taken together.

    The distance of a network is the mean over layers of z², where z is the logarithm of its VNI, standardized over this
    network and all fresh ones. All networks are treated alike, so if this one is fresh too, each order of the n + 1
    distances is equally probable, whatever the dependence between layers: the probability that k fresh networks or
    fewer are at least as far is (k + 1)/(n + 1) (Barnard's Monte Carlo test), however many layers there are.

    Returns
    -------
    (k, n), or None
        n counts the fresh networks; None if no layer varies, or was measured in all of them, or if the null does not
        say which values are of one network.
    """
    compared = [each for each in layers if each.fresh is not None and each.measured is not None]
    columns = [
        np.log([each.measured.value, *null.values[each.name]])  # type: ignore[union-attr]
        for each in compared
    ]
    columns = [x for x in columns if np.isfinite(x).all() and np.ptp(x) > 0]
    if not columns or not is_by_network(null):
        return None
    z = np.array([(x - x.mean()) / x.std() for x in columns])
    distance = np.mean(z**2, axis=0)
    # Equal but for rounding is at least as far.
    return int(np.count_nonzero(distance[1:] >= distance[0] * (1 - 1e-12))), len(distance) - 1


def is_by_network(null: Baseline) -> bool:
    """Whether values at one place are of one network in all layers.

    Those of `rmt_vn.prediction.Prediction.baseline` need not be: then those of each layer are in increasing order.
    """
    values = [each for name, each in null.values.items() if name not in null.faults]
    return len(values) < 2 or any(np.any(np.diff(each) < 0) for each in values)
