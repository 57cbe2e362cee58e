"""The vanishing node indicator of activations: the thesis's estimate, and one without its bias, with an error."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.measures.arrays import as_samples, finite_array
from rmt_vn.measures.indicator.few_samples import FEW_SAMPLES, vni_of_few_samples
from rmt_vn.measures.indicator.many_samples import from_correlation, from_overlaps, vni_of_many_samples
from rmt_vn.measures.indicator.result import NodeVNI, of_one_node
from rmt_vn.measures.jacobian import mean_square_overlap, unit_rows
from rmt_vn.measures.nodes import varying_nodes


def vni(activations: ArrayLike, *, node_axis: int = -1, centre: bool = True, constant: str = "omit") -> NodeVNI:
    """Vanishing node indicator of activations (Chang & Lin 2019), its bias removed, with a confidence interval.

    Parameters
    ----------
    activations : array_like, shape (samples, nodes) or more axes
        At least two samples, and five for more than the plug-in estimate. A memory-mapped array is read in pieces, of
        which some 100 MB are in memory at a time; but it is copied where `node_axis` moves one axis of three or more.
    node_axis : int
        The axis of the nodes; all others are samples. The default is the last.
    centre : bool
        Whether ρ_ij is of deviations from the means over the samples (the default), or of the activations themselves.
    constant : {"omit", "raise"}
        What to do about nodes that are constant over the samples (or zero, where they are not centred).

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
    E r² = 1/(P − 1)). k is there because nodes without correlation may still be large together, which makes r² large:
    for multivariate t data, say. k₀ is its mean for Gaussian nodes at a given r, so the second term costs them
    nothing; c leaves nothing of elliptical nodes without correlation, and s nothing of the term for copies of one node.

    Up to 256 samples the jackknife (at most 20 groups of neighbouring samples left out in turn) takes off what is left
    in first order, for any distribution, and gives the standard error. Of more samples what is left is computed,
    w = l − c (k − k₀ + b), where b is the mean over i ≠ j, with deviations z of variance one, of

        r_ij² (E z_i⁴ + E z_i² z_j² + E z_j⁴ + 3(P − 1)/(P + 1)) − 2 r_ij (E z_i³ z_j + E z_i z_j³)

    (derived in `theory`: `sample_correlation`): zero for independent nodes, −2 ρ²(1 − ρ²) for Gaussian ones, and for
    copies k₀ − k. Some 500 samples tell the means, each with r of the others; the error is that of leaving out each.

    Either variance J counts that of pairs of samples twice (Efron & Stein 1981); theirs is estimated as p, no less
    than that of Gaussian nodes of the same VNI, and V = J − T stays, T = p min(1, 2p/J), at least p. The interval is
    symmetric in 1/VNI; its square is 1.96² p + t² (V − p) with a quantile t of Student's, since p is known well
    (Banerjee 1960). The degrees of freedom are what Satterthwaite (1946) would give V: those of J, 2/(3 e/G + 2/(G −
    1)), e the excess kurtosis of its G deviations (Fisher's k-statistic; thrice, as few values with tails make it too
    low more often than not), times ((J − T)/(J + T))², since a known part taken off leaves J's error to what remains.

    By simulation (independent nodes, one and three factors, groups of four at ρ = 0.8, spectrum 1/k; 20 and 100 nodes;
    5 to 10 × nodes samples; Gaussian, multivariate t of 8 degrees of freedom, sources each t of 5): the bias is at most
    0.2 standard errors or 2% of the VNI, but for 20 samples of groups of t sources (0.3, 3%); the plug-in's is up to
    +2700%. The stated error is 0.8 to 1.5 of the true one, large for five samples and small for heavy tails. Intervals
    hold the truth in 92 to 97% of samples: of 1000 or 500 runs of each of the 150 cases it is 91 to 98%, which is never
    two standard errors outside, and 95% on average. Copies of all nodes leave `plug_in` as it is; the estimate
    they change, by less than a third of its error as a rule, and by as much as two where single samples are very large.

    Samples are taken to be independent. Neighbouring positions of an image or times of a sequence are not: the VNI is
    then still right where there are many, but it has the error of fewer samples, and the interval is too short; take
    one or a few positions of each image, or several intervals.

    Computed from correlations, nodes × nodes, or from overlaps, samples × samples, where there are 256 samples at most
    or three times as many nodes: about min((P + 2500) N², 3 P² N) products (21 P² N up to 256), and one or two times N²
    or P² numbers. float32 (and float16) data of more than 10⁹ products are multiplied in float32 and summed in
    float64: six digits.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((1000, 4))
    >>> measured = vni(np.repeat(x, 5, axis=1))
    >>> low, high = measured.confidence_interval()
    >>> round(measured.effective_nodes, 1), low < 1 / 4 < high
    (4.0, True)
    """
    nodes = varying_nodes(as_samples(activations, node_axis=node_axis), centre=centre, constant=constant)
    n_samples, n_varying = nodes.shape
    counts = {"n_nodes": nodes.array.shape[1], "n_samples": n_samples, "constant_nodes": nodes.constant}
    if n_varying == 1:
        return of_one_node(counts)
    if n_samples <= FEW_SAMPLES:
        return vni_of_few_samples(nodes, counts)
    measured = (from_overlaps if 3 * n_samples < n_varying else from_correlation)(nodes)
    return vni_of_many_samples(**measured, counts=counts, centred=centre)


def plug_in_vni(activations: ArrayLike, *, node_axis: int = -1, constant: str = "omit") -> float:
    """The VNI of the sample, (1/N²) Σ_ij r_ij²: the thesis's estimate, which `vni` calls `plug_in`. Errors as `vni`.

    The quick way for arrays that fit into memory, where bias does not matter or is removed by other means.
    """
    return float(mean_square_overlap(node_directions(as_samples(activations, node_axis=node_axis), constant)))


def node_directions(array: np.ndarray, constant: str) -> np.ndarray:
    """The varying nodes' deviations from their means as unit vectors, shape (varying nodes, samples), float64."""
    varying = varying_nodes(array, constant=constant).varying
    array = finite_array("activations", array)
    # Taken from the first sample before the mean, halved and scaled: differences and sums of finite numbers overflow.
    shifted = array / 2 - array[0] / 2
    largest = np.abs(shifted).max(axis=0)
    shifted /= np.where(largest > 0, largest, 1.0)
    return unit_rows((shifted - shifted.mean(axis=0)).T[varying])
