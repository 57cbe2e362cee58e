"""The proofs: one derivation per module, run and reported by ``python -m theory``.

Each module states in its docstring what it asks, what it assumes and where that comes from; `derive()` returns the
steps and the claims, each claim holding what was derived against what is stated. Nothing here imports the package that
states the laws: the two meet in the tests.
"""

from __future__ import annotations

import difflib
import importlib
from types import ModuleType

# In the order in which a student would read them.
NAMES = (
    "indicator",
    "sample_correlation",
    "wick",
    "weingarten",
    "zonal",
    "moments",
    "free_probability",
    "free_products",
    "finite_products",
    "activations",
    "diffusion",
    "exact",
    "conditional",
    "correlation",
    "gradients",
    "wide_inputs",
)


def load(name: str) -> ModuleType:
    """The module of a derivation.

    Raises
    ------
    ValueError
        If there is none of that name; the message suggests the nearest.
    """
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.0)[0]
        raise ValueError(f"unknown derivation {name!r}; did you mean {near!r}? Known: {', '.join(NAMES)}")
    return importlib.import_module(f"theory.{name}")
