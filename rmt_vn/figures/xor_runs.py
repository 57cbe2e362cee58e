"""Training runs on continuous XOR: which of many networks learn, and the VNI of their layers as they are trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rmt_vn.experiments.cache import Numbers
from rmt_vn.experiments.engine import Engine, run
from rmt_vn.experiments.sweeps import Point, name_of
from rmt_vn.network import WEIGHTS, Network, Weights
from rmt_vn.tasks import Task, continuous_xor
from rmt_vn.training import Training, train

# A run has failed if its accuracy on new points is below this after the last step: half way between 1/2, the accuracy
# of guessing, and 1. The accuracies are in the data of the figures, for those who would choose another limit.
FAILED_BELOW = 0.75

BATCH = 32
# Replicas trained together: enough to share the overhead of a step, and few enough for the cache to keep results often.
_TOGETHER = 10


def xor_network(width: int, depth: int, weights: Weights) -> Network:
    """A tanh network with σ_w = 1 and no biases at the start. The last of its `depth` layers is the linear readout."""
    return Network((2, *[width] * (depth - 1), 1), activation="tanh", weights=weights)


def training_runs(
    points: Sequence[Point], *, replicas: int, seed: int, engine: Engine, label: str = "training"
) -> list[Numbers]:
    """The results of `xor_run` at every point, with `replicas` replicas along the last axis.

    Replica k of a point has the same numbers however many others are trained: more replicas add to the result.
    """
    batches = [range(start, min(start + _TOGETHER, replicas)) for start in range(0, replicas, _TOGETHER)]
    tasks = [{**point, "replicas": tuple(batch), "seed": seed} for point in points for batch in batches]
    results = list(run(xor_run, tasks, engine=engine, label=label))
    grouped = (results[start : start + len(batches)] for start in range(0, len(results), len(batches)))
    return [{name: np.concatenate([part[name] for part in group], axis=-1) for name in group[0]} for group in grouped]


def xor_run(
    network: Network,
    optimizer: str,
    learning_rate: float,
    measure_at: tuple[int, ...],
    replicas: tuple[int, ...],
    seed: int,
) -> Numbers:
    """Train replicas of a network on continuous XOR, up to the last of the steps at which to measure.

    Replica k starts from the same weights and sees the same batches at every learning rate and with every optimizer.

    Returns
    -------
    dict of ndarray
        Over 512 new points: `accuracy` and `loss`, `vni` and `jacobian_vni` of the last hidden layer, and `gradient`,
        the norm of the gradient over all layers, each of shape (steps, replicas). `diverged`, shape (replicas,), says
        which replicas diverged; all other values of these are NaN.
    """
    training = _training(network, replicas, seed, measure_at, optimizer=optimizer, learning_rate=learning_rate)
    of = training.measurements
    return {
        "accuracy": np.stack([each.accuracy for each in of]),
        "loss": np.stack([each.loss for each in of]),
        "diverged": training.diverged,
        "vni": np.stack([each.vni[-1] for each in of]),
        "jacobian_vni": np.stack([each.jacobian_vni[-1] for each in of]),
        "gradient": np.stack([np.linalg.norm(each.gradient_norms, axis=0) for each in of]),
    }


def xor_layers(network: Network, learning_rate: float, steps: int, replicas: tuple[int, ...], seed: int) -> Numbers:
    """The runs that `xor_run` makes with Adam, but with the Jacobian VNI of every layer, before and after training.

    Returns
    -------
    dict of ndarray
        `accuracy` after training, shape (replicas,); `jacobian_vni`, shape (2, hidden layers, replicas).
    """
    start, end = _training(network, replicas, seed, (0, steps), learning_rate=learning_rate).measurements
    return {"accuracy": end.accuracy, "jacobian_vni": np.stack([start.jacobian_vni, end.jacobian_vni])}


def _training(
    network: Network, replicas: tuple[int, ...], seed: int, measure_at: tuple[int, ...], **how: Any
) -> Training:
    """Train on 4096 points; accuracy and VNI are measured on 512 others."""
    return train(
        network,
        _points(4096, seed),
        steps=max(measure_at),
        batch=BATCH,
        replicas=replicas,
        rng=np.random.SeedSequence(seed, spawn_key=name_of({"network": network})),
        measure_at=measure_at,
        probe=_points(512, seed + 1),
        **how,
    )


def _points(n_samples: int, seed: int) -> Task:
    return continuous_xor(n_samples, rng=np.random.SeedSequence(seed, spawn_key=name_of({"points": n_samples})))


def failed(accuracy: np.ndarray) -> np.ndarray:
    """Which runs have failed; those that diverged have."""
    return ~(accuracy >= FAILED_BELOW)


def mean_over_replicas(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the last axis, and its standard error; at least two replicas."""
    return values.mean(axis=-1), values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])


def setting_of(point: Point) -> tuple[str, int, int, float]:
    """Weights, width, depth and learning rate: the columns by which tables tell points apart."""
    network = point["network"]
    return network.weights, network.widths[1], network.depth, point["learning_rate"]


def adam_points(
    widths: Sequence[int], depths: Sequence[int], learning_rates: Sequence[float], measure_at: Sequence[int]
) -> list[Point]:
    """Gaussian and Haar networks of all widths and depths, each with all learning rates; three figures share them."""
    return [
        {
            "network": xor_network(width, depth, weights),
            "optimizer": "adam",
            "learning_rate": rate,
            "measure_at": tuple(measure_at),
        }
        for weights in WEIGHTS
        for width in widths
        for depth in depths
        for rate in learning_rates
    ]
