"""The vanishing node indicator of activations: the thesis's estimate, and one without its bias, with an error."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.measures.arrays import as_samples, finite_array
from rmt_vn.measures.conversion import real_array
from rmt_vn.measures.grouping import group_numbers
from rmt_vn.measures.indicator.few_samples import FEW_SAMPLES, vni_of_few_samples
from rmt_vn.measures.indicator.leaving_out import GroupSums, telling_nodes, whole_groups
from rmt_vn.measures.indicator.many_samples import (
    from_correlation,
    from_overlaps,
    value_of_many_samples,
    vni_of_many_samples,
)
from rmt_vn.measures.indicator.result import NodeVNI, of_one_node
from rmt_vn.measures.jacobian import mean_square_overlap, unit_rows
from rmt_vn.measures.nodes import Nodes, varying_nodes
from rmt_vn.measures.paging import PIECE
from rmt_vn.measures.products import mean_square_correlation


def vni(
    activations: ArrayLike,
    *,
    node_axis: int | None = None,
    groups: ArrayLike | None = None,
    centre: bool = True,
    constant: str = "omit",
    precision: Any = None,
) -> NodeVNI:
    """Vanishing node indicator of activations (Chang & Lin 2019), its bias removed, with a confidence interval.

    Parameters
    ----------
    activations : array_like, shape (samples, nodes) or more axes
        At least two samples, and five for more than the plug-in estimate. A memory-mapped array is read in pieces, of
        which some 100 MB are in memory at a time; but it is copied where `node_axis` moves one axis of three or more.
    node_axis : int, optional
        The axis of the nodes; all others are samples. Of two or three axes it is the last by default, so that three are
        taken as (batch, time, nodes). Of four or more it must be given: the channels of a convolution are axis 1 in
        PyTorch's order, and -1 where channels come last.
    groups : int or array_like, optional
        Samples that belong together, as the positions of one image: the axis along which groups lie, or a label for
        each sample. Groups are taken to be independent of each other, samples of one group need not be. By default the
        first axis of three or more (`n_groups` of the result); of two axes each sample is taken to be independent.
    centre : bool
        Whether ρ_ij is computed from deviations from the means over the samples (the default), or from the activations
        themselves.
    constant : {"omit", "raise"}
        Whether nodes that do not vary over the samples (or are zero, without centring) are left out, or an error.
    precision : str, dtype or float, optional
        In which the activations were computed, if it is less than that of the array: "float32", "bfloat16", …, or a
        unit roundoff. Nodes
        whose values differ by no more than rounding in it do not vary; where it explains much of what others vary by,
        the result says so in `caveats`.

    Raises
    ------
    TypeError
        If the values are not real numbers.
    ValueError
        If the array has fewer than two axes, NaN or infinite values, fewer than two samples, or no varying node.

    Notes
    -----
    With r_ij the sample's coefficients, v the mean of r_ij² over i ≠ j, and k that of P Σ_p a_pi² a_pj², a_i the
    deviations of node i at length one, the estimate is, before the jackknife, w = l − c (1 − s)² (k − k₀) with

        l = v − (1 − v)/(P − 2),  c = (P² − 1)/(P(P − 2)(P − 3)),  k₀ = (1 + 2v)(P − 1)/(P + 1),

    and s = w for the whole sample. l is unbiased for independent nodes of any distribution (permute the samples of one:
    E r² = 1/(P − 1)). The second term is there because uncorrelated nodes may still be large on the same samples, as in
    multivariate t data, which makes r² large. k₀ is the mean of k for Gaussian nodes with the given r_ij, so that the
    term vanishes for them on average; with this c no bias is left for uncorrelated elliptical nodes, and the factor
    (1 − s)² removes the term where nodes are copies of one.

    Up to 256 samples the jackknife (at most 20 groups of neighbouring samples are left out in turn) removes the bias
    that is left, to first order and for any distribution, and gives the standard error. For more samples that bias is
    computed: w = l − c (k − k₀ + b), where b is the mean over i ≠ j, with deviations z of variance one, of

        r_ij² (E z_i⁴ + E z_i² z_j² + E z_j⁴ + 3(P − 1)/(P + 1)) − 2 r_ij (E z_i³ z_j + E z_i z_j³)

    (derived in `theory/indicator/bias.py`): zero for independent nodes, −2 ρ²(1 − ρ²) for Gaussian ones, and k₀ − k for
    copies. These means are taken over some 500 samples, each with the r_ij of the other samples; the standard error is
    that of leaving out each of them.

    Either way the variance J that is found counts the part that comes from pairs of samples twice (Efron & Stein 1981).
    That part is estimated as p, no less than p₀, that of Gaussian nodes of the same VNI, and V = J − 2p²/J is left; or
    p itself, up to J, where it is more than J/2; or p₀ where J is less than twice that. The interval is symmetric in
    1/VNI; the square of its half-width there is 1.96² p₀ + t² (V − p₀) with a quantile t of Student's, since p₀ is
    known well (Banerjee 1960). The degrees of freedom are those that Satterthwaite (1946) gives V, of J 2/(3 e/G +
    2/(G − 1)), where e is the excess kurtosis of its G deviations (Fisher's k-statistic, taken three times, since for a
    few values with heavy tails it is too low more often than not), times ((J − T)/(J + T))² if T = 2p²/J is
    subtracted, since what remains has all of J's error.

    By simulation (independent nodes, one and three factors, groups of four at ρ = 0.8, spectrum 1/k; 20 and 100 nodes;
    5 to 10 × nodes samples; Gaussian, multivariate t of 8 degrees of freedom, independent sources t of 5): the bias is
    at most 0.2 standard errors or 2% of the VNI, except for 20 samples of groups of t sources (0.3, 3%); that of
    `plug_in` is up to 2700%. The stated error is 0.8 to 1.5 of the true one: too large for five samples, too small for
    heavy tails. 95% intervals contain the truth in 92 to 97% of samples: in 1000 or 500 runs of each of the 150 cases
    it was 91 to 98%, never more than two standard errors outside, and 95% on average. Adding a copy of every node
    leaves `plug_in` as it is and changes the estimate, by less than a third of its standard error as a rule, and by as
    much as two of them where single samples are very large.

    Positions of one image or times of one sequence are not independent. With `groups` the plug-in estimate has its bias
    removed and its error found by leaving out groups in turn, in 17 to 32 parts (or as many as there are groups, at
    least four), whatever they are inside. From 129 nodes on, 128 of them tell by how much it changes. By simulation (20
    and 300 nodes; three factors; 4 to 128 groups of 32 samples with correlations of 0.95 from each to the next, or of
    one half throughout) 93 to 99% of intervals contain the truth; without groups it is 7 to 88%. Where groups have
    from one to 400 samples it is 89 to 96%.

    It is computed from correlations, nodes × nodes, or, if there are at most 256 samples or more than three times as
    many nodes as samples, from overlaps, samples × samples. This takes about min((P + 2500) N², 3 P² N) products (21 P²
    N up to 256 samples), and memory for N² or P² numbers, once or twice. float32 (and float16) data that take more than
    10⁹ products are multiplied in float32 and summed in float64, which leaves six digits.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((1000, 4))
    >>> measured = vni(np.repeat(x, 5, axis=1))
    >>> low, high = measured.confidence_interval()
    >>> round(measured.effective_nodes, 1), low < 1 / 4 < high
    (4.0, True)
    """
    given = real_array("activations", activations)
    array = as_samples(given, node_axis=node_axis)
    numbers = group_numbers(given.shape, node_axis, groups)
    nodes = varying_nodes(array, centre=centre, constant=constant, precision=precision)
    n_samples, n_varying = nodes.shape
    counts = {"n_nodes": nodes.array.shape[1], "n_samples": n_samples, "constant_nodes": nodes.constant}
    if numbers is not None:
        if not centre:
            raise ValueError("groups of samples are measured with centre=True alone, got centre=False")
        return _of_groups(nodes, numbers, counts)
    if n_varying == 1:
        return of_one_node(counts, nodes.caveats)
    if n_samples <= FEW_SAMPLES:
        return vni_of_few_samples(nodes, counts)
    measured = (from_overlaps if 3 * n_samples < n_varying else from_correlation)(nodes)
    return vni_of_many_samples(**measured, counts=counts, centred=centre, caveats=nodes.caveats)


def _of_groups(nodes: Nodes, numbers: np.ndarray, counts: dict[str, int]) -> NodeVNI:
    varying = np.zeros(counts["n_nodes"], dtype=bool)
    varying[nodes.varying] = True
    chosen = telling_nodes(varying)
    columns = np.searchsorted(nodes.varying, chosen[varying[chosen]])
    sums = GroupSums(chosen[varying[chosen]])
    for rows, of_rows in whole_groups(numbers, PIECE // max(len(columns), 1)):
        sums.update(nodes.piece(rows, columns).astype(np.float64), of_rows)
    return sums.vni(mean_square_correlation(nodes), counts, nodes.caveats)


def unbiased_vni(
    activations: ArrayLike,
    *,
    node_axis: int | None = None,
    groups: ArrayLike | None = None,
    precision: Any = None,
) -> float:
    """The value that `vni` finds, without its error: for many arrays of the same kind, whose values tell the scatter.

    Up to 256 samples, and for groups of them, it is the value of `vni`. For more, 64 nodes stand for all in the last
    part of the correction, which is of order VNI/samples, and it takes a third to a tenth of the time. Parameters and
    errors are those of `vni`.

    Returns
    -------
    float
        Between one over the number of nodes that vary and 1. NaN where `vni` has none.
    """
    given = real_array("activations", activations)
    array = as_samples(given, node_axis=node_axis)
    numbers = group_numbers(given.shape, node_axis, groups)
    nodes = varying_nodes(array, precision=precision)
    n_samples, n_varying = nodes.shape
    if numbers is None and n_samples > FEW_SAMPLES and n_varying > 1:
        return min(max(value_of_many_samples(nodes), 1 / n_varying), 1.0)
    return vni(given, node_axis=node_axis, groups=groups, precision=precision).value


def plug_in_vni(activations: ArrayLike, *, node_axis: int | None = None, constant: str = "omit") -> float:
    """The VNI of the sample, (1/N²) Σ_ij r_ij²: the thesis's estimate, which `vni` calls `plug_in`. Errors as `vni`.

    The quick way for arrays that fit into memory, where bias does not matter or is removed by other means.
    """
    return float(mean_square_overlap(node_directions(as_samples(activations, node_axis=node_axis), constant)))


def node_directions(array: np.ndarray, constant: str) -> np.ndarray:
    """The varying nodes' deviations from their means as unit vectors, shape (varying nodes, samples), float64."""
    varying = varying_nodes(array, constant=constant).varying
    array = finite_array("activations", array)
    # The first sample is subtracted before the mean, all halved and scaled: else differences and sums could overflow.
    shifted = array / 2 - array[0] / 2
    largest = np.abs(shifted).max(axis=0)
    shifted /= np.where(largest > 0, largest, 1.0)
    return unit_rows((shifted - shifted.mean(axis=0)).T[varying])
