"""Training of many replicas of one network side by side, each with its own seed, and what is measured on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from rmt_vn import mlp, optimizers, residual_mlp
from rmt_vn.checks import checked_count, checked_kind
from rmt_vn.losses import LOSSES
from rmt_vn.network import Network, ResidualNetwork
from rmt_vn.optimizers import OptimizerName
from rmt_vn.progress import progress
from rmt_vn.results import Result
from rmt_vn.rng import RNG
from rmt_vn.tasks import Task

__all__ = ["Measurement", "Training", "evaluate", "measure", "train"]

# The Jacobian at one sample costs as much as n_1 samples; its VNI is averaged over this many.
_JACOBIAN_INPUTS = 16


@dataclass(frozen=True, eq=False, repr=False)
class Measurement(Result):
    """What is measured of all replicas at one step, over a fixed set of samples.

    Attributes
    ----------
    step : int
        Number of updates done.
    loss, accuracy : ndarray, shape (replicas,)
        Accuracy is NaN for the squared loss.
    vni, jacobian_vni : ndarray, shape (L − 1, replicas)
        Of the hidden layers; see `mlp.layer_vni` and `mlp.layer_jacobian_vni`, the latter over the first 16 samples. In
        residual networks of the stream behind each of the L blocks, shape (L, replicas); see `residual_mlp`.
    gradient_norms : ndarray, shape (matrices, replicas)
        Frobenius norms of the gradients, biases included, of all matrices in the order of `mlp.matrices`.
    """

    step: int
    loss: np.ndarray
    accuracy: np.ndarray
    vni: np.ndarray
    jacobian_vni: np.ndarray
    gradient_norms: np.ndarray

    @property
    def gradient_ratios(self) -> np.ndarray:
        """Each matrix's gradient norm over that of the next, shape (matrices − 1, replicas)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.gradient_norms[:-1] / self.gradient_norms[1:]


@dataclass(frozen=True, eq=False, repr=False)
class Training(Result):
    """What `train` returns.

    Attributes
    ----------
    loss, accuracy : ndarray, shape (steps, replicas)
        Of each mini-batch, before its update. NaN from the step at which a replica diverged; accuracy is NaN for the
        squared loss.
    diverged_at : ndarray of int, shape (replicas,)
        Number of the update that made loss or parameters NaN or infinite; −1 for replicas that did not diverge.
    parameters : ndarray, shape (replicas, P)
        At the end; NaN where diverged.
    measurements : tuple of Measurement
    """

    loss: np.ndarray
    accuracy: np.ndarray
    diverged_at: np.ndarray
    parameters: np.ndarray
    measurements: tuple[Measurement, ...]

    @property
    def diverged(self) -> np.ndarray:
        """Whether each replica diverged."""
        return self.diverged_at >= 0


def train(
    network: Network | ResidualNetwork,
    task: Task,
    *,
    steps: int,
    batch: int,
    optimizer: OptimizerName = "adam",
    learning_rate: ArrayLike = 1e-3,
    replicas: int | Sequence[int] = 1,
    biases: bool = True,
    dtype: DTypeLike = np.float32,
    rng: RNG = None,
    measure_at: Sequence[int] = (),
    probe: Task | None = None,
) -> Training:
    """Train replicas of a network by mini-batches.

    Parameters
    ----------
    network : Network or ResidualNetwork
        Its last layer is linear here. Its widths begin with the features and end with the outputs of the task; a
        residual network has an embedding and a readout for them.
    task : Task
    steps : int
        Number of updates.
    batch : int
        Samples in each step, at most those of the task. Each replica goes through the task in its own random orders.
    optimizer : {"sgd", "momentum", "rmsprop", "adam"}
    learning_rate : float or array_like, shape (replicas,)
    replicas : int or sequence of int
        How many, or which: replica k has the k-th child of `rng` for weights and batches, and the same numbers bit by
        bit whatever others are trained with it (for wide networks, on as many BLAS threads; see `experiments.run`).
    biases : bool
        Whether there are any.
    dtype : float32 or float64
    rng : seed or Generator
        Each replica gets a child of it; a Generator or SeedSequence that is used again gives other children.
    measure_at : sequence of int
        After how many updates to measure, each from 0 to steps.
    probe : Task, optional
        The samples on which to measure; by default the task itself.

    Raises
    ------
    ValueError, TypeError
        If the network does not fit the task, or another parameter is not what it should be.

    Examples
    --------
    >>> from rmt_vn import Network, tasks
    >>> network = Network((2, 16, 1))
    >>> training = train(network, tasks.parity(2), steps=500, batch=4, learning_rate=0.01, replicas=3, rng=1)
    >>> training.accuracy[-1].tolist()
    [1.0, 1.0, 1.0]
    """
    checked_kind("network", network, Network, ResidualNetwork)
    steps, batch = checked_count("steps", steps), checked_count("batch", batch)
    if batch > len(task.inputs):
        raise ValueError(f"batch must be at most the {len(task.inputs)} samples of the task, got {batch}")
    for data in (task, probe or task):
        _check_fit(network, data)
    which = _checked_replicas(replicas)
    wanted = set(measure_at)
    if wrong := [at for at in wanted if at not in range(steps + 1)]:
        raise ValueError(f"measure_at must be steps from 0 to {steps}, got {wrong[0]!r}")
    children = np.random.default_rng(rng).spawn(max(which) + 1)
    rngs = [children[k] for k in which]
    rates = optimizers.learning_rates(learning_rate, len(which))

    parameters = mlp.initial_parameters(network, rngs=rngs, biases=biases, dtype=dtype)
    gradients = np.zeros_like(parameters)
    weights, weight_gradients = mlp.layers(network, parameters), mlp.layers(network, gradients)
    state = optimizers.init(optimizer, [parameters])
    passes = _passes(network)
    x, h = mlp.workspace(weights, batch)
    loss, accuracy = np.empty((2, steps, len(which)))
    diverged_at = np.full(len(which), -1)
    measurements = []
    batches = _batches(rngs, len(task.inputs), batch, steps)
    for step, chosen in enumerate(progress(batches, "training steps", steps)):
        if step in wanted:
            measurements.append(measure(network, parameters, probe or task, step=step))
        x[0][:, : network.widths[0]] = task.inputs[chosen].mT
        labels = task.labels[chosen]
        passes.forward(network, weights, x, h)
        loss[step], delta = LOSSES[task.loss](h[-1], labels)
        accuracy[step] = _accuracy(task, h[-1], labels)
        passes.backward(network, weights, x, h, delta, weight_gradients)
        optimizers.update([parameters], [gradients], state, rates)
        broken = ~(np.isfinite(loss[step]) & np.isfinite(parameters).all(axis=1))
        diverged_at[broken & (diverged_at < 0)] = step
        # NaN stays NaN, so that no diverged replica seems to recover (tanh of infinity is 1).
        parameters[broken] = np.nan
    if steps in wanted:
        measurements.append(measure(network, parameters, probe or task, step=steps))
    return Training(loss, accuracy, diverged_at, parameters, tuple(measurements))


