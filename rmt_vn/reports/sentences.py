"""What is data, what is depth, and what is training: a report in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmt_vn.baseline import Baseline
from rmt_vn.reports.against import is_by_network
from rmt_vn.reports.layer import LayerReport
from rmt_vn.results import readable

# Of so many layers the names are told; of more, how many they are.
_MOST_NAMES = 4
# Below this probability a deviation is not put down to chance.
_RARE = 0.05


def verdict(layers: Sequence[LayerReport], null: Baseline | None, together: tuple[int, int] | None) -> tuple[str, ...]:
    """Sentences on data, depth and training, or on what is missing for them.

    Parameters
    ----------
    layers : sequence of LayerReport
        With the fresh networks beside them.
    null : Baseline, or None
    together : (int, int), or None
        Of `rmt_vn.reports.against.farther`.
    """
    compared = [each for each in layers if each.fresh is not None]
    measured = _on_what(layers, null)
    if null is None:
        return (measured, "Without fresh networks nothing tells data, depth and training apart.")
    if not compared:
        return (measured, "No layer could be compared with fresh networks; each row says why.")
    return (measured, _on_data(compared[0]), _on_depth(compared, null), *_on_training(compared, together))


def _on_what(layers: Sequence[LayerReport], null: Baseline | None) -> str:
    samples = sorted({each.measured.n_samples for each in layers if each.measured is not None})
    measured = sum(each.measured is not None for each in layers)
    over = f" over {' to '.join(map(str, dict.fromkeys(samples[:1] + samples[-1:])))} samples" if samples else ""
    beside = "" if null is None else f", beside {null.replicas} fresh networks on the same inputs"
    return f"Measured: {measured} of {len(layers)} layers{over}{beside}."


def _on_data(first: LayerReport) -> str:
    assert first.fresh is not None and first.measured is not None
    law = ""
    if first.law_vni is not None:
        law = f" Over a small ball, which is alike in all directions, a law says {readable(1 / first.law_vni)}."
    return (
        f"Data: fresh networks have {readable(first.fresh.mean)} effective nodes of {first.measured.n_nodes} in the "
        f"first layer here, {quoted(first.name)}. So many are left by the inputs and one layer of random weights, "
        f"before depth and training.{law}"
    )


def _on_depth(compared: Sequence[LayerReport], null: Baseline) -> str:
    ends = _same_width(compared)
    if len(compared) == 1:
        return "Depth: one layer alone does not tell what depth does."
    if ends is None:
        return (
            "Depth: no two layers have the same number of nodes, so along the layers width and depth change together, "
            "and the numbers do not tell which of them does what."
        )
    first, last = ends
    assert first.fresh is not None and last.fresh is not None and first.measured is not None
    change = null.values[last.name] - null.values[first.name]
    change = change[~np.isnan(change)]
    fewer, n = int(np.count_nonzero(change > 0)), len(change)
    if fewer == 0:
        also = f"; none of the {n} has fewer in the latter"
    else:
        some = f"{fewer} of the {n} {'has' if fewer == 1 else 'have'}"
        also = f"; {f'all {n} have' if fewer == n else some} fewer in the latter"
    if not n or not is_by_network(null):
        also = ""
    widths = {each.measured.n_nodes for each in compared if each.measured is not None}
    width = first.measured.n_nodes
    which = "the last layer" if len(widths) == 1 else f"the last layer of {width} nodes"
    return (
        f"Depth: fresh networks have {readable(first.fresh.mean)} effective nodes of {width} in {quoted(first.name)}, "
        f"and {readable(last.fresh.mean)} in {quoted(last.name)}, {which}{also}. There "
        "is no training in this."
    )


def _same_width(compared: Sequence[LayerReport]) -> tuple[LayerReport, LayerReport] | None:
    """The two layers of the same width that have the most layers between them; None if all widths are different."""
    first: dict[int, int] = {}
    best = (0, 0)
    for place, each in enumerate(compared):
        assert each.measured is not None
        start = first.setdefault(each.measured.n_nodes, place)
        best = max(best, (start, place), key=lambda ends: ends[1] - ends[0])
    return None if best == (0, 0) else (compared[best[0]], compared[best[1]])


def _on_training(compared: Sequence[LayerReport], together: tuple[int, int] | None) -> tuple[str, ...]:
    fresh = [(each.name, each.fresh) for each in compared if each.fresh is not None]
    n_layers, most = len(fresh), max(each.n_networks for _, each in fresh)
    below = [name for name, each in fresh if each.is_below_all]
    above = [name for name, each in fresh if each.is_above_all]
    within = n_layers - len(below) - len(above)
    outside = [
        f"{word} effective nodes than all {most} fresh networks in {_layers(names)}"
        for word, names in (("fewer", below), ("more", above))
        if names
    ]
    if not outside:
        found = (
            f"Training: {'in the one layer' if n_layers == 1 else f'in each of {n_layers} layers'} the effective nodes "
            f"of this network lie among those of the {most} fresh networks."
        )
    else:
        rest = f"; in {within} of {n_layers} layers it is among them" if within else ""
        found = f"Training: this network has {', and '.join(outside)}{rest}."
    expected = sum(2 / (each.n_networks + 1) for _, each in fresh)
    chance = (
        f"Chance: a fresh network too lies outside the {most} others in 2 of {most + 1} cases, so in {expected:.1f} of "
        f"{n_layers} layers on average, and layers do so together."
    )
    if together is None:
        return found, chance
    as_far, n = together
    p = (as_far + 1) / (n + 1)
    if p <= _RARE:
        meaning = "That speaks for training, or for another initialization than theirs."
    elif as_far:
        meaning = "By these numbers it may be fresh itself."
    else:
        meaning = f"So few fresh networks cannot say more: for 1/{round(1 / _RARE)} it takes {round(1 / _RARE) - 1}."
    those = f"{as_far} of the {n} are" if as_far > 1 else f"{as_far or 'none'} of the {n} is"
    return found, (
        f"{chance} All layers taken together, {those} as far from the common mean as this network; if it were fresh "
        f"too, so few would be with probability {as_far + 1}/{n + 1}. {meaning}"
    )


def _layers(names: Sequence[str]) -> str:
    if len(names) > _MOST_NAMES:
        return f"{len(names)} layers"
    noun = "layer" if len(names) == 1 else "layers"
    return f"{noun} {', '.join(map(quoted, names))}"


def quoted(name: str) -> str:
    """A name of a layer within a sentence; the model itself has the empty name."""
    return f"'{name}'" if name else "the model itself"
