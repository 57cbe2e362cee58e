"""What a derivation is: steps to read, and claims that can fail."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import mpmath
import sympy as sp

PROVED = "proved"
CHECKED = "checked numerically"
DIGITS = 30


@dataclass(frozen=True)
class Step:
    """One step: a sentence, and the formula it arrives at.

    Attributes
    ----------
    text : str
        In words; may contain $…$ LaTeX.
    formula : sympy expression, optional
        An `Expr`, `Eq` or `Matrix`, shown on a line of its own.
    """

    text: str
    formula: sp.Basic | sp.MatrixBase | None = None


@dataclass(frozen=True)
class Claim:
    """A statement: what was derived against what is stated.

    Attributes
    ----------
    statement : str
        In words; may contain $…$ LaTeX.
    derived, stated : sympy expression or mpmath number
        Two expressions (or matrices) whose difference must simplify to zero: "proved". Two mpmath numbers, which must
        agree to 30 digits: "checked numerically", never "proved".
    """

    statement: str
    derived: sp.Basic | sp.MatrixBase | mpmath.mpf
    stated: sp.Basic | sp.MatrixBase | mpmath.mpf

    @property
    def kind(self) -> str:
        return CHECKED if isinstance(self.derived, mpmath.mpf) else PROVED

    @cached_property
    def residual(self) -> sp.Basic | mpmath.mpf:
        """The simplified difference (the largest entry's, of matrices), or the relative error of numbers."""
        if self.kind == CHECKED:
            with mpmath.workdps(DIGITS + 20):
                return abs(self.derived - self.stated) / max(abs(self.stated), mpmath.mpf(10) ** -DIGITS)
        difference = sp.simplify(sp.expand(self.derived - self.stated))
        if isinstance(difference, sp.MatrixBase):
            return next((entry for entry in difference if entry != 0), sp.Integer(0))
        return difference

    @property
    def holds(self) -> bool:
        """Whether the residual is exactly zero, or below 10⁻³⁰ for numbers."""
        residual = self.residual
        return bool(residual < mpmath.mpf(10) ** -DIGITS) if self.kind == CHECKED else residual == 0

    def perturbed(self) -> Claim:
        """The same claim with a slightly wrong statement: the negative control, which must not hold."""
        if self.kind == CHECKED:
            with mpmath.workdps(DIGITS + 20):
                return replace(self, stated=self.stated * (1 + mpmath.mpf(10) ** -20) + mpmath.mpf(10) ** -25)
        if isinstance(self.stated, sp.MatrixBase):
            return replace(self, stated=self.stated + sp.ones(*self.stated.shape) / 1000)
        return replace(self, stated=self.stated * sp.Rational(1001, 1000) + sp.Rational(1, 700))


@dataclass(frozen=True)
class Derivation:
    """A derivation: steps in order, then what they prove.

    Attributes
    ----------
    title : str
    steps : tuple of Step
    claims : tuple of Claim
    """

    title: str
    steps: tuple[Step, ...]
    claims: tuple[Claim, ...]
