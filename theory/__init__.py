"""The proofs: one derivation per module, run and reported by ``python -m theory``.

A module is named as the module of `rmt_vn/laws/` whose laws it proves, and names these laws in `LAWS`; a module with an
empty `LAWS` is a tool of others. Its docstring says, in this order, what the question is, what is assumed, by which
method it is answered, with which result, and from which source. `derive()` returns the steps and the claims, each claim
holding what was derived against what is stated. Nothing here imports the package that states the laws: the two meet in
the tests.
"""

from __future__ import annotations

import difflib
import importlib
from types import ModuleType

# In the order in which a student would read them: each builds on earlier ones alone.
NAMES = (
    "indicator.bounds",
    "indicator.bias",
    "wick",
    "weingarten",
    "trace_moments",
    "annealed",
    "spectrum.free_probability",
    "first_order",
    "activations",
    "gradients",
    "hyperbolic.walk",
    "hyperbolic.transforms",
    "hyperbolic.masks",
    "hyperbolic.plane_waves",
    "hyperbolic.residual_fan_in",
    "universal",
    "effective_depth",
    "effective_depth_residual",
    "exact",
    "exact_by_conditioning",
    "approximate",
    "signal_mode",
    "correlation",
    "correlation_moments",
    "correlation_limits",
    "spectrum.wide_layers",
    "spectrum.fuss_catalan",
    "spectrum.lyapunov",
    "spectrum.characteristic_polynomial",
    "spectrum.complex_ginibre",
    "input_pairs.hermite_map",
    "input_pairs.one_layer",
    "wide_inputs",
)


def load(name: str) -> ModuleType:
    """The module of a derivation.

    Raises
    ------
    ValueError
        If there is none of that name; the message suggests a similar one, if there is one.
    """
    if name not in NAMES:
        near = "".join(f" did you mean {each!r}?" for each in difflib.get_close_matches(name, NAMES, n=1))
        raise ValueError(f"unknown derivation {name!r};{near} known: {', '.join(NAMES)}")
    return importlib.import_module(f"theory.{name}")
