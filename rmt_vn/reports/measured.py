"""The layers of this network: from arrays, and from what a watch saw."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy.special import betainc

from rmt_vn import measures
from rmt_vn.adapters import Watch
from rmt_vn.checks import one_line
from rmt_vn.measures import NodeVNI
from rmt_vn.reports.layer import DUPLICATE, LayerReport

# So many pairs of independent nodes may look like near-duplicates by chance, on average, for these to be counted.
_MOST_BY_CHANCE = 0.5


def layers_of_arrays(arrays: Mapping[str, Any], node_axis: Callable[[str], int | None]) -> list[LayerReport]:
    """A row for each array, in their order; where one cannot be measured, it says why.

    Parameters
    ----------
    arrays : mapping of str to array_like
        As `rmt_vn.measures.vni` takes them.
    node_axis : callable
        The axis of the nodes in the array of a name.
    """
    rows = []
    for name in arrays:
        try:
            array = arrays[name]  # of an open NPZ file it is read here
            measured = measures.vni(array, node_axis=node_axis(name))
            rows.append(layer_of_array(str(name), array, measured, node_axis=node_axis(name)))
        except (TypeError, ValueError) as error:
            rows.append(LayerReport(str(name), None, one_line(error)))
    return rows


def layer_of_array(name: str, array: Any, measured: NodeVNI, *, node_axis: int | None) -> LayerReport:
    """The row of an array that was measured."""
    samples = measures.as_samples(array, node_axis=node_axis)
    return _row(
        name,
        measured,
        dead=int(np.count_nonzero(~np.any(samples, axis=0))),
        groups=partial(measures.near_duplicates, samples, threshold=DUPLICATE),
        note="; ".join(measured.caveats),
    )


def layers_of_watch(watch: Watch) -> list[LayerReport]:
    """A row for each watched layer, in the order of the model, and for each that was left out."""
    faults, notes = watch.faults, watch.notes
    rows = []
    for name in watch.names:
        if name in faults:
            rows.append(LayerReport(name, None, faults[name]))
            continue
        measured, sums = watch[name], watch.accumulator(name)
        drawn = sums.n_nodes < measured.n_nodes
        rows.append(
            _row(
                name,
                measured,
                dead=round(sums.dead_nodes() * measured.n_nodes / sums.n_nodes),
                groups=None if drawn else partial(sums.near_duplicates, threshold=DUPLICATE),
                note=notes.get(name, ""),
            )
        )
    return rows + [LayerReport(name, None, f"left out: {reason}") for name, reason in watch.left_out.items()]


def _row(
    name: str, measured: NodeVNI, *, dead: int, groups: Callable[[], list[np.ndarray]] | None, note: str
) -> LayerReport:
    if math.isnan(measured.value):
        few = f"{measured.n_samples} samples in {measured.n_groups} groups"
        return LayerReport(name, None, note or f"{few}; an estimate with an error takes 5 samples, and 4 groups")
    return LayerReport(
        name,
        measured,
        dead_nodes=dead,
        near_duplicates=None if groups is None or not _can_tell(measured) else sum(len(each) - 1 for each in groups()),
        note=note,
    )


def _can_tell(measured: NodeVNI) -> bool:
    """Whether independent Gaussian nodes would not look like near-duplicates in so few samples: r² is then a beta."""
    varying, independent = measured.n_nodes - measured.constant_nodes, measured.n_groups
    if independent < 3:
        return False
    by_chance = betainc((independent - 2) / 2, 0.5, 1 - DUPLICATE**2)
    return bool(varying * (varying - 1) / 2 * by_chance <= _MOST_BY_CHANCE)
