"""PyTorch: the layers of a model, measured while it runs."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from rmt_vn.adapters.torch_layers import chosen_modules, nearest
from rmt_vn.adapters.torch_recording import Mask, Recorder
from rmt_vn.adapters.torch_records import BYPASSED, Call, Records
from rmt_vn.adapters.torch_tensors import imported_torch
from rmt_vn.checks import checked_count
from rmt_vn.measures import NodeVNI, VNIAccumulator

if TYPE_CHECKING:
    import torch


def watch(
    model: torch.nn.Module,
    select: str | type | Iterable[str | type] | None = None,
    *,
    every: int = 1,
    activations: bool = False,
    node_axis: int | Mapping[str, int] | None = None,
    most_nodes: int = 3072,
    mask: Mask | None = None,
) -> Watch:
    """Measure the layers of a PyTorch model while it runs.

    The outputs of the chosen modules go, batch by batch, into streaming sums (`rmt_vn.measures.VNIAccumulator`); no
    activations are kept. In training, each recorded pass adds activations of the weights at that moment; call `clear`
    between epochs, for example, to measure each epoch by itself.

    Parameters
    ----------
    model : torch.nn.Module
    select : str, type, or several of them, optional
        Modules by name (as in ``model.named_modules()``) or by type. By default all modules that have a matrix of
        weights: linear, convolutional, recurrent, attention, embedding ones, also parametrized, lazy or quantized. If
        some hold weights but cannot be watched, `Watch.left_out` says why.
    every : int
        Of so many forward passes of the model one is recorded, beginning with the first. In the others only the model
        itself, which counts them, and the first layer have hooks. Calls that bypass the model (``model.forward(x)``, or
        a module within it) are in no pass: with `every` = 1 they are recorded, else they are told when they are seen.
    activations : bool
        Whether all modules that are activations φ are watched too: pre-activations, and what becomes of them. Nodes of
        a ReLU that are zero for all samples are counted as `NodeVNI.constant_nodes`. A φ that is called as a function,
        like ``torch.relu``, has no output that a hook could see.
    node_axis : int, or a mapping from names to int, optional
        The axis of the nodes in an output; all others are samples. By default it follows from the type of the module
        (channels of convolutions, pooling and batch normalization, the last axis of linear, recurrent and attention
        modules) or from what feeds it (activations, dropout, blocks). Where it does not, the layer is not measured, and
        `Watch.faults` says so.
    most_nodes : int
        Of a layer with more nodes, so many are drawn at random, always the same ones, and stand for all: the VNI, its
        error and the number of constant nodes are those of all nodes, as estimated from these.
    mask : callable, optional
        Leaves out padding. It is called with the arguments of the model, and returns a tensor (batch, time) which is
        true where there is none: ``mask=lambda input_ids, attention_mask: attention_mask``. It holds for outputs that
        have these two axes.

    Returns
    -------
    Watch
        A context manager and a mapping from names to `NodeVNI`: ``with watch(model) as layers: …``, then
        ``layers["name"]``. On leaving, also by an exception, the hooks are removed and the measures stay. The second
        call of a module within one pass is the layer "name#2", and so on.

    Raises
    ------
    ImportError
        Without PyTorch: the extra 'torch' has it.
    TypeError, ValueError
        If `model` is no module, there is no module of that name or type, or `every` or `most_nodes` is no integer ≥ 1
        (≥ 2).

    Notes
    -----
    Passes are left as they are: the hooks do nothing while a model is compiled, exported, traced, or transformed by
    `torch.func`, nor in the second forward pass of gradient checkpointing, nor in copies of a module; they take and
    give no random numbers. What could not be read for such a reason is told in `Watch.notes` and `Watch.faults`. Two
    things do change, as with any hooks: PyTorch's transformer layers do not take their fast path in evaluation, which
    rounds in another way, and `torch.jit.script` takes the model before or after, but not inside.

    Examples
    --------
    ::

        with rmt_vn.watch(model, torch.nn.Tanh, every=100) as layers:
            train(model)
        print(layers)
        print(layers["3"].effective_nodes, layers["3"].confidence_interval())
    """
    torch = imported_torch()
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    every = checked_count("every", every)
    most_nodes = checked_count("most_nodes", most_nodes, 2)
    chosen, left_out = chosen_modules(model, select, activations=activations)
    if isinstance(node_axis, Mapping):
        for name in node_axis.keys() - chosen.keys():
            raise ValueError(f"node_axis must name watched modules, got {name!r}{nearest(str(name), chosen)}")
        axes = {name: operator.index(axis) for name, axis in node_axis.items()}
    else:
        axes = {} if node_axis is None else dict.fromkeys(chosen, operator.index(node_axis))
    if mask is not None and not callable(mask):
        raise TypeError(f"mask must be a function of the model's arguments, got {type(mask).__name__}")
    return Watch(model, chosen, left_out, every=every, axes=axes, most_nodes=most_nodes, mask=mask)


class Watch(Mapping[str, NodeVNI]):
    """What `watch` returns: a context manager that sets the hooks, and the measures of the layers by their names.

    It has the layers that could be measured; the others are in `faults`, with the reason. Looking one of them up raises
    an error of one line, which is a ValueError and a KeyError. ``print(layers)`` shows all of them. A watch keeps no
    model alive. Once it was left it can be pickled; what is loaded has the measures, and cannot be entered.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        chosen: Mapping[str, torch.nn.Module],
        left_out: Mapping[str, str],
        *,
        every: int,
        axes: Mapping[str, int],
        most_nodes: int,
        mask: Mask | None,
    ) -> None:
        self._types = {name: type(module).__name__ for name, module in chosen.items()}
        self._left_out, self._most_nodes = dict(left_out), most_nodes
        options: dict[str, Any] = {"every": every, "axes": axes, "most_nodes": most_nodes, "mask": mask}
        self._recorder: Recorder | None = Recorder(model, chosen, **options)
        self._loaded: Records | None = None

    def clear(self) -> None:
        """Forget what was recorded, and record the next pass."""
        if self._recorder is None:
            self._loaded = Records()
        else:
            self._recorder.clear()

    def __enter__(self) -> Self:
        if self._recorder is None:
            raise RuntimeError("a watch that was loaded has no model")
        self._recorder.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._recorder is not None
        self._recorder.stop()
        n_bypassed = self._records.n_bypassed()
        if n_bypassed and kind is None:
            warnings.warn(f"watch: {n_bypassed} calls of layers {BYPASSED}", RuntimeWarning, stacklevel=2)

    def __getitem__(self, name: str) -> NodeVNI:
        result = self._records.result(self._call(name))
        if isinstance(result, str):
            raise UnusableLayer(f"layer {name!r}: {result}")
        return result

    def __contains__(self, name: object) -> bool:
        return any(name == each for each in self)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, result in self._results().items() if not isinstance(result, str)])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def names(self) -> tuple[str, ...]:
        """All layers that are watched, in the order of the model: those with a measure, and those in `faults`."""
        return tuple(self._calls())

    @property
    def faults(self) -> dict[str, str]:
        """The watched layers that have no measure, and why: no call of them came, or its output could not be used."""
        return {name: result for name, result in self._results().items() if isinstance(result, str)}

    @property
    def left_out(self) -> dict[str, str]:
        """The modules that hold matrices of weights but are not watched, and why."""
        return dict(self._left_out)

    @property
    def notes(self) -> dict[str, str]:
        """What must be known of layers that have a measure: of which part of their nodes or calls it is."""
        notes = {name: self._records.note(self._call(name)) for name in self}
        return {name: note for name, note in notes.items() if note}

    def accumulator(self, name: str) -> VNIAccumulator:
        """The sums of a layer, which have all other measures as methods.

        Of a layer with more than `most_nodes` nodes they are sums over the nodes that were drawn.

        Raises
        ------
        ValueError, KeyError
            As ``layers[name]``.
        """
        self[name]
        return self._records.sums(self._call(name)).sums

    def as_dict(self) -> dict[str, float]:
        """A flat dict for logs: the keys are "name/vni", "name/effective_nodes" and "name/constant_nodes"."""
        keys = {"vni": "value", "effective_nodes": "effective_nodes", "constant_nodes": "constant_nodes"}
        return {
            f"{name}/{key}": float(getattr(layer, attribute))
            for name, layer in self.items()
            for key, attribute in keys.items()
        }

    def merge(self, other: Watch) -> None:
        """Add what another watch of a model with the same layers has recorded, which stays as it was.

        In distributed training each process has its watch. One that was left can be sent to another process.

        Raises
        ------
        ValueError
            If it watches other layers, or has another `most_nodes`, and so has drawn other nodes.
        """
        if self._types != other._types or self._most_nodes != other._most_nodes:
            raise ValueError("a watch can be merged with another of the same layers and the same most_nodes only")
        if other is self:
            raise ValueError("a watch cannot be merged with itself")
        self._records.merge(other._records)

    def table(self) -> str:
        """All layers: those with a measure in columns, those without and those left out with the reason."""
        rows: list[tuple[str, ...]] = [
            ("layer", "type", "samples", "nodes", "constant", "effective nodes", "VNI, 95% interval")
        ]
        for name, layer in self.items():
            low, high = layer.confidence_interval()
            counts = map(str, (layer.n_samples, layer.n_nodes, layer.constant_nodes))
            shown = f"{layer.effective_nodes:.1f}", f"{layer.value:.4g}, {low:.4g} to {high:.4g}"
            rows.append((name or "(model)", self._types[self._call(name)[0]], *counts, *shown))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        aligned = [f"{{:{side}{width}}}" for side, width in zip("<<>>>><", widths, strict=True)]
        lines = ["  ".join(aligned).format(*row).rstrip() for row in rows] if len(rows) > 1 else []
        for word, reasons in (("note", self.notes), ("not measured", self.faults), ("left out", self._left_out)):
            lines += [f"{name or '(model)'} ({word}): {reason}" for name, reason in reasons.items()]
        return "\n".join(lines)

    __str__ = table

    def __repr__(self) -> str:
        return f"<Watch: {len(self)} layers measured, {len(self.faults)} not, {len(self._left_out)} left out>"

    def __getstate__(self) -> dict[str, Any]:
        if self._recorder is not None and self._recorder.is_running:
            raise TypeError("a watch can be copied or pickled only once its context is left")
        return {**self.__dict__, "_recorder": None, "_loaded": self._records}

    @property
    def _records(self) -> Records:
        records = self._loaded if self._recorder is None else self._recorder.records
        assert records is not None
        return records

    def _calls(self) -> dict[str, Call]:
        """The layers in the order of the model, by their names; later calls of a module follow its first."""
        order = {name: number for number, name in enumerate(self._types)}
        calls = self._records.calls() | {(name, 1) for name in order}
        return {
            name if call == 1 else f"{name}#{call}": (name, call)
            for name, call in sorted(calls, key=lambda each: (order[each[0]], each[1]))
        }

    def _call(self, name: str) -> Call:
        calls = self._calls()
        if name not in calls:
            raise KeyError(f"no layer {name!r} is watched{nearest(name, calls)}")
        return calls[name]

    def _results(self) -> dict[str, NodeVNI | str]:
        return {name: self._records.result(call) for name, call in self._calls().items()}


class UnusableLayer(ValueError, KeyError):
    """A watched layer that has no measure; the message says why."""

    __str__ = Exception.__str__  # a KeyError would put its message in quotation marks
