"""PyTorch: outputs of a module as samples of nodes, and the sums over them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from rmt_vn.adapters.torch_layouts import Layout
from rmt_vn.adapters.torch_tensors import imported_torch, numbers, unit_roundoff_of
from rmt_vn.measures import NodeVNI, VNIAccumulator, as_samples
from rmt_vn.measures.indicator.result import summarized

# Numbers of a layer that are collected before they are added up: as many as fit into the cache, or nodes², to a limit.
_PORTION, _LARGEST_PORTION = 2**16, 2**20


@dataclass(slots=True)
class Batch:
    """What one call of a module gave.

    Attributes
    ----------
    samples : ndarray, shape (samples, nodes)
        Some nodes, if there are too many. The samples of one item are neighbours.
    items : ndarray of int, shape (samples,)
        The item of the batch (an image, a sequence) that each sample belongs to, from 0 on.
    grouped : bool
        Whether items may have several samples, which are not independent.
    n_nodes : int
        Of the module.
    precision : float
        The unit roundoff of the floating type in which they were computed.
    """

    samples: np.ndarray
    items: np.ndarray
    grouped: bool
    n_nodes: int
    precision: float

    def without_padding(self, mask: np.ndarray | str) -> Batch:
        """The samples that a mask (items, samples of each) keeps, if its shape is theirs; else all of them.

        Raises
        ------
        ValueError
            If the mask is a reason why there is none.
        """
        if isinstance(mask, str):
            raise ValueError(mask)
        n_items = int(self.items.max(initial=-1)) + 1
        if not self.grouped or (n_items, len(self.samples)) != (len(mask), mask.size):
            return self
        kept = mask.ravel()
        # An item that is all padding is no group.
        items = np.unique(self.items[kept], return_inverse=True)[1]
        return replace(self, samples=self.samples[kept], items=items)

    @classmethod
    def of(cls, tensor: Any, layout: Layout, most_nodes: int) -> Self:
        """The values of a tensor.

        Raises
        ------
        TypeError, ValueError
            If they are no real numbers, or the tensor has no such axis.
        """
        precision, tensor, nodes = unit_roundoff_of(tensor), tensor.detach(), layout.nodes
        if not -tensor.ndim <= nodes < tensor.ndim:
            raise ValueError(f"node_axis must be an axis of its output, of shape {tuple(tensor.shape)}, got {nodes}")
        nodes %= tensor.ndim
        n_nodes = tensor.shape[nodes]
        if n_nodes > most_nodes:
            drawn = imported_torch().as_tensor(chosen_nodes(n_nodes, most_nodes), device=tensor.device)
            tensor = tensor.index_select(nodes, drawn)
        values = numbers(tensor)
        if nodes < tensor.ndim - 1:
            values = np.moveaxis(values, nodes, -1)
        if layout.items:  # the samples of one item become neighbours
            values = np.moveaxis(values, layout.items - (nodes < layout.items), 0)
        # What is samples by nodes already costs less so: a hook has microseconds.
        plain = values.ndim == 2 and values.dtype.kind == "f" and n_nodes > 0
        samples = values if plain else as_samples(values, node_axis=-1)
        items = np.arange(1 if layout.items is None else len(values))
        if len(samples) != len(items):
            items = np.repeat(items, len(samples) // max(len(items), 1))
        return cls(samples, items, layout.items is None or tensor.ndim > 2, n_nodes, precision)

    @classmethod
    def of_packed(cls, packed: Any, most_nodes: int) -> Self:
        """The values of a packed sequence: all of its steps, and none of what would fill it up."""
        batch = cls.of(packed.data, Layout(1, 0), most_nodes)
        items = np.concatenate([np.arange(int(size)) for size in packed.batch_sizes])
        return replace(batch, items=items, grouped=True)

    @classmethod
    def of_nested(cls, nested: Any, most_nodes: int) -> Self:
        """The values of a nested tensor of sequences: PyTorch's encoders make one of what is not padding."""
        sequences = nested.detach().unbind()
        batch = cls.of(imported_torch().cat(sequences), Layout(-1, 0), most_nodes)
        items = np.repeat(np.arange(len(sequences)), [len(each) for each in sequences])
        return replace(batch, items=items, grouped=True)


def chosen_nodes(n_nodes: int, most_nodes: int) -> np.ndarray:
    """The nodes that stand for all: drawn without replacement, the same ones for the same two numbers."""
    rng = np.random.default_rng([n_nodes, most_nodes])
    return np.sort(rng.choice(n_nodes, most_nodes, replace=False))


