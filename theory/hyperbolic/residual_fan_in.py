r"""S8, linear residual blocks: the matrix I + W is, for the walk of two rows, Gaussian weights of random fan-in.

**Question.** What is the transform M(ν) of a block x → x + W x, W Gaussian, at any width and any size of W?

**Assumptions.** W is N × N with independent normal entries of variance a/N, fresh in each block. N ≥ 2.

**Method.** The law of W does not change under rotations of all nodes, so two rows walk as in plain networks, and the
mean of a wave over angles may be replaced by the mean of a power of the height. That is M(ν) as an expectation, and
a double series by Poisson mixtures of χ². A second way shows what the block is: the Gram matrix of two rows of I + W
has, relative to that of Gaussian weights, a density which is a mean of plane waves over frames, a known power series
in determinant and trace (`hyperbolic.plane_waves`).

**Result.** M(ν) = E (|u_1|/|u_2⊥|)^{−1/2+iν} = Σ_k P(K = k) m_{N+2k}(ν), with the probabilities P(k, j) = e^{−2λ}
λ^{2k+j} (N/2)_k (N+2k)_j/((N/2)_{2k+j} k! j!), λ = N/2a, summed over j. In wide layers the fan-in is N(1+a)²/(a(a+2)).

**Source.** Noncentral Wishart matrices: Muirhead 1982, section 10.3; ₀F₁ of 2×2 matrices: Muirhead 1975.
That a residual block is a layer of random fan-in is ours.
"""

from __future__ import annotations

import mpmath as mp
import sympy as sp

from theory.derivation import DIGITS, Claim, Derivation, Step
from theory.hyperbolic.plane_waves import N, coefficient, j, k, ratio
from theory.hyperbolic.transforms import HALF, chi_moment

LAWS: tuple[str, ...] = ()

a, rate = sp.symbols("a lambda", positive=True)
# Of the series that are summed, beyond the λ largest: factorials make the rest negligible.
_TERMS = 32


# Two rows of I + W walk as two rows of W do.


