"""PyTorch: its random state, set for a while and then as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rmt_vn.adapters.torch_tensors import imported_torch

if TYPE_CHECKING:
    import torch


def devices_of(model: torch.nn.Module) -> list[torch.device]:
    """The devices beside the CPU on which a model has parameters or buffers, and which have a random state."""
    tensors = [*model.parameters(), *model.buffers()]
    found = {each.device for each in tensors if each.device.type not in ("cpu", "meta")}
    return sorted(found, key=str)


@contextmanager
def own_random_state(devices: list[torch.device]) -> Iterator[None]:
    """What is drawn inside, on the CPU and on these devices, leaves the random state as it was before."""
    torch = imported_torch()
    before, others = torch.get_rng_state(), [_get_state(device) for device in devices]
    try:
        yield
    finally:
        torch.set_rng_state(before)
        for device, state in zip(devices, others, strict=True):
            _set_state(device, state)


def set_seed(devices: list[torch.device], seed: int) -> None:
    """Begin the random numbers of the CPU and of these devices anew, and of no others."""
    torch = imported_torch()
    torch.default_generator.manual_seed(seed)
    for device in devices:
        if device.type == "cuda":
            torch.cuda.default_generators[device.index].manual_seed(seed)
        else:
            getattr(torch, device.type).manual_seed(seed)


def _get_state(device: torch.device) -> Any:
    of_type = getattr(imported_torch(), device.type)
    return of_type.get_rng_state() if device.type == "mps" else of_type.get_rng_state(device)


def _set_state(device: torch.device, state: Any) -> None:
    of_type = getattr(imported_torch(), device.type)
    if device.type == "mps":
        of_type.set_rng_state(state)
    else:
        of_type.set_rng_state(state, device)
