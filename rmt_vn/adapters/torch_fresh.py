"""PyTorch: models with fresh weights, by the modules' own ways of drawing them, or by a factory."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rmt_vn.adapters.torch_tensors import imported_torch
from rmt_vn.checks import one_line

if TYPE_CHECKING:
    import torch

# How modules draw their parameters: by their own name for it, and by the one that attention and transformers have.
_RESETS = ("reset_parameters", "_reset_parameters")
# Names of parameters that are told.
_MOST_NAMES = 5
_HELP = "; give factory, a function that returns the model with fresh weights"


class ResetCopy:
    """A copy of a model that, whenever it is called, draws all of its parameters anew.

    Parameters are NaN before they are drawn: what is NaN afterwards was drawn by no module, or from what it was before.
    Modules draw in the order in which they are made, those within before those around them, which may set them anew.
    Buffers are those of the model, but for running means and variances, which belong to the parameters.

    Raises
    ------
    ValueError
        If the model cannot be copied, or its weights cannot be drawn so.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        for name, parameter in model.named_parameters():
            if type(parameter).__name__ == "UninitializedParameter":
                raise ValueError(f"parameter {name!r} has no shape before the model has run for the first time")
        for name, module in model.named_modules():
            if type(module).__module__.startswith("torch.ao.nn") and hasattr(module, "_packed_params"):
                raise ValueError(f"module {name!r} holds quantized weights, which cannot be drawn{_HELP}")
        _check_tied(model)
        try:
            self._copy = copy.deepcopy(model)
        except Exception as error:
            raise ValueError(f"the model cannot be copied: {one_line(error)}{_HELP}") from error
        self._buffers = [
            (module, key, buffer, buffer.clone())
            for module in self._copy.modules()
            for key, buffer in module._buffers.items()
            if buffer is not None
        ]

    def __call__(self) -> torch.nn.Module:
        for module, key, buffer, value in self._buffers:
            buffer.copy_(value)
            module._buffers[key] = buffer
        for parameter in self._copy.parameters():
            if parameter.is_floating_point() or parameter.is_complex():
                parameter.fill_(math.nan)
        for name, module in _inner_first(self._copy):
            for reset in _RESETS:
                if callable(getattr(module, reset, None)):
                    try:
                        getattr(module, reset)()
                    except Exception as error:
                        told = f"{reset} of {name or 'the model'!r} failed: {one_line(error)}"
                        raise ValueError(f"{told}{_HELP}") from error
        # NaN shows in a sum, which takes a tenth of the time; a sum may be NaN where numbers are infinite, too.
        left = [
            name
            for name, parameter in self._copy.named_parameters()
            if bool(parameter.sum().isnan()) and bool(parameter.isnan().any())
        ]
        if left:
            raise ValueError(f"no module draws {_listed(left)} anew{_HELP}")
        return self._copy


def made_by(factory: Callable[[], torch.nn.Module], model: torch.nn.Module) -> Callable[[], torch.nn.Module]:
    """A function that makes a model by the factory, in the mode, on the device and of the type of another.

    Raises
    ------
    TypeError
        If it returns no module.
    ValueError
        If it fails, or returns another architecture, or a model that shares parameters with the other.
    """
    kind = imported_torch().nn.Module
    shapes = {name: tuple(each.shape) for name, each in model.named_parameters()}
    modes = {name: module.training for name, module in model.named_modules()}
    types = {name: (each.device, each.dtype) for name, each in (*model.named_parameters(), *model.named_buffers())}
    own = {id(each) for each in model.parameters()}

    def made() -> torch.nn.Module:
        try:
            fresh = factory()
        except Exception as error:
            raise ValueError(f"factory failed: {one_line(error)}") from error
        if not isinstance(fresh, kind):
            raise TypeError(f"factory must return a torch.nn.Module, got {type(fresh).__name__}")
        if own & {id(each) for each in fresh.parameters()}:
            raise ValueError("factory must return new models, got one that shares its parameters with the model")
        found = {name: tuple(each.shape) for name, each in fresh.named_parameters()}
        for name in shapes | found:
            if shapes.get(name) != found.get(name):
                of_model, of_fresh = (each.get(name, "none") for each in (shapes, found))
                raise ValueError(
                    f"factory must return the architecture of the model, got a parameter {name!r} of shape {of_fresh} "
                    f"for {of_model}"
                )
        for name, module in fresh.named_modules():
            module.training = modes.get(name, model.training)
        for name, tensor in (*fresh.named_parameters(), *fresh.named_buffers()):
            if name in types:
                tensor.data = tensor.data.to(*types[name])
        return fresh

    return made


def _check_tied(model: torch.nn.Module) -> None:
    """An error if modules of different types share a parameter."""
    held: dict[int, list[tuple[str, Any]]] = {}
    for name, module in model.named_modules():
        for key, parameter in module.named_parameters(recurse=False):
            held.setdefault(id(parameter), []).append((f"{name}.{key}" if name else key, type(module)))
    for places in held.values():
        if len({kind for _, kind in places}) > 1:
            told = " and ".join(f"{name!r} of {kind.__name__}" for name, kind in places)
            raise ValueError(f"{told} are one parameter, and which of them draws it is not known{_HELP}")


def _inner_first(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """Modules by their names, each once, and after all that are within it."""
    named = list(model.named_modules())
    depth = {name: name.count(".") + bool(name) for name, _ in named}
    return iter(sorted(named, key=lambda each: -depth[each[0]]))


def _listed(names: list[str]) -> str:
    told = ", ".join(map(repr, names[:_MOST_NAMES]))
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"parameter{'s' if len(names) > 1 else ''} {told}{more}"
