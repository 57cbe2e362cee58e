"""PyTorch: the network that the weights of a model were drawn from."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

from rmt_vn import activations
from rmt_vn.activations import Activation
from rmt_vn.adapters.torch_chain import activation_between, kept, why_no_chain
from rmt_vn.adapters.torch_probe import is_of_weights, probed
from rmt_vn.adapters.torch_tensors import imported_torch
from rmt_vn.adapters.weight_scales import scales_of, why_not_one_scale
from rmt_vn.adapters.weight_spectra import Spectrum, spectrum_of
from rmt_vn.network import Network, Weights

if TYPE_CHECKING:
    import torch


_BY_HAND = "describe a residual network by hand, as a ResidualNetwork: help(network_of) shows how"


class NotRandomWarning(UserWarning):
    """Weights are no longer those of a random network, of which theory speaks."""


def network_of(model: torch.nn.Module, *, activation: Activation | str | None = None) -> Network:
    """The random network that a PyTorch MLP was drawn from, estimated from its weights: the argument of `predict`.

    The model is probed: a copy of it runs, in double precision and without dropout, on random inputs, and at each
    linear module it is compared with x_l = φ(W_l x_{l−1} + b_l). So layers come in the order in which they are called,
    weights are those that are used (of weight and spectral norm, parametrizations and pruning too), and φ is read from
    the numbers, whether it is a module or a function in ``forward``. What is no such chain is refused: skip connections
    (see below) and branches, modules that are not called or called twice, tied weights, different activations. The last
    layer may be followed by anything that depends on nothing else. The model itself, its modes and hooks, and PyTorch's
    random state stay as they are.

    σ_w² is the mean square of the weights times their fan-in, and σ_b² the mean square of the biases, over all layers
    together. Where layers differ in them by more than chance explains, the mean field is followed with both, the
    layers' own scales and the common ones, for inputs of mean square 1. If by the common ones the root mean square of
    a gradient would be wrong by more than a factor of 1.25, an effective depth by more than a tenth, or the part of
    biases in the variance of pre-activations by more than 0.7, the model is refused. PyTorch's default biases differ
    where widths do, and are seldom refused, as they matter little; Xavier's weights differ too, and matter more.

    Weights are "orthogonal" if all matrices are, to a thousandth, multiples of (semi-)orthogonal ones. Single rows and
    columns tell nothing; if there are no others, weights are "gaussian".

    Parameters
    ----------
    model : torch.nn.Module
        Of one input, of shape (samples, inputs). Active dropout modules are read too.
    activation : str or Activation, optional
        To be given if φ is none of `rmt_vn.activations.ACTIVATIONS`; that it is φ of the model is checked.

    Raises
    ------
    ImportError
        Without PyTorch: the extra 'torch' has it.
    TypeError
        If `model` is no module, or `activation` neither a name nor an `Activation`.
    ValueError
        If no Network describes the model; the message says which layer is why.

    Warns
    -----
    NotRandomWarning
        If the spectrum of a matrix is not that of a random one of its size, as after training: what theory says of the
        network is then about its initialization.

    Notes
    -----
    A residual network is not read from a model: describe it by hand. A description is not compared with the model, so
    see that each of its parameters is what the model does. Here are MLP blocks as in a transformer, pre-LN, with the
    weights that PyTorch gives them, which are uniform and of variance σ²/fan-in with σ = 1/√3::

        import torch
        from rmt_vn import ResidualNetwork

        class Block(torch.nn.Module):
            def __init__(self, width, hidden):
                super().__init__()
                self.norm = torch.nn.LayerNorm(width)
                self.first, self.second = torch.nn.Linear(width, hidden), torch.nn.Linear(hidden, width)

            def forward(self, x):
                return x + self.second(torch.nn.functional.gelu(self.first(self.norm(x))))

        def sigma(layers):
            squares = [layer.in_features * layer.weight.detach().square().mean() for layer in layers]
            return float(torch.stack(squares).mean().sqrt())

        model = torch.nn.Sequential(*(Block(32, 64) for _ in range(24)))
        scales = sigma(block.first for block in model), sigma(block.second for block in model)
        network = ResidualNetwork(32, len(model), 64, "gelu", sigma_w=scales, normalization="pre")

    ``x + c * branch(x)`` has `branch_scale` = c, ``norm(x + branch(x))`` the normalization "post", and no LayerNorm
    "none". An embedding and a readout (`inputs`, `outputs`) have σ = 1; of others describe the stream alone, and give
    `predict` its mean square as `input_variance`. Biases are zero: PyTorch's own, of variance 1/(3 fan-in), must be
    small beside what they are added to, as they are here. Gains of LayerNorm are one, and there is no attention.
    """
    torch = imported_torch()
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    given = activations.get(activation) if isinstance(activation, str) else activation
    if given is not None and not isinstance(given, Activation):
        raise TypeError(f"activation must be a name or an Activation, got {activation!r}")
    # What torch.compile returns computes the same.
    model = getattr(model, "_orig_mod", model)
    if (reason := _stranger(model)) is not None:
        raise ValueError(f"theory here is about MLPs, whose weights are in linear modules alone; {reason}")
    try:
        return _read(model, given)
    except ValueError as error:
        told = f"no Network describes this model: {error}"
        raise ValueError(f"{told}; {_BY_HAND}" if "skip connection" in told else told) from None


def _read(model: torch.nn.Module, given: Activation | None) -> Network:
    torch = imported_torch()
    run = probed(model)
    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    if (reason := why_no_chain(linear, run, given)) is not None:
        raise ValueError(reason)
    first = run(0)
    phi = activation_between(first, given)
    keep = kept(first, {name: module.training for name, module in model.named_modules()}, phi)
    weights, biases = [call.weight for call in first.calls], [call.bias for call in first.calls]
    spectra = {call.name: spectrum_of(call.weight) for call in first.calls}
    family = _family(spectra)
    _warn_of_trained(spectra)
    scales = scales_of(weights, biases)
    names = [call.name for call in first.calls]
    if (reason := why_not_one_scale(names, [w.shape for w in weights], scales, phi, family)) is not None:
        raise ValueError(reason)
    return Network(
        (weights[0].shape[1], *(len(w) for w in weights)),
        activation=phi,
        weights=family,
        sigma_w=math.sqrt(scales.all_w),
        sigma_b=math.sqrt(scales.all_b),
        keep=keep,
    )


def _stranger(model: Any) -> str | None:
    """What makes a model no set of linear modules that can be probed; None if it is one."""
    torch = imported_torch()
    modules = dict(model.named_modules())
    for name, module in modules.items():
        kind = type(module).__name__
        if isinstance(module, torch.jit.ScriptModule):
            return f"got a scripted model ({kind} {name!r}); give the model that it was made from"
        if ".quantized." in type(module).__module__:
            return f"got a quantized model ({kind} {name!r}); give the model that it was made from"
        if getattr(module, "has_uninitialized_params", bool)():
            return f"got a lazy module ({kind} {name!r}) without weights yet; run the model once"
    for name, module in modules.items():
        if isinstance(module, torch.nn.Linear) or "parametrizations" in name.split("."):
            continue
        if list(module.parameters(recurse=False)):
            told = f"got {type(module).__name__} modules with weights of their own"
            return f"{told}; {_BY_HAND}" if isinstance(module, torch.nn.LayerNorm) else told
    if not any(isinstance(module, torch.nn.Linear) for module in modules.values()):
        return "got none"
    for name, parameter in model.named_parameters():
        if parameter.is_meta or parameter.is_complex():
            return f"got weights {name!r} that are no real numbers ({parameter.dtype} on device {parameter.device})"
    for name, module in modules.items():
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):
            if not is_of_weights(hook) and not _is_ours(hook):
                return f"got a hook at module {name!r}, which may change what it computes; remove it before"
    return None


def _is_ours(hook: Any) -> bool:
    """Hooks of `watch`, which change nothing."""
    return str(getattr(getattr(hook, "func", hook), "__module__", "")).startswith("rmt_vn.")


def _family(spectra: dict[str, Spectrum]) -> Weights:
    yes, no = ([name for name, each in spectra.items() if each.orthogonal is wanted] for wanted in (True, False))
    if yes and no:
        raise ValueError(f"the weights of its layer {yes[0]!r} are orthogonal, and those of {no[0]!r} are not")
    return "orthogonal" if yes else "gaussian"


def _warn_of_trained(spectra: dict[str, Spectrum]) -> None:
    trained = {name: each.departure for name, each in spectra.items() if each.departure is not None}
    if trained:
        worst = max(trained, key=lambda name: abs(math.log(trained[name][0])))
        others = f" and of {len(trained) - 1} more" if len(trained) > 1 else ""
        warnings.warn(
            f"the weights of layer {worst!r}{others} are no longer random: {trained[worst][1]}; what theory says of a "
            "Network is about initialization",
            NotRandomWarning,
            stacklevel=4,
        )
