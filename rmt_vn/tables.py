"""A smooth function asked for at very many numbers: polynomials on panels, each made when it is first needed."""

from __future__ import annotations

from collections.abc import Callable

from numpy.polynomial import chebyshev

__all__ = ["tabulated"]

# Good for functions that are analytic within π/2 of the real axis: on a panel of length 1, 22 terms are rounding.
_TERMS = 22


def tabulated(function: Callable[[float], float]) -> Callable[[float], float]:
    """The function by interpolation on panels of length 1, to rounding of its largest value there.

    Parameters
    ----------
    function : callable
        Of one number, analytic within about π/2 of the real axis: what is a function of ln q, say, where Gaussians of
        variance q are averaged over.

    Returns
    -------
    callable
        Of one number. A panel costs 22 calls of the function; then each number is a microsecond or two.
    """
    points = chebyshev.chebpts1(_TERMS)
    to_coefficients = 2 / _TERMS * chebyshev.chebvander(points, _TERMS - 1).T
    to_coefficients[0] /= 2
    panels: dict[int, list[float]] = {}

    def at(x: float) -> float:
        panel = int(x // 1)
        if panel not in panels:
            values = [function(float(each)) for each in panel + (points + 1) / 2]
            panels[panel] = (to_coefficients @ values)[::-1].tolist()
        # Clenshaw's recurrence, in plain numbers: an array of one number would take ten times as long.
        twice = 4 * (x - panel) - 2
        last = before = 0.0
        for coefficient in panels[panel]:
            last, before = coefficient + twice * last - before, last
        return last - before * twice / 2

    return at
