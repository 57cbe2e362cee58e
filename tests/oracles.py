"""Formulas written down a second time, in mpmath at any precision: what the package's own evaluations are held against.

The caller sets the precision, as `with mp.workdps(40)`; what is returned is as good as that.
"""

from collections.abc import Callable
from functools import cache

import mpmath as mp

# --- Activations and Gaussian averages --------------------------------------------------------------------------------

MP_ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": lambda x: max(x, mp.mpf(0)),
    "leaky_relu": lambda x: max(x, mp.mpf(0)) + mp.mpf(0.01) * min(x, mp.mpf(0)),
    "tanh": mp.tanh,
    "hard_tanh": lambda x: min(max(x, mp.mpf(-1)), mp.mpf(1)),
    "erf": mp.erf,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "gelu": lambda x: x * mp.ncdf(x),
    "silu": lambda x: x / (1 + mp.exp(-x)),
    "sin": mp.sin,
}

MP_SLOPES = {
    "linear": lambda x: mp.mpf(1),
    "relu": lambda x: mp.mpf(x > 0),
    "leaky_relu": lambda x: mp.mpf(1) if x > 0 else mp.mpf(0.01),
    "tanh": lambda x: mp.sech(x) ** 2,
    "hard_tanh": lambda x: mp.mpf(abs(x) < 1),
    "erf": lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-(x**2)),
    "sigmoid": lambda x: 1 / (4 * mp.cosh(x / 2) ** 2),
    "softplus": lambda x: 1 / (1 + mp.exp(-x)),
    "gelu": lambda x: mp.ncdf(x) + x * mp.npdf(x),
    "silu": lambda x: (1 + mp.exp(-x) + x * mp.exp(-x)) / (1 + mp.exp(-x)) ** 2,
    "sin": mp.cos,
}


def mp_gaussian_mean(f: Callable[[mp.mpf], mp.mpf], variance: float, kinks: tuple[float, ...] = ()) -> mp.mpf:
    """E f(√q z), z ~ N(0, 1), to about 20 digits: adaptive quadrature at 30 digits between short panels' ends.

    Panels no wider than 1 in x and 2 in z keep the poles of tanh (±iπ/2) and of the sigmoid far from each panel.
    """
    with mp.workdps(30):
        root = mp.sqrt(mp.mpf(variance))
        reach = 11 * root  # what lies beyond 11 standard deviations weighs less than 1e-27
        n_panels = int(mp.ceil(2 * reach / min(mp.mpf(1), 2 * root)))
        edges = {-reach + 2 * reach * mp.mpf(i) / n_panels for i in range(n_panels + 1)}
        edges |= {mp.mpf(kink) for kink in kinks if abs(kink) < reach}
        return mp.quad(lambda x: f(x) * mp.npdf(x, 0, root), sorted(edges), method="gauss-legendre", maxdegree=4)


# --- The walk on the hyperbolic plane: S3, S4 and the law of ρ --------------------------------------------------------


def gaussian_transform(n: int, nu: mp.mpf) -> mp.mpf:
    """m_n(ν) of a Gaussian layer of fan-in n as the gamma ratio of S3; 1/Γ(0) = 0 makes m_1 = 0."""
    return (
        abs(mp.gamma(mp.mpf(2 * n - 1) / 4 + 0.5j * nu)) ** 2 * mp.rgamma(mp.mpf(n) / 2) * mp.rgamma(mp.mpf(n - 1) / 2)
    )


def gaussian_transforms(largest: int, nu: mp.mpf) -> list[mp.mpf]:
    """m_1, …, m_largest: m_1, m_2, m_3 as gamma ratios, the others from Γ(z + 1) = z Γ(z)."""
    m = [gaussian_transform(n, nu) for n in (1, 2, 3)]
    for n in range(2, largest - 1):
        m.append(m[n - 1] * ((mp.mpf(2 * n - 1) / 4) ** 2 + (nu / 2) ** 2) * 4 / (n * (n - 1)))
    return m[:largest]


def diffusion_transform(t: mp.mpf, nu: mp.mpf) -> mp.mpf:
    """e^{−(ν² + 1/4) t/2}: what M(ν) tends to in wide networks of effective depth t."""
    return mp.exp(-(nu**2 + mp.mpf(1) / 4) * t / 2)


@cache
def _live_probabilities(n: int, p: float, digits: int) -> list[mp.mpf]:
    p = mp.mpf(p)
    return [mp.binomial(n, k) * p**k * (1 - p) ** (n - k) / (1 - (1 - p) ** n) for k in range(1, n + 1)]


def mean_over_live(values: list[mp.mpf], p: float) -> mp.mpf:
    """Σ_k P(k | k ≥ 1) v_k over k = 1, …, n, the number of live nodes, k ~ Bin(n, p), term by term."""
    return mp.fdot(_live_probabilities(len(values), p, mp.mp.dps), values)


def inversion_density(nu: mp.mpf) -> mp.mpf:
    """ν tanh(πν) ĥ(ν): integrated over ν ≥ 0 against Π M_l(ν), it is S = E[1/cosh r], and against 1 it is one."""
    return nu * mp.tanh(mp.pi * nu) * abs(mp.gamma(0.25 + 0.5j * nu)) ** 2 / (2 * mp.sqrt(mp.pi))
