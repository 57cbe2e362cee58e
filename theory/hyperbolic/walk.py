r"""The hyperbolic plane: the Gram matrix of two rows is a point of it, and ρ is the tangent of a distance.

**Question.** Two nodes of a layer are two rows of the Jacobian. In which space does their Gram matrix move as layers
are multiplied on, and where in it is their correlation ρ?

**Assumptions.** The two rows are linearly independent, so that their Gram matrix is positive definite.

**Method.** Up to scale a 2×2 Gram matrix is a point of a hyperboloid, on which matrices act by isometries. Three
systems of coordinates are used: polar ones (a distance r and an angle), Fermi ones (a distance y from a geodesic and
the place s along it), and the upper half-plane, whose height is read off the triangular root.

**Result.** ρ = tanh y, where Fisher's z, y = artanh ρ, is the signed distance to the geodesic of uncorrelated pairs.
The mean of 1 − ρ² over the angle at distance r is 1/cosh r. The height of T Tᵀ is Y = b/a, and Y^{1/2+iν} is an
eigenfunction of the Laplacian with eigenvalue −(ν² + ¼).

**Source.** Helgason 1984 (geometry and radial parts); Muirhead 1982, section 3.2 (Bartlett's decomposition).
"""

from __future__ import annotations

import sympy as sp

from theory.derivation import Claim, Derivation, Step

LAWS: tuple[str, ...] = ()

y, r, s, theta, nu = sp.symbols("y r s theta nu", real=True)
HALF, QUARTER = sp.Rational(1, 2), sp.Rational(1, 4)


def gram_point(coordinates: str) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """The point (X_0, X_1, X_2) of the hyperboloid X_0² − X_1² − X_2² = 1 for a 2×2 Gram matrix of determinant one.

    The matrix is [[X_0 + X_1, X_2], [X_2, X_0 − X_1]]. In polar coordinates r is the distance to the identity; in Fermi
    coordinates y is the distance to, and s the length along, the geodesic X_2 = 0 of uncorrelated pairs.
    """
    if coordinates == "polar":
        return sp.cosh(r), sp.sinh(r) * sp.cos(theta), sp.sinh(r) * sp.sin(theta)
    return sp.cosh(y) * sp.cosh(s), sp.cosh(y) * sp.sinh(s), sp.sinh(y)


def metric(coordinates: str) -> sp.Matrix:
    """The hyperbolic metric dX_1² + dX_2² − dX_0² in those coordinates."""
    variables = (r, theta) if coordinates == "polar" else (y, s)
    tangent = sp.Matrix(gram_point(coordinates)).jacobian(variables)
    return sp.simplify(tangent.T * sp.diag(-1, 1, 1) * tangent)


def laplacian(f: sp.Expr, coordinates: str) -> sp.Expr:
    """The Laplace–Beltrami operator |g|^{−1/2} ∂_i(|g|^{1/2} g^{ij} ∂_j f) of `metric` (orthogonal coordinates)."""
    variables = (r, theta) if coordinates == "polar" else (y, s)
    g = metric(coordinates)
    volume = sp.sinh(r) if coordinates == "polar" else sp.cosh(y)
    return sum(sp.diff(volume / g[i, i] * sp.diff(f, v), v) / volume for i, v in enumerate(variables))


def gram_correlation(coordinates: str) -> sp.Expr:
    """ρ of the Gram matrix at that point, squared."""
    x0, x1, x2 = gram_point(coordinates)
    return sp.simplify(x2**2 / ((x0 + x1) * (x0 - x1)))


def angle_average(power: int) -> sp.Expr:
    """The mean of (1 − ρ²)^power over the angle at distance r, as a function of c = cosh r; by residues.

    1 − ρ² = 1/(1 + sinh²r sin²θ) = 1/(P − Q cos 2θ), P = (c²+1)/2, Q = (c²−1)/2. With z = e^{2iθ} the mean is the
    residue of z^{power−1}/(Pz − Q(z²+1)/2)^power at the pole in the unit disc, z_0 = (c−1)/(c+1).
    """
    c, z = sp.symbols("c z", positive=True)
    inside, outside = (c - 1) / (c + 1), (c + 1) / (c - 1)
    # −Q/2 (z − z_0)(z − 1/z_0) is the denominator, so the residue is a derivative at z_0.
    rest = z ** (power - 1) / (-(c**2 - 1) / 4 * (z - outside)) ** power
    residue = sp.diff(rest, z, power - 1).subs(z, inside) / sp.factorial(power - 1)
    return sp.expand(sp.factor(residue)).subs(c, sp.cosh(r))


def height_of_root() -> sp.Expr:
    """Y of the Gram matrix T Tᵀ, T = [[a, 0], [g, b]]: 1/Y = X_0 + X_1 = G_11/√det G, since the determinant is scaled
    to 1."""
    alpha, beta = sp.symbols("a b", positive=True)
    g = sp.symbols("g", real=True)
    root = sp.Matrix([[alpha, 0], [g, beta]])
    gram = root * root.T
    return sp.sqrt(sp.factor(gram.det())) / gram[0, 0]


