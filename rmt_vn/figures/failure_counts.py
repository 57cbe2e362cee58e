"""Tables of how many of the training runs of each setting fail, and what their networks are before training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rmt_vn.experiments.cache import Numbers
from rmt_vn.figures.tables import Table, table


def counted(grid: Sequence[tuple], runs: Iterable[Numbers], *, guessing: float) -> Table:
    """How many runs fail at each setting, and what their networks are before training.

    A run has failed if its accuracy on new samples is nearer to that of guessing than to 1, or if it diverged.
    """
    rows = [
        (
            *setting,
            result["accuracy"].shape[-1],
            np.count_nonzero(~(result["accuracy"][-1] >= (1 + guessing) / 2)),
            np.count_nonzero(result["diverged"]),
            np.nan_to_num(result["accuracy"][-1], nan=guessing).mean(),
            # Before training; replicas begin alike at every rate.
            np.count_nonzero(~np.isfinite(result["jacobian_vni"][0])),
            *(median(result[name][0]) for name in ("jacobian_vni", "vni", "gradient")),
        )
        for setting, result in zip(grid, runs, strict=True)
    ]
    columns = ("kind", "width", "depth", "learning_rate", "runs", "failed", "diverged", "mean_accuracy", "dead")
    return table((*columns, "jacobian_vni", "vni", "gradient"), rows)


def median(values: np.ndarray) -> float:
    """Of those networks that are not dead at a sample: narrow and deep ReLU networks often are, and have no VNI."""
    alive = values[np.isfinite(values)]
    return float(np.median(alive)) if alive.size else np.nan


def at_best_rate(settings: Table) -> Table:
    """The rows with the fewest failures of each kind, width and depth; of equal ones that of the best mean accuracy.

    The best is chosen by the same runs that are counted, so that it looks a little better than it is.
    """
    keys = list(zip(*(settings[name].tolist() for name in ("kind", "width", "depth")), strict=True))
    # Best last, since of equal keys a dict keeps the last value.
    order = np.lexsort((settings["mean_accuracy"], -settings["failed"]))
    best = {keys[row]: row for row in order.tolist()}
    chosen = [best[key] for key in dict.fromkeys(keys)]
    return taken(settings, chosen)


def taken(rows: Table, at: np.ndarray | list[int]) -> Table:
    """Those rows."""
    return {name: column[at] for name, column in rows.items()}


def share(rows: Table, at: np.ndarray) -> float:
    """Of the runs of those rows, the share that failed."""
    return rows["failed"][at].sum() / rows["runs"][at].sum()
