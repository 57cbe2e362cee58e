"""The vanishing node indicator of activations: the thesis's estimate, and one without its bias, with an error."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from rmt_vn.measures.arrays import BLOCK, Nodes, add_gram, as_samples, finite_array, live_nodes, mirror, pieces
from rmt_vn.measures.jacobian import mean_square_overlap, unit_rows

# Fewer samples than this have a plug-in VNI, but none without bias: the correction divides by (P − 3)(P − 4).
LEAST_SAMPLES = 5
# Up to so many samples the jackknife is worth its price; beyond, what it takes off is known well enough.
FEW_SAMPLES = 256
# Groups of samples that the jackknife leaves out in turn.
_GROUPS = 20
# Samples that tell the error, where there are many.
_SOME = 512


@dataclass(frozen=True)
class NodeVNI:
    """The vanishing node indicator of one layer's activations.

    Attributes
    ----------
    value : float
        VNI = (1/N²) Σ_ij ρ_ij² over the N live nodes, its finite-sample bias removed: it may come out a little below
        1/N, the least it can be, as any unbiased estimate must. NaN for fewer than five samples.
    stderr : float
        Standard error of `value` over samples of that size.
    interval : tuple of float
        A 95% confidence interval of the VNI. Its lower end is not cut off at 1/N.
    effective_nodes : float
        1/VNI, between 1 and N.
    plug_in : float
        The thesis's estimate, the VNI of the sample: high by (1 − 1/N)/(P − 1) for P samples of independent nodes.
    n_nodes : int
        Nodes in the array, dead ones included.
    n_samples : int
    dead_nodes : int
        Nodes constant over the samples; they have no correlations and are left out of N.
    """

    value: float
    stderr: float
    interval: tuple[float, float]
    effective_nodes: float
    plug_in: float
    n_nodes: int
    n_samples: int
    dead_nodes: int


def vni(activations: ArrayLike, *, node_axis: int = -1, centre: bool = True, dead: str = "omit") -> NodeVNI:
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
    dead : {"omit", "raise"}
        What to do about nodes that are constant over the samples (or zero, where they are not centred).

    Raises
    ------
    TypeError
        If the values are not real numbers.
    ValueError
        If the array has fewer than two axes, NaN or infinite values, fewer than two samples, or no live node.

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
    in first order, for any distribution, and gives the standard error. Of more samples Gaussian nodes have
    2 ρ²(1 − ρ²)/P left, which is added, and others the more the heavier their tails, about VNI × (kurtosis − 3)/P at
    most; the error is that of the VNI's dependence on each of some 500 samples. Either variance J counts that of pairs
    of samples twice (Efron & Stein 1981); theirs is estimated as p, no less than that of Gaussian nodes of the same
    VNI, and V = J − T stays, T = p min(1, 2p/J), at least p. The interval is symmetric in 1/VNI, with a quantile of
    Student's t. Its degrees of freedom are what Satterthwaite (1946) would give V: those of J, by the excess kurtosis
    of its G deviations (Fisher's k-statistics), 2/(excess/G + 2/(G − 1)), times ((J − T)/(J + T))², since a known part
    taken off leaves J's error to what remains; and all, where V = p.

    By simulation (independent nodes, one and three factors, groups of four at ρ = 0.8, spectrum 1/k; 20 and 100 nodes;
    5 to 10 × nodes samples; Gaussian, multivariate t of 8 degrees of freedom, sources each t of 5): the bias is at most
    0.2 standard errors or 2% of the VNI, but for 20 samples of groups of t sources (0.3, 3%); the plug-in's is up to
    +2700%. The stated error is 0.8 to 1.5 of the true one, large for five samples and small for heavy tails. Intervals
    hold the truth in 92 to 98% of samples in 145 of the 150 cases. Five are below, all of 100 nodes: 91, 90 and 92% of
    20, 60 and 1000 samples of spectrum 1/k with t sources, where a few large values of one source are most of the VNI;
    89% of 1000 of the groups of t sources, where a bias of 0.4% is 0.7 standard errors; and 91% of five samples of
    independent multivariate t nodes. Copies of all nodes leave `plug_in` as it is, and the estimate but for k.

    Samples are taken to be independent. Neighbouring positions of an image or times of a sequence are not: the VNI is
    then still right where there are many, but it has the error of fewer samples, and the interval is too short; take
    one or a few positions of each image, or several intervals.

    Computed from correlations, nodes × nodes, or from overlaps, samples × samples, where there are 256 samples at most
    or three times as many nodes: about min(P N², 3 P² N) products (21 P² N up to 256), and a few times N² or P²
    numbers. float32 (and float16) data of more than 10⁹ products are multiplied in float32 and summed in float64: six
    digits.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((1000, 4))
    >>> measured = vni(np.repeat(x, 5, axis=1))
    >>> round(measured.effective_nodes, 1), measured.interval[0] < 1 / 4 < measured.interval[1]
    (4.0, True)
    """
    nodes = live_nodes(as_samples(activations, node_axis), centre=centre, dead=dead)
    n_samples, n_live = nodes.shape
    counts = {"n_nodes": nodes.array.shape[1], "n_samples": n_samples, "dead_nodes": nodes.dead}
    if n_live == 1:
        return NodeVNI(1.0, 0.0, (1.0, 1.0), 1.0, 1.0, **counts)
    if n_samples <= FEW_SAMPLES:
        return _of_few(nodes, counts)
    return of_many(*(_from_overlaps if 3 * n_samples < n_live else _from_correlation)(nodes), counts, centred=centre)


