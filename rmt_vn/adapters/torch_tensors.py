"""PyTorch, imported only when it is used, and its tensors as arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def imported_torch() -> Any:
    """The module torch, or an error that names the extra."""
    try:
        import torch
    except ImportError:
        raise ImportError(
            "PyTorch is missing; the extra 'torch' has it: python -m pip install 'rmt_vn[torch]'"
        ) from None
    return torch


def numbers(output: Any) -> np.ndarray:
    """A tensor, or the first of a tuple of them (recurrent modules), as a numpy array."""
    tensor = first_tensor(output).detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout is not imported_torch().strided:
        tensor = tensor.to_dense()
    tensor = tensor.cpu()
    # numpy has no bfloat16; float16 is treated alike.
    return (tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor).numpy()


def first_tensor(output: Any) -> Any:
    """What a module returns, if it is a tensor, or else the first of a tuple or list.

    Raises
    ------
    TypeError
        If that is no tensor; the message names the type.
    """
    tensor = output[0] if isinstance(output, tuple | list) and output else output
    if not hasattr(tensor, "detach"):
        raise TypeError(f"its output must be a tensor, got {type(output).__name__}")
    return tensor


def why_unreadable(tensor: Any) -> str | None:
    """Why a tensor has no values that can be read now, or None if it has.

    There are none while a function is transformed or traced: to ask would fail, or would add to what is traced.
    """
    torch = imported_torch()
    if torch.jit.is_tracing() or _is_proxy_mode():
        return "the model was being traced"
    kind = type(tensor).__name__
    if kind in ("Proxy", "FakeTensor", "FunctionalTensor", "ProxyTensor"):
        return f"the model was being traced (its output was a {kind})"
    functorch = getattr(torch._C, "_functorch", None)
    if functorch is not None and functorch.is_functorch_wrapped_tensor(tensor):
        return "torch.func was transforming the model (vmap, grad, jacrev or another)"
    if tensor.is_meta:
        return "tensors on the meta device have no values"
    return None


def unit_roundoff_of(tensor: Any) -> float:
    """The unit roundoff in which a tensor was computed, the coarser of its own type and of autocast; 0 of integers.

    Under autocast, modules that return float32 have inputs which were computed with fewer digits.
    """
    torch, own = imported_torch(), tensor.dtype
    autocast = _autocast_dtype(torch, tensor.device.type)
    if autocast is not None and own.is_floating_point:
        own = max(own, autocast, key=lambda dtype: torch.finfo(dtype).eps)
    return float(torch.finfo(own).eps) / 2 if own.is_floating_point else 0.0


def _autocast_dtype(torch: Any, device: str) -> Any:
    """The type to which autocast rounds on a device, or None where it is off."""
    if hasattr(torch, "get_autocast_dtype"):
        return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    if device == "cpu":  # until PyTorch 2.3
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
    return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None


def number_of_backward() -> Callable[[], int]:
    """A function that tells which backward pass of autograd is running in this thread; -1 if none is.

    Modules that are called there compute again what gradient checkpointing has not kept.
    """
    return getattr(imported_torch()._C, "_current_graph_task_id", lambda: -1)


def _is_proxy_mode() -> bool:
    """Whether make_fx is recording; it cannot be unless its module was imported."""
    tracing = sys.modules.get("torch.fx.experimental.proxy_tensor")
    mode = getattr(tracing, "get_proxy_mode", None) or getattr(tracing, "get_innermost_proxy_mode", None)
    return mode is not None and mode() is not None
