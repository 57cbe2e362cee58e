"""Vanishing nodes: how depth and width correlate the nodes of random neural networks.

Start with `Network`, then ask `laws` what theory says of it and `samplers` what samples say.

>>> from rmt_vn import Network, laws, samplers
>>> network = Network.uniform(100, 50, activation="linear")
>>> round(laws.exact_vni(network), 4)
0.32
"""

from rmt_vn import (
    activations,
    adapters,
    ensembles,
    laws,
    losses,
    mean_field,
    measures,
    mlp,
    optimizers,
    prediction,
    samplers,
    tasks,
    training,
)
from rmt_vn.activations import Activation
from rmt_vn.adapters import watch
from rmt_vn.network import Network

__all__ = [
    "Activation",
    "Network",
    "activations",
    "adapters",
    "ensembles",
    "laws",
    "losses",
    "mean_field",
    "measures",
    "mlp",
    "optimizers",
    "prediction",
    "samplers",
    "tasks",
    "training",
    "watch",
]

__version__ = "0.1.0"
