"""What the tests of the derivations share: which file has which, each of them derived once, and what is said of it."""

import functools
import re
from pathlib import Path

import sympy as sp

import theory
from theory import __main__ as command

ANALYSIS = ("diffusion", "exact", "conditional", "correlation", "wide_inputs")
ALGEBRA = tuple(name for name in theory.NAMES if name not in ANALYSIS)


@functools.cache
def derivation_of(name):
    """A derivation, which takes seconds."""
    return theory.load(name).derive()


def parts(document):
    """What comes before the first derivation, and each derivation from its title on."""
    return re.split(r"^## \d+\. ", document, flags=re.MULTILINE)


def committed():
    """The document as it is committed."""
    return Path(theory.__file__).with_name("README.md").read_text("utf-8")


def said_of(name):
    """What the document would say of a derivation now, and what it says."""
    _, now = parts(command.document({name: derivation_of(name)}))
    return without_layout(now), without_layout(parts(committed())[1 + theory.NAMES.index(name)])


def without_layout(text):
    """Without the empty lines at its end; by another release of sympy, without the formulas, whose terms it may order
    otherwise: then the words and the claims are compared."""
    if f"(sympy {sp.__version__})" not in committed():
        text = re.sub(r"```math.*?```|\(sympy .*?\)", "", text, flags=re.DOTALL)
    return text.rstrip("\n")
