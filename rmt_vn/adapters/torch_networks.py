"""PyTorch: the network that the weights of a model were drawn from."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from rmt_vn import activations
from rmt_vn.activations import Activation
from rmt_vn.adapters.torch_tensors import imported_torch, numbers
from rmt_vn.network import Network

if TYPE_CHECKING:
    import torch

# Gram matrices of orthogonal weights in single precision are this close to multiples of the identity.
_ORTHOGONAL = 1e-3

# PyTorch's names of activations, and the parameters with which they are the functions that have our names.
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
_USUAL: dict[str, dict[str, Any]] = {
    "GELU": {"approximate": "none"},
    "Hardtanh": {"min_val": -1.0, "max_val": 1.0},
    "Softplus": {"beta": 1.0},
}


def network_of(model: torch.nn.Module, *, activation: Activation | str | None = None) -> Network:
    """The random network that a PyTorch MLP was drawn from, estimated from its weights: the argument of `predict`.

    The linear modules are read in the order of ``model.modules()``, with the activations between them. σ_w² is the mean
    square of the weights times their fan-in, and σ_b² the mean square of the biases, over all layers together. Weights
    are "orthogonal" if all matrices are, to a thousandth, multiples of (semi-)orthogonal ones. This describes networks
    at initialization; trained weights are not random matrices of this kind.

    Parameters
    ----------
    model : torch.nn.Module
    activation : str or Activation, optional
        To be given if φ is not a module (``torch.tanh`` in ``forward``, for example).

    Raises
    ------
    ImportError
        Without PyTorch: the extra 'torch' has it.
    ValueError
        If the linear modules do not form a chain, other modules have weights, or the activation cannot be read.
    """
    torch = imported_torch()
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
    weights = [numbers(module.weight).astype(float) for module in linear]
    biases = [
        np.zeros(module.out_features) if module.bias is None else numbers(module.bias).astype(float)
        for module in linear
    ]
    return Network(
        (linear[0].in_features, *(module.out_features for module in linear)),
        activation=_activation_of(between) if activation is None else activation,
        weights="orthogonal" if all(map(_is_orthogonal, weights)) else "gaussian",
        sigma_w=float(np.sqrt(np.mean(np.concatenate([(w**2 * w.shape[1]).ravel() for w in weights])))),
        sigma_b=float(np.sqrt(np.mean(np.concatenate(biases) ** 2))),
        keep=_kept(between),
    )


def _is_orthogonal(w: np.ndarray) -> bool:
    if min(w.shape) < 2:
        return True  # a single row or column is always orthogonal
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


def _kept(between: list[Any]) -> float:
    """Probability with which the active dropout modules keep a node."""
    found = {1 - module.p for module in between if type(module).__name__ == "Dropout" and module.training}
    if len(found) > 1:
        raise ValueError(f"the layers have different dropout; they keep nodes with probabilities {sorted(found)}")
    return found.pop() if found else 1.0
