"""PyTorch: the layers of a model measured while it runs, and the network that its weights were drawn from."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from rmt_vn import activations
from rmt_vn.activations import Activation
from rmt_vn.measures import NodeVNI, VNIAccumulator, as_samples
from rmt_vn.network import Network

if TYPE_CHECKING:
    import torch

# Gram matrices of orthogonal weights, kept in single precision, are this near to multiples of the identity.
_ORTHOGONAL = 1e-3

# Numbers of a layer that wait to be added up: as many as stay within the cache, or nodes² of a wide one.
_PORTION = 2**16

# PyTorch's names of activations, and the parameters with which they are what we call by ours.
_ACTIVATIONS = {
    "GELU": "gelu",
    "Hardtanh": "hard_tanh",
    "Identity": "linear",
    "ReLU": "relu",
    "SiLU": "silu",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Tanh": "tanh",
}
_USUAL = {"GELU": {"approximate": "none"}, "Hardtanh": {"min_val": -1.0, "max_val": 1.0}, "Softplus": {"beta": 1.0}}


def watch(
    model: torch.nn.Module,
    select: Iterable[str | type] | None = None,
    *,
    every: int = 1,
    node_axis: int | None = None,
) -> Watch:
    """Measure the layers of a PyTorch model while it runs.

    The outputs of the chosen modules go, batch by batch, into streaming sums (`rmt_vn.measures.VNIAccumulator`); no
    activations are kept. In training, each recorded pass adds those of the weights of that moment: `clear` between
    epochs, say, keeps them apart.

    Parameters
    ----------
    model : torch.nn.Module
    select : iterable of str or type, optional
        Modules by name (as in ``model.named_modules()``) or by type. By default all modules without children that have
        a matrix of weights: linear, convolutional, embedding ones.
    every : int
        Record every so many forward passes of the model, beginning with the first. From 2 on these are counted where
        the model itself is called, and the passes between cost next to nothing: no other module has a hook then.
    node_axis : int, optional
        Which axis of an output numbers the nodes; all others are samples. By default the channels of convolutions
        (axis 1 of a batch), and the last axis for all other modules: give it where pooling, normalization or
        activation modules behind convolutions are chosen.

    Returns
    -------
    Watch
        A context manager and a mapping from names to `NodeVNI`: ``with watch(model) as layers: …``, then
        ``layers["name"]``. On leaving, also by an exception, the hooks are gone and the measures stay.

    Raises
    ------
    ImportError
        Without PyTorch: the extra 'torch' has it.
    TypeError, ValueError
        If `model` is no module, there is no module of that name or type, or `every` is no integer ≥ 1.

    Examples
    --------
    ::

        with rmt_vn.watch(model, [torch.nn.Tanh], every=100) as layers:
            train(model)
        print(layers["3"].effective_nodes, layers["3"].interval)
    """
    torch = _torch()
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if isinstance(every, bool) or not hasattr(every, "__index__") or operator.index(every) < 1:
        raise ValueError(f"every must be an integer ≥ 1, got {every!r}")
    channels = {getattr(torch.nn, f"Conv{kind}{d}d"): -(d + 1) for kind in ("", "Transpose") for d in (1, 2, 3)}

    def axis(module: torch.nn.Module) -> int:
        if node_axis is not None:
            return operator.index(node_axis)
        return next((axis for kind, axis in channels.items() if isinstance(module, kind)), -1)

    chosen = _selected(model, select)
    return Watch(model, {name: (module, axis(module)) for name, module in chosen.items()}, operator.index(every))


class Watch(Mapping[str, NodeVNI]):
    """What `watch` returns: hooks while it is entered, and the measures of the layers by their names.

    A layer whose outputs were not finite, or of which fewer than two samples were seen, says so in a ValueError when it
    is asked for; the model's own run is not disturbed.
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
            self._detach()  # what a pass that was stopped has left
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
                    self._sums[name].add(as_samples(_numbers(output), axis))
                except (TypeError, ValueError) as error:
                    self._faults[name] = str(error)

        return record


class _Collected:
    """Sums over the samples of a layer, to which they go in portions: neither a few at a time, whose nodes² sums cost
    more than they do, nor so many that they leave the cache."""

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


