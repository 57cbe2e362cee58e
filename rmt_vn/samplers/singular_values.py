"""All singular values of products of many matrices, each with a small relative error, however far they spread.

The product is held as Q diag(2^e) U: an orthonormal frame, integer exponents, and rows with entries of order one. The
next matrix gives W Q = Q′R, and the triangle R adds to each row multiples of the rows below it, which are smaller as a
rule: so no small row is lost in a large one, and nothing over- or underflows. In the end a matrix with rows of
decreasing size is left, whose singular values Jacobi's method finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import lapack

from rmt_vn.checks import checked_choice, checked_count, checked_kind
from rmt_vn.gaussian_averages import checked_variance
from rmt_vn.measures.arrays import finite_array
from rmt_vn.network import Network, mask_probability
from rmt_vn.progress import progress
from rmt_vn.rng import RNG
from rmt_vn.samplers.chain import sample_live_counts
from rmt_vn.samplers.forward import Signal, Slopes, live_layer, random_signal
from rmt_vn.samplers.jacobian import through_matrices

# Bits. Rows whose sizes differ by a factor 2^60 change each other's singular values by 2^-120. So singular values are
# found in windows of the spectrum, with such a margin on both sides; all squares stay in the range of doubles.
_WINDOW, _MARGIN = 120, 60
# The product of so many Gaussian factors does not leave that range even at a width of 10^9.
_GROUP = 16
# Rows of a triangular factor that are drawn and multiplied at a time, without the zeros to their left.
_BLOCK = 32
_LEAST = -(2**62)
# Rows whose sizes differ by no more than so many bits can be decomposed together.
_GRADED = 400
# More than this would be too many decompositions.
_MOST_BITS = 2**13


def log_singular_values(matrices: Iterable[ArrayLike]) -> np.ndarray:
    """Logarithms of the singular values of a product W_L … W_1 that is never formed.

    It takes one QR decomposition for each matrix, then Jacobi's method (Drmač & Veselić 2008, in LAPACK) on the product
    of the triangles. For random matrices the *relative* error of every singular value is small, however far they
    spread: it is the rounding error times the condition number of that product with its rows scaled to one size.
    Compared with multiplication at 500 digits it is below 1e-10 for 200 Gaussian 20 × 20 matrices, whose singular
    values spread over 190 orders of magnitude, and for 1000 Gaussian 8 × 8 ones, over 690. If factors cancel each
    other, as in W W⁻¹, the error of each factor remains.

    Parameters
    ----------
    matrices : iterable of array_like, shape (n_out, n_in)
        W_1 first; each is used once, so they may be drawn one by one. Rows of very different sizes do no harm, columns
        do: give W D as two matrices, D first.

    Returns
    -------
    ndarray, shape (min(n_0, n_L),)
        ln s_1 ≥ ln s_2 ≥ …; −inf where rank is lost by rows or columns of zeros (nodes that are not live), or in a
        layer narrower than both ends. Rank lost otherwise cannot be told from rounding, which leaves values of about
        1e-16.

    Raises
    ------
    TypeError, ValueError
        If there are no matrices, or one is not a matrix of finite real numbers, or does not fit the one before.

    Examples
    --------
    >>> log_singular_values([[[0.5, 0.0], [0.0, 2.0]]] * 2000) / np.log(2)
    array([ 2000., -2000.])
    """
    seen: list[tuple[tuple[int, ...], int]] = []
    checked = _checked(matrices, seen)
    first = next(checked)
    # A random frame: in a frame related to the matrices, such as their axes, sizes may come in the wrong order.
    generic = np.random.default_rng(0).standard_normal((len(first), min(first.shape)))
    frame = np.linalg.qr(first.T @ generic)[0]
    logs = _log_spectrum(triangular_factors(chain([first @ frame], checked)))
    shapes, powers = zip(*seen, strict=True)
    return _padded(logs + sum(powers) * np.log(2), min(shapes[0][1], shapes[-1][0]))


def sample_log_singular_values(
    network: Network,
    n_networks: int,
    *,
    rng: RNG = None,
    method: Literal["auto", "matrices", "bartlett"] = "auto",
    input_variance: float | None = None,
) -> np.ndarray:
    """Logarithms of the singular values of the Jacobians of random networks, each layer of which has a live node.

    Parameters
    ----------
    network : Network
    n_networks : int
        Number of random networks, at least 1.
    rng : seed or Generator
    method : {"auto", "matrices", "bartlett"}
        "matrices" draws every W_l, with D_l from a forward pass at a random input, for `log_singular_values`.
        "bartlett" has the same distribution for linear and ReLU networks with Gaussian weights: W Q is Gaussian as W
        is, so that its triangle can be drawn, from independent normal and chi variables (Bartlett 1933); and the order
        of the widths does not matter (Ipsen & Kieburg 2014), so that no triangle is larger than the narrowest layer.
        Only the last product is decomposed. "auto" is "bartlett" where that applies.
    input_variance : float, optional
        As in `sample_vni`.

    Returns
    -------
    ndarray, shape (n_networks, min(n_0, n_L))
        ln s_1 ≥ ln s_2 ≥ … of each J, as accurate as those of `log_singular_values`; −inf where rank is lost.

    Raises
    ------
    ValueError
        If n_networks or input_variance is out of range, or "bartlett" does not apply to the network.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> logs = sample_log_singular_values(Network.uniform(20, 200, activation="linear"), 1, rng=1)[0]
    >>> orders_of_magnitude = (logs[0] - logs[-1]) / np.log(10)
    >>> bool(150 < orders_of_magnitude < 230)
    True
    """
    checked_kind("network", network, Network)
    n_networks = checked_count("n_networks", n_networks, least=1)
    rng = np.random.default_rng(rng)
    if chosen_method(network, method, input_variance) == "matrices":
        draws = (log_singular_values(each) for each in random_matrices(network, n_networks, rng, input_variance))
    else:
        widths = live_widths(network, n_networks, rng)
        draws = (_log_spectrum(_bartlett_factors(each, rng)) + log_gain(network) for each in widths)
    size = min(network.widths[0], network.widths[-1])
    return np.stack([_padded(values, size) for values in progress(draws, "networks", n_networks)])


def chosen_method(network: Network, method: str, input_variance: float | None) -> Literal["matrices", "bartlett"]:
    """The method, for "auto" the faster of those that apply; an error if the arguments are out of range."""
    if input_variance is not None:
        checked_variance("input_variance", input_variance)
    checked_choice("method", method, ("auto", "matrices", "bartlett"))
    applies = network.weights == "gaussian" and network.live_probability is not None
    if method == "bartlett" and not applies:
        raise ValueError(
            "method 'bartlett' is for Gaussian weights and activation 'linear' or 'relu', got "
            f"{network.weights!r} and {network.activation.name!r}"
        )
    return "bartlett" if applies and method != "matrices" else "matrices"


def random_matrices(
    network: Network, n_networks: int, rng: np.random.Generator, input_variance: float | None
) -> Iterator[Iterator[np.ndarray]]:
    """For each of n_networks random networks D_1 W_1, …, D_L W_L, drawn one by one, each with a live node."""

    def layers(x: np.ndarray) -> Iterator[np.ndarray]:
        signal = Signal(x[None], np.zeros(1))
        for shape in pairwise(network.widths):
            w, slopes, signal = live_layer(network, shape, signal, rng, through_matrices)
            yield from _slopes_and_weights(slopes, w[0])

    return map(layers, random_signal(network, n_networks, rng, input_variance))


def _slopes_and_weights(slopes: Slopes, w: np.ndarray) -> Iterator[np.ndarray]:
    """D W of one network; where slopes underflow, as a product of that and of diagonal matrices."""
    bits = np.minimum((slopes.lift[0] - slopes.log_scale[0]) / np.log(2), 2**60)
    below = np.floor(bits).astype(int)
    yield (slopes.values[0] * np.exp2(below - bits))[:, None] * w
    if below.any():
        if below.max() > _MOST_BITS:
            raise ValueError(
                f"slopes of e^-{below.max() * np.log(2):.3g} are too small for singular values, which must be above "
                f"e^-{_MOST_BITS * np.log(2):.3g} a layer; lower the variance of the inputs"
            )
        yield from graded_factors(below)


def live_widths(network: Network, n_networks: int, rng: np.random.Generator) -> np.ndarray:
    """n_0 and the numbers of live nodes of each layer, shape (n_networks, L + 1): linear and ReLU networks."""
    probability = mask_probability(network, "drawing live nodes without weights")
    hidden = [sample_live_counts(width, probability, n_networks, rng) for width in network.widths[1:]]
    return np.stack([np.full(n_networks, network.widths[0]), *hidden], axis=-1).astype(int)


def log_gain(network: Network) -> float:
    """ln of the scale of J where D_l is a mask: Π σ_w/√n_{l−1}, and 1/p a layer under dropout."""
    fan_in = np.log(np.array(network.widths[:-1], dtype=float)).sum() / 2
    return network.depth * (np.log(network.sigma_w) - np.log(network.keep)) - fan_in


def triangular_factors(matrices: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """R_l of W_l Q_{l−1} = Q_l R_l, Q_0 = I: upper triangular, shape (rank_l, rank_{l−1})."""
    frame: np.ndarray | None = None
    rows: slice | np.ndarray = slice(None)
    for matrix in matrices:
        image = matrix if frame is None else matrix[:, rows] @ frame
        # QR decompositions are accurate row by row if rows decrease in size; rows of zeros lower the rank exactly.
        size = np.abs(image).max(axis=1, initial=0.0)
        rows = np.argsort(-size, kind="stable")[: np.count_nonzero(size)]
        frame, r = np.linalg.qr(image[rows])
        yield r


def _checked(matrices: Iterable[ArrayLike], seen: list[tuple[tuple[int, ...], int]]) -> Iterator[np.ndarray]:
    """The matrices divided by a power of two, with entries of at most one; shapes and powers are appended to `seen`."""
    for number, given in enumerate(matrices, start=1):
        matrix = finite_array(f"matrix {number}", given)
        if matrix.ndim != 2 or 0 in matrix.shape:
            raise ValueError(f"matrix {number} must have shape (n_out ≥ 1, n_in ≥ 1), got {matrix.shape}")
        if seen and matrix.shape[1] != seen[-1][0][0]:
            raise ValueError(f"matrix {number} must have n_in = {seen[-1][0][0]} as the last n_out, got {matrix.shape}")
        power = int(np.frexp(np.abs(matrix).max())[1])
        # By how many bits each row is smaller than the largest: where by many, their sizes are factors of their own.
        below = np.where(matrix.any(axis=1), power - np.frexp(np.abs(matrix).max(axis=1))[1], 0)
        factors = graded_factors(below) if below.max() > _GRADED else []
        seen.append((matrix.shape, power))
        yield np.ldexp(matrix, (below if factors else np.zeros_like(below))[:, None] - power)
        for factor in factors:
            seen.append((factor.shape, 0))
            yield factor
    if not seen:
        raise ValueError("matrices must be at least one, got none")


def graded_factors(below: np.ndarray) -> list[np.ndarray]:
    """Diagonal matrices, none with entries too far apart for a QR decomposition, whose product is diag(2^−below)."""
    count = int(below.max()) // _GRADED + 1
    parts = np.arange(count + 1)[:, None] * below // count
    return [np.diag(np.ldexp(1.0, -part)) for part in np.diff(parts, axis=0)]


def _bartlett_factors(widths: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Triangular factors of Gaussian matrices between these widths, some of them multiplied with one another.

    R_kk² ~ χ² with n_l − k + 1 degrees of freedom, where n_l are all the widths but one of the narrowest.
    """
    narrowest, *others = np.sort(widths)
    degrees = np.array(others)[:, None] - np.arange(narrowest)
    for start in range(0, len(others), _GROUP):
        yield _bartlett_product(np.sqrt(rng.chisquare(degrees[start : start + _GROUP])), rng)


