"""PyTorch: the layers of a model, measured while it runs."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from rmt_vn.adapters.torch_tensors import imported_torch, numbers
from rmt_vn.checks import checked_count
from rmt_vn.measures import NodeVNI, VNIAccumulator, as_samples

if TYPE_CHECKING:
    import torch

# Numbers of a layer that are collected before they are added up: as many as fit into the cache, or nodes².
_PORTION = 2**16


def watch(
    model: torch.nn.Module,
    select: str | type | Iterable[str | type] | None = None,
    *,
    every: int = 1,
    node_axis: int | None = None,
) -> Watch:
    """Measure the layers of a PyTorch model while it runs.

    The outputs of the chosen modules go, batch by batch, into streaming sums (`rmt_vn.measures.VNIAccumulator`); no
    activations are kept. In training, each recorded pass adds activations of the weights at that moment; call `clear`
    between epochs, for example, to measure each epoch by itself.

    Parameters
    ----------
    model : torch.nn.Module
    select : str, type, or several of them, optional
        Modules by name (as in ``model.named_modules()``) or by type. By default all modules without children that have
        a matrix of weights: linear, convolutional, embedding ones.
    every : int
        Of so many forward passes of the model one is recorded, beginning with the first. From 2 on, passes are counted
        by a hook of the model itself, and those in between cost almost no time, since no other module has a hook then.
    node_axis : int, optional
        The axis of the nodes in an output; all others are samples. By default the channels of convolutions (axis 1 of a
        batch), and the last axis for all other modules: give it if pooling, normalization or activation modules after
        convolutions are chosen.

    Returns
    -------
    Watch
        A context manager and a mapping from names to `NodeVNI`: ``with watch(model) as layers: …``, then
        ``layers["name"]``. On leaving, also by an exception, the hooks are removed and the measures stay.

    Raises
    ------
    ImportError
        Without PyTorch: the extra 'torch' has it.
    TypeError, ValueError
        If `model` is no module, there is no module of that name or type, or `every` is no integer ≥ 1.

    Examples
    --------
    ::

        with rmt_vn.watch(model, torch.nn.Tanh, every=100) as layers:
            train(model)
        print(layers["3"].effective_nodes, layers["3"].confidence_interval())
    """
    torch = imported_torch()
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    every = checked_count("every", every)
    channels = {getattr(torch.nn, f"Conv{kind}{d}d"): -(d + 1) for kind in ("", "Transpose") for d in (1, 2, 3)}

    def axis(module: Any) -> int:
        if node_axis is not None:
            return operator.index(node_axis)
        return next((axis for kind, axis in channels.items() if isinstance(module, kind)), -1)

    chosen = _selected(model, select)
    return Watch(model, {name: (module, axis(module)) for name, module in chosen.items()}, every)


class Watch(Mapping[str, NodeVNI]):
    """What `watch` returns: a context manager that sets the hooks, and the measures of the layers by their names.

    Looking up a layer whose outputs were not finite, or with fewer than two samples, raises a ValueError; the run of
    the model itself is not disturbed.
    """

    def __init__(self, model: torch.nn.Module, layers: dict[str, tuple[torch.nn.Module, int]], every: int) -> None:
        self._model = model
        self._layers = layers
        self._every = every
        self._of_model: list[Any] = []
        self._of_layers: list[Any] = []
        self.clear()

    def clear(self) -> None:
        """Forget what was recorded, and record the next pass."""
        self._sums = {name: _Collected() for name in self._layers}
        self._passes = 0
        self._faults: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._of_model or self._of_layers:
            raise RuntimeError("this watch is entered already")
        if self._every == 1:
            self._attach()
        else:
            before = self._model.register_forward_pre_hook(self._before_pass)
            after = self._model.register_forward_hook(self._after_pass, always_call=True)
            self._of_model = [before, after]
        return self

    def __exit__(self, *_: object) -> None:
        self._detach()
        for handle in self._of_model:
            handle.remove()
        self._of_model.clear()

    def _before_pass(self, *_: object) -> None:
        if self._passes % self._every == 0:
            self._detach()  # hooks that an interrupted pass has left
            self._attach()
        self._passes += 1

    def _after_pass(self, *_: object) -> None:
        self._detach()

    def _attach(self) -> None:
        for name, (module, axis) in self._layers.items():
            self._of_layers.append(module.register_forward_hook(self._hook(name, axis)))

    def _detach(self) -> None:
        for handle in self._of_layers:
            handle.remove()
        self._of_layers.clear()

    def __getitem__(self, name: str) -> NodeVNI:
        if name not in self._layers:
            raise KeyError(f"no layer {name!r} is watched{_nearest(name, self._layers)}")
        if name in self._faults:
            raise ValueError(f"layer {name!r}: {self._faults[name]}")
        try:
            return self._sums[name].vni()
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def _hook(self, name: str, axis: int) -> Callable[[Any, Any, Any], None]:
        def record(module: Any, inputs: Any, output: Any) -> None:
            if name not in self._faults:
                try:
                    self._sums[name].add(as_samples(numbers(output), node_axis=axis))
                except (TypeError, ValueError) as error:
                    self._faults[name] = str(error)

        return record


class _Collected:
    """Sums over the samples of a layer, added in portions: not so few samples that adding nodes² sums costs most of the
    time, and not so many that they leave the cache."""

    def __init__(self) -> None:
        self._sums = VNIAccumulator()
        self._waiting = np.empty((0, 0))
        self._n_waiting = 0

    def add(self, samples: np.ndarray) -> None:
        n_nodes = samples.shape[1]
        if n_nodes != self._waiting.shape[1] or samples.dtype != self._waiting.dtype:
            self._pass_on()
            self._waiting = np.empty((max(n_nodes, _PORTION // n_nodes), n_nodes), samples.dtype)
        while len(samples):
            room = self._waiting[self._n_waiting :]
            now, samples = samples[: len(room)], samples[len(room) :]
            room[: len(now)] = now
            self._n_waiting += len(now)
            if self._n_waiting == len(self._waiting):
                self._pass_on()

    def vni(self) -> NodeVNI:
        self._pass_on()
        return self._sums.vni()

    def _pass_on(self) -> None:
        if self._n_waiting:
            self._sums.update(self._waiting[: self._n_waiting])
            self._n_waiting = 0


def _selected(model: torch.nn.Module, select: str | type | Iterable[str | type] | None) -> dict[str, torch.nn.Module]:
    modules = dict(model.named_modules())
    if select is None:
        chosen = {name: module for name, module in modules.items() if _has_weights(module)}
        if not chosen:
            raise ValueError("the model has no modules with a matrix of weights; select some by name or type")
        return chosen
    names: set[str] = set()
    for each in [select] if isinstance(select, str | type) else select:
        if isinstance(each, type):
            found = {name for name, module in modules.items() if isinstance(module, each)}
            told = f"the model has no module of type {each.__name__}"
        else:
            found = {name for name in modules if name == each}
            told = f"the model has no module named {each!r}{_nearest(str(each), modules)}"
        if not found:
            raise ValueError(told)
        names |= found
    if not names:
        raise ValueError("select must name at least one module")
    return {name: module for name, module in modules.items() if name in names}


def _has_weights(module: torch.nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return not list(module.children()) and getattr(weight, "ndim", 0) >= 2


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
