"""The vanishing node indicator of activations: the thesis's estimate, and one without its bias, with an error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.measures.arrays import as_samples, finite_array
from rmt_vn.measures.conversion import real_array
from rmt_vn.measures.grouping import group_numbers
from rmt_vn.measures.indicator.error import pair_variance
from rmt_vn.measures.indicator.few_samples import FEW_SAMPLES, LEAST_SAMPLES, vni_of_few_samples
from rmt_vn.measures.indicator.many_samples import (
    from_correlation,
    from_overlaps,
    value_of_many_samples,
    vni_of_many_samples,
)
from rmt_vn.measures.indicator.part_sums import TELLING_NODES, PartSums, telling_nodes, vni_of_groups
from rmt_vn.measures.indicator.result import NodeVNI, of_one_node
from rmt_vn.measures.jacobian import mean_square_overlap, unit_rows
from rmt_vn.measures.nodes import Nodes, some_samples, varying_nodes
from rmt_vn.measures.paging import pieces
from rmt_vn.measures.products import mean_square_correlation

# With a larger kurtosis than so many times the samples, products in float32 leave the error fewer than three digits.
_CONCENTRATED = 0.005


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
    Products of a sample with itself are what makes the plug-in VNI too high. So the samples are put together in at most
    32 parts, at random but the same each time, and v, the mean of r_ij² over i ≠ j, is taken apart. With a_i the
    deviations of node i from its mean, at length one, and C_ij(h) = Σ a_pi a_pj over part h,

        w = (v − κ − m)/(1 − κ₀ − m),  κ = mean of Σ_h C_ij(h)² over i ≠ j,  κ₀ = mean of Σ_h C_ii(h)²,

    that is, products of different parts alone; the denominator makes w = 1 for copies of one node. m is what the
    subtraction of means leaves of v − κ for uncorrelated nodes: 1/(P(P − 1)) for parts of one sample and nodes that are
    independent; more where nodes are large on the same samples, as in multivariate t data, which κ tells. The VNI is
    1/N + (1 − 1/N) w, and leaving out the parts in turn removes the bias that is left, to first order and for any
    distribution, and gives the standard error: the jackknife (Busing, Meijer & van der Leeden 1999). If all nodes vary
    over the samples their number N is known, and kept when the bias is removed: nodes that do not vary without a part
    tell of the error alone.

    Where there are more than 256 samples and more than 128 nodes, w is that of parts of one sample each, what leaving
    out parts corrects is found from 128 of the nodes, and the error from leaving out each of some 500 samples, exactly
    (derived in `theory/indicator/bias.py`).

    The variance J that is found counts the part that comes from pairs of samples twice (Efron & Stein 1981).
    That part is estimated as p, no less than p₀, that of Gaussian nodes of the same VNI, and V = J − 2p²/J is left; or
    p itself, up to J, where it is more than J/2; or p₀ where J is less than twice that. The interval is symmetric in
    1/VNI; the square of its half-width there is 1.96² p₀ + t² (V − p₀) with a quantile t of Student's, since p₀ is
    known well (Banerjee 1960). The degrees of freedom are those that Satterthwaite (1946) gives V, of J 2/(3 e/G +
    2/(G − 1)), where e is the excess kurtosis of its G deviations (Fisher's k-statistic, taken three times, since for a
    few values with heavy tails it is too low more often than not), times ((J − T)/(J + T))² if T = 2p²/J is
    subtracted, since what remains has all of J's error.

    By simulation (ten distributions: Gaussian, skewed, sparse, of classes, of tails down to t of 3; independent
    nodes, one factor, groups of four; 5 to 1200 nodes; 5 to 5000 samples, or 8 to 128 groups of 16; 361 cells of 50
    to 500 runs each, like those of `tests/benchmarks/coverage_of_vni.py`): where `caveats` says nothing the bias is
    at most 2% or 0.2 standard errors and 95% intervals contain the truth in 92% or more, to three standard errors of
    the study; in 96% on average in the 241 cells of up to 2000 samples, and in more where nodes are independent (95
    to 100%), since 1/N is where intervals end.

    `caveats` tells of five to nine samples (91%, by cell 79 to 99%); and, by their kurtosis, of nodes of which a few
    samples make up much (by cell 70 to 100%): lognormal and t of 3, whose bias is up to one standard error (1 to
    5% in groups of four), and nodes that are seldom other than zero, in fewer than some 100 samples. The stated error
    is 0.7 to 1 of the true one for five samples, and 0.8 to 1.2 from eight on, for Gaussian, t of 5 and multivariate t.
    The bias of `plug_in` is up to 50 times the VNI. Adding a copy of every node leaves `plug_in` as it is and changes
    the estimate, by less than a third of its standard error as a rule, and by as much as two of them where single
    samples are very large.

    Positions of one image or times of one sequence are not independent. With `groups` parts are of whole groups,
    whatever they are inside; there must be four. From 129 nodes on, 128 of them tell what is to be corrected. By
    simulation 91 to 99% of intervals contain the truth, 95% on average (20 nodes; one factor, groups of four; 8 to 128
    groups of 16, correlated by 0.9 from each to the next), and 86 to 98% in 120 runs each of three factors (4 to 128
    groups of 32, correlated by 0.95, or of one half throughout); without groups it is down to 30%. The VNI from 4
    groups is too low by half a standard error, of which `caveats` tells. Where groups have from one to 400 samples it
    is 89 to 96%.

    It is computed from correlations, nodes × nodes, or, if there are at most 256 samples or more than three times as
    many nodes as samples, from overlaps, samples × samples. This takes about min((P + 2500) N², 3 P² N) products (21 P²
    N up to 256 samples), and memory for N² or P² numbers, once or twice. float32 (and float16) data that take more than
    10⁹ products are multiplied in float32 and summed in float64, which leaves six digits, and three of the error; but
    in float64 where nodes have a kurtosis of more than 1/200 of the number of samples.

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
        sums = _part_sums(nodes, numbers)
        return vni_of_groups(sums, mean_square_correlation(_with_digits(nodes, sums)), counts, nodes.caveats)
    if n_varying == 1:
        return of_one_node(counts, nodes.caveats)
    if n_samples < LEAST_SAMPLES or (n_samples <= FEW_SAMPLES and n_varying > TELLING_NODES):
        return vni_of_few_samples(nodes, counts)
    sums = _part_sums(nodes)
    left_out, plug_in = sums.left_out(n_varying, independent=True, constant=nodes.constant, centred=centre)
    if n_varying <= TELLING_NODES:
        mean, size = sums.mean_and_size(centred=centre)
        z = (nodes.piece(some_samples(n_samples, n_varying)).astype(np.float64) - mean) / (size / n_samples**0.5)
        pairs = pair_variance(z @ z.T / n_varying, n_samples, n_varying, left_out.overlap(n_varying), centre)
        return left_out.vni(plug_in, counts, nodes.caveats, *pairs)
    measured = (from_overlaps if 3 * n_samples < n_varying else from_correlation)(_with_digits(nodes, sums))
    caveats = (*nodes.caveats, *left_out.caveats)
    return vni_of_many_samples(
        **measured, counts=counts, correction=left_out.correction, centred=centre, caveats=caveats
    )


def _with_digits(nodes: Nodes, sums: PartSums) -> Nodes:
    """The nodes, to be multiplied in float64 where few samples are most of them: v and κ, near one, nearly cancel."""
    return replace(nodes, dtype=np.float64) if sums.concentration() > _CONCENTRATED else nodes


def _part_sums(nodes: Nodes, numbers: np.ndarray | None = None) -> PartSums:
    nodes = replace(nodes, dtype=np.float64)
    varying = np.zeros(nodes.array.shape[1], dtype=bool)
    varying[nodes.varying] = True
    chosen = telling_nodes(varying)
    chosen = chosen[varying[chosen]]
    columns = np.searchsorted(nodes.varying, chosen)
    sums = PartSums(chosen)
    for each in pieces(0, len(nodes.array), len(columns)):
        sums.update(nodes.piece(each, columns), None if numbers is None else numbers[each])
    return sums


def unbiased_vni(
    activations: ArrayLike,
    *,
    node_axis: int | None = None,
    groups: ArrayLike | None = None,
    precision: Any = None,
) -> float:
    """The value that `vni` finds, without its error: for many arrays of the same kind, whose values tell the scatter.

    It takes less time for more than 256 samples of more than 128 nodes. Parameters and errors are those of `vni`.

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
    if numbers is None and n_samples > FEW_SAMPLES and n_varying > TELLING_NODES:
        sums = _part_sums(nodes)
        correction = sums.left_out(n_varying, independent=True, constant=nodes.constant)[0].correction
        return min(max(value_of_many_samples(_with_digits(nodes, sums), correction), 1 / n_varying), 1.0)
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
