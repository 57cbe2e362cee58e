"""The API on one page, read from the docstrings: what ``rmt-vn api`` prints, and ``rmt_vn/README.md`` holds."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal, get_args, get_origin

from rmt_vn.results import Result

__all__ = ["ROOMS", "reference"]

# In the order in which data flows, and what a visitor asks for first.
ROOMS = (
    "network",
    "laws",
    "samplers",
    "measures",
    "baseline",
    "prediction",
    "adapters",
    "reports",
    "files",
    "activations",
    "gaussian_averages",
    "mean_field",
    "residual_mean_field",
    "ensembles",
    "mlp",
    "residual_mlp",
    "losses",
    "optimizers",
    "tasks",
    "training",
    "experiments",
)

# How the first line of a law's module begins: with the statements that it makes.
_BEGINNING = r"S\d(?:(?:,| and) S\d)*"

_HEAD = """\
# The API

Every public function with the way it is called and the first line of its docstring. This page is what `rmt-vn api`
prints; `help(rmt_vn.measures.vni)`, or `python -m pydoc rmt_vn.measures.vni`, has the parameters, errors, sources and
examples of one function. Modules load when they are first touched, so that `import rmt_vn` is enough.

Symbols: n_0, …, n_L are the widths (N if all are equal) and L is the depth; h_l = W_l x_{l−1} + b_l are the
pre-activations of layer l, of variance q_l, and x_l = φ(h_l) its activations; D_l is the diagonal matrix of the slopes
φ′(h_l), which includes dropout; J = D_L W_L … D_1 W_1 is the Jacobian and C = J Jᵀ the covariance of the nodes; ρ is a
correlation of two nodes; t is the effective depth; q* is the fixed point of q_l; μ_k = E φ′^{2k} and χ = σ_w² μ_1; E is
the mean over random networks.

All randomness comes from the argument `rng`, a seed or a numpy `Generator`; equal seeds give equal numbers. Results are
frozen dataclasses: `to_dict()` returns what they hold as numbers, strings, lists and dicts, for `json.dumps`. An
argument of a wrong type is a TypeError, and one out of range a ValueError, which name it in one line."""


def reference() -> str:
    """Every public name with the way it is called and the first line of its docstring, in Markdown."""
    return "\n\n".join([_HEAD, _contents(), _statements(), *map(_room, ROOMS)])


def _contents() -> str:
    """What each module is for."""
    rows = (f"| [`rmt_vn.{name}`](#rmt_vn{name}) | {_first_line(_module(name))} |" for name in ROOMS)
    return "\n".join(["| module | is for |", "|---|---|", *rows])


def _statements() -> str:
    """Where each statement is: every module of laws names its own in the first line of its docstring."""
    laws = _module("laws")
    homes = sorted({getattr(laws, name).__module__ for name in laws.__all__}, key=lambda home: (_stated(home), home))
    lines = ["## The statements", "", "| | file | states | functions |", "|---|---|---|---|"]
    for home in homes:
        functions = ", ".join(f"`{name}`" for name in laws.__all__ if getattr(laws, name).__module__ == home)
        path = home.removeprefix("rmt_vn.").replace(".", "/") + ".py"
        said = re.sub(rf"^{_BEGINNING},? ", "", _first_line(sys.modules[home]))
        lines.append(f"| {', '.join(_stated(home))} | [{path}]({path}) | {said} | {functions} |")
    return "\n".join(lines)


def _stated(home: str) -> tuple[str, ...]:
    """The statements with which the first line of a module begins, or, where it begins otherwise, all that it names."""
    line = _first_line(sys.modules[home])
    beginning = re.match(_BEGINNING, line)
    return tuple(re.findall(r"\bS\d\b", beginning[0] if beginning else line))


def _room(name: str) -> str:
    module = _module(name)
    lines = [f"## rmt_vn.{name}", "", _first_line(module), ""]
    for each in module.__all__:
        value = getattr(module, each)
        if get_origin(value) is Literal:
            lines.append(f"- `{each}`: {_words(value)}")
        elif callable(value):
            lines.append(f"- `{each}{_call(value)}`: {_first_line(value)}{_choices(value)}")
            lines += [f"  - {member}" for member in _members(value)] if inspect.isclass(value) else []
        else:
            lines.append(f"- `{each}`: {', '.join(map(str, value))}")
    return "\n".join(lines)


def _members(kind: type) -> Iterator[str]:
    """Methods and properties, in the order of the source; those that it inherits from classes of this package too."""
    # What all results share is said once, at the head of the page.
    ours = [base for base in kind.__mro__ if base.__module__.startswith("rmt_vn.") and base is not Result]
    named = {name: member for base in reversed(ours) for name, member in vars(base).items()}
    for name, member in named.items():
        if name.startswith("_") or not inspect.getdoc(member):
            continue
        if isinstance(member, property | cached_property):
            yield f"`.{name}`: {_first_line(member)}"
        elif inspect.isroutine(member):
            # Of the class, a class method is bound, and a method takes itself.
            call = _call(getattr(kind, name))
            yield f"`.{name}{re.sub(r'[(]self(, )?', '(', call)}`: {_first_line(member)}"


def _module(name: str) -> Any:
    return importlib.import_module(f"rmt_vn.{name}")


def _first_line(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def _call(function: Any) -> str:
    """The signature, without types."""
    signature = inspect.signature(function)
    parameters = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    text = str(signature.replace(parameters=parameters, return_annotation=signature.empty))
    # Of a default that is a type, its name alone.
    return re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text)


def _choices(function: Any) -> str:
    """Which words the arguments take that are one of a few words."""
    known = vars(sys.modules[function.__module__])
    said = []
    for name, parameter in inspect.signature(function).parameters.items():
        # Annotations are strings here: the name of a Literal, or one that is written out.
        text = str(parameter.annotation)
        kind = eval(text, known) if text.startswith("Literal[") else known.get(text)
        if get_origin(kind) is Literal:
            said.append(f"`{name}` is {_words(kind)}")
    return f" ({'; '.join(said)})" if said else ""


def _words(kind: Any) -> str:
    """What is one of a few words."""
    *others, last = (f'"{word}"' for word in get_args(kind))
    return f"{', '.join(others)} or {last}"