def height_eigenvalue() -> sp.Expr:
    """Eigenvalue of Y^{1/2+iν} under the Laplacian Y²(∂_X² + ∂_Y²) of the upper half-plane."""
    height = sp.symbols("Y", positive=True)
    wave = height ** (HALF + sp.I * nu)
    return sp.expand(sp.simplify(height**2 * sp.diff(wave, height, 2) / wave))


def derive() -> Derivation:
    """The hyperboloid, ρ in its coordinates, the mean over the angle, and waves of the height."""
    f = sp.Function("f")
    polar, fermi = (gram_point(kind) for kind in ("polar", "fermi"))
    average, eigenvalue = angle_average(1), height_eigenvalue()
    steps = (
        Step(
            "Up to scale a 2×2 Gram matrix is a point of the hyperboloid $X_0^2 - X_1^2 - X_2^2 = 1$, "
            "$G = \\begin{pmatrix} X_0+X_1 & X_2\\\\ X_2 & X_0-X_1\\end{pmatrix}$, on which $G\\mapsto AGA^T$, $\\det "
            "A=1$, acts by isometries: the hyperbolic plane. In Fermi coordinates, $y$ being the signed distance to "
            "the geodesic $X_2=0$ and $s$ the place along it, $X = (\\cosh y\\cosh s, \\cosh y\\sinh s, \\sinh y)$ "
            "and the metric is",
            metric("fermi"),
        ),
        Step(
            "There $\\rho = X_2/\\sqrt{(X_0+X_1)(X_0-X_1)} = \\tanh y$: Fisher's $z$ is the distance to the "
            "geodesic of uncorrelated pairs. Half the Laplacian, the generator of Brownian motion, is on functions of "
            "$y$",
            sp.Eq(sp.Symbol(r"A\,f(y)"), sp.expand(laplacian(f(y), "fermi") / 2), evaluate=False),
        ),
        Step(
            "In polar coordinates about the identity $X = (\\cosh r, \\sinh r\\cos\\theta, \\sinh r\\sin\\theta)$, so "
            "$\\sinh y = \\sinh r\\sin\\theta$. A walk that starts at the identity and is isotropic about it has a "
            "uniform angle. The mean of $1-\\rho^2 = 1/(1+\\sinh^2 r\\sin^2\\theta)$ over it is a residue:",
            sp.Eq(sp.Symbol(r"E[1 - {\rho}^2 \mid r]"), average, evaluate=False),
        ),
        Step(
            "In the upper half-plane $TT^T$, with $T = \\begin{pmatrix}a&0\\\\g&b\\end{pmatrix}$, has the height "
            "$Y = b/a$. Triangular matrices multiply their diagonals, so heights multiply. The waves $Y^{1/2+i\\nu}$ "
            "are eigenfunctions of the Laplacian, of eigenvalue",
            eigenvalue,
        ),
    )
    claims = (
        Claim(
            "Fermi coordinates: the metric is $dy^2 + \\cosh^2 y\\,ds^2$", metric("fermi"), sp.diag(1, sp.cosh(y) ** 2)
        ),
        Claim(
            "Polar coordinates: the metric is $dr^2 + \\sinh^2 r\\,d\\theta^2$",
            metric("polar"),
            sp.diag(1, sp.sinh(r) ** 2),
        ),
        Claim(
            "$\\rho^2 = \\tanh^2 y$, $y$ the distance to the geodesic",
            gram_correlation("fermi").rewrite(sp.exp),
            (sp.tanh(y) ** 2).rewrite(sp.exp),
        ),
        Claim(
            "$\\tfrac12\\Delta f(y) = \\tfrac12 f'' + \\tfrac12\\tanh y\\,f'$",
            laplacian(f(y), "fermi") / 2,
            f(y).diff(y, 2) / 2 + sp.tanh(y) * f(y).diff(y) / 2,
        ),
        Claim(
            "Polar and Fermi: $\\rho^2 = \\sinh^2 r\\sin^2\\theta/(1+\\sinh^2 r\\sin^2\\theta)$",
            gram_correlation("polar"),
            (polar[2] ** 2 / (1 + polar[2] ** 2)),
        ),
        Claim("and $\\rho^2 = \\sinh^2 y/(1+\\sinh^2 y)$", fermi[2] ** 2 / (1 + fermi[2] ** 2), sp.tanh(y) ** 2),
        Claim("Angle average: $E[\\rho^2\\mid r] = 1 - 1/\\cosh r$", 1 - average, 1 - 1 / sp.cosh(r)),
        Claim(
            "The height of $TT^T$ is $Y = b/a$",
            height_of_root(),
            sp.Symbol("b", positive=True) / sp.Symbol("a", positive=True),
        ),
        Claim("$\\Delta Y^{1/2+i\\nu} = -(\\nu^2+\\tfrac14)Y^{1/2+i\\nu}$", eigenvalue, -(nu**2 + QUARTER)),
    )
    return Derivation("The hyperbolic plane: where two rows of the Jacobian walk", steps, claims)