class Collected:
    """Sums over the samples of a layer, added in portions: not so few samples that adding nodes² sums costs most of the
    time, and not so many that they leave the cache."""

    def __init__(self) -> None:
        self.sums = VNIAccumulator()
        self.n_nodes = 0
        self._waiting, self._precision = np.empty((0, 0)), 0.0
        self._n_waiting = 0
        self._vni: NodeVNI | None = None

    @property
    def n_samples(self) -> int:
        return self.sums.n_samples + self._n_waiting

    def add(self, batch: Batch) -> None:
        """Add the samples of a batch. Errors of their values are raised here, or when they are passed on."""
        samples = batch.samples
        if self.n_nodes and batch.n_nodes != self.n_nodes:
            raise ValueError(f"its outputs must have the {self.n_nodes} nodes of the first, got {batch.n_nodes}")
        self.n_nodes, self._vni = batch.n_nodes, None
        if batch.grouped and not len(samples):
            return
        if batch.grouped:
            self.flush()
            self.sums.update(samples, groups=batch.items, precision=batch.precision)
            return
        n_measured = samples.shape[1]
        kept = n_measured, samples.dtype, batch.precision
        if kept != (self._waiting.shape[1], self._waiting.dtype, self._precision):
            self.flush()
            n_rows = max(min(n_measured, _LARGEST_PORTION // n_measured), _PORTION // n_measured)
            self._waiting, self._precision = np.empty((n_rows, n_measured), samples.dtype), batch.precision
        while len(samples):
            room = self._waiting[self._n_waiting :]
            now, samples = samples[: len(room)], samples[len(room) :]
            room[: len(now)] = now
            self._n_waiting += len(now)
            if self._n_waiting == len(self._waiting):
                self.flush()

    def flush(self) -> None:
        """Pass on what waits."""
        if self._n_waiting:
            self.sums.update(self._waiting[: self._n_waiting], precision=self._precision)
            self._n_waiting = 0

    def merge(self, other: Collected) -> None:
        """Add what another has collected.

        Raises
        ------
        ValueError
            If its nodes are others.
        """
        self.flush()
        other.flush()
        if self.n_nodes and other.n_nodes and self.n_nodes != other.n_nodes:
            raise ValueError(f"its outputs must have the {self.n_nodes} nodes of the first, got {other.n_nodes}")
        self.sums.merge(other.sums)
        self.n_nodes, self._vni = max(self.n_nodes, other.n_nodes), None

    def vni(self) -> NodeVNI:
        """The measure of the layer, of all its nodes if only some were measured. Kept until samples are added."""
        self.flush()
        if self._vni is None:
            measured = self.sums.vni()
            self._vni = measured if self.sums.n_nodes == self.n_nodes else _of_all_nodes(measured, self)
        return self._vni

    def note(self) -> str:
        """What must be known of the measure of the layer, or nothing."""
        measured = self.vni()
        told = [*measured.caveats]
        if self.sums.n_nodes < self.n_nodes:
            told.insert(0, f"from {self.sums.n_nodes} of its {self.n_nodes} nodes, drawn at random")
        return "; ".join(told)


def _of_all_nodes(measured: NodeVNI, collected: Collected) -> NodeVNI:
    """The measure of all nodes from that of some.

    The mean of ρ² over all pairs of nodes that are drawn is an unbiased estimate of that over all pairs there are; its
    variance over the nodes drawn is that of a mean over pairs, four times the variance of the nodes' own means over
    their number (Hoeffding 1948). The number of constant nodes is scaled up.
    """
    share = collected.n_nodes / measured.n_nodes
    n, constant = measured.n_nodes - measured.constant_nodes, round(measured.constant_nodes * share)
    n_all = collected.n_nodes - constant
    counts: Any = {
        "n_nodes": collected.n_nodes,
        "n_samples": measured.n_samples,
        "constant_nodes": constant,
        "n_groups": measured.n_groups,
        "most_nodes": collected.n_nodes if measured.most_nodes == measured.n_nodes else n_all,
    }
    if n == 1:
        return replace(measured, **counts)
    scale = (1 - 1 / n_all) / (1 - 1 / n)

    def of_all(value: float) -> float:
        return 1 / n_all + (value - 1 / n) * scale

    if math.isnan(measured.value):
        return replace(measured, plug_in=of_all(measured.plug_in), **counts)
    squares = collected.sums.correlation()
    np.square(squares, out=squares)
    means = (squares.sum(axis=1) - 1) / (n - 1)
    over_nodes = 4 * float(means.var(ddof=1)) / n * (1 - 1 / share)
    variances = (*((variance * scale**2, freedom) for variance, freedom in measured.variances), (over_nodes, n - 1))
    of_all_nodes = of_all(measured.unlimited), variances
    return summarized(*of_all_nodes, plug_in=of_all(measured.plug_in), caveats=measured.caveats, **counts)