def evaluate(network: Network | ResidualNetwork, parameters: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss and accuracy over all samples of a task, each of shape (replicas,).

    Parameters
    ----------
    network : Network or ResidualNetwork
    parameters : ndarray, shape (replicas, P)
    task : Task

    Raises
    ------
    ValueError
        If network, parameters and task do not fit together.
    """
    _check_fit(network, task)
    columns = []
    for one in parameters[:, None]:
        _, _, h = _forward(network, one, task)
        loss, _ = LOSSES[task.loss](h[-1], task.labels[None])
        columns.append((loss, _accuracy(task, h[-1], task.labels[None])))
    loss, accuracy = map(np.concatenate, zip(*columns, strict=True))
    return loss, accuracy


def measure(network: Network | ResidualNetwork, parameters: np.ndarray, task: Task, *, step: int = 0) -> Measurement:
    """Loss, accuracy, VNI, Jacobian VNI and gradient norms over all samples of a task.

    Parameters and errors as `evaluate`; `step` is noted in the result.
    """
    _check_fit(network, task)
    columns, passes = [], _passes(network)
    for one in parameters[:, None]:  # all samples of all replicas at once may be more than the memory
        weights, x, h = _forward(network, one, task)
        loss, delta = LOSSES[task.loss](h[-1], task.labels[None])
        gradients = mlp.layers(network, np.empty_like(one))
        passes.backward(network, weights, x, h, delta, gradients)
        few_x, few_h = ([array[..., :_JACOBIAN_INPUTS] for array in arrays] for arrays in (x, h))
        columns.append(
            (
                loss,
                _accuracy(task, h[-1], task.labels[None]),
                passes.layer_vni(network, h),
                passes.layer_jacobian_vni(network, weights, few_x, few_h),
                mlp.layer_norms(gradients),
            )
        )
    return Measurement(step, *(np.concatenate(column, axis=-1) for column in zip(*columns, strict=True)))


def _passes(network: Network | ResidualNetwork) -> ModuleType:
    return residual_mlp if isinstance(network, ResidualNetwork) else mlp


def _forward(
    network: Network | ResidualNetwork, parameters: np.ndarray, task: Task
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    weights = mlp.layers(network, parameters)
    x, h = mlp.workspace(weights, len(task.inputs))
    x[0][:, : network.widths[0]] = task.inputs.T
    _passes(network).forward(network, weights, x, h)
    return weights, x, h


def _batches(rngs: Sequence[np.random.Generator], n_samples: int, batch: int, steps: int) -> Iterator[np.ndarray]:
    """Samples of each step, shape (replicas, batch): slices of random orders, one for each epoch and replica."""
    for step in range(steps):
        start = step % (n_samples // batch) * batch
        if start == 0:
            orders = np.stack([rng.permutation(n_samples) for rng in rngs])
        yield orders[:, start : start + batch]


def _accuracy(task: Task, outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    if task.loss == "squared":
        return np.full(len(outputs), np.nan)
    right = labels * outputs[:, 0] > 0 if task.loss == "logistic" else outputs.argmax(axis=1) == labels
    return np.where(np.isfinite(outputs).all(axis=(1, 2)), right.mean(axis=-1), np.nan)


def _check_fit(network: Network | ResidualNetwork, task: Task) -> None:
    ends = (task.inputs.shape[1], task.n_outputs)
    if (network.widths[0], network.widths[-1]) != ends:
        raise ValueError(
            f"the task has {ends[0]} features and {ends[1]} outputs, so widths must be ({ends[0]}, …, {ends[1]}), "
            f"got ({network.widths[0]}, …, {network.widths[-1]})"
        )


def _checked_replicas(replicas: int | Sequence[int]) -> list[int]:
    if not isinstance(replicas, (Sequence, np.ndarray)):
        return list(range(checked_count("replicas", replicas)))
    which = [checked_count("replicas", replica, least=0) for replica in replicas]
    if not which or len(set(which)) < len(which):
        raise ValueError(f"replicas must be different from one another and at least one, got {replicas!r}")
    return which