def plug_in_vni(activations: ArrayLike, *, node_axis: int = -1, dead: str = "omit") -> float:
    """The VNI of the sample, (1/N²) Σ_ij r_ij²: the thesis's estimate, which `vni` calls `plug_in`. Errors as `vni`.

    The quick way for arrays that fit into memory, where bias does not matter or is removed by other means.
    """
    return float(mean_square_overlap(node_directions(as_samples(activations, node_axis), dead)))


def node_directions(array: np.ndarray, dead: str) -> np.ndarray:
    """The live nodes' deviations from their means as unit vectors, shape (live nodes, samples), float64."""
    live = live_nodes(array, dead=dead).live
    array = finite_array("activations", array)
    # Taken from the first sample before the mean, halved and scaled: differences and sums of finite numbers overflow.
    shifted = array / 2 - array[0] / 2
    largest = np.abs(shifted).max(axis=0)
    shifted /= np.where(largest > 0, largest, 1.0)
    return unit_rows((shifted - shifted.mean(axis=0)).T[live])


def debiasing(
    square: np.ndarray, joint: np.ndarray, n_samples: np.ndarray, *, centred: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """l and c(k − k₀) of the notes of `vni`, from v, k and P. Means cost a degree of freedom if they are taken off."""
    p = np.asarray(n_samples, dtype=float)
    if centred:
        linear = square - (1 - square) / (p - 2)
        weight = (p**2 - 1) / (p * (p - 2) * (p - 3))
        gaussian = (1 + 2 * square) * (p - 1) / (p + 1)
    else:
        linear = square - (1 - square) / (p - 1)
        weight = (p + 2) / (p * (p - 1))
        gaussian = (1 + 2 * square) * p / (p + 2)
    return linear, weight * (joint - gaussian)


def rest(linear: float, excess: float) -> float:
    """(1 − s)² of the notes of `vni`."""
    s = min(max(float(linear), 0.0), 1.0)
    for _ in range(3):
        s = min(max(float(linear - (1 - s) ** 2 * excess), 0.0), 1.0)
    return (1 - s) ** 2


def summarized(value: float, stderr: float, freedom: float, **fields: float) -> NodeVNI:
    """A `NodeVNI` with its interval, symmetric in 1/VNI: there the estimate is the least skewed."""
    value = min(float(value), 1.0)
    n_live = fields["n_nodes"] - fields["dead_nodes"]
    # An estimate may be so low by chance that its reciprocal says nothing.
    centre = 1 / max(value, 0.5 / n_live)
    half = stdtrit(freedom, 0.975) * float(stderr) * centre**2
    high = 1 / (centre - half) if centre - half > 1 else 1.0
    effective = 1 / min(max(value, 1 / n_live), 1.0)
    return NodeVNI(value, float(stderr), (float(1 / (centre + half)), float(high)), effective, **fields)


def _error(deviations: np.ndarray, pairs: float) -> tuple[float, float]:
    """Standard error, and degrees of freedom for Student's t.

    The mean square J of the deviations is the variance, but that it has the variance p of pairs of samples twice: p is
    taken off to the extent that it makes up J, and the variance is V = J − T, T = 2p²/J, down to p.
    """
    groups = len(deviations)
    variance = np.mean(deviations**2)
    if not variance > 0:
        return 0.0, inf
    if variance <= 2 * pairs:
        # Nothing but pairs: there are so many that their variance is known.
        return float(np.sqrt(pairs)), inf
    # A variance of G values scatters as one of f degrees of freedom, 2/f = excess/G + 2/(G − 1). The excess kurtosis is
    # Fisher's estimate, since the plain one of a few values is too low by far where tails are heavy.
    plain = np.mean(deviations**4) / variance**2 - 3
    excess = (groups - 1) * ((groups + 1) * plain + 6) / ((groups - 2) * (groups - 3))
    freedom = 2 / (max(excess, 0.0) / groups + 2 / (groups - 1))
    # dV/V = (J + T)/(J − T) dJ/J.
    taken = 2 * pairs**2 / variance
    freedom *= ((variance - taken) / (variance + taken)) ** 2
    return float(np.sqrt(variance - taken)), max(freedom, 1.0)


def _of_few(nodes: Nodes, counts: dict[str, int]) -> NodeVNI:
    """w and its jackknife, from overlaps of samples: Σ_ij r_ij² = Σ_pq (a_p·a_q)²."""
    n_samples, n_live = nodes.shape
    edges = np.linspace(0, n_samples, min(n_samples, _GROUPS) + 1).round().astype(int)
    sizes = np.diff(edges)
    groups = [np.arange(0), *np.split(np.arange(n_samples), edges[1:-1])]
    kept = [np.delete(np.arange(n_samples), group) for group in groups]
    sums = [_Overlaps(len(rows)) for rows in kept]
    for columns in pieces(0, n_live, n_samples):
        x = nodes.piece(columns=columns).astype(np.float64)
        for rows, each in zip(kept, sums, strict=True):
            each.add(x[rows], nodes.centred)
    square, joint = np.array([each.off_diagonal() for each in sums]).T
    off = 1 - 1 / n_live
    plug_in = float(1 / n_live + off * square[0])
    if n_samples < LEAST_SAMPLES:
        return NodeVNI(nan, nan, (nan, nan), nan, plug_in, **counts)
    linear, excess = debiasing(square, joint, np.array([len(rows) for rows in kept]), centred=nodes.centred)
    whole, *without = linear - rest(linear[0], excess[0]) * excess
    # The jackknife for groups that need not be of one size: Busing, Meijer & van der Leeden (1999).
    repeats = n_samples / sizes
    overlap = len(sizes) * whole - np.sum((1 - 1 / repeats) * without)
    deviations = (repeats * whole - (repeats - 1) * np.array(without) - overlap) / np.sqrt(repeats - 1)
    pairs = _pair_variance(sums[0].overlaps * (n_samples / n_live), n_samples, n_live, overlap, nodes.centred)
    stderr, freedom = _error(off * deviations, pairs)
    return summarized(1 / n_live + off * overlap, stderr, freedom, plug_in=plug_in, **counts)


class _Overlaps:
    """Sums over nodes that come piece by piece: what v and k are made of."""

    def __init__(self, n_samples: int) -> None:
        self.overlaps, self.norms = np.zeros((n_samples, n_samples)), np.zeros(n_samples)
        self.fourth, self.count = 0.0, 0

    def add(self, x: np.ndarray, centred: bool) -> None:
        # A node may live by the samples of one group alone.
        x = x[:, np.ptp(x, axis=0) > 0] if centred else x[:, x.any(axis=0)]
        if centred:
            x = x - x.mean(axis=0)
        a = x / np.linalg.norm(x, axis=0)
        self.overlaps += a @ a.T
        squares = a * a
        self.norms += squares.sum(axis=1)
        self.fourth += np.vdot(squares, squares)
        self.count += a.shape[1]

    def off_diagonal(self) -> tuple[float, float]:
        """v and k, means over i ≠ j; NaN where there is no pair."""
        pairs = self.count * (self.count - 1)
        if not pairs:
            return nan, nan
        square = np.vdot(self.overlaps, self.overlaps) - self.count
        return square / pairs, len(self.norms) * (np.vdot(self.norms, self.norms) - self.fourth) / pairs


def of_many(
    square: float,
    fourth: float,
    joint: np.ndarray,
    share: np.ndarray,
    overlaps: np.ndarray,
    counts: dict[str, int],
    *,
    centred: bool = True,
) -> NodeVNI:
    """The VNI where the jackknife's part is known: Gaussian nodes lose 2 ρ²(1 − ρ²)/P of ρ² in l.

    Parameters
    ----------
    square, fourth : float
        Means of r_ij² and r_ij⁴ over i ≠ j.
    joint : ndarray, shape (all samples,) or (some,)
        Whose mean is k; of some samples it adds to the error.
    share : ndarray, shape (some,)
        How much of the VNI depends on each sample: its derivative in the weight of the sample.
    overlaps : ndarray, shape (some, some)
        z_p·z_q, z samples with mean zero and variance 1/N in every node.
    """
    p, n = counts["n_samples"], counts["n_nodes"] - counts["dead_nodes"]
    off = 1 - 1 / n
    linear, excess = debiasing(square, joint, p, centred=centred)
    # What Gaussian nodes lose in l, up to terms in 1/P².
    linear += 2 * (linear - fourth) / p
    excess = rest(linear, excess.mean()) * excess
    overlap = linear - excess.mean()
    pairs = _pair_variance(overlaps, p, n, overlap, centred)
    stderr, freedom = _error((share - share.mean()) / np.sqrt(p), pairs)
    if len(joint) < p:
        stderr = float(np.hypot(stderr, off * excess.std() / np.sqrt(len(joint))))
    return summarized(1 / n + off * overlap, stderr, freedom, plug_in=float(1 / n + off * square), **counts)


def shares(
    z: np.ndarray, quadratic: np.ndarray, of_node: np.ndarray, square: float, n_samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """`joint` and `share` of `of_many`, sample by sample: share is (2/N) zᵀ(R − diag r)z, r_i = Σ_j ρ_ij².

    In the sample's R and r a part in P comes from samples with themselves, which is no correlation and taken off; but
    not where the nodes are correlated anyhow, since then their scales take it along.

    Parameters
    ----------
    z : ndarray, shape (some, live nodes)
        Samples with mean zero and variance 1/N in every node.
    quadratic : ndarray, shape (some,)
        zᵀRz with the sample's R.
    of_node : ndarray, shape (live nodes,)
        Σ_j r_ij².
    square : float
        The mean of r_ij² over i ≠ j.
    """
    n = z.shape[1]
    squares = z * z
    norms = squares.sum(axis=1)
    joint = (norms**2 - np.sum(squares * squares, axis=1)) * (n / (n - 1))
    itself = (1 - square) ** 2 / n_samples
    of_node = of_node - itself * n**2 * np.mean(squares * (norms[:, None] - squares), axis=0)
    return joint, 2 / n * (quadratic - itself * n * norms**2 - squares @ of_node)


def correlated(nodes: Nodes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R, nodes × nodes, and the means of the pieces and the lengths of the deviations from them."""
    n_samples, n_live = nodes.shape
    rho, total = np.zeros((n_live, n_live)), np.zeros(n_live)
    for rows in pieces(0, n_samples, n_live):
        x = nodes.piece(rows)
        add_gram(rho, x.T)
        total += np.ones(len(x), x.dtype) @ x
    mirror(rho)
    mean = total / n_samples if nodes.centred else np.zeros(n_live)
    rho -= np.outer(n_samples * mean, mean)
    size = np.sqrt(rho.diagonal())
    rho /= size
    rho /= size[:, None]
    return rho, mean, size


def _from_correlation(nodes: Nodes) -> tuple[float, float, np.ndarray, np.ndarray, np.ndarray]:
    """The arguments of `of_many` by way of R, nodes × nodes."""
    n_samples, n_live = nodes.shape
    rho, mean, size = correlated(nodes)
    z = _standardized(nodes)
    squares = np.square(rho)
    np.fill_diagonal(squares, 0)
    of_node = squares.sum(axis=1)
    pairs = n_live * (n_live - 1)
    square = of_node.sum() / pairs
    share = shares(z, np.sum((z @ rho) * z, axis=1), of_node + 1, square, n_samples)[1]
    # k of all samples, not of some: between those two its error would count.
    mean, weight = mean.astype(nodes.dtype), (n_samples / size**2).astype(nodes.dtype)
    joint = []
    for rows in pieces(0, n_samples, n_live, BLOCK):
        x = nodes.piece(rows)
        x -= mean
        np.square(x, out=x)
        norms = (x @ weight).astype(np.float64)
        np.square(x, out=x)
        joint.append((norms**2 - (x @ weight**2)) / pairs)
    return square, np.vdot(squares, squares) / pairs, np.concatenate(joint), share, z @ z.T


def _from_overlaps(nodes: Nodes) -> tuple[float, float, np.ndarray, np.ndarray, np.ndarray]:
    """The same by way of overlaps, samples × samples; of r⁴ some nodes tell the mean."""
    n_samples, n_live = nodes.shape
    overlaps, norms, fourth = np.zeros((n_samples, n_samples)), np.zeros(n_samples), np.zeros(n_samples)
    columns = list(pieces(0, n_live, n_samples))
    for each in columns:
        z = _standard(nodes, each)
        add_gram(overlaps, z)
        squares = np.square(z, out=z)
        norms += squares.sum(axis=1)
        fourth += np.einsum("pi,pi->p", squares, squares)
    mirror(overlaps)
    pairs = n_live * (n_live - 1)
    joint = (norms**2 - fourth) / pairs
    square = (np.vdot(overlaps, overlaps) / n_samples**2 - n_live) / pairs
    itself = (1 - square) ** 2 / n_samples
    quadratic = np.einsum("pq,pq->p", overlaps, overlaps) / n_samples
    weighted = np.zeros(n_samples)
    for each in columns:
        z = _standard(nodes, each)
        of_node = _quadratic(overlaps, z) / n_samples**2
        squares = np.square(z, out=z)
        of_node -= itself * (norms.astype(z.dtype) @ squares - np.einsum("pi,pi->i", squares, squares)) / n_samples
        weighted += squares @ of_node.astype(z.dtype)
    share = 2 / n_live**2 * (quadratic - itself * norms**2 - weighted)
    some = _standard(nodes, slice(0, n_live, -(-n_live // _SOME)))
    step = -(-n_samples // _SOME)
    rho = some.T @ some / n_samples
    m = len(rho)
    return square, (np.sum(rho**4) - m) / (m * (m - 1)), joint, share, overlaps[::step, ::step] / n_live


def _quadratic(overlaps: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Σ_pq z_pi (z_p·z_q) z_qi, node by node."""
    rows = pieces(0, *overlaps.shape)
    return sum(np.einsum("pi,pi->i", overlaps[each].astype(z.dtype) @ z, z[each]) for each in rows)


def _standard(nodes: Nodes, columns: slice) -> np.ndarray:
    """All samples of some nodes, with mean zero and variance one."""
    x = nodes.piece(columns=columns)
    if nodes.centred:
        x -= x.mean(axis=0, dtype=np.float64).astype(x.dtype)
    x /= np.sqrt(np.mean(x * x, axis=0, dtype=np.float64)).astype(x.dtype)
    return x


def _standardized(nodes: Nodes) -> np.ndarray:
    """Some hundred samples, of mean zero and variance 1/N in every node."""
    n_samples, n_live = nodes.shape
    z = nodes.piece(slice(0, n_samples, -(-n_samples // _SOME))).astype(np.float64)
    if nodes.centred:
        z -= z.mean(axis=0)
    size = np.sqrt(n_live * np.mean(z * z, axis=0))
    return z / np.where(size > 0, size, 1.0)


def _pair_variance(overlaps: np.ndarray, n_samples: int, n_live: int, overlap: float, centred: bool) -> float:
    """The part of the variance of the VNI that is of pairs of samples: 2 Var h/(P(P − 1)), h = (z_p·z_q)².

    At least as much as if nodes were Gaussian, where Var h = 2 VNI² and the estimate from a few samples is too low:
    exact for independent nodes, whose r² has the variance 2 (d − 1)/(d² (d + 2)) at d = P − 1.

    h is freed from what one sample alone contributes. Where nodes are copies of each other, and the overlap is one,
    the scatter of their common scale is no error.
    """
    m = len(overlaps)
    # Deviations from means add up to zero, so that overlaps of two are less than zero on average, by a share of those
    # of samples with themselves. In wide layers that would be most of h.
    own = overlaps.diagonal()
    mean = (overlaps.sum() - own.sum()) / (m - 1) / own.sum()
    h = (overlaps - (own[:, None] + own) * (mean / 2)) ** 2
    np.fill_diagonal(h, 0)
    of_one = h.sum(axis=1) / (m - 2)
    h -= of_one[:, None] + of_one - h.sum() / ((m - 1) * (m - 2))
    np.fill_diagonal(h, 0)
    found = 2 * np.vdot(h, h) / (m * (m - 3)) / (n_samples * (n_samples - 1))
    off, d = 1 - 1 / n_live, n_samples - centred
    overlap = min(max(overlap, 0.0), 1.0)
    gaussian = 4 * off * (1 / n_live + off * overlap) ** 2 / ((d - 1) * (d + 2))
    return float(max(found, gaussian) * (1 - overlap) ** 2)