def network_of(model: torch.nn.Module, activation: Activation | str | None = None) -> Network:
    """The random network that a PyTorch MLP was drawn from, as far as its weights tell: what `predict` asks for.

    Reads the linear modules in the order of ``model.modules()`` and the activations between them. σ_w² is the mean
    square of the weights times their fan-in, and σ_b² that of the biases, over all layers together. Weights are
    "orthogonal" if all matrices are, to a thousandth, multiples of (semi-)orthogonal ones. It says something of
    networks at initialization; trained weights are no random matrices.

    Parameters
    ----------
    model : torch.nn.Module
    activation : str or Activation, optional
        Where φ is no module of its own (``torch.tanh`` in ``forward``).

    Raises
    ------
    ImportError
        Without PyTorch: the extra 'torch' has it.
    ValueError
        If the linear modules are no chain, other modules have weights, or the activation cannot be read.
    """
    torch = _torch()
    leaves = [module for module in model.modules() if not list(module.children())]
    linear = [module for module in leaves if isinstance(module, torch.nn.Linear)]
    others = [module for module in leaves if module not in linear and list(module.parameters())]
    if others or not linear:
        stranger = f"got {type(others[0]).__name__} modules" if others else "got none"
        raise ValueError(f"theory here is about MLPs, whose weights are in linear modules alone; {stranger}")
    for before, after in pairwise(linear):
        if before.out_features != after.in_features:
            raise ValueError(
                f"the linear modules are no chain: {before.out_features} outputs, then {after.in_features} inputs"
            )
    between = leaves[leaves.index(linear[0]) : leaves.index(linear[-1])]
    weights = [_numbers(module.weight).astype(float) for module in linear]
    biases = [
        np.zeros(module.out_features) if module.bias is None else _numbers(module.bias).astype(float)
        for module in linear
    ]
    return Network(
        (linear[0].in_features, *(module.out_features for module in linear)),
        activation=_activation_of(between) if activation is None else activation,
        weights="orthogonal" if all(map(_is_orthogonal, weights)) else "gaussian",
        sigma_w=float(np.sqrt(np.mean(np.concatenate([(w**2 * w.shape[1]).ravel() for w in weights])))),
        sigma_b=float(np.sqrt(np.mean(np.concatenate(biases) ** 2))),
        dropout=_kept(between),
    )


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise ImportError(
            "PyTorch is missing; the extra 'torch' has it: python -m pip install 'rmt_vn[torch]'"
        ) from None
    return torch


def _selected(model: torch.nn.Module, select: Iterable[str | type] | None) -> dict[str, torch.nn.Module]:
    modules = dict(model.named_modules())
    if select is None:
        chosen = {name: module for name, module in modules.items() if _has_weights(module)}
        if not chosen:
            raise ValueError("the model has no modules with a matrix of weights; select some by name or type")
        return chosen
    if isinstance(select, (str, type)):
        raise TypeError(f"select must be a list of names and types, got {select!r}; put it into brackets")
    names: set[str] = set()
    for each in select:
        of_type = isinstance(each, type)
        found = {name for name, module in modules.items() if (isinstance(module, each) if of_type else name == each)}
        if not found:
            raise ValueError(
                f"the model has no module of type {each.__name__}"
                if of_type
                else f"the model has no module named {each!r}{_nearest(str(each), modules)}"
            )
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


def _numbers(output: Any) -> np.ndarray:
    """A tensor, or the first of a tuple of them (recurrent modules), as an array on this side."""
    tensor = output[0] if isinstance(output, (tuple, list)) and output else output
    if not hasattr(tensor, "detach"):
        raise TypeError(f"its output must be a tensor, got {type(output).__name__}")
    tensor = tensor.detach().cpu()
    # numpy has no bfloat16; the other half precision goes the same way.
    return (tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor).numpy()


def _is_orthogonal(w: np.ndarray) -> bool:
    if min(w.shape) < 2:
        return True  # one row or column tells nothing of the others
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    return bool(np.abs(gram / np.mean(np.diag(gram)) - np.eye(len(gram))).max() < _ORTHOGONAL)


def _activation_of(between: list[Any]) -> Activation:
    """φ of the modules between the first and the last linear one."""
    found = {_activation(module) for module in between if type(module).__name__ not in ("Linear", "Dropout")}
    if not found and between:
        raise ValueError("there are no activation modules between the linear ones; name φ by `activation`")
    if len(found) > 1:
        raise ValueError(f"the layers have different activations: {', '.join(sorted(each.name for each in found))}")
    return found.pop() if found else activations.get("linear")


def _activation(module: Any) -> Activation:
    kind = type(module).__name__
    if kind == "LeakyReLU":
        return activations.leaky_relu(module.negative_slope)
    usual = _USUAL.get(kind, {})
    if kind not in _ACTIVATIONS or any(getattr(module, name) != value for name, value in usual.items()):
        raise ValueError(f"theory here knows no activation {module}; name φ by `activation`")
    return activations.get(_ACTIVATIONS[kind])


def _kept(between: list[Any]) -> float | None:
    """Probability with which the dropout modules that are at work keep a node."""
    found = {1 - module.p for module in between if type(module).__name__ == "Dropout" and module.training}
    if len(found) > 1:
        raise ValueError(f"the layers have different dropout; they keep nodes with probabilities {sorted(found)}")
    return found.pop() if found else None
