"""Whether matrices of weights are orthogonal, and whether their spectra are those of random matrices of their size."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import eigsh
from scipy.special import betainc, chdtrc

# Gram matrices of orthogonal weights in single precision are this close to multiples of the identity.
_ORTHOGONAL = 1e-3
# Of random matrices no more than this may be taken for orthogonal ones.
_BY_CHANCE = 1e-5
# P(TW_1 > 8) is 1e-8, and that is what the other tests allow of random matrices too.
_TRACY_WIDOM, _CHANCE, _BELOW = 8.0, 1e-8, 12.0
# Above this size the largest eigenvalue alone is computed, by iteration.
_LARGE = 200


class Spectrum(NamedTuple):
    """What the spectrum of a matrix tells.

    Attributes
    ----------
    orthogonal : bool, or None
        Whether it is a multiple of a (semi-)orthogonal matrix, to a thousandth; None if so few rows or columns would be
        so by chance.
    departure : (float, str), or None
        How it differs from a random matrix of its size: a ratio, and in words.
    """

    orthogonal: bool | None
    departure: tuple[float, str] | None


def spectrum_of(w: np.ndarray) -> Spectrum:
    """Whether a matrix is orthogonal, and whether it is random.

    The entries of a random matrix are independent and of one variance, of whatever distribution, and so two numbers are
    known. The largest singular value is at the edge of the law of Marchenko and Pastur, to within the scale of Tracy
    and Widom (Johnstone 2001). Tr C²/(Tr C)² of C = WWᵀ has a mean, up to the kurtosis of the entries, which is
    measured, and the scatter of John's test of sphericity (1971): χ² above, and six standard deviations below. Entries
    that are mostly zero or have heavy tails scatter more, for which both ranges are widened. Orthogonal matrices have
    no spectrum to tell; but their entries, where they are Haar, are coordinates of a random unit vector, and none is
    near 1. Random matrices are outside by chance with a probability of about 1e-8.

    Parameters
    ----------
    w : ndarray, shape (n_out, n_in)
        Not all zero.
    """
    if min(w.shape) < 2:
        return Spectrum(None, None)
    gram = (w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w) / np.mean(w**2)
    if orthogonal := _is_orthogonal(gram, max(w.shape)):
        return Spectrum(orthogonal, _not_haar(w))
    return Spectrum(orthogonal, _beyond_edge(w, gram) or _spread(w, gram))


def _is_orthogonal(gram: np.ndarray, n: int) -> bool | None:
    p = len(gram)
    # Off-diagonal elements have a standard deviation of 1/√n where the entries are independent.
    if (p * (p + 1) / 2 - 1) * math.log(_ORTHOGONAL * math.sqrt(n)) > math.log(_BY_CHANCE):
        return None
    return bool(np.abs(gram / n - np.eye(p)).max() < _ORTHOGONAL)


def _beyond_edge(w: np.ndarray, gram: np.ndarray) -> tuple[float, str] | None:
    p, n = sorted(w.shape)
    largest = _largest_eigenvalue(gram)
    # Centre and scale of the largest eigenvalue of a Wishart matrix, with Ma's halves.
    roots = math.sqrt(n - 0.5) + math.sqrt(p - 0.5)
    scale = roots * (1 / math.sqrt(n - 0.5) + 1 / math.sqrt(p - 0.5)) ** (1 / 3)
    # The squared length of a row has a relative variance of (2 + excess)/n.
    if largest <= roots**2 + _TRACY_WIDOM * scale * math.sqrt(max(1.0, 1 + _excess_kurtosis(w) / 2)):
        return None
    ratio = math.sqrt(largest) / roots
    return ratio, f"the largest singular value is {ratio:.3g} times the edge of random matrices of its size"


def _spread(w: np.ndarray, gram: np.ndarray) -> tuple[float, str] | None:
    p, n = sorted(w.shape)
    excess = _excess_kurtosis(w)
    # p n Tr C²/(Tr C)², which is p + n + 1 on average, and has standard deviation 2, for large Gaussian matrices.
    found, expected = float(np.sum(gram**2)) / (p * n), p * n * (p + n + 1) / (p * n + 2) + excess
    deviation, freedom = (found - expected) / max(1.0, 1 + excess / 2), p * (p + 1) / 2 - 1
    if deviation > -_BELOW and chdtrc(freedom, max(freedom + p / 2 * deviation, 0.0)) >= _CHANCE:
        return None
    ratio = found / expected
    return ratio, f"the sum of its fourth powers of singular values is {ratio:.3g} times that of random matrices"


def _not_haar(w: np.ndarray) -> tuple[float, str] | None:
    n = max(w.shape)
    largest = float(np.max(w**2) / np.sum(w**2) * min(w.shape))  # of unit vectors in n dimensions
    # A squared coordinate of a random unit vector is Beta(1/2, (n − 1)/2); one of all entries may be the largest.
    if n < 2 or w.size * betainc((n - 1) / 2, 0.5, max(1 - largest, 0.0)) >= _CHANCE:
        return None
    ratio = math.sqrt(largest * n)
    return ratio, f"one entry is {ratio:.3g} times their root mean square, which no random orthogonal matrix has"


def _excess_kurtosis(w: np.ndarray) -> float:
    return float(np.mean(w**4) / np.mean(w**2) ** 2) - 3


def _largest_eigenvalue(gram: np.ndarray) -> float:
    if len(gram) <= _LARGE:
        return float(np.linalg.eigvalsh(gram)[-1])
    # A start of equal numbers could be an eigenvector; these are fixed, so that equal weights give equal answers.
    start = np.random.default_rng(0).standard_normal(len(gram))
    return float(eigsh(gram, k=1, v0=start, tol=1e-4, return_eigenvectors=False)[0])
