"""The VNI of layers so wide that neither nodes² nor samples² numbers fit into the memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.checks import checked_count
from rmt_vn.measures.arrays import as_samples
from rmt_vn.measures.indicator.bias import left_by_means, overlap_of_different_parts
from rmt_vn.measures.indicator.few_samples import LEAST_SAMPLES, too_few
from rmt_vn.measures.indicator.part_sums import PartSums, telling_nodes
from rmt_vn.measures.indicator.result import NodeVNI, of_one_node, of_too_few_samples, summarized
from rmt_vn.measures.nodes import varying_nodes
from rmt_vn.measures.paging import pieces
from rmt_vn.rng import RNG


def sketch_vni(
    activations: ArrayLike,
    *,
    probes: int = 64,
    node_axis: int | None = None,
    constant: str = "omit",
    rng: RNG = None,
) -> NodeVNI:
    """VNI of very wide layers, from a few random combinations of their nodes (Hutchinson 1990).

    Tr R² = E ‖R g‖² for random signs g. Each probe g costs 4 × samples × nodes operations and holds nodes + samples
    numbers, where `vni` takes nodes² or samples² of them.

    Parameters
    ----------
    activations, node_axis, constant
        As for `vni`.
    probes : int
        Two or more. The standard error of the sketch is at most √(2/probes) of the plug-in VNI (18% for 64 probes),
        which is reached for one effective node; for many it is about √(2/(probes × effective nodes)) of the VNI.
    rng : seed or Generator

    Returns
    -------
    NodeVNI
        `stderr` and intervals are those of the sketch alone, of what all probes would find for these samples: how much
        other samples would differ is not in them. The bias of `value` is removed as by `vni` for many samples.

    Raises
    ------
    ValueError
        As `vni`, or for fewer than two probes.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((500, 8))
    >>> sketched = sketch_vni(np.tile(x, 100), rng=1)
    >>> abs(sketched.value - 1 / 8) < 4 * sketched.stderr
    True
    """
    probes = checked_count("probes", probes, least=2)
    nodes = varying_nodes(as_samples(activations, node_axis=node_axis), constant=constant)
    n_samples, n_varying = nodes.shape
    counts = {"n_nodes": nodes.array.shape[1], "n_samples": n_samples, "constant_nodes": nodes.constant}
    if n_varying == 1:
        return of_one_node(counts)
    rows = list(pieces(0, n_samples, n_varying))
    mean = np.sum([nodes.piece(each).sum(axis=0, dtype=np.float64) for each in rows], axis=0) / n_samples
    power = np.sum([np.sum((nodes.piece(each) - mean) ** 2, axis=0, dtype=np.float64) for each in rows], axis=0)
    signs = np.random.default_rng(rng).choice([-1.0, 1.0], size=(n_varying, probes))
    answers = np.zeros((n_varying, probes))
    some = telling_nodes(np.ones(n_varying, dtype=bool))
    sums, joint, fourth = PartSums(nodes.varying[some]), 0.0, 0.0
    for each in rows:
        a = (nodes.piece(each) - mean) / np.sqrt(power)
        answers += a.T @ (a @ signs)
        sums.update(a[:, some])
        squares = a * a
        joint += np.sum(squares.sum(axis=1) ** 2)
        fourth += np.vdot(squares, squares)
    estimates = np.sum(answers**2, axis=0) / n_varying**2
    plug_in = float(estimates.mean())
    if n_samples < LEAST_SAMPLES:
        return of_too_few_samples(plug_in, counts, (too_few(n_samples),))
    off = 1 - 1 / n_varying
    squares = (estimates - 1 / n_varying) / off
    within = (joint - fourth) / (n_varying * (n_varying - 1))
    of_samples = within, fourth / n_varying, n_samples, n_samples
    left = left_by_means(squares.mean(), *of_samples)
    # Where a few samples make up much, a small error of the plug-in VNI is a large one of the value.
    values = 1 / n_varying + off * overlap_of_different_parts(squares, *of_samples, left=left)
    left_out = sums.left_out(n_varying, independent=True, constant=nodes.constant)[0]
    variances = ((values.var(ddof=1) / probes, probes - 1.0),)
    return summarized(values.mean() + left_out.correction, variances, plug_in=plug_in, **counts)
