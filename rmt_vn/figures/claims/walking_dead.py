"""Gradients against VNI for runs that learn and runs that fail, before and after training."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rmt_vn.experiments import Engine
from rmt_vn.figures.claims import training_failure
from rmt_vn.figures.evidence import Evidence
from rmt_vn.figures.style import COLOURS, new_figure
from rmt_vn.figures.tables import Table, table
from rmt_vn.figures.xor_runs import adam_points, failed, setting_of, training_runs

CLAIM = (
    "Some networks fail with a VNI near 1 although their gradients have not vanished; far more learn with both, so a "
    "VNI near 1 is not the mark of failure"
)

CAPTION = (
    "Norm of the gradient over all weights, against the VNI of the Jacobian from the first to the last hidden layer, "
    "for tanh networks trained on continuous XOR. Each point is one run. Left: before training, at one learning "
    "rate, since networks begin alike at all of them. Right: after training, at all learning rates. Circles are runs "
    "that learn, crosses are runs that fail."
)

LAWS: tuple[str, ...] = ()

VANISHED = 0.9

# Networks begin the same at every rate. Before training those of one rate are shown, so that no point hides another.
SHOWN_RATE = 3e-4

# These are the runs of training_failure, which the cache keeps: they need not be trained twice.
PRESETS = training_failure.PRESETS


def compute(*, seed: int, engine: Engine, replicas: int, **grid) -> dict:
    points = adam_points(**grid)
    results = training_runs(points, replicas=replicas, seed=seed, engine=engine, label="walking_dead")
    shown = (0, len(grid["measure_at"]) - 1)
    rows = [
        (
            *setting_of(point),
            replica,
            grid["measure_at"][step],
            *(float(result[name][step, replica]) for name in ("accuracy", "vni", "jacobian_vni", "gradient")),
            bool(failed(result["accuracy"][-1, replica])),
        )
        for point, result in zip(points, results, strict=True)
        for step in shown
        for replica in range(replicas)
        if not result["diverged"][replica]
    ]
    names = ("weights", "width", "depth", "learning_rate", "replica", "step")
    runs = table((*names, "accuracy", "vni", "jacobian_vni", "gradient", "failed"), rows)
    share, score = early_warning(runs)
    return {
        "runs": runs,
        "counts": two_way(runs),
        "early_warning": table(("share_of_pairs", "standard_score"), [(share, score)]),
    }


def two_way(runs: Table) -> Table:
    """Numbers of runs by whether they failed, whether their VNI is near 1, and whether their gradients have vanished.

    Gradients are those after training, judged by either of two criteria. A gradient "could begin" if it is no smaller
    than those with which networks of the same weights, width and depth began that then learned, so that learning from
    it is possible. It is "as learned" if it is in the range that such networks have after training. Weights, widths and
    depths of which no network learned are left out, since nothing is known of the gradients that they need.
    """
    end, start = (runs["step"] == step for step in (runs["step"].max(), runs["step"].min()))
    keys = np.array([f"{w} {n} {d}" for w, n, d in zip(runs["weights"], runs["width"], runs["depth"], strict=True)])
    known, could_begin, as_learned = (np.zeros(len(keys), bool) for _ in range(3))
    for key in np.unique(keys[~runs["failed"]]):
        same = keys == key
        began, ended = (runs["gradient"][same & step & ~runs["failed"]] for step in (start, end))
        known |= same & end
        could_begin |= same & (runs["gradient"] >= began.min())
        as_learned |= same & (runs["gradient"] >= ended.min()) & (runs["gradient"] <= ended.max())
    rows = []
    for criterion, lives in (("could begin", could_begin), ("as learned", as_learned)):
        for lost in (True, False):
            for vanished in (True, False):
                same = known & (runs["failed"] == lost) & ((runs["jacobian_vni"] > VANISHED) == vanished)
                rows += [
                    (criterion, lost, vanished, living, np.count_nonzero(same & (lives == living)))
                    for living in (True, False)
                ]
    return table(("criterion", "failed", "vanished", "gradient_lives", "runs"), rows)


def early_warning(runs: Table) -> tuple[float, float]:
    """Whether, among runs of the same setting, those that will fail begin with the larger Jacobian VNI.

    Returns
    -------
    share : float
        Of pairs (failed, successful) of one setting, the share in which the failed one began with the larger VNI: 1/2
        by chance.
    score : float
        Its distance from 1/2 in standard errors, if failure had nothing to do with it (Mann–Whitney, settings apart). A
        little too large: networks that are in pairs at two learning rates count twice.
    """
    start = runs["step"] == runs["step"].min()
    keys = list(
        zip(*(runs[name][start].tolist() for name in ("weights", "width", "depth", "learning_rate")), strict=True)
    )
    vni, lost = runs["jacobian_vni"][start], runs["failed"][start]
    larger = pairs = variance = 0.0
    for key in dict.fromkeys(keys):
        same = np.array([each == key for each in keys])
        one, other = vni[same & lost], vni[same & ~lost]
        larger += np.sum(one[:, None] > other) + np.sum(one[:, None] == other) / 2
        pairs += len(one) * len(other)
        variance += len(one) * len(other) * (len(one) + len(other) + 1) / 12
    return larger / pairs, (larger - pairs / 2) / np.sqrt(variance)


def evidence(tables: dict) -> list[Evidence]:
    *kinds, runs = two_way(tables["runs"]).values()
    count = dict(zip(zip(*(kind.tolist() for kind in kinds), strict=True), runs.tolist(), strict=True))
    sizes = {"could begin": "from which learning could begin", "as learned": "in the range of those that learned"}
    dead = {criterion: count[criterion, True, True, True] for criterion in sizes}
    # By the narrower criterion a quick run may have none, on one machine or another: training is chaotic, and its last
    # digits are those of the machine.
    first = f"runs that fail with a VNI above 0.9 and a gradient {sizes['could begin']}"
    return [
        Evidence(first, dead["could begin"], low=1),
        *(
            Evidence(
                f"runs that learn with a VNI above 0.9 and a gradient {size}, over those that fail",
                count[criterion, False, True, True] / max(dead[criterion], 1),
                low=2,
            )
            for criterion, size in sizes.items()
        ),
    ]


def draw(tables: dict) -> Figure:
    runs = tables["runs"]
    figure = new_figure(height=2.6)
    panels = figure.subplots(1, 2, sharey=True, sharex=True)
    steps = (runs["step"].min(), runs["step"].max())
    for axes, step, names in zip(panels, steps, (("will learn", "will fail"), ("learned", "failed")), strict=True):
        for lost, colour, marker, name in zip((False, True), (COLOURS[2], COLOURS[1]), "ox", names, strict=True):
            at = (runs["step"] == step) & (runs["failed"] == lost)
            if step == steps[0]:
                at &= np.isclose(runs["learning_rate"], SHOWN_RATE)
            axes.scatter(
                runs["jacobian_vni"][at],
                runs["gradient"][at],
                s=6,
                marker=marker,
                color=colour,
                alpha=0.6,
                linewidths=0.7,
                label=name,
            )
        axes.set(yscale="log", xlabel="Jacobian VNI", xlim=(0, 1.03))
        axes.set_title(
            f"before training, rate {SHOWN_RATE:g}" if step == steps[0] else f"after {step} steps, all rates",
            fontsize=7,
        )
        axes.legend(loc="lower left", handletextpad=0.1)
    panels[0].set_ylabel("norm of the gradient")
    return figure
