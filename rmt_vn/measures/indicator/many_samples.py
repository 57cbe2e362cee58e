"""The VNI of many samples of many nodes: from correlations, nodes × nodes, or from overlaps, samples × samples."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from rmt_vn.measures.indicator.bias import overlap_of_different_parts
from rmt_vn.measures.indicator.error import pair_variance, standard_error, variance_parts
from rmt_vn.measures.indicator.result import NodeVNI, of_too_few_samples, summarized
from rmt_vn.measures.nodes import Nodes, some_nodes, some_samples
from rmt_vn.measures.paging import BLOCK, pieces
from rmt_vn.measures.products import add_gram, correlated, mirror


class Moments(TypedDict):
    """What `vni_of_many_samples` needs to know of the nodes."""

    square: float
    joint: tuple[float, float] | None
    z: np.ndarray
    r: np.ndarray
    overlaps: np.ndarray
    share: np.ndarray | None


def vni_of_many_samples(
    square: float,
    joint: tuple[float, float] | None,
    z: np.ndarray,
    r: np.ndarray,
    overlaps: np.ndarray,
    counts: dict[str, int],
    *,
    correction: float,
    share: np.ndarray | None = None,
    centred: bool = True,
    caveats: tuple[str, ...] = (),
) -> NodeVNI:
    """The VNI of many samples, each a part of its own; the error is that of leaving out some of them.

    Parameters
    ----------
    square : float
        v, the mean of r_ij² over i ≠ j.
    joint : (float, float) or None
        P times κ and κ₀ of the notes of `vni`. If None they are estimated from the samples of z, which adds to the
        error.
    z : ndarray, shape (some samples, some nodes)
        Nodes with mean zero and variance one over all samples.
    r : ndarray, shape (some nodes, some nodes)
        r_ij of these nodes over all samples, with zeros on the diagonal.
    overlaps : ndarray, shape (some samples, some samples)
        z_p·z_q over all nodes, divided by their number.
    correction : float
        Of the bias that is left, as leaving out parts of the samples tells.
    share : ndarray, shape (some samples,)
        `influence_to_first_order` from all nodes, if z does not have all of them.
    """
    p, n = counts["n_samples"], counts["n_nodes"] - counts["constant_nodes"]
    off = 1 - 1 / n
    if not np.isfinite(correction):
        few = "without some samples fewer than two of the nodes that tell of the error vary"
        return of_too_few_samples(float(1 / n + off * square), counts, (*caveats, few))
    u = z * z
    joint_of_each = sum_over_pairs(u, u) / (len(r) * (len(r) - 1))
    k, k_own = (float(joint_of_each.mean()), float(np.mean(u * u))) if joint is None else joint
    value = 1 / n + off * _plain_overlap(square, (k, k_own), p, centred) + correction
    overlap = (value - 1 / n) / off
    uncorrelated = 1 - min(max(overlap, 0.0), 1.0)
    deviations = influence_of_leaving_out(z, r, uncorrelated, k, p - centred)
    if share is not None:
        deviations += share - influence_to_first_order(z, r, uncorrelated, p)
    pairs, known = pair_variance(overlaps, p, n, overlap, centred)
    stderr, freedom = standard_error(off * (deviations - deviations.mean()) / np.sqrt(p), pairs, known)
    variances = variance_parts(stderr, freedom, known)
    if joint is None:
        # This part of the error comes from κ, and would not be there if κ were that of all samples.
        unknown = off * uncorrelated * (joint_of_each - k) / p * np.sqrt(1 / len(z) - 1 / p)
        more, freedom = standard_error(unknown)
        variances += ((more**2, freedom),)
    return summarized(value, variances, plug_in=float(1 / n + off * square), caveats=caveats, **counts)


def sum_over_pairs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Σ x_i y_j over pairs of nodes i ≠ j, sample by sample."""
    return x.sum(axis=1) * y.sum(axis=1) - np.sum(x * y, axis=1)


def mean_over_others(total: np.ndarray, of_self: np.ndarray, u: np.ndarray, k: float) -> np.ndarray:
    """For each sample, the mean over the others of what is linear in u_i u_j, from the sum over all samples of u.

    It is rescaled from the k of these samples to the k of all samples.
    """
    n = u.shape[1]
    # If no sample moves two nodes at once, there is nothing to rescale.
    of_some = sum_over_pairs(u, u).mean() or 1.0
    return (total - of_self) / (len(u) - 1) * (k * n * (n - 1) / of_some)


