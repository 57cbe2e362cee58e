"""`report`: how many of a network's nodes are effective, beside the same network with fresh weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from rmt_vn.adapters import Watch
from rmt_vn.baseline import Baseline
from rmt_vn.network import Network
from rmt_vn.reports.assembled import assembled
from rmt_vn.reports.measured import layers_of_arrays, layers_of_watch
from rmt_vn.reports.result import Report


def report(
    model: Watch | Mapping[str, ArrayLike] | Sequence[ArrayLike],
    *,
    null: Baseline | Callable[[int], Any] | None = None,
    node_axis: int | Mapping[str, int] | None = None,
    network: Network | None = None,
    input_variance: float = 1.0,
) -> Report:
    """How many of a network's nodes are effective, layer by layer, beside the same network with fresh weights."""
    if isinstance(model, Watch):
        rows = layers_of_watch(model)
    else:
        arrays = model if isinstance(model, Mapping) else {str(place): each for place, each in enumerate(model, 1)}
        axes = node_axis if isinstance(node_axis, Mapping) else dict.fromkeys(arrays, node_axis)
        rows = layers_of_arrays(arrays, axes.get)
    return assembled(rows, null, network=network, input_variance=input_variance)
