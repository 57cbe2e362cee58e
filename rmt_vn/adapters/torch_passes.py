"""PyTorch: inputs passed through a model, which stays as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from rmt_vn.adapters.torch_random_state import devices_of, own_random_state, set_seed
from rmt_vn.adapters.torch_tensors import imported_torch
from rmt_vn.adapters.torch_watched import Watch
from rmt_vn.adapters.torch_watching import watch
from rmt_vn.checks import one_line

if TYPE_CHECKING:
    import torch

# Positional and keyword arguments of a call of a model.
Batch = tuple[tuple[Any, ...], dict[str, Any]]


def watched(model: torch.nn.Module, inputs: Any, *, seed: int, **options: Any) -> Watch:
    """What a watch sees of one pass of the inputs, without gradients.

    The model, its buffers (which batch normalization changes) and PyTorch's random state stay as they were.

    Parameters
    ----------
    model : torch.nn.Module
        In the mode in which it is.
    inputs
        As of `rmt_vn.adapters.reinitialized`.
    seed : int
        Of what the pass draws, as dropout does.
    **options
        Of `rmt_vn.watch`.

    Raises
    ------
    TypeError, ValueError
        As `rmt_vn.watch`; in one line, if the model fails on the inputs.
    """
    batches, devices = batches_of(model, inputs), devices_of(model)
    layers = watch(model, **options)
    with own_random_state(devices), _own_buffers(model), imported_torch().no_grad():
        set_seed(devices, seed)
        with layers:
            pass_through(model, batches)
    return layers


def pass_through(model: torch.nn.Module, batches: list[Batch]) -> None:
    """Call a model with one batch after the other.

    Raises
    ------
    ValueError
        In one line, if it fails.
    """
    for arguments, keywords in batches:
        try:
            model(*arguments, **keywords)
        except Exception as error:
            raise ValueError(f"the model failed on these inputs: {one_line(error)}") from error


def batches_of(model: torch.nn.Module, inputs: Any) -> list[Batch]:
    """Arguments of calls; arrays become tensors of the type and on the device of the model.

    Parameters
    ----------
    inputs
        As of `rmt_vn.adapters.reinitialized`.

    Raises
    ------
    ValueError
        If there are none.
    """
    batches = [_arguments(model, each) for each in (inputs if isinstance(inputs, list) else [inputs])]
    if not batches:
        raise ValueError("inputs must hold at least one batch, got an empty list")
    return batches


def _arguments(model: torch.nn.Module, inputs: Any) -> Batch:
    if isinstance(inputs, Mapping):
        return (), {name: _tensor(model, each) for name, each in inputs.items()}
    return tuple(_tensor(model, each) for each in (inputs if isinstance(inputs, tuple) else (inputs,))), {}


def _tensor(model: torch.nn.Module, value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    first = next(model.parameters())
    tensor = imported_torch().as_tensor(value, device=first.device)
    return tensor.to(first.dtype) if tensor.is_floating_point() and first.is_floating_point() else tensor


@contextmanager
def _own_buffers(model: torch.nn.Module) -> Iterator[None]:
    """Buffers are set back afterwards, in place and as they were held."""
    before = [
        (module, key, buffer, buffer.clone())
        for module in model.modules()
        for key, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        for module, key, buffer, value in before:
            buffer.copy_(value)
            module._buffers[key] = buffer
