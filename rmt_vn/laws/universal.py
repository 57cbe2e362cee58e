"""S4, the universal law: at large width the VNI depends on the effective depth t alone.

`rmt_vn.laws.effective_depth` says what t a network has.

The law takes D_l, the slopes of a layer, to be independent of what it multiplies. D_l is not: it knows the signal
x_{l−1}, as W_l does. The one direction that they share is the signal mode (`rmt_vn.laws.signal_mode`), whose share of a
row of the Jacobian grows by Λ = χ_q²/χ a layer; S4 needs Λ^L ≪ N. Homogeneous φ have Λ = 1 and feed nothing into it.
`rmt_vn.laws.approximate` is S4 at a finite width, and says where it does not hold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.checks import checked_numbers
from rmt_vn.laws.hyperbolic.transforms import mean_sech_distance, mean_square_correlation

# Rows of t at a time: bounds the memory of the (rows × nodes) integrand to some MB.
_BLOCK = 1024


def universal_vni(t: ArrayLike) -> float | np.ndarray:
    """R(t), the VNI of an infinitely wide network of effective depth t (S4).

    R(t) = 1 − ∫_0^∞ ν tanh(πν) ĥ(ν) e^{−(ν²+1/4)t/2} dν = E tanh² y_t, where dy = ½ tanh(y) dt + dB and y_0 = 0.
    R(t) = t − 3t²/2 + 7t³/2 − …, and 1 − R(t) ~ (π Γ(1/4)²/(2√2)) t^{−3/2} e^{−t/8}.

    Parameters
    ----------
    t : float or array_like
        Effective depth, ≥ 0; ∞ is allowed.

    Returns
    -------
    float or ndarray
        Of the shape of t; relative error below 1e-12.

    Raises
    ------
    TypeError, ValueError
        If t is not made of real numbers, or any is negative or NaN.

    Examples
    --------
    >>> round(universal_vni(1.0), 6)
    0.469574
    """
    return _over_depths(mean_square_correlation, t)


def universal_vni_complement(t: ArrayLike) -> float | np.ndarray:
    """1 − R(t) without cancellation, down to the smallest normal double (t about 5600).

    Parameters, errors and accuracy as `universal_vni`.
    """
    return _over_depths(mean_sech_distance, t)


def _over_depths(inversion, t: ArrayLike) -> float | np.ndarray:
    depths = checked_numbers("effective depth t", t)
    if not np.all(depths >= 0):
        wrong = depths[~(depths >= 0)].flat[0]
        raise ValueError(f"effective depth t must be ≥ 0, got {wrong}")
    flat = depths.reshape(-1, 1)
    blocks = [flat[start : start + _BLOCK] for start in range(0, len(flat), _BLOCK)]
    values = [inversion(lambda nu, rows=rows: -(nu**2 + 0.25) * rows / 2) for rows in blocks]
    result = np.concatenate(values).reshape(depths.shape) if values else np.empty(depths.shape)
    return result if depths.ndim else float(result)
