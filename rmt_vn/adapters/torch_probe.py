"""PyTorch: what each linear module of a model gets, computes, and hands on, seen on a copy that is cut at each of them.

The copy runs on a probe, and the output of every linear module is replaced by numbers of its own, N(0, 4) cut to
[−4, 4]. What reaches the next module is then known to be φ of these numbers or not, at every depth alike: signals
neither shrink until every φ looks linear, nor grow, and whatever comes by another way shows.
"""

from __future__ import annotations

import copy
import itertools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from rmt_vn.adapters.torch_tensors import imported_torch

# Samples of the probe, and how large the numbers are that replace an output.
_SAMPLES, _SPREAD, _BOUND = 32, 2.0, 4.0
# What is found equal is equal to this part of the largest number, by the precision in which the copy could run.
TOLERANCE = {"float64": 1e-7, "float32": 1e-4}


@dataclass(frozen=True)
class Passed:
    """A module without weights on the way, and what left it."""

    name: str
    module: Any
    left: np.ndarray | None


@dataclass
class Call:
    """One call of a linear module: what entered, what the module computed, and the numbers that replaced it."""

    name: str
    weight: np.ndarray
    bias: np.ndarray
    entered: np.ndarray
    left: np.ndarray
    replaced: np.ndarray
    # The modules without weights between this call and the next.
    passed: list[Passed] = field(default_factory=list)


@dataclass(frozen=True)
class Trace:
    """One run of the copy on one probe."""

    probe: np.ndarray
    before: list[Passed]
    calls: list[Call]
    output: list[np.ndarray]
    # Whether the output depends on weights beside those of the linear modules as they were called.
    weighted: bool
    tolerance: float


Run = Callable[..., Trace]


def probed(model: Any) -> Run:
    """What runs a copy of the model: a function of a seed, and of a module's name if its numbers are to be of seed 0.

    Nothing of the model changes: not its weights, buffers, modes and hooks, nor PyTorch's random state. Dropout modules
    are off in the copy. The copy is one of float64, or of float32 if the model does not run in float64.

    Raises
    ------
    ValueError
        If the model cannot be copied, or does not run on a probe of shape (samples, inputs).
    """
    torch = imported_torch()
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    said = ""
    for dtype in (torch.float64, torch.float32):
        try:
            with torch.inference_mode(False):
                copied = _copied(model, dtype)
        except Exception as error:
            said = said or f"it cannot be copied: {_first_line(error)}"
            continue
        for n_inputs in dict.fromkeys(module.in_features for module in linear):
            run = partial(_traced, copied, n_inputs, dtype, itertools.count())
            try:
                run(0)
            except Exception as error:
                said = said or f"it does not run on a probe of shape ({_SAMPLES}, {n_inputs}): {_first_line(error)}"
            else:
                return run
    raise ValueError(said)


def _first_line(error: Exception) -> str:
    """The kind of an error and the first line of what it says."""
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {text[:160]}"


@contextmanager
def _undisturbed(model: Any) -> Iterator[None]:
    """PyTorch's random state, of the processor and of the devices of the model, is afterwards what it was."""
    torch = imported_torch()
    devices = {parameter.device for parameter in model.parameters()}
    with torch.random.fork_rng([device for device in devices if device.type == "cuda"]):
        yield


def _copied(model: Any, dtype: Any) -> Any:
    """A copy of that precision without hooks, its dropout off; all else is in the mode in which the model is."""
    torch = imported_torch()
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in vars(module).values():
            # Computed tensors, as of torch.nn.utils.weight_norm, are not copied otherwise.
            if isinstance(value, torch.Tensor):
                kind = dtype if value.is_floating_point() else value.dtype
                memo[id(value)] = value.detach().clone().to(kind)
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            kept = {key: copy.deepcopy(hook, memo) for key, hook in hooks.items() if is_of_weights(hook)}
            memo[id(hooks)] = OrderedDict(kept)
        for hooks in (module._backward_hooks, module._backward_pre_hooks):
            memo[id(hooks)] = OrderedDict()
    copied = copy.deepcopy(model, memo).to(dtype)
    if any(parameter.device.type not in ("cpu", "cuda") for parameter in copied.parameters()):
        copied = copied.cpu()  # other devices have random states of their own kind
    for parameter in copied.parameters():
        parameter.requires_grad_(True)
    for module in copied.modules():
        # Weights that are computed stay what they are too: no step of a power iteration.
        ours = isinstance(module, torch.nn.Linear) and type(module).__module__.startswith("torch.nn.")
        if ours or is_dropout(module) or type(module) is torch.nn.utils.parametrize.ParametrizationList:
            module.eval()
    return copied


def is_of_weights(hook: Any) -> bool:
    """Whether a hook is how PyTorch computes weights: weight and spectral norm, pruning."""
    return type(hook).__module__.startswith("torch.nn.utils.")


def is_dropout(module: Any) -> bool:
    """Whether it is a module of dropout, of any kind."""
    return any(kind.__module__ == "torch.nn.modules.dropout" for kind in type(module).__mro__)


def _traced(
    copied: Any, n_inputs: int, dtype: Any, earlier: Iterator[int], seed: int, fixed: str | None = None
) -> Trace:
    torch = imported_torch()
    calls: list[Call] = []
    before: list[Passed] = []
    names = [name for name, _ in copied.named_modules()]

    def linear_hook(name: str) -> Any:
        def cut(module: Any, inputs: Any, output: Any) -> Any:
            rng = np.random.default_rng([0 if name == fixed else seed, names.index(name)])
            replaced = np.clip(_SPREAD * rng.standard_normal(tuple(output.shape)), -_BOUND, _BOUND)
            bias = np.zeros(module.out_features) if module.bias is None else _array(module.bias)
            # Copies, since what comes after may work in place.
            entered, left = _array(inputs[0]).copy(), _array(output).copy()
            calls.append(Call(name, _array(module.weight), bias, entered, left, replaced))
            return torch.tensor(replaced, dtype=output.dtype, device=output.device)

        return cut

    def leaf_hook(name: str) -> Any:
        def note(module: Any, inputs: Any, output: Any) -> None:
            left = _array(output).copy() if is_dropout(module) else None
            (calls[-1].passed if calls else before).append(Passed(name, module, left))

        return note

    handles = []
    for name, module in copied.named_modules():
        if isinstance(module, torch.nn.Linear):
            handles.append(module.register_forward_hook(linear_hook(name)))
        elif not list(module.children()) and "parametrizations" not in name.split("."):
            handles.append(module.register_forward_hook(leaf_hook(name)))
    probe = np.random.default_rng([seed, len(names)]).standard_normal((_SAMPLES, n_inputs))
    device = next(copied.parameters()).device
    with _undisturbed(copied), torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the model warns of is not about this probe
        torch.rand(1 + next(earlier), device=device)  # so that what is random differs from run to run
        try:
            output = list(_tensors(copied(torch.tensor(probe, dtype=dtype, device=device))))
        finally:
            for handle in handles:
                handle.remove()
    # No weights of linear modules can be on the way to the output: what they make has been replaced.
    weighted = any(each.requires_grad for each in output)
    tolerance = TOLERANCE[str(dtype).removeprefix("torch.")]
    return Trace(probe, before, calls, [_array(each) for each in output], weighted, tolerance)


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().double().numpy())


def _tensors(output: Any) -> Iterator[Any]:
    """The tensors of what a model returns."""
    if isinstance(output, imported_torch().Tensor):
        yield output
    elif isinstance(output, dict):
        for each in output.values():
            yield from _tensors(each)
    elif isinstance(output, (tuple, list)):
        for each in output:
            yield from _tensors(each)
