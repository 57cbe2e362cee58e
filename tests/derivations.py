"""What the tests of the derivations share: each derived once, what is said of it, and which tests hold laws to them."""

import dataclasses
import functools
import re
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import sympy as sp

import theory
from rmt_vn import laws
from theory import __main__ as command

ANALYSIS = (
    "hyperbolic.walk",
    "hyperbolic.transforms",
    "hyperbolic.masks",
    "hyperbolic.plane_waves",
    "hyperbolic.residual_fan_in",
    "universal",
    "exact",
    "exact_by_conditioning",
    "correlation",
    "correlation_moments",
    "correlation_limits",
    "input_pairs.hermite_map",
    "input_pairs.one_layer",
    "wide_inputs",
)
ALGEBRA = tuple(name for name in theory.NAMES if name not in ANALYSIS)


@functools.cache
def derivation_of(name):
    """A derivation, which takes seconds."""
    return theory.load(name).derive()


# --- the document -----------------------------------------------------------------------------------------------------


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


# --- meetings: tests that hold a law to its derivation ----------------------------------------------------------------

MEETINGS: dict[str, list[functools.partial]] = {}


def meets(*names: str) -> Callable:
    """Declare that a test holds these laws to their derivations; it stands above `parametrize`, if there is one.

    Of a parametrised test the first case is the meeting. `is_met` does not take the declaration's word for it.
    """

    def declare(test: Callable) -> Callable:
        meeting = functools.partial(test, **first_case(test))
        for name in names:
            MEETINGS.setdefault(name, []).append(meeting)
        return test

    return declare


def first_case(test: Callable) -> dict[str, object]:
    """Arguments of the first case of a parametrised test; none if it is not."""
    arguments: dict[str, object] = {}
    for mark in getattr(test, "pytestmark", []):
        names, values = mark.args
        names = [names] if isinstance(names, str) else names
        case = values[0] if len(names) > 1 else [values[0]]
        arguments |= dict(zip(names, case, strict=True))
    return arguments


def is_met(law: str, meetings: Mapping[str, list[functools.partial]]) -> bool:
    """Whether a meeting uses a derivation that proves the law, and fails once the law is 0.1% off.

    That it passes while the law is as it is, a meeting shows as the test that it is.
    """
    return any(proves(meeting, law) and fails_without(law, meeting) for meeting in meetings[law])


def proves(meeting: functools.partial, law: str) -> bool:
    """Whether the test names a module of `theory` that declares the law."""
    known = meeting.func.__globals__
    used = [known.get(name) for name in names_in(meeting.func.__code__)]
    return any(law in getattr(module, "LAWS", ()) for module in used if isinstance(module, types.ModuleType))


def names_in(code: types.CodeType) -> Iterator[str]:
    """Global names and attributes that code uses, with those of the functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_in(constant)


def fails_without(law: str, meeting: Callable[[], None]) -> bool:
    """Whether a meeting fails while the law returns values that are 0.1% off."""
    honest = getattr(laws, law)
    setattr(laws, law, lambda *args, **kwargs: disturbed(honest(*args, **kwargs)))
    try:
        meeting()
    except AssertionError:
        return True
    finally:
        setattr(laws, law, honest)
    return False


def disturbed(value):
    """A number, an array, or a collection or a dataclass of them, 0.1% larger."""
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(value, **{key: disturbed(entry) for key, entry in vars(value).items()})
    if isinstance(value, dict):
        return {disturbed(key): disturbed(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(disturbed(entry) for entry in value)
    return value * 1001 / 1000
