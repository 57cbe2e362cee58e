"""PyTorch: the null of a model, by copies of it with fresh weights, over the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from rmt_vn.adapters.torch_fresh import ResetCopy, made_by
from rmt_vn.adapters.torch_passes import Batch, batches_of, pass_through
from rmt_vn.adapters.torch_random_state import devices_of, own_random_state, set_seed
from rmt_vn.adapters.torch_recording import Mask
from rmt_vn.adapters.torch_tensors import imported_torch
from rmt_vn.adapters.torch_watching import watch
from rmt_vn.baseline import Baseline
from rmt_vn.baseline.running import Replica, checked_seeds, collected
from rmt_vn.progress import progress
from rmt_vn.rng import RNG

if TYPE_CHECKING:
    import torch

# So many numbers of each parameter tell whether weights were drawn anew.
_TELLING = 256
_NORMALIZING = ("_BatchNorm", "_InstanceNorm")


def reinitialized(
    model: torch.nn.Module,
    inputs: Any,
    *,
    replicas: int = 20,
    rng: RNG = None,
    factory: Callable[[], torch.nn.Module] | None = None,
    select: str | type | Iterable[str | type] | None = None,
    activations: bool = False,
    node_axis: int | Mapping[str, int] | None = None,
    most_nodes: int = 3072,
    mask: Mask | None = None,
) -> Baseline:
    """The null of a PyTorch model: the same architecture with fresh weights, on the same inputs.

    One copy of the model is made. For each replica its modules draw their parameters anew, by their own
    `reset_parameters`, and it is run on the inputs and watched, as by `rmt_vn.watch`; so there is one replica in memory
    beside the model. The model, its state and PyTorch's random state stay as they were.

    Parameters
    ----------
    model : torch.nn.Module
        In the mode, on the device and of the type in which it is; so are the replicas.
    inputs : tensor, array, tuple, mapping, or list of these
        What the model is called with: one argument, a tuple of several, or a mapping of them by name. A list holds
        batches of these, which are passed one after the other.
    replicas : int
        At least 2. From 39 of them on an interval of 95% has quantiles for its ends.
    rng : seed or Generator
        The same one gives the same numbers, whatever the random state of PyTorch is.
    factory : callable, optional
        Returns a model of the same architecture with fresh weights whenever it is called, drawn by PyTorch's random
        numbers. It is what fresh means where modules cannot say it: where a model sets weights after it has made its
        modules, has parameters of its own, or shares one between modules.
    select, activations, node_axis, most_nodes, mask
        As of `rmt_vn.watch`: what is watched, which should be what is watched of the model.

    Returns
    -------
    Baseline
        With the names of layers that a watch has.

    Raises
    ------
    ImportError
        Without PyTorch.
    TypeError
        If the model, or what `factory` returns, is no module.
    ValueError
        In one line: if there are no parameters, some are drawn by no module (which ones is told, and `factory` helps),
        two replicas have the same weights, `factory` returns another architecture, or the model fails on the inputs.

    Notes
    -----
    *Fresh* means what `reset_parameters` of the modules draws, which is PyTorch's default. A model that is begun in
    another way, as those of torchvision are, has another null: give `factory`, often just its class.

    *Batch normalization* in training takes the mean and variance of the inputs, as ever. In evaluation a fresh one has
    a running mean of 0 and a variance of 1, and normalizes nothing. `Baseline.notes` says so; ``model.train()``, for
    the model and for its null, makes them alike. *Dropout* drops what it would in the mode of the model, with masks of
    its own for each replica. *Other buffers* are those of the model, in each replica anew. *Frozen parameters* are
    drawn as others. *Tied weights* stay tied; where modules of different types share a parameter, which of them draws
    it cannot be known, and `factory` is asked for. `torch.nn.TransformerEncoder` makes its layers as copies of one,
    with equal weights; here each layer has weights of its own.

    *Cost.* To draw parameters takes about 3 ns each, and to measure a layer of 64 to 512 nodes some 10 ms. A replica of
    ResNet-18 with a first convolution of stride one, and 32 images of 32 × 32, takes 2.5 to 3 times its pass.

    Examples
    --------
    ::

        null = rmt_vn.adapters.reinitialized(model, images, rng=0)
        with rmt_vn.watch(model) as layers:
            model(images)
        for name in layers:
            print(name, layers[name].value, null.interval(name), null.rank(name, layers[name].value))
    """
    torch = imported_torch()
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if not any(True for _ in model.parameters()):
        raise ValueError("the model has no parameters, and so there is nothing to draw anew")
    if factory is not None and not callable(factory):
        raise TypeError(f"factory must be a function that returns a model, got {type(factory).__name__}")
    seeds = checked_seeds(replicas, rng)
    batches = batches_of(model, inputs)
    devices = devices_of(model)
    watching = partial(
        watch, select=select, activations=activations, node_axis=node_axis, most_nodes=most_nodes, mask=mask
    )

    def made() -> Iterator[Replica]:
        fresh = ResetCopy(model) if factory is None else made_by(factory, model)
        for seed in progress(seeds, "replicas"):
            set_seed(devices, seed)
            yield _replica_of(fresh(), watching, batches)

    same = "reset_parameters gave" if factory is None else "factory returned"
    with own_random_state(devices), torch.no_grad():
        found = collected(made(), f"{same} the same weights twice: they must be drawn by PyTorch's random numbers")
    if note := _not_normalizing(model):
        found.notes[""] = note
    return found


def _replica_of(fresh: torch.nn.Module, watching: Callable[..., Any], batches: list[Batch]) -> Replica:
    mark = blake2b()
    for parameter in fresh.parameters():
        mark.update(parameter.detach().reshape(-1)[:_TELLING].float().cpu().numpy().tobytes())
    with watching(fresh) as layers:
        pass_through(fresh, batches)
    reasons = layers.faults
    values = {name: layer.value for name, layer in layers.items()} | dict.fromkeys(reasons, np.nan)
    few = "too few independent samples: an estimate takes five, or four groups"
    reasons |= {name: few for name, value in values.items() if np.isnan(value) and name not in reasons}
    ordered = {name: values[name] for name in layers.names}
    return Replica(ordered, {name: layer.n_nodes for name, layer in layers.items()}, reasons, mark.digest())


def _not_normalizing(model: torch.nn.Module) -> str:
    """What must be known of batch normalization in evaluation."""
    count = sum(
        not module.training and getattr(module, "running_mean", None) is not None
        for module in model.modules()
        if {each.__name__ for each in type(module).__mro__} & set(_NORMALIZING)
    )
    if not count:
        return ""
    return (
        f"{count} modules of batch normalization are in evaluation, and normalize nothing in replicas, whose running "
        "means are 0 and variances 1; model.train() makes the model and its replicas alike"
    )
