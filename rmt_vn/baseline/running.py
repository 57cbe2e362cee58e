"""`baseline`: the null from any function of a seed that returns activations; and how replicas are put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from typing import cast

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from rmt_vn.baseline.result import Baseline
from rmt_vn.checks import checked_count, one_line
from rmt_vn.measures import as_samples, unbiased_vni
from rmt_vn.progress import progress
from rmt_vn.rng import RNG

# What a function of a seed returns: activations (samples, nodes) of one layer, or of several with or without names.
Activations = ArrayLike | Sequence[ArrayLike] | Mapping[str, ArrayLike]


@dataclass(frozen=True)
class Replica:
    """What was measured of one replica.

    Attributes
    ----------
    values : dict of str to float
        The VNI of each layer; NaN where it could not be measured.
    n_nodes : dict of str to int
    reasons : dict of str to str
        Why a layer could not be measured.
    mark : bytes
        What tells it from replicas with other weights; empty where none was made.
    """

    values: dict[str, float]
    n_nodes: dict[str, int]
    reasons: dict[str, str]
    mark: bytes = b""


def baseline(
    run: Callable[[int], Activations],
    *,
    replicas: int = 20,
    rng: RNG = None,
    jobs: int = 1,
    node_axis: int | None = None,
) -> Baseline:
    """The null of a network of any library, from a function of a seed that returns its activations.

    The function makes the network with the random weights of this seed, passes the inputs through, always the same
    ones, and returns what the layers give. All is measured as by `rmt_vn.measures.vni`, and no activations are kept:
    there is one replica in memory at a time, or as many as there are workers.

    Parameters
    ----------
    run : callable
        From a seed, a whole number below 2³¹, to an array (samples, nodes), to a list of them, one for each layer, or
        to a dict of them by names. It must follow from the seed alone.
    replicas : int
        At least 2. From 39 of them on an interval of 95% has quantiles for its ends.
    rng : seed or Generator
        Of the seeds; the same one gives the same numbers, for any number of workers.
    jobs : int
        Threads that make replicas side by side, -1 for one for each core. Only for functions that change nothing
        outside themselves: not where a library has one global seed, as Keras.
    node_axis : int, optional
        The axis of the nodes, as of `rmt_vn.measures.vni`: -1 for convolutions whose channels come last.

    Returns
    -------
    Baseline
        Its layers have the names that `run` gives them; else they are "1", "2", …

    Raises
    ------
    TypeError, ValueError
        In one line, if `run` fails, returns no arrays, or returns the same ones for two seeds.

    Examples
    --------
    With numpy, two layers of 30 tanh nodes:

    >>> inputs = np.random.default_rng(0).standard_normal((200, 10))
    >>> def run(seed):
    ...     rng = np.random.default_rng(seed)
    ...     x_1 = np.tanh(inputs @ rng.standard_normal((10, 30)) / 10**0.5)
    ...     return {"first": x_1, "second": np.tanh(x_1 @ rng.standard_normal((30, 30)) / 30**0.5)}
    >>> null = baseline(run, replicas=40, rng=1)
    >>> null
    <Baseline: 40 replicas, 2 layers measured, 0 not>
    >>> low, high = null.interval("second")
    >>> low < null.mean("second") < high and null.mean("first") < null.mean("second")
    True

    With JAX, flax and Keras it is as short (`tests/test_baseline_libraries.py` runs these and others)::

        def run(seed):                                                    # JAX
            w = jax.random.normal(jax.random.key(seed), (10, 30)) / 10**0.5
            return jax.nn.tanh(inputs @ w)

        def run(seed):                                                    # flax
            variables = model.init(jax.random.key(seed), inputs)
            _, state = model.apply(variables, inputs, capture_intermediates=True, mutable=["intermediates"])
            return {name: layer["__call__"][0] for name, layer in state["intermediates"].items() if name != "__call__"}

        def run(seed):                                                    # Keras
            keras.utils.set_random_seed(seed)
            fresh = keras.models.clone_model(model)
            hidden = keras.Model(fresh.inputs, [layer.output for layer in fresh.layers])
            return dict(zip([layer.name for layer in fresh.layers], hidden.predict(inputs, verbose=0)))
    """
    if not callable(run):
        raise TypeError(f"run must be a function of a seed, got {type(run).__name__}")
    seeds = checked_seeds(replicas, rng)
    if checked_count("jobs", jobs, least=-1) == 0:
        raise ValueError("jobs must be an integer ≥ 1, or -1, got 0")
    with ExitStack() as stack:
        if jobs != 1:  # BLAS threads would only get in the way of these
            stack.enter_context(threadpool_limits(1))
        parallel = Parallel(n_jobs=jobs, prefer="threads", return_as="generator")
        made = parallel(delayed(_replica_of)(run, seed, node_axis, marked=k < 2) for k, seed in enumerate(seeds))
        same = "run returned the same activations for two seeds: all its random numbers must follow from its argument"
        return collected(progress(made, "replicas", len(seeds)), same)


def checked_seeds(replicas: int, rng: RNG) -> list[int]:
    """So many whole numbers below 2³¹, which all libraries take for a seed.

    Raises
    ------
    TypeError, ValueError
        If they are not at least two.
    """
    replicas = checked_count("replicas", replicas, least=2)
    return np.random.default_rng(rng).integers(2**31, size=replicas).tolist()


def collected(replicas: Iterable[Replica], same: str) -> Baseline:
    """The baseline of replicas that come one by one.

    Raises
    ------
    ValueError
        With the message `same`, if the first two have equal marks.
    """
    made: list[Replica] = []
    for each in replicas:
        made.append(each)
        if len(made) == 2 and each.mark and each.mark == made[0].mark:
            raise ValueError(same)
    layers = tuple(dict.fromkeys(name for each in made for name in each.values))
    values = {name: np.array([each.values.get(name, np.nan) for each in made]) for name in layers}
    n_nodes = {name: count for each in reversed(made) for name, count in each.n_nodes.items()}
    faults, notes = {}, {}
    for name, of_layer in values.items():
        missing = int(np.isnan(of_layer).sum())
        reason = next((each.reasons[name] for each in made if name in each.reasons), "it is not in all of them")
        if missing == len(made):
            faults[name] = reason
        elif missing:
            notes[name] = f"not measured in {missing} of {len(made)} fresh networks: {reason}"
    return Baseline(layers, values, {name: n_nodes[name] for name in layers if name in n_nodes}, faults, notes)


def _replica_of(run: Callable[[int], Activations], seed: int, node_axis: int | None, *, marked: bool) -> Replica:
    try:
        returned = run(seed)
    except Exception as error:
        raise ValueError(f"run failed for the seed {seed}: {one_line(error)}") from error
    layers = _by_names(returned)
    values: dict[str, float] = {}
    n_nodes: dict[str, int] = {}
    reasons: dict[str, str] = {}
    mark, is_marked = blake2b(), False
    for name, array in layers.items():
        values[name] = np.nan
        try:
            samples = as_samples(array, node_axis=node_axis)
            n_nodes[name] = samples.shape[1]
            values[name] = unbiased_vni(array, node_axis=node_axis)
            if marked:  # not what is NaN or constant, which may be equal for any weights
                mark.update(np.ascontiguousarray(samples).data)
                is_marked = True
            if np.isnan(values[name]):
                reasons[name] = f"too few independent samples of {len(samples)}: an estimate takes five, or four groups"
        except (TypeError, ValueError) as error:
            reasons[name] = one_line(error)
    return Replica(values, n_nodes, reasons, mark.digest() if is_marked else b"")


def _by_names(returned: Activations) -> dict[str, ArrayLike]:
    layers: dict[str, ArrayLike]
    if isinstance(returned, Mapping):
        layers = {str(name): array for name, array in returned.items()}
    elif isinstance(returned, list | tuple):
        layers = {str(number): array for number, array in enumerate(cast(Sequence[ArrayLike], returned), start=1)}
    else:
        layers = {"1": cast(ArrayLike, returned)}
    if not layers:
        raise ValueError("run must return the activations of at least one layer, got none")
    return layers
