"""PyTorch: the layers of a model, measured while it runs."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rmt_vn.adapters.torch_layers import chosen_modules, nearest
from rmt_vn.adapters.torch_recording import Mask
from rmt_vn.adapters.torch_tensors import imported_torch
from rmt_vn.adapters.torch_watched import Watch
from rmt_vn.checks import checked_count

if TYPE_CHECKING:
    import torch


def watch(
    model: torch.nn.Module,
    select: str | type | Iterable[str | type] | None = None,
    *,
    every: int = 1,
    activations: bool = False,
    node_axis: int | Mapping[str, int] | None = None,
    most_nodes: int = 3072,
    mask: Mask | None = None,
) -> Watch:
    """Measure the layers of a PyTorch model while it runs.

    The outputs of the chosen modules go, batch by batch, into streaming sums (`rmt_vn.measures.VNIAccumulator`); no
    activations are kept. In training, each recorded pass adds activations of the weights at that moment; `Watch.log`
    measures each step or epoch by itself.

    Parameters
    ----------
    model : torch.nn.Module
    select : str, type, or several of them, optional
        Modules by name (as in ``model.named_modules()``) or by type. By default all modules that have a matrix of
        weights: linear, convolutional, recurrent, attention, embedding ones, also parametrized, lazy or quantized. If
        some hold weights but cannot be watched, `Watch.left_out` says why.
    every : int
        Of so many forward passes of the model one is recorded, beginning with the first. In the others only the model
        itself, which counts them, and the first layer have hooks. Calls that bypass the model (``model.forward(x)``, or
        a module within it) are in no pass: with `every` = 1 they are recorded, else they are told when they are seen.
    activations : bool
        Whether all modules that are activations φ are watched too: pre-activations, and what becomes of them. Nodes of
        a ReLU that are zero for all samples are counted as `NodeVNI.constant_nodes`. A φ that is called as a function,
        like ``torch.relu``, has no output that a hook could see.
    node_axis : int, or a mapping from names to int, optional
        The axis of the nodes in an output; all others are samples. By default it follows from the type of the module
        (channels of convolutions, pooling and batch normalization, the last axis of linear, recurrent and attention
        modules) or from what feeds it (activations, dropout, blocks). Where it does not, the layer is not measured, and
        `Watch.faults` says so.
    most_nodes : int
        Of a layer with more nodes, so many are drawn at random, always the same ones, and stand for all: the VNI, its
        error and the number of constant nodes are those of all nodes, as estimated from these.
    mask : callable, optional
        Leaves out padding. It is called with the arguments of the model, and returns a tensor (batch, time) which is
        true where there is none: ``mask=lambda input_ids, attention_mask: attention_mask``. It holds for outputs that
        have these two axes.

    Returns
    -------
    Watch
        A context manager and a mapping from names to `NodeVNI`: ``with watch(model) as layers: …``, then
        ``layers["name"]``. On leaving, also by an exception, the hooks are removed and the measures stay. The second
        call of a module within one pass is the layer "name#2", and so on.

    Raises
    ------
    ImportError
        Without PyTorch: the extra 'torch' has it.
    TypeError, ValueError
        If `model` is no module, there is no module of that name or type, or `every` or `most_nodes` is no integer ≥ 1
        (≥ 2).

    Notes
    -----
    Passes are left as they are: the hooks do nothing while a model is compiled, exported, traced, or transformed by
    `torch.func`, nor in the second forward pass of gradient checkpointing, nor in copies of a module; they take and
    give no random numbers. What could not be read for such a reason is told in `Watch.notes` and `Watch.faults`. Two
    things do change, as with any hooks: PyTorch's transformer layers do not take their fast path in evaluation, which
    rounds in another way, and `torch.jit.script` takes the model before or after, but not inside.

    Examples
    --------
    ::

        with rmt_vn.watch(model, torch.nn.Tanh, every=100) as layers:
            train(model)
        print(layers)
        print(layers["3"].effective_nodes, layers["3"].confidence_interval())
    """
    torch = imported_torch()
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    every = checked_count("every", every)
    most_nodes = checked_count("most_nodes", most_nodes, 2)
    chosen, left_out = chosen_modules(model, select, activations=activations)
    if isinstance(node_axis, Mapping):
        for name in node_axis.keys() - chosen.keys():
            raise ValueError(f"node_axis must name watched modules, got {name!r}{nearest(str(name), chosen)}")
        axes = {name: operator.index(axis) for name, axis in node_axis.items()}
    else:
        axes = {} if node_axis is None else dict.fromkeys(chosen, operator.index(node_axis))
    if mask is not None and not callable(mask):
        raise TypeError(f"mask must be a function of the model's arguments, got {type(mask).__name__}")
    return Watch(model, chosen, left_out, every=every, axes=axes, most_nodes=most_nodes, mask=mask)