def sums_weighted_by_squares(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Σ_i x_i r_ij², sample by sample; in pieces, so that r is not held a second time."""
    return sum(x[:, rows] @ np.square(r[rows]) for rows in pieces(0, *r.shape))


def influence_of_leaving_out(z: np.ndarray, r: np.ndarray, uncorrelated: float, k: float, freedom: int) -> np.ndarray:
    """How much v depends on each sample: (P − 1)(v − v without it), exactly but for the mean over the samples.

    Without sample z, with t = 1/(P − 1), r_ij is (r_ij − t z_i z_j) √(g_i g_j), g_i = 1/(1 − t z_i²).

    The part of v that comes from products of a sample with itself is no correlation, and the estimate does not contain
    it. It is subtracted in proportion to `uncorrelated`: for copies of one node the division by scales removes it.

    Parameters
    ----------
    z, r
        As of `vni_of_many_samples`.
    uncorrelated : float
        One less the mean of ρ² over i ≠ j.
    k : float
        The mean of z_i² z_j² over i ≠ j and the samples.
    freedom : int
        P − 1, or P where nodes are not centred.
    """
    n, t = len(r), 1 / freedom
    pairs = n * (n - 1)
    u = z * z
    of_node = np.einsum("ij,ij->i", r, r)
    # A node that varies through this sample alone is constant without it.
    alive = t * u < 1 - 1e-9
    g = np.where(alive, 1 / np.where(alive, 1 - t * u, 1.0), 0.0)
    lost = np.sum((1 - g) * (2 * of_node + sums_weighted_by_squares(g - 1, r)), axis=1)
    lost += 2 * t * np.sum((g * z) @ r * (g * z), axis=1) - t**2 * sum_over_pairs(g * u, g * u)
    count = alive.sum(axis=1)
    left = np.maximum(count * (count - 1), 1)
    dependence = freedom * (of_node.sum() * (1 / pairs - 1 / left) + lost / left)
    # Σ over i ≠ j of (1 − g_i g_j) u_i u_j of other samples, by which the scales change, and of the sample's own
    # t u_i u_j.
    own = sum_over_pairs(u, u)
    total = own.sum() - np.sum((g @ u.T) ** 2, axis=1) + g * g @ np.sum(u * u, axis=0)
    themselves = mean_over_others(total, own - sum_over_pairs(g * u, g * u), u, k) + t * own
    return dependence - uncorrelated * themselves / pairs


def influence_to_first_order(z: np.ndarray, r: np.ndarray, uncorrelated: float, n_samples: int) -> np.ndarray:
    """`influence_of_leaving_out` to first order: Σ 2 r_ij (z_i z_j − r_ij z_i²) over i ≠ j, by pairs."""
    n = len(r)
    u = z * z
    quadratic = np.sum(z @ r * z, axis=1) - u @ np.einsum("ij,ij->i", r, r)
    themselves = sum_over_pairs(u, u) - u @ np.mean(u * (u.sum(axis=1, keepdims=True) - u), axis=0)
    return 2 * (quadratic - uncorrelated / n_samples * themselves) / (n * (n - 1))


def from_correlation(nodes: Nodes) -> Moments:
    """The arguments of `vni_of_many_samples` by way of R, nodes × nodes."""
    n_samples, n_varying = nodes.shape
    r, mean, size = correlated(nodes)
    square, joint = _of_correlations(nodes, r, mean, size)
    z = nodes.piece(some_samples(n_samples, n_varying)).astype(np.float64)
    z -= mean
    z /= size / n_samples**0.5
    return {"square": square, "joint": joint, "z": z, "r": r, "overlaps": z @ z.T / n_varying, "share": None}


def _of_correlations(
    nodes: Nodes, r: np.ndarray, mean: np.ndarray, size: np.ndarray
) -> tuple[float, tuple[float, float]]:
    """v of the notes of `vni`, and P times κ and κ₀, from what `correlated` found; the diagonal of r becomes zero."""
    n_samples, n_varying = nodes.shape
    pairs = n_varying * (n_varying - 1)
    np.fill_diagonal(r, 0)
    # κ is that of all samples: one from some samples would add to the error.
    mean = mean.astype(nodes.dtype)
    weight: np.ndarray = np.asarray(n_samples / size**2, nodes.dtype)
    k = k_own = 0.0
    for rows in pieces(0, n_samples, n_varying, BLOCK):
        x = nodes.piece(rows)
        x -= mean
        np.square(x, out=x)
        norms = (x @ weight).astype(np.float64)
        np.square(x, out=x)
        of_nodes = float(np.sum(x @ weight**2, dtype=np.float64))
        k += (float(np.sum(norms**2)) - of_nodes) / (n_samples * pairs)
        k_own += of_nodes / (n_samples * n_varying)
    return float(np.vdot(r, r)) / pairs, (k, k_own)


def from_overlaps(nodes: Nodes) -> Moments:
    """The same by way of overlaps, samples × samples; in the leave-one-out errors some nodes stand for all."""
    n_samples, n_varying = nodes.shape
    overlaps, norms, fourth = _overlaps(nodes)
    pairs = n_varying * (n_varying - 1)
    square, joint = _of_overlaps(overlaps, norms, fourth, n_varying)
    itself = (1 - min(max(_plain_overlap(square, joint, n_samples, nodes.centred), 0.0), 1.0)) / n_samples
    quadratic = np.einsum("pq,pq->p", overlaps, overlaps) / n_samples
    weighted = np.zeros(n_samples)
    for each in pieces(0, n_varying, n_samples):
        z = _standard(nodes, each)
        of_node = _quadratic(overlaps, z) / n_samples**2
        squares = np.square(z, out=z)
        of_node -= itself * (norms.astype(z.dtype) @ squares - np.einsum("pi,pi->i", squares, squares)) / n_samples
        weighted += squares @ of_node.astype(z.dtype)
    share = 2 * (quadratic - itself * (norms**2 - fourth) - weighted) / pairs
    some = _standard(nodes, some_nodes(n_varying)).astype(np.float64)
    r = some.T @ some / n_samples
    np.fill_diagonal(r, 0)
    chosen = some_samples(n_samples, len(r))
    overlaps = overlaps[np.ix_(chosen, chosen)] / n_varying
    return {"square": square, "joint": joint, "z": some[chosen], "r": r, "overlaps": overlaps, "share": share[chosen]}


def value_of_many_samples(nodes: Nodes, correction: float) -> float:
    """The value of `vni_of_many_samples` alone, not limited."""
    n_samples, n_varying = nodes.shape
    if n_samples < n_varying:
        square, joint = _of_overlaps(*_overlaps(nodes), n_varying)
    else:
        square, joint = _of_correlations(nodes, *correlated(nodes))
    return 1 / n_varying + (1 - 1 / n_varying) * _plain_overlap(square, joint, n_samples, nodes.centred) + correction


def _plain_overlap(square: float, joint: tuple[float, float], n_samples: int, centred: bool) -> float:
    """w of the notes of `vni`, for parts of one sample each."""
    within, own = joint[0] / n_samples, joint[1] / n_samples
    return float(overlap_of_different_parts(square, within, own, n_samples, n_samples, centred=centred))


def _overlaps(nodes: Nodes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of z, the nodes with variance one: z_p·z_q, samples × samples; and, sample by sample, Σ_i z_i² and Σ_i z_i⁴."""
    n_samples, n_varying = nodes.shape
    overlaps, norms, fourth = np.zeros((n_samples, n_samples)), np.zeros(n_samples), np.zeros(n_samples)
    for each in pieces(0, n_varying, n_samples):
        z = _standard(nodes, each)
        add_gram(overlaps, z)
        squares = np.square(z, out=z)
        norms += squares.sum(axis=1)
        fourth += np.einsum("pi,pi->p", squares, squares)
    mirror(overlaps)
    return overlaps, norms, fourth


def _of_overlaps(
    overlaps: np.ndarray, norms: np.ndarray, fourth: np.ndarray, n_varying: int
) -> tuple[float, tuple[float, float]]:
    """v of the notes of `vni`, and P times κ and κ₀."""
    pairs = n_varying * (n_varying - 1)
    square = (np.vdot(overlaps, overlaps) / len(overlaps) ** 2 - n_varying) / pairs
    return float(square), (float(np.mean(norms**2 - fourth) / pairs), float(fourth.mean() / n_varying))


def _quadratic(overlaps: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Σ_pq z_pi (z_p·z_q) z_qi, node by node."""
    rows = pieces(0, *overlaps.shape)
    return sum(np.einsum("pi,pi->i", overlaps[each].astype(z.dtype) @ z, z[each]) for each in rows)


def _standard(nodes: Nodes, columns: slice | np.ndarray) -> np.ndarray:
    """All samples of some nodes, with mean zero and variance one."""
    x = nodes.piece(columns=columns)
    if nodes.centred:
        x -= x.mean(axis=0, dtype=np.float64).astype(x.dtype)
    x /= np.sqrt(np.mean(x * x, axis=0, dtype=np.float64)).astype(x.dtype)
    return x
