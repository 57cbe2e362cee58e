"""PyTorch: what a watch saw of the layers of a model, now and along a training."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from rmt_vn.adapters.torch_layers import nearest
from rmt_vn.adapters.torch_recording import Mask, Recorder
from rmt_vn.adapters.torch_records import BYPASSED, Call, Records
from rmt_vn.checks import checked_kind
from rmt_vn.measures import NodeVNI, VNIAccumulator

if TYPE_CHECKING:
    import torch

# The columns of `Watch.history` beside step and layer: their attributes of a measure, and types.
_COLUMNS = {
    "vni": ("value", float),
    "stderr": ("stderr", float),
    "effective_nodes": ("effective_nodes", float),
    "n_nodes": ("n_nodes", int),
    "constant_nodes": ("constant_nodes", int),
    "n_samples": ("n_samples", int),
}


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
        self._logged: list[tuple[int, str, NodeVNI]] = []

    def clear(self) -> None:
        """Forget what was recorded, and record the next pass. What was logged stays in `history`."""
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
        return iter(self._measured())

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
        return _flat(self._measured())

    def log(self, step: int) -> dict[str, float]:
        """Measure what was recorded since the last call, add it to `history`, and begin anew.

        Parameters
        ----------
        step : int
            Of the training: where the rows of `history` stand, and what a logger takes beside the numbers.

        Returns
        -------
        dict of str to float
            As `as_dict`. Empty if nothing was recorded, as between two passes that `every` chooses: so `log` may be
            called at each step. Then nothing is added.

        Raises
        ------
        TypeError
            If the step is no integer.

        Notes
        -----
        *Cost.* A pass costs as in any watch, which is some five times the pass alone for linear layers of 256 nodes.
        `log` costs as much as looking up all layers: for 500 samples of six layers some 0.06 s of one core if they have
        256 nodes, and 0.02 s if they have 64. `history` keeps some hundred bytes for each step and layer.

        *Fresh networks* are the same along a training: draw them once, over the same inputs. So what is compared with
        them is watched while those inputs pass, and not while batches of the training do; a watch can be entered again
        and again.

        Examples
        --------
        Along a training, beside fresh networks, with a writer of TensorBoard (for Weights & Biases the last line is
        ``wandb.log(seen, step=step)``)::

            null = rmt_vn.adapters.reinitialized(model, probe, rng=0)  # once
            layers = rmt_vn.watch(model)
            for step, batch in enumerate(batches):
                if step % 100 == 0:
                    with layers, torch.no_grad():
                        model(probe)
                    print(rmt_vn.report(layers, null=null))  # before `log`, which begins anew
                    for name, value in layers.log(step).items():
                        writer.add_scalar(name, value, step)
                update(model, batch)
            pandas.DataFrame(layers.history)

        A callback for Lightning, and trainers like it::

            class EffectiveNodes(lightning.Callback):
                def __init__(self, model, probe):
                    self.layers, self.probe = rmt_vn.watch(model), probe

                def on_train_epoch_end(self, trainer, module):
                    with self.layers, torch.no_grad():
                        module(self.probe)
                    module.log_dict(self.layers.log(trainer.global_step))
        """
        if not hasattr(step, "__index__"):
            raise TypeError(f"step must be an integer, got {step!r}")
        step = operator.index(step)
        measured = self._measured()
        if not measured:
            return {}
        self._logged += [(step, name, layer) for name, layer in measured.items()]
        if self._recorder is None:
            self._loaded = self._records.begun_anew()
        else:
            self._recorder.records = self._records.begun_anew()
        return _flat(measured)

    @property
    def history(self) -> dict[str, np.ndarray]:
        """What was logged, as columns of equal length: ``pandas.DataFrame(layers.history)``.

        There is a row for each call of `log` and each layer that was measured: `step`, `layer`, `vni`, its `stderr`,
        `effective_nodes`, `n_nodes`, `constant_nodes` and `n_samples`.
        """
        return {
            "step": np.array([step for step, _, _ in self._logged], dtype=int),
            "layer": np.array([name for _, name, _ in self._logged], dtype=str),
            **{
                column: np.array([getattr(layer, attribute) for _, _, layer in self._logged], dtype=kind)
                for column, (attribute, kind) in _COLUMNS.items()
            },
        }

    def merge(self, other: Watch) -> None:
        """Add what another watch of a model with the same layers has recorded, which stays as it was.

        What was logged is not merged: merge before `log`. In distributed training each process has its watch. One that
        was left can be sent to another process.

        Raises
        ------
        ValueError
            If it watches other layers, or has another `most_nodes`, and so has drawn other nodes.
        """
        checked_kind("other", other, Watch)
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

    def _measured(self) -> dict[str, NodeVNI]:
        return {name: result for name, result in self._results().items() if not isinstance(result, str)}

    def _results(self) -> dict[str, NodeVNI | str]:
        return {name: self._records.result(call) for name, call in self._calls().items()}


def _flat(measured: Mapping[str, NodeVNI]) -> dict[str, float]:
    keys = {"vni": "value", "effective_nodes": "effective_nodes", "constant_nodes": "constant_nodes"}
    return {
        f"{name}/{key}": float(getattr(layer, attribute))
        for name, layer in measured.items()
        for key, attribute in keys.items()
    }


class UnusableLayer(ValueError, KeyError):
    """A watched layer that has no measure; the message says why."""

    __str__ = Exception.__str__  # a KeyError would put its message in quotation marks
