"""Vanishing nodes: how depth and width correlate the nodes of random neural networks.

Start with `Network`; `laws` states what theory says of it, and `samplers` draws such networks at random.

>>> from rmt_vn import Network, laws, samplers
>>> network = Network.uniform(100, 50, activation="linear")
>>> round(laws.exact_vni(network), 4)
0.32
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # as in typing, which takes longer to import than all else here

__version__ = "0.1.0"

# Names that are not modules, and the modules that hold them.
_HOMES = {
    "Activation": "activations",
    "Baseline": "baseline",
    "Network": "network",
    "ResidualNetwork": "network",
    "report": "reports",
    "watch": "adapters",
}

__all__ = [
    "Activation",
    "Baseline",
    "Network",
    "ResidualNetwork",
    "activations",
    "adapters",
    "baseline",
    "ensembles",
    "experiments",
    "files",
    "gaussian_averages",
    "laws",
    "losses",
    "mean_field",
    "measures",
    "mlp",
    "optimizers",
    "prediction",
    "report",
    "reports",
    "residual_mean_field",
    "residual_mlp",
    "samplers",
    "tasks",
    "training",
    "watch",
]

if TYPE_CHECKING:
    from typing import Any

    from rmt_vn import (
        activations,
        adapters,
        baseline,
        ensembles,
        experiments,
        files,
        gaussian_averages,
        laws,
        losses,
        mean_field,
        measures,
        mlp,
        optimizers,
        prediction,
        reports,
        residual_mean_field,
        residual_mlp,
        samplers,
        tasks,
        training,
    )
    from rmt_vn.activations import Activation
    from rmt_vn.adapters import watch
    from rmt_vn.baseline import Baseline
    from rmt_vn.network import Network, ResidualNetwork
    from rmt_vn.reports import report


def __getattr__(name: str) -> Any:
    # Modules load when they are first touched, so that `import rmt_vn` costs next to nothing.
    if name in _HOMES:
        return getattr(importlib.import_module(f"rmt_vn.{_HOMES[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"rmt_vn.{name}")
    raise AttributeError(f"module 'rmt_vn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
