"""S6, wide layers: the law of the squared singular values of J, the eigenvalues of J Jᵀ, as all widths grow together.

By free probability (Voiculescu 1987; for Jacobians Pennington, Schoenholz & Ganguli 2018), in the folder of that name:
`s_transforms` has the equation of the law of a network, `subordination` its solution at given x, and `whole_spectrum`
the spectrum as a whole, which every point is checked against before it is returned.

Free probability multiplies matrices that are free of each other, and D_l depends on W_l. That the law is the same is a
theorem of its own: Pastur 2020 (arXiv:2001.06188) for Gaussian weights, Collins & Hayase 2022 (Communications in
Mathematical Physics) and Pastur 2022 (Journal of Mathematical Physics 63, 063505) for Haar weights. It is about the
bulk. A single eigenvalue may lie beyond its edge: the signal mode's, `rmt_vn.laws.signal_mode.signal_mode_outlier`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.checks import checked_count, checked_kind, checked_numbers
from rmt_vn.laws.spectrum.free_probability.s_transforms import limit_moments, spectrum_of
from rmt_vn.laws.spectrum.free_probability.whole_spectrum import Curve, curve_of
from rmt_vn.network import Network

_LARGEST_LOG = float(np.log(np.finfo(float).max))
# Distances in ln x at which a point counts as an atom, and as an edge.
_AT_ATOM, _AT_EDGE = 1e-12, 1e-14


def spectral_density(network: Network, x: ArrayLike, *, input_variance: float | None = None) -> np.ndarray:
    """Density at x of the eigenvalues of J Jᵀ, an n_L × n_L matrix, in the limit of wide layers (S6).

    If the law has atoms (`spectral_atoms`), this is the density of the rest, whose integral is 1 less their sum.

    Parameters
    ----------
    network : Network
        Only the ratios of its widths matter.
    x : array_like
        Zero density outside the support. At x = 0 the limit, which may be infinite.
    input_variance : float, optional
        ‖x_0‖²/n_0. If given, the law of φ′² follows the length map layer by layer from there; if not, it is that at q*.

    Returns
    -------
    ndarray, shape of x
        With one value of φ′² (linear, ReLU, hard tanh) relative error below 1e-9, or 1e-15 over the relative distance
        to an edge. Else the error is 1e-11 of the largest density of ln x, over x, but for the nearest 1e-5 to an edge;
        and the lowest 1e-10 of the spectrum are not resolved, and given as zero.

    Notes
    -----
    The first call for a network finds its whole spectrum. With a thousand points it takes some 50 ms with one value of
    φ′², 0.1 to 0.5 s with smooth φ; and, as long as the length map goes on, a tenth of a second for each layer.

    Raises
    ------
    ValueError
        If any x is NaN; if the law consists of atoms; or if φ′² is needed at a q* that does not exist.
    ArithmeticError
        If what was found fails a check: it is not then returned.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> network = Network.uniform(100, 1, activation="linear")
    >>> spectral_density(network, [-1.0, 1.0, 5.0]).round(6)  # Marchenko–Pastur: √3/(2π) at 1
    array([0.      , 0.275664, 0.      ])
    """
    checked_kind("network", network, Network)
    points = _checked_points(x)
    curve = _curve(network, input_variance)
    density = np.zeros(points.shape)
    log_x = _logarithms(points)
    low = max(curve.low, curve.bottom) if curve.spectrum.smooth else curve.low
    inside = (points > 0) & (log_x > low + _AT_EDGE) & (log_x < curve.high - _AT_EDGE)
    with np.errstate(over="ignore"):
        density[inside] = curve.checked(log_x[inside])[0] / points[inside]
    if curve.low == -np.inf:
        density[points == 0] = np.inf
    return density


def spectral_distribution(network: Network, x: ArrayLike, *, input_variance: float | None = None) -> np.ndarray:
    """Fraction of eigenvalues of J Jᵀ that are at most x: the distribution function of S6, atoms included.

    It is not integrated numerically, but is the imaginary part of a primitive in closed form.

    Parameters
    ----------
    network, x, input_variance
        As in `spectral_density`.

    Returns
    -------
    ndarray, shape of x
        Absolute error below 1e-11.

    Raises
    ------
    ValueError, ArithmeticError
        As `spectral_density`, but discrete laws have a distribution function.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> spectral_distribution(Network.uniform(100, 2, activation="relu"), [-1.0, 0.0, 100.0])
    array([0. , 0.5, 1. ])
    """
    checked_kind("network", network, Network)
    points = _checked_points(x)
    spectrum = spectrum_of(network, input_variance)
    fraction = np.zeros(points.shape)
    if spectrum.is_discrete:
        for location, mass in spectrum.atoms.items():
            fraction += np.where(points >= location * (1 - _AT_ATOM), mass, 0.0)
        return fraction
    curve = curve_of(network, input_variance)
    y = np.maximum(_logarithms(points), curve.bottom)
    # An atom belongs to the points at and above it; u may be infinite at an edge, too.
    for location in [curve.high, *(np.log(x) for x in spectrum.atoms if x > 0)]:
        y = np.where(abs(y - location) < _AT_ATOM, location + 2 * _AT_ATOM, y)
    fraction[points >= 0] = spectrum.atoms.get(0.0, 0.0)
    fraction[y > curve.ceiling] = 1.0
    finite = (points > 0) & (y <= curve.ceiling)
    fraction[finite] = np.clip(curve.checked(y[finite])[1], 0.0, 1.0)
    return fraction


def spectral_edges(network: Network, *, input_variance: float | None = None) -> tuple[float, float]:
    """The least and the largest x between which `spectral_density` is not zero.

    There may be gaps in between, and atoms at zero or above. If the density has exponentially thin tails (smooth φ, a
    few Haar layers), the edge is taken where it falls below 1e-11 of its largest value.

    Parameters
    ----------
    network, input_variance
        As in `spectral_density`; raises the same errors.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> low, high = spectral_edges(Network.uniform(100, 2, activation="linear"))
    >>> low, round(high, 12)  # 27/4
    (0.0, 6.75)
    """
    checked_kind("network", network, Network)
    curve = _curve(network, input_variance)
    if curve.high > _LARGEST_LOG:
        raise ValueError(
            f"the largest eigenvalue of J Jᵀ is e^{curve.high:.6g}, beyond the range of doubles; lower sigma_w, got "
            f"{network.sigma_w}"
        )
    return float(np.exp(curve.low)), float(np.exp(curve.high))


def spectral_atoms(network: Network, *, input_variance: float | None = None) -> dict[float, float]:
    """Eigenvalues of J Jᵀ of which there is a positive fraction, with that fraction, in increasing order.

    At zero: rank lost by a narrow layer, by ReLU, by dropout. Elsewhere only with Haar weights: directions whose length
    no layer changes (linear networks; hard tanh as long as 1 − L P(|h| > 1) > 0). Where φ is smooth and flattens (tanh
    at |h| > 80, GELU at h < −20), slopes below 1e-75 of the largest count as zero, which matters at large variances.

    Parameters
    ----------
    network, input_variance
        As in `spectral_density`.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> spectral_atoms(Network((100, 400), activation="linear", weights="gaussian"))
    {0.0: 0.75}
    """
    checked_kind("network", network, Network)
    return dict(spectrum_of(network, input_variance).atoms)


def spectral_moments(network: Network, order: int, *, input_variance: float | None = None) -> np.ndarray:
    """m_1, …, m_order: limits of (1/n_L) Tr (J Jᵀ)^k, atoms included (S6).

    By Lagrange's inversion, r_L m_k = (1/k) [u^{k−1}] (u x(u))^k, from the moments μ_k of φ′² and not from the density.

    Parameters
    ----------
    network, input_variance
        As in `spectral_density`.
    order : int
        ≥ 1.

    Returns
    -------
    ndarray, shape (order,)
        Relative error below 1e-13 times what rounding errors of μ_k grow to.

    Raises
    ------
    TypeError, ValueError
        If order is not an integer ≥ 1; else as `spectral_density`.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> spectral_moments(Network.uniform(100, 2, activation="linear"), 4)  # Fuss–Catalan
    array([ 1.,  3., 12., 55.])
    """
    checked_kind("network", network, Network)
    return limit_moments(network, checked_count("order", order), input_variance)


def _curve(network: Network, input_variance: float | None) -> Curve:
    spectrum = spectrum_of(network, input_variance)
    if spectrum.is_discrete:
        raise ValueError(f"the law of J Jᵀ has no density: it is discrete, with atoms {spectrum.atoms}")
    return curve_of(network, input_variance)


def _checked_points(x: ArrayLike) -> np.ndarray:
    points = checked_numbers("x", x)
    if np.isnan(points).any():
        raise ValueError(f"x must be numbers, got {x!r}")
    return points


def _logarithms(points: np.ndarray) -> np.ndarray:
    """ln x; of points that are not positive, −∞."""
    return np.log(points, out=np.full(points.shape, -np.inf), where=points > 0)
