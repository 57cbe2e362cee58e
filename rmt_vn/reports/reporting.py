"""`report`: how many of a network's nodes are effective, beside the same network with fresh weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rmt_vn.adapters import Watch, mlp_activations, reinitialized, reinitialized_mlp
from rmt_vn.adapters.torch_passes import watched
from rmt_vn.baseline import Baseline, baseline
from rmt_vn.network import Network
from rmt_vn.reports.assembled import assembled
from rmt_vn.reports.layer import LayerReport
from rmt_vn.reports.measured import layers_of_arrays, layers_of_watch
from rmt_vn.reports.result import Report
from rmt_vn.rng import RNG


def report(
    model: Any,
    inputs: Any = None,
    *,
    null: Baseline | Callable[[int], Any] | None = None,
    replicas: int = 20,
    rng: RNG = None,
    factory: Callable[[], Any] | None = None,
    select: str | type | Iterable[str | type] | None = None,
    activations: bool = False,
    node_axis: int | Mapping[str, int] | None = None,
    network: Network | None = None,
    input_variance: float = 1.0,
) -> Report:
    """How many of a network's nodes are effective, layer by layer, beside the same network with fresh weights.

    Fresh networks have the same architecture, and weights that are drawn anew; they see the same inputs. In their first
    layer they show what the data leave of its width, along the layers what depth does, and this network beside them
    what training has done, as far as that can be told from so many of them.

    Parameters
    ----------
    model : torch.nn.Module, MLP of scikit-learn, Watch, or activations
        A model, with `inputs`; or what was measured of it already: what `rmt_vn.watch` saw, or arrays (samples, nodes)
        in a mapping by the names of layers, or in a sequence, whose names are "1", "2", ….
    inputs : tensor, array, tuple, mapping, or list of these, optional
        Of a model: what it is called with, as `rmt_vn.adapters.reinitialized` takes it. Of nothing else.
    null : Baseline or callable, optional
        The fresh networks. Those of a model are made if there is none. For a watch or arrays it is what
        `rmt_vn.adapters.reinitialized` or `rmt_vn.baseline.baseline` return, or a function of a seed that returns
        activations, as the latter takes it; without it the report has no fresh networks. Along a training it is made
        once.
    replicas : int
        Fresh networks that are made, at least 2. Of 20, all have more effective nodes than one more fresh network with
        probability 1/21, and 19 are the fewest that can tell at 5% that a network is not fresh.
    rng : seed or Generator
        Of their weights.
    factory, select, activations
        As of `rmt_vn.adapters.reinitialized`, for models of PyTorch.
    node_axis : int or mapping of names to int, optional
        The axis of the nodes, as of `rmt_vn.watch`, and of `rmt_vn.measures.vni` for arrays.
    network : Network, optional
        Of fully connected networks with random weights: what the laws S3 and S4 say of the pre-activations of its
        layers, over inputs in a small ball. Its layers, or its hidden layers, must be those that are measured.
    input_variance : float
        For the law: the mean square of an input, as of `rmt_vn.prediction.predict`.

    Returns
    -------
    Report
        ``print`` shows sentences and a table, a notebook too; `Report.to_html` writes a page, `Report.plot` a picture,
        `Report.to_csv` a table. Layers that could not be measured are rows that say why.

    Raises
    ------
    ImportError, TypeError, ValueError
        As `rmt_vn.adapters.reinitialized`, `rmt_vn.watch` and `rmt_vn.baseline.baseline`; if a model has no inputs, or
        what was measured has some; if `network` has other layers.

    Notes
    -----
    The rank of a fresh network among n others is uniform: since all see the same inputs, there is no error of sampling
    in it. Over many layers some ranks are extreme by chance, and layers of one network are so together; so
    `Report.together` compares all layers at once, by a test that is exact for any number of them.

    Examples
    --------
    >>> import numpy as np
    >>> inputs = np.random.default_rng(0).standard_normal((200, 10))
    >>> def run(seed, scale=1.0):
    ...     weights = np.random.default_rng(seed).standard_normal((2, 10, 10)) / 10**0.5
    ...     first = inputs @ (weights[0] + scale - 1)
    ...     return {"first": first, "second": np.tanh(first) @ weights[1]}
    >>> told = report(run(0, scale=1.5), null=run, rng=1)
    >>> told
    <Report: 2 layers measured, 0 not, beside 20 fresh networks>
    >>> told["first"].fresh.is_below_all, told["first"].effective_nodes < 2
    (True, True)

    In PyTorch::

        told = rmt_vn.report(model, images, rng=0)
        print(told)
        told.to_html("report.html")
    """
    rng = np.random.default_rng(rng)
    if isinstance(model, str | bytes):
        raise TypeError(f"model must be a model, a watch or activations, got {type(model).__name__}")
    if isinstance(model, Watch | Mapping | Sequence | np.ndarray):
        if inputs is not None:
            raise ValueError("inputs must be given with a model, not with what was measured of one already")
        rows = layers_of_watch(model) if isinstance(model, Watch) else _rows_of_arrays(model, node_axis)
        if callable(null):
            if isinstance(node_axis, Mapping):
                raise ValueError(
                    "node_axis must be one for all layers where null is a function of a seed, got a mapping"
                )
            null = baseline(null, replicas=replicas, rng=rng, node_axis=node_axis)
    elif inputs is None:
        raise ValueError(
            f"inputs must be given with a model, got {type(model).__name__} without; activations are given in a "
            "mapping by names, or in a list"
        )
    elif callable(null):
        raise TypeError("null must be a Baseline where a model is given; factory is what makes fresh models")
    elif hasattr(model, "coefs_") or type(model).__module__.startswith("sklearn."):
        rows = _rows_of_arrays(mlp_activations(model, inputs), None)
        null = reinitialized_mlp(model, inputs, replicas=replicas, rng=rng) if null is None else null
    else:
        options: dict[str, Any] = {"select": select, "activations": activations, "node_axis": node_axis}
        if null is None:
            null = reinitialized(model, inputs, replicas=replicas, rng=rng, factory=factory, **options)
        rows = layers_of_watch(watched(model, inputs, seed=int(rng.integers(2**31)), **options))
    if null is not None and not isinstance(null, Baseline):
        raise TypeError(f"null must be a Baseline or a function of a seed, got {type(null).__name__}")
    return assembled(rows, null, network=network, input_variance=input_variance)


def _rows_of_arrays(activations: Any, node_axis: int | Mapping[str, int] | None) -> list[LayerReport]:
    """Names are those that `rmt_vn.baseline.baseline` gives."""
    if isinstance(activations, np.ndarray):
        activations = [activations]
    if len(activations) == 0:
        raise ValueError(f"activations must be of at least one layer, got an empty {type(activations).__name__}")
    named = isinstance(activations, Mapping)
    arrays = activations if named else {str(place): each for place, each in enumerate(activations, 1)}
    axes = node_axis if isinstance(node_axis, Mapping) else dict.fromkeys(arrays, node_axis)
    return layers_of_arrays(arrays, axes.get)
