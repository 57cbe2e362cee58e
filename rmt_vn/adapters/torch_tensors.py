"""PyTorch, imported only when it is used, and its tensors as arrays."""

from __future__ import annotations

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
    tensor = output[0] if isinstance(output, (tuple, list)) and output else output
    if not hasattr(tensor, "detach"):
        raise TypeError(f"its output must be a tensor, got {type(output).__name__}")
    tensor = tensor.detach().cpu()
    # numpy has no bfloat16; float16 is treated alike.
    return (tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor).numpy()