def conjugated() -> tuple[sp.Matrix, sp.Matrix, sp.Matrix]:
    """A rotation Q of two of three nodes by any angle, W of any entries, and Q W Qᵀ; such rotations generate all."""
    half = sp.symbols("h", real=True)  # the tangent of half the angle
    cosine, sine = (1 - half**2) / (1 + half**2), 2 * half / (1 + half**2)
    rotation = sp.Matrix([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    w = sp.Matrix(3, 3, sp.symbols("w_1:10", real=True))
    return rotation, w, (rotation * w * rotation.T).applyfunc(sp.cancel)


def turned_gram() -> tuple[sp.Matrix, sp.Matrix]:
    """P G P^T for P = [[c, −s], [s, c]] and G the point X of the hyperboloid; and (X_1, X_2) turned by twice the angle.

    cos 2α = c² − s² and sin 2α = 2cs; c² + s² stands for 1.
    """
    c, s = sp.symbols("c s", real=True)
    x_0, x_1, x_2 = sp.symbols("X_0 X_1 X_2", real=True)
    turn = sp.Matrix([[c, -s], [s, c]])
    new_0, new_1, new_2 = (
        x_0 * (c**2 + s**2),
        x_1 * (c**2 - s**2) - 2 * c * s * x_2,
        x_2 * (c**2 - s**2) + 2 * c * s * x_1,
    )
    before, after = (
        sp.Matrix([[at[0] + at[1], at[2]], [at[2], at[0] - at[1]]]) for at in ((x_0, x_1, x_2), (new_0, new_1, new_2))
    )
    return turn * before * turn.T, after


# The mixture.


def probability(first: sp.Expr = k, second: sp.Expr = j) -> sp.Expr:
    """P(k, j) as it is stated."""
    c = N / 2
    top = sp.gamma(c + first) * sp.gamma(N + 2 * first + second) / sp.gamma(N + 2 * first)
    below = sp.gamma(c + 2 * first + second) * sp.gamma(first + 1) * sp.gamma(second + 1)
    return sp.exp(-2 * rate) * rate ** (2 * first + second) * top / below


def derived_probability() -> sp.Expr:
    """The mean over Gaussian weights of fan-in N of one term of the density, e^{−2λ} a_kj (λ² det/4)^k (λ Tr/2)^j.

    (det)^k makes the fan-in N + 2k, of which the trace is a² + g² + b², χ² of 2(N + 2k) degrees.
    """
    determinant = chi_moment(N, 2 * k) * chi_moment(N - 1, 2 * k)
    trace = chi_moment(2 * (N + 2 * k), 2 * j)
    return sp.exp(-2 * rate) * coefficient() * (rate / 2) ** (2 * k + j) * determinant * trace


def trace_and_shape() -> sp.Expr:
    """∂²/∂T∂x of the ln of the joint density of trace T and x = cosh s, s the distance of the Gram matrix from 1.

    With G = (T/2x) × a matrix of determinant one, det^{(n−3)/2} e^{−T/2} dG is as `hyperbolic.transforms` has it.
    """
    trace, x, fan_in = sp.symbols("T x n", positive=True)
    scale = trace / (2 * x)
    # dG is scale² dscale dx dθ up to constants, dscale = dT/2x.
    log_density = (fan_in - 3) * sp.log(scale) - trace / 2 + 2 * sp.log(scale) - sp.log(2 * x)
    return sp.simplify(sp.diff(log_density, trace, x))


def wide_fan_in() -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """P(k+1, j)/P(k, j) and P(k, j+1)/P(k, j) at the mode as N → ∞, and the fan-in N + 2k there."""
    of_k = ratio(probability(k + 1), probability())
    of_j = ratio(probability(k, j + 1), probability())
    mode = {k: N / (2 * a * (a + 2)), j: N * (a + 1) / (a * (a + 2)), rate: N / (2 * a)}
    at_mode = []
    for each in (of_k, of_j):
        above, below = (sp.Poly(part, N) for part in sp.fraction(sp.cancel(each.subs(mode, simultaneous=True))))
        at_mode.append(sp.cancel(above.LC() / below.LC()) if above.degree() == below.degree() else sp.zoo)
    return *at_mode, sp.factor(N + 2 * mode[k])


# In numbers.


def defined_transform(width: int, branch_ratio: mp.mpf, frequency: mp.mpf) -> mp.mpf:
    """M(ν) = E (|u_1|/|u_2⊥|)^s, s = −½ + iν, as its double series.

    |u_1|² is χ² of N + 2k degrees, k ~ Poisson(λ), in units of a/N; c, the squared sine of its angle with e_2, is then
    Beta((N−1)/2 + k, ½), and |u_2⊥|² is χ² of N − 1 + 2i degrees, i ~ Poisson(λc). The sum over i is a confluent
    series in −λc (Kummer), whose terms have means over c.
    """
    with mp.workdps(DIGITS + 20):
        n, lam, s = mp.mpf(width), mp.mpf(width) / (2 * branch_ratio), mp.mpc(-0.5, frequency)
        total = mp.mpf(0)
        for number in range(int(lam + 10 * mp.sqrt(lam) + _TERMS)):
            poisson = mp.exp(-lam) * lam**number / mp.factorial(number)
            length = mp.gammaprod([(n + s) / 2 + number], [n / 2 + number])
            term = inner = mp.mpc(1)
            for i in range(int(8 * lam + _TERMS)):
                of_angle = ((n - 1) / 2 + number + i) / (n / 2 + number + i)
                term *= -lam * of_angle * (s / 2 + i) / ((n - 1) / 2 + i) / (i + 1)
                inner += term
            total += poisson * length * inner
        return mp.re(total * mp.gammaprod([(n - 1 - s) / 2], [(n - 1) / 2]))


def mixed_transform(width: int, branch_ratio: mp.mpf, frequency: mp.mpf) -> mp.mpf:
    """Σ_k P(K = k) m_{N+2k}(ν)."""
    with mp.workdps(DIGITS + 20):
        lam, half = mp.mpf(width) / (2 * branch_ratio), mp.mpf(width) / 2
        total, of_k = mp.mpf(0), mp.exp(-2 * lam)
        for number in range(int(lam + 10 * mp.sqrt(lam) + _TERMS)):
            # The sum over j is a confluent series.
            mass = of_k * mp.hyp1f1(width + 2 * number, half + 2 * number, lam)
            total += mass * gaussian_factor(width + 2 * number, frequency)
            of_k *= lam**2 * (half + number) / ((half + 2 * number) * (half + 2 * number + 1) * (number + 1))
        return +total


def gaussian_factor(fan_in: int, frequency: mp.mpf) -> mp.mpf:
    """m_n(ν) by gamma functions; 1 where ν = i/2 stands for the constants."""
    z = mp.mpf(2 * fan_in - 1) / 4
    above = mp.gammaprod([z + 0.5j * frequency, z - 0.5j * frequency], [mp.mpf(fan_in) / 2, mp.mpf(fan_in - 1) / 2])
    return mp.re(above)


def derive() -> Derivation:
    """The block's walk, the density of its step, and the mixture."""
    rotation, w, inside = conjugated()
    turned, at_turned = turned_gram()
    at_k, at_j, fan_in = wide_fan_in()
    z = sp.symbols("z", positive=True)
    # c = p/(p + q), p of 2z degrees and q of one, is independent of p + q.
    beta_mean = chi_moment(2 * z, 2 * j) / chi_moment(2 * z + 1, 2 * j)
    points = ((2, mp.mpf(1), mp.mpf("0.7")), (3, mp.mpf("0.5"), mp.mpf(3)), (12, mp.mpf(4), mp.mpf("1.3")))
    steps = (
        Step(
            "Two rows $R=TF$, $F$ the first two rows of a rotation $O$. Then $F(1+W)$ are the first two rows of "
            "$O(1+W)=(1+OWO^T)O$, and $OWO^T$ is as random as $W$. So $R(1+W)$ has the Gram matrix $TST^T$, $S$ that "
            "of the first two rows of $1+W$, independent of all before: a walk, whose heights multiply."
        ),
        Step(
            "The law of $S$ is isotropic, being that of $PSP^T$ for any rotation $P$ of the two rows. Over the angle "
            "of $S$ the mean of $Y^{1/2+i\\nu}$ is the spherical function (`hyperbolic.transforms`), so that its mean "
            "over all is the transform of the step. With $u_1,u_2$ the rows of $1+W$ and $u_{2\\perp}$ the part of "
            "$u_2$ across $u_1$,",
            sp.Eq(
                sp.Function("M")(sp.Symbol("nu")),
                sp.Function("E")((sp.Symbol("|u_1|") / sp.Symbol(r"|u_{2\perp}|")) ** (-HALF + sp.I * sp.Symbol("nu"))),
                evaluate=False,
            ),
        ),
        Step(
            "In units of $\\sqrt{a/N}$ both rows are normal vectors of variance 1 with means of square $2\\lambda$, "
            "$\\lambda=N/2a$, and squares of such are Poisson mixtures of $\\chi^2$. This is a double series."
        ),
        Step(
            "What is this law? The density of two rows $U$ with means $M$ is that of Gaussian weights times "
            "$e^{-2\\lambda}e^{\\mathrm{Tr}\\,UM^T}$; averaged over turns of $U$ it is a function $F(d,\\tau)$ of $d="
            "\\lambda^2\\det S/4$ and $\\tau=\\lambda\\,\\mathrm{Tr}\\,S/2$, the mean of plane waves of "
            "`hyperbolic.plane_waves`.",
        ),
        Step(
            "In its power series a factor $(\\det S)^k$ makes the fan-in $N+2k$, and powers of the trace leave the "
            "shape alone, of which the trace is independent. So "
            "the shape is that of Gaussian weights of fan-in $N+2K$, with the probabilities",
            sp.Eq(sp.Function("P")(k, j), probability(), evaluate=False),
        ),
        Step(
            "In wide layers $K$ and $J$ scatter little about the place where neighbours are as likely, and the "
            "fan-in is, to leading order,",
            sp.Eq(N + 2 * k, fan_in, evaluate=False),
        ),
    )
    claims = (
        Claim(
            "$Q(1+W)=(1+QWQ^T)Q$, $Q$ a rotation of two of three nodes",
            (rotation * (sp.eye(3) + w)).applyfunc(sp.cancel),
            ((sp.eye(3) + inside) * rotation).applyfunc(sp.cancel),
        ),
        Claim(
            "and $QWQ^T$ has the density of $W$: it is as long",
            sp.cancel((inside * inside.T).trace()),
            (w * w.T).trace(),
        ),
        Claim("Turning both rows by $\\alpha$ turns the Gram matrix by $2\\alpha$", turned, at_turned),
        Claim(
            "$E\\,c^j=(z)_j/(z+\\tfrac12)_j$ for $c\\sim\\mathrm{Beta}(z,\\tfrac12)$",
            beta_mean,
            sp.gamma(z + j) * sp.gamma(z + HALF) / (sp.gamma(z) * sp.gamma(z + j + HALF)),
        ),
        Claim("The shape of Gaussian rows is independent of their trace", trace_and_shape(), sp.Integer(0)),
        Claim("The probabilities $P(k,j)$: derived over stated", ratio(derived_probability(), probability()), sp.S.One),
        *(
            Claim(
                f"They sum to one ($N={width}$, $a={mp.nstr(size, 3)}$)",
                mixed_transform(width, size, mp.mpc(0, 0.5)),
                mp.mpf(1),
            )
            for width, size, _ in points
        ),
        *(
            Claim(
                "$M(\\nu)$ by the double series of its definition, and by random fan-in "
                f"($N={width}$, $a={mp.nstr(size, 3)}$, $\\nu={mp.nstr(frequency, 3)}$)",
                defined_transform(width, size, frequency),
                mixed_transform(width, size, frequency),
            )
            for width, size, frequency in points
        ),
        Claim(
            "$a\\to\\infty$, where $\\lambda\\to0$: the fan-in is $N$ for certain, and $M=m_N$",
            probability(sp.Integer(0), sp.Integer(0)).subs(rate, 0),
            sp.Integer(1),
        ),
        Claim("Wide layers: neighbours are as likely at the mode", sp.Matrix([at_k, at_j]), sp.ones(2, 1)),
        Claim("and one over the fan-in there is $(1-(1+a)^{-2})/N$", 1 / fan_in, (1 - (1 + a) ** -2) / N),
    )
    return Derivation("Linear residual blocks: layers of random fan-in", steps, claims)
