"""The API on one page, read from the docstrings: what ``rmt-vn api`` prints, and the README shows."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal, get_args, get_origin

__all__ = ["ROOMS", "reference"]

# In the order in which data flows, and what a visitor asks for first.
ROOMS = (
    "network",
    "laws",
    "samplers",
    "measures",
    "prediction",
    "adapters",
    "files",
    "activations",
    "mean_field",
    "ensembles",
    "mlp",
    "losses",
    "optimizers",
    "tasks",
    "training",
    "experiments",
)


def reference() -> str:
    """Every public name with the way it is called and the first line of its docstring, in Markdown."""
    return "\n\n".join(_room(name) for name in ROOMS)


def _room(name: str) -> str:
    module = importlib.import_module(f"rmt_vn.{name}")
    lines = [f"**`rmt_vn.{name}`**: {_first_line(module)}", ""]
    for each in module.__all__:
        value = getattr(module, each)
        if get_origin(value) is Literal:
            lines.append(f"- `{each}`: {', '.join(map(repr, get_args(value)))}")
        elif callable(value):
            lines.append(f"- `{each}{_call(value)}`: {_first_line(value)}")
            lines += [f"  - {member}" for member in _members(value)] if inspect.isclass(value) else []
        else:
            lines.append(f"- `{each}`: {', '.join(map(str, value))}")
    return "\n".join(lines)


def _members(kind: type) -> Iterator[str]:
    """Methods and properties, in the order of the source."""
    for name, member in vars(kind).items():
        if name.startswith("_") or not inspect.getdoc(member):
            continue
        if isinstance(member, property | cached_property):
            yield f"`.{name}`: {_first_line(member)}"
        elif inspect.isroutine(member):
            # Of the class, a class method is bound, and a method takes itself.
            call = _call(getattr(kind, name))
            yield f"`.{name}{re.sub(r'[(]self(, )?', '(', call)}`: {_first_line(member)}"


def _first_line(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def _call(function: Any) -> str:
    """The signature, without types."""
    signature = inspect.signature(function)
    parameters = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    text = str(signature.replace(parameters=parameters, return_annotation=signature.empty))
    # Of a default that is a type, its name alone.
    return re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text)
