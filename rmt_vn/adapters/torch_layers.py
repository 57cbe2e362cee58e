"""PyTorch: which modules of a model are watched, and which are left out, with the reason."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rmt_vn.adapters.torch_layouts import batch_first_of, kind_of

if TYPE_CHECKING:
    import torch

_SCRIPTED = "a scripted module takes no hooks"
# Modules of activations that are no function of single nodes.
_NO_ACTIVATIONS = {"MultiheadAttention", "Softmax", "Softmax2d", "Softmin", "LogSoftmax"}
_ACTIVATIONS = ("torch.nn.modules.activation", "transformers.activations")
_RECURRENT = ("RNNBase", "RNNCellBase", "MultiheadAttention")


def chosen_modules(
    model: torch.nn.Module, select: str | type | Iterable[str | type] | None, *, activations: bool
) -> tuple[dict[str, torch.nn.Module], dict[str, str]]:
    """The modules that are watched, by their names, and the reasons why others are left out.

    Raises
    ------
    ValueError
        If there are none to watch, or none of a name or type.
    """
    modules = dict(_named_modules(model))
    if select is None:
        reasons = {name: _why_left_out(name, modules) for name in modules}
        chosen = {name: modules[name] for name, reason in reasons.items() if reason == ""}
        left_out = {name: reason for name, reason in reasons.items() if reason}
        if activations:
            chosen = {name: module for name, module in modules.items() if name in chosen or _is_activation(module)}
        if not chosen:
            told = "".join(f"; {name!r}: {reason}" for name, reason in list(left_out.items())[:1])
            raise ValueError(f"the model has no modules with a matrix of weights; select some by name or type{told}")
        return chosen, left_out
    names = _selected_names(model, modules, select)
    if activations:
        names |= {name for name, module in modules.items() if _is_activation(module)}
    scripted = {name: _SCRIPTED for name in names if _is_scripted(modules[name])}
    return {name: module for name, module in modules.items() if name in names and name not in scripted}, scripted


def telling_modules(model: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """The modules whose type tells the layout of their output, or that they keep that of their input."""
    return {
        name: module
        for name, module in _named_modules(model)
        if not _is_scripted(module) and kind_of(module).rule != "unknown"
    }


def axis_of_items(model: torch.nn.Module) -> int:
    """The axis of the items in sequences of a model, as its recurrent and attention modules have it: 0 or 1."""
    said = {batch_first_of(module) for module in model.modules()} - {None}
    return 1 if said == {False} else 0


def has_sequences_first(model: torch.nn.Module) -> bool:
    """Whether some recurrent or attention module of a model has the sequence before the batch."""
    return any(batch_first_of(module) is False for module in model.modules())


def nearest(name: str, names: Iterable[str]) -> str:
    """A question that names the name most like this one, if one is."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _named_modules(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """The modules that compute outputs: not those that compute the weights of others, or hold them packed."""
    for name, module in model.named_modules():
        if not {"parametrizations", "_packed_params"} & set(name.split(".")):
            yield name, module


def _selected_names(
    model: torch.nn.Module, modules: dict[str, torch.nn.Module], select: str | type | Iterable[str | type]
) -> set[str]:
    if not isinstance(select, str | type | Iterable):
        raise TypeError(f"select must be names or types of modules, got {select!r}")
    names: set[str] = set()
    for each in [select] if isinstance(select, str | type) else select:
        if isinstance(each, type):
            found = {name for name, module in modules.items() if isinstance(module, each)}
            told = f"the model has no module of type {each.__name__}"
        else:
            found = {name for name in modules if name == each}
            told = f"the model has no module named {each!r}{_other_name(model, each) or nearest(str(each), modules)}"
        if not found:
            raise ValueError(told)
        names |= found
    if not names:
        raise ValueError("select must name at least one module")
    return names


def _other_name(model: torch.nn.Module, name: object) -> str:
    """What to say of the second name of a module that has two."""
    modules = dict(model.named_modules(remove_duplicate=False))
    first = next((each for each, module in model.named_modules() if module is modules.get(str(name))), None)
    return "" if first is None else f" by its first name: it is the module {first!r}"


def _why_left_out(name: str, modules: dict[str, torch.nn.Module]) -> str | None:
    """Why a module with a matrix of weights is left out; "" if it is not, None if it has no matrix of weights."""
    module = modules[name]
    weights = _own_weights(module)
    matrix = any(_n_axes(each) >= 2 for each in weights)
    if _is_scripted(module):
        return _SCRIPTED if matrix else None
    names = {each.__name__ for each in type(module).__mro__}
    around = name.rpartition(".")[0]
    if name.endswith("out_proj") and type(modules.get(around)).__name__ == "MultiheadAttention":
        return f"the attention {around!r} uses its weights without calling it, and is watched itself"
    if names & {"LayerNorm", "RMSNorm"}:
        return "it normalizes over several axes, none of which is known to be that of nodes" if matrix else None
    if names & set(_RECURRENT) or _is_quantized(module):
        return ""
    if not matrix:
        return None
    if any(child != "parametrizations" for child, _ in module.named_children()):
        if not any(_n_long_axes(each) >= 2 for each in weights):
            return None  # scales of channels, or one token
        return "it holds a matrix of weights beside modules of its own; select it by name to measure its output"
    return "" if _has_weight(module) else "it holds a matrix of its own; select it by name to measure its output"


def _is_activation(module: torch.nn.Module) -> bool:
    """Whether a module is a function of single nodes, φ."""
    classes = type(module).__mro__
    return any(each.__module__ in _ACTIVATIONS for each in classes) and not _NO_ACTIVATIONS & {
        each.__name__ for each in classes
    }


def _own_weights(module: torch.nn.Module) -> list[Any]:
    """The parameters of a module itself, and those from which its weights are computed, without computing them."""
    computed = getattr(module, "parametrizations", {})
    originals = [each for part in computed.values() for each in part.parameters(recurse=False)] if computed else []
    return [*module.parameters(recurse=False), *originals]


def _has_weight(module: torch.nn.Module) -> bool:
    """Whether the matrix is what the module multiplies with, by its usual name, or it is of a type of PyTorch."""
    names = {name.partition("_")[0] for name, _ in module.named_parameters(recurse=False)}
    own = type(module).__module__.startswith("torch.nn.")
    return own or "weight" in names or "weight" in getattr(module, "parametrizations", {})


def _n_axes(weight: Any) -> int:
    # A lazy module learns the shapes of its weights in its first pass; those that have one are matrices.
    return 2 if type(weight).__name__ == "UninitializedParameter" else weight.ndim


def _n_long_axes(weight: Any) -> int:
    return 2 if type(weight).__name__ == "UninitializedParameter" else sum(length > 1 for length in weight.shape)


def _is_scripted(module: torch.nn.Module) -> bool:
    return any(each.__name__ == "ScriptModule" for each in type(module).__mro__)


def _is_quantized(module: torch.nn.Module) -> bool:
    """Whether a module holds quantized weights, which are no parameters."""
    return type(module).__module__.startswith("torch.ao.nn") and hasattr(module, "_packed_params")