def _bartlett_product(diagonals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Product of upper triangles with these diagonals, shape (factors, n), and standard normal entries above them."""
    n = diagonals.shape[1]
    product = np.diag(diagonals[0])
    product[np.triu_indices(n, 1)] = rng.standard_normal(n * (n - 1) // 2)
    above = np.triu(np.ones((_BLOCK, _BLOCK)), 1)
    for diagonal in diagonals[1:]:
        for start in range(0, n, _BLOCK):
            stop = min(start + _BLOCK, n)
            factor = rng.standard_normal((stop - start, n - start))
            corner = factor[:, : stop - start]
            corner *= above[: stop - start, : stop - start]
            np.fill_diagonal(corner, diagonal[start:stop])
            # From the top: a row of the new product needs only rows of the old one from its own down.
            product[start:stop, start:] = factor @ product[start:, start:]
    return product


def _multiplied(r: np.ndarray, exponents: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """r diag(2^exponents) u as diag(2^e) u′, the largest entry of each row of u′ in [½, 1), or else zero."""
    mantissas, powers = np.frexp(r)
    powers = np.where(mantissas == 0, _LEAST, powers + exponents)
    top = powers.max(axis=1, initial=_LEAST)
    # Entries below 2^-900 of the largest of their row are negligible, and would be slow if they were denormal.
    u = np.ldexp(mantissas, np.maximum(powers - top[:, None], -900).astype(np.int32)) @ u
    shift = np.frexp(np.abs(u).max(axis=1, initial=0.0))[1]
    return top + shift, np.ldexp(u, -shift[:, None])


def _log_spectrum(triangles: Iterator[np.ndarray]) -> np.ndarray:
    """ln of the singular values of the product of triangles, which come first one first; zero values are left out.

    The product is diag(2^exponents) u. With rows in decreasing order and uᵀ = Q r, its singular values are those of
    r diag(2^exponents): entry (i, j) is of the size of column j, and next to column i < j it vanishes as they separate.
    """
    first = next(triangles)
    exponents, u = _multiplied(first, np.zeros(first.shape[1], int), np.eye(first.shape[1]))
    for r in triangles:
        exponents, u = _multiplied(r, exponents, u)
    order = np.argsort(-exponents, kind="stable")[: np.count_nonzero(u.any(axis=1))]
    exponents, graded = exponents[order], np.asarray(np.linalg.qr(u[order].T, mode="r"))
    logs = np.empty(len(exponents))
    start = 0
    while start < len(exponents):
        stop = int(np.count_nonzero(exponents >= exponents[start] - _WINDOW))
        top = int(np.count_nonzero(exponents > exponents[start] + _MARGIN))
        bottom = int(np.count_nonzero(exponents >= exponents[stop - 1] - _MARGIN))
        window = np.ldexp(graded[top:bottom, top:bottom], exponents[top:bottom] - exponents[start])
        with np.errstate(divide="ignore"):
            values = np.log(_jacobi_singular_values(window)[start - top : stop - top])
        logs[start:stop] = values + exponents[start] * np.log(2)
        start = stop
    return -np.sort(-logs)


def _jacobi_singular_values(matrix: np.ndarray) -> np.ndarray:
    """Singular values, largest first, each with small relative error if columns can be scaled to condition O(1)."""
    # joba = 0: for such matrices; jobu, jobv = 3: no vectors; jobr = 1: restricted range; jobt, jobp = 1: as given.
    values, _, _, work, _, info = lapack.dgejsv(matrix, joba=0, jobu=3, jobv=3, jobr=1, jobt=1, jobp=1)
    if info:
        raise np.linalg.LinAlgError(f"Jacobi's method did not converge (dgejsv: info = {info})")
    return values * (work[0] / work[1])


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    """The logarithms, with −inf for the singular values that are zero."""
    return np.concatenate([values, np.full(size - len(values), -np.inf)])
