"""One's own network beside itself with fresh weights: what is data, what is depth, what is training."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rmt_vn import laws, mlp
from rmt_vn.baseline import interval_of_another
from rmt_vn.experiments import Engine, run
from rmt_vn.experiments.cache import Numbers
from rmt_vn.figures.evidence import Evidence
from rmt_vn.figures.style import COLOURS, MARKERS, new_figure
from rmt_vn.figures.tables import table
from rmt_vn.measures import unbiased_vni
from rmt_vn.network import Network
from rmt_vn.tasks import Task, digits
from rmt_vn.training import evaluate, train

CLAIM = (
    "On real digits a first layer of fresh weights has fewer than half of the effective nodes that it has over a small "
    "ball, which is data, and the last one fewer than half of these, which is depth; training takes some from the "
    "first layers, beyond the range of fresh networks, and gives some to the last ones"
)

CAPTION = (
    "Effective nodes of the hidden layers of tanh networks with Gaussian weights, over handwritten digits that they "
    "were not trained on. Gray line: nodes. Dashed line: the law S4, over inputs in a small ball. Solid line and blue "
    "area: mean of networks with fresh weights, and the range that holds 95% of them. Points: means of other networks, "
    "before training (open circles) and after it (filled squares), with bars from the lowest of them to the highest."
)

LAWS: tuple[str, ...] = ("approximate_vni",)

PRESETS = {
    "quick": {
        "width": 64,
        "depth": 20,
        "samples": 64,
        "fresh": 10,
        "learning_rate": 1.5e-3,
        "steps": 600,
        "trained": 2,
    },
    "paper": {
        "width": 64,
        "depth": 20,
        "samples": 500,
        "fresh": 100,
        "learning_rate": 1e-3,
        "steps": 3000,
        "trained": 8,
    },
}

_TRAINING_DIGITS = 1297  # Of 1797: accuracy and effective nodes are those on some of the others.
# Measured in one task: few enough for several cores to share them.
_TOGETHER = 10


def compute(
    *,
    seed: int,
    engine: Engine,
    width: int,
    depth: int,
    samples: int,
    fresh: int,
    learning_rate: float,
    steps: int,
    trained: int,
) -> dict:
    network = Network((64, *[width] * (depth - 1), 10), activation="tanh")
    common = {"network": network, "samples": samples, "seed": seed}
    batches = [tuple(range(start, min(start + _TOGETHER, fresh))) for start in range(0, fresh, _TOGETHER)]
    null = run(fresh_networks, [{**common, "which": batch} for batch in batches], engine=engine, label="fresh networks")
    vni = np.concatenate([each["vni"] for each in null], axis=-1)
    how = {"learning_rate": learning_rate, "steps": steps, "replicas": trained}
    (networks,) = run(trained_networks, [{**common, **how}], engine=engine, label="training")

    variance = float(np.mean(_digits(seed, samples)[1].inputs ** 2))
    layers = []
    for layer, values in enumerate(vni, start=1):
        low, high = interval_of_another(values)
        law = laws.approximate_vni(Network(network.widths[: layer + 1], activation="tanh"), input_variance=variance)
        layers.append((layer, width, 1 / law, 1 / values.mean(), 1 / high, 1 / low))
    rows = [
        (number, when, layer, 1 / value)
        for when, of_layers in zip(("start", "end"), networks["vni"], strict=True)
        for layer, values in enumerate(of_layers, start=1)
        for number, value in enumerate(values)
    ]
    return {
        "layers": table(("layer", "nodes", "law", "fresh_mean", "fresh_low", "fresh_high"), layers),
        "networks": table(("network", "when", "layer", "effective_nodes"), rows),
        "accuracy": table(("network", "accuracy"), enumerate(networks["accuracy"])),
    }


def fresh_networks(network: Network, samples: int, which: tuple[int, ...], seed: int) -> Numbers:
    """The VNI of the hidden layers of random networks over new digits: `vni`, shape (hidden layers, networks)."""
    rngs = [np.random.SeedSequence(seed, spawn_key=(1, each)) for each in which]
    return {"vni": _vni(network, mlp.initial_parameters(network, rngs=rngs), _digits(seed, samples)[1])}


def trained_networks(
    network: Network, samples: int, learning_rate: float, steps: int, replicas: int, seed: int
) -> Numbers:
    """Other random networks, trained on 1297 digits.

    Returns
    -------
    dict of ndarray
        Over new digits: `vni` of the hidden layers before and after training, shape (2, hidden layers, replicas), and
        `accuracy` after it, shape (replicas,).
    """
    known, new = _digits(seed, samples)
    # As `train` draws the weights from which it starts.
    of = np.random.SeedSequence(seed, spawn_key=(0,))
    start = mlp.initial_parameters(network, rngs=np.random.default_rng(of).spawn(replicas))
    training = train(network, known, steps=steps, batch=64, learning_rate=learning_rate, replicas=replicas, rng=of)
    _, accuracy = evaluate(network, training.parameters, new)
    vni = [_vni(network, parameters, new) for parameters in (start, training.parameters.astype(float))]
    return {"vni": np.stack(vni), "accuracy": accuracy}


def _digits(seed: int, samples: int) -> tuple[Task, Task]:
    """Those to train on, and so many others."""
    everything = digits()
    order = np.random.default_rng(seed).permutation(len(everything.inputs))
    known, new = order[:_TRAINING_DIGITS], order[_TRAINING_DIGITS:][:samples]
    return tuple(  # type: ignore[return-value]
        Task(everything.inputs[part], everything.labels[part], everything.loss, everything.n_outputs)
        for part in (known, new)
    )


def _vni(network: Network, parameters: np.ndarray, task: Task) -> np.ndarray:
    """Of the hidden layers, shape (hidden layers, networks)."""
    columns = []
    for one in parameters[:, None]:
        weights = mlp.layers(network, one)
        x, h = mlp.workspace(weights, len(task.inputs))
        x[0][:, : network.widths[0]] = task.inputs.T
        mlp.forward(network, weights, x, h)
        hidden = zip(x[1:], network.widths[1:-1], strict=True)
        columns.append([unbiased_vni(x_l[0, :n].T) for x_l, n in hidden])
    return np.array(columns).T


def evidence(tables: dict) -> list[Evidence]:
    layers, networks = tables["layers"], tables["networks"]
    start, end = (_by_layer(networks, when) for when in ("start", "end"))
    mean, low, high = (layers[f"fresh_{name}"] for name in ("mean", "low", "high"))
    return [
        Evidence(
            "effective nodes of the first layer of fresh networks over digits, over what S4 says for a small ball",
            float(mean[0] / layers["law"][0]),
            high=0.5,
        ),
        Evidence(
            "effective nodes of the last hidden layer of fresh networks over those of the first",
            float(mean[-1] / mean[0]),
            high=0.5,
        ),
        Evidence(
            "share of the layers of networks not yet trained that lie in the range of 95% of fresh ones",
            float(np.mean((start >= low) & (start <= high))),
            low=0.7,
        ),
        Evidence(
            "effective nodes of the first five layers of trained networks over the low end of this range",
            float(end[:, :5].mean() / low[:5].mean()),
            high=1.0,
        ),
        Evidence(
            "effective nodes of the last hidden layer of trained networks over the mean of fresh ones",
            float(end[:, -1].mean() / mean[-1]),
            low=1.1,
        ),
        Evidence(
            "mean accuracy of the trained networks on new digits", float(tables["accuracy"]["accuracy"].mean()), low=0.8
        ),
    ]


def _by_layer(networks: dict, when: str) -> np.ndarray:
    """Effective nodes, shape (networks, layers)."""
    at = networks["when"] == when
    order = np.lexsort((networks["layer"][at], networks["network"][at]))
    return networks["effective_nodes"][at][order].reshape(-1, networks["layer"].max())


def draw(tables: dict) -> Figure:
    layers, networks = tables["layers"], tables["networks"]
    figure = new_figure(height=2.9)
    axes = figure.subplots()
    layer = layers["layer"]
    axes.plot(layer, layers["nodes"], color="0.55", linewidth=0.9, label="nodes")
    axes.plot(layer, layers["law"], color=COLOURS[1], linestyle="--", label="law, over a small ball")
    axes.fill_between(
        layer, layers["fresh_low"], layers["fresh_high"], color="#BFE0F5", linewidth=0, label="fresh weights, 95% range"
    )
    axes.plot(layer, layers["fresh_mean"], color=COLOURS[6], label="fresh weights, mean")
    for index, (when, label) in enumerate({"start": "before training", "end": "after training"}.items()):
        each = _by_layer(networks, when)
        mean = each.mean(axis=0)
        axes.errorbar(
            layer + (0.12, -0.12)[index],
            mean,
            yerr=[mean - each.min(axis=0), each.max(axis=0) - mean],
            linestyle="none",
            marker=MARKERS[index],
            color=COLOURS[0],
            markerfacecolor=("white", COLOURS[0])[index],
            markersize=3,
            markeredgewidth=0.7,
            elinewidth=0.7,
            label=label,
        )
    axes.set_yscale("log")
    ticks = [each for each in (2, 4, 8, 16, 32, 64) if each <= layers["nodes"].max()]
    axes.set_yticks(ticks, [str(each) for each in ticks])
    axes.set_yticks([], minor=True)
    axes.set_xticks([1, *range(5, layer.max(), 5), layer.max()])
    axes.set(xlabel="hidden layer", ylabel="effective nodes", xlim=(0.3, layer.max() + 0.7))
    figure.legend(loc="outside upper center", ncols=2)
    return figure
