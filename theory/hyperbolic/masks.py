r"""ReLU and dropout: D is a mask of fair coins, independent of the weights, at any width, with biases too.

**Question.** D_l = diag φ′(h_l) is a function of the weights that it multiplies. May a ReLU network's Jacobian be
treated as a product of independent matrices and masks all the same, exactly and at any width?

**Assumptions.** ReLU. The law of the weights and biases of a layer does not change when the signs of a row (w_i, b_i)
are flipped, nor that of the weights when the signs of a column are. Gaussian and Haar weights with centred Gaussian
biases, or with none, are such. No pre-activation is zero. Layers are independent.

**Method.** The signs of (w_i, b_i) are flipped together, and the invariants of the flips are read off. What remains of
the signs is absorbed by the columns of the next layer. Both parts are checked by enumeration over all outcomes of a
small discrete law, in exact fractions.

**Result.** Given |h_l|, the rows up to sign, and all layers below, the signs of h_l are independent fair coins. Up to
signs of its rows the Jacobian is D_L V_L ⋯ D_1 V_1 in law, where the V_l have the law of the weights, the D_l are masks
of fair coins, and all are independent. A layer with k live nodes has fan-in k for the next, k ~ Bin(n, 1/2) given k ≥
1. Under dropout the coins are biased: k ~ Bin(n, p).

**Source.** Hanin 2018; Hanin and Nica 2020 (fair coins in ReLU networks).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import sympy as sp

from theory.derivation import Claim, Derivation, Step

LAWS: tuple[str, ...] = ()

# A symmetric law that is not of one size, so that more than signs is at stake: value, and its weight out of six.
ENTRIES = ((-2, 1), (-1, 2), (1, 2), (2, 1))
FAIR_SIGN, ONE_SIGN, NONE = ((-1, 1), (1, 1)), ((1, 2),), ((0, 2),)

Law = dict[tuple, sp.Rational]
Weighted = tuple[tuple[int, ...], int]
Masks = tuple[bool, bool, bool, bool]


def outcomes(laws: Sequence[Sequence[tuple[int, int]]]) -> Iterator[Weighted]:
    """All values of independent variables, with the product of their weights."""
    for choice in product(*laws):
        weight = 1
        for _, part in choice:
            weight *= part
        yield tuple(value for value, _ in choice), weight


def normalised(counts: Mapping[tuple, int]) -> Law:
    """Probabilities from weights."""
    total = sum(counts.values())
    return {outcome: sp.Rational(weight, total) for outcome, weight in counts.items()}


def signs_and_invariants(inputs: Sequence[int], bias: Sequence[tuple[int, int]]) -> Law:
    """Joint law of the signs of h = W x + b/2, and of what no flip of (w_i, b_i) changes: |h| and (w_i, b_i) sign h_i.

    Of a layer of two nodes.
    """
    width = len(inputs)
    counts: defaultdict[tuple, int] = defaultdict(int)
    for values, weight in outcomes([*[ENTRIES] * (2 * width), bias, bias]):
        rows = (values[:width], values[width : 2 * width])
        signs, invariants = [], []
        for row, b in zip(rows, values[2 * width :], strict=True):
            h = 2 * sum(w * x for w, x in zip(row, inputs, strict=True)) + b  # odd, so never zero
            sign = 1 if h > 0 else -1
            signs.append(sign)
            invariants.append((abs(h), tuple(sign * w for w in row), sign * b))
        counts[tuple(signs), tuple(invariants)] += weight
    return normalised(counts)


def factorised(joint: Law) -> Law:
    """The same if signs and invariants were independent: the product of the two marginal laws."""
    of_signs: defaultdict[tuple, sp.Rational] = defaultdict(lambda: sp.Integer(0))
    of_rest: defaultdict[tuple, sp.Rational] = defaultdict(lambda: sp.Integer(0))
    for (signs, rest), probability in joint.items():
        of_signs[signs] += probability
        of_rest[rest] += probability
    return {(signs, rest): p * q for signs, p in of_signs.items() for rest, q in of_rest.items()}


def jacobian_law(*, coins: bool) -> Law:
    """Joint law of the masks and of (G_11, G_22, |G_12|), G = J Jᵀ, of the ReLU network 2, 2, 2 at the input (1, 2).

    The first weights have the law `ENTRIES`; the second are 1, 2, 3 and 1 with fair signs. The masks are those of the
    forward pass, h_1 = W_1 x + b_1/2 and h_2 = W_2 φ(h_1) + b_2/3 with b = ±1, or else fair coins.
    """
    counts: defaultdict[tuple, int] = defaultdict(int)
    every_mask = dict.fromkeys(product((False, True), repeat=4), 1)
    for first, weight in outcomes([ENTRIES] * 4):
        for second, _ in outcomes([((-size, 1), (size, 1)) for size in (1, 2, 3, 1)]):
            masks = every_mask if coins else forward_masks(first, second)
            for mask, times in masks.items():
                counts[mask, row_products(first, second, mask)] += weight * times
    return normalised(counts)


def forward_masks(first: Sequence[int], second: Sequence[int]) -> Mapping[Masks, int]:
    """The masks of the forward pass, and for how many of the sixteen signs of the biases each occurs."""
    a, b, c, d = first
    e, f, g, k = second
    found: defaultdict[Masks, int] = defaultdict(int)
    for b1, b2, b3, b4 in product((-1, 1), repeat=4):
        # Six times the pre-activations: multiples of three, and then no multiples of three, so never zero.
        h1, h2 = 6 * (a + 2 * b) + 3 * b1, 6 * (c + 2 * d) + 3 * b2
        x1, x2 = max(h1, 0), max(h2, 0)
        found[h1 > 0, h2 > 0, e * x1 + f * x2 + 2 * b3 > 0, g * x1 + k * x2 + 2 * b4 > 0] += 1
    return found


def row_products(first: Sequence[int], second: Sequence[int], mask: Masks) -> tuple[int, int, int]:
    """(G_11, G_22, |G_12|) of the rows of D_2 W_2 D_1 W_1."""
    a, b, c, d = first
    e, f, g, k = second
    m1, m2, m3, m4 = mask
    u = (m3 * (e * m1 * a + f * m2 * c), m3 * (e * m1 * b + f * m2 * d))
    v = (m4 * (g * m1 * a + k * m2 * c), m4 * (g * m1 * b + k * m2 * d))
    return u[0] ** 2 + u[1] ** 2, v[0] ** 2 + v[1] ** 2, abs(u[0] * v[0] + u[1] * v[1])


def distance(one: Law, other: Law) -> sp.Rational:
    """Σ |p − q| over all outcomes: zero only if the two laws are the same."""
    return sum(
        (abs(one.get(outcome, sp.S.Zero) - other.get(outcome, sp.S.Zero)) for outcome in {*one, *other}), sp.S.Zero
    )


def live_nodes(law: Law) -> sp.Matrix:
    """Probabilities that 0, 1, 2 signs of two are positive."""
    return sp.Matrix(
        [
            sum((probability for (signs, _), probability in law.items() if sum(s > 0 for s in signs) == k), sp.S.Zero)
            for k in range(3)
        ]
    )


def derive() -> Derivation:
    """The signs of one layer, with biases and without, and the Jacobian of two layers."""
    with_biases, without = signs_and_invariants((1, 2), FAIR_SIGN), signs_and_invariants((1, 4), NONE)
    one_sign = signs_and_invariants((1, 2), ONE_SIGN)
    live = sum((probability for (signs, _), probability in one_sign.items() if signs[0] > 0), sp.S.Zero)
    forward, coins = jacobian_law(coins=False), jacobian_law(coins=True)
    steps = (
        Step(
            "One layer. Let $h = Wx + b$, where $x$ is what the layers below give, and fix it. Let $E$ be any diagonal "
            "matrix of signs. Flipping the signs of $(w_i, b_i)$ together takes $(W, b)$ to $(EW, Eb)$, which have the "
            "same law, and takes $h$ to $Eh$: it flips the signs of $h$ and leaves $|h|$ alone. Without the bias in "
            "the flip this would be wrong: $EWx + b$ is not $Eh$."
        ),
        Step(
            "Let $S = \\mathrm{diag}\\,\\mathrm{sign}(h)$. Then $\\tilde W = SW$, $\\tilde b = Sb$ and $|h| = \\tilde "
            "Wx + \\tilde b$ do not change under any flip, while $S$ becomes $ES$. So given $(\\tilde W, \\tilde b, "
            "|h|)$ and the layers below, all $S$ are equally likely: the signs of $h$ are independent fair coins, and "
            "free of the rest. $D = (1+S)/2$ is therefore a mask of fair coins that is independent of $\\tilde W$."
        ),
        Step(
            "The rows of $\\tilde W$ lie in half-spaces, where the pre-activations are positive, and are no longer "
            "Gaussian. Multiply them by fresh fair signs: with $E$ independent of all else, $V = E\\tilde W$ has the "
            "law of $W$, since $S$ itself is such a matrix of signs, and it is independent of $S$, of $D$ and of the "
            "layers below. Diagonal matrices commute, so $DW = DS\\tilde W = (SE)\\,DV$."
        ),
        Step(
            "The signs $SE$ stand to the left of $DV$. Next comes $W_{l+1}$, whose law does not change when the signs "
            "of its columns are flipped, whatever the layers below are: $W_{l+1}SE$ is independent of them and has the "
            "law of $W_{l+1}$. The flips of its rows and of the next biases commute with this, so the argument goes on "
            "with the next layer. After $L$ layers $J = \\pm D_LV_L\\cdots D_1V_1$ in law, the signs standing for "
            "those of the rows of $J$, on which no $\\rho_{ij}^2$ depends. All $D_l$ and $V_l$ are independent."
        ),
        Step(
            "A mask of which $k$ nodes are live makes $k$ the fan-in of the next layer. A network in which some layer "
            "has no live node has $J=0$ and no VNI, so $k$ is binomial given $k\\ge1$, layer by layer. Among $k$ live "
            "nodes of the last layer the VNI is $1/k + (1-1/k)\\rho^2$ in the mean."
        ),
        Step(
            "The test of it. Weights $\\pm1$ with probability 1/3 each and $\\pm2$ with probability 1/6 each, biases "
            "of fair sign, two nodes: all outcomes are counted, and the probabilities compared as fractions. For "
            "biases of one sign the coins are not fair, as they must not be: a node is live with probability",
            live,
        ),
    )
    claims = (
        Claim(
            "With biases: the joint law of the signs and of $(|h|, \\tilde W, \\tilde b)$ is the product of the two "
            "laws (sum of all differences of probabilities)",
            distance(with_biases, factorised(with_biases)),
            sp.Integer(0),
        ),
        Claim("and without biases", distance(without, factorised(without)), sp.Integer(0)),
        Claim(
            "The number of live nodes of two is binomial, with biases",
            live_nodes(with_biases),
            sp.Matrix([1, 2, 1]) / 4,
        ),
        Claim(
            "Biases of one sign: a node is live with probability $\\tfrac12+\\tfrac12P(w_1+2w_2=0)=\\tfrac59$, no coin",
            live,
            sp.Rational(5, 9),
        ),
        Claim(
            "Two layers with biases: the joint law of the masks and of $JJ^T$ up to signs of rows is that of fair "
            "coins, independent of the weights (sum of all differences of probabilities)",
            distance(forward, coins),
            sp.Integer(0),
        ),
    )
    return Derivation("Masks: the slopes of a ReLU network are fair coins", steps, claims)
