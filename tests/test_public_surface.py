"""What the package offers to the world: every public name and how it is called, pinned in one readable file.

A change of `public_surface.txt` is a change that users notice. If it is meant, write the file anew:

    python tests/test_public_surface.py > tests/public_surface.txt
"""

import importlib
import inspect
from dataclasses import is_dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args, get_origin

import rmt_vn
from rmt_vn.reference import ROOMS

PINNED = Path(__file__).with_name("public_surface.txt")


def surface() -> str:
    """A line for each public name, module by module."""
    lines = [f"rmt_vn: {', '.join(rmt_vn.__all__)}"]
    for room in ROOMS:
        module = importlib.import_module(f"rmt_vn.{room}")
        lines.append("")
        for name in module.__all__:
            lines += described(f"rmt_vn.{room}.{name}", getattr(module, name))
    return "\n".join(lines) + "\n"


def described(name: str, value: object) -> list[str]:
    if get_origin(value) is not None:
        return [f"{name} = {' | '.join(map(repr, get_args(value)))}"]
    if inspect.isclass(value):
        shown = [f"class {name}{signature(value) if is_dataclass(value) else '(…)'}"]
        ours = [kind for kind in reversed(value.__mro__) if kind.__module__.startswith("rmt_vn")]
        members = {each: member for kind in ours for each, member in vars(kind).items() if not each.startswith("_")}
        for each, member in sorted(members.items()):
            if isinstance(member, property | cached_property):
                shown.append(f"    .{each}")
            elif inspect.isroutine(member):
                shown.append(f"    .{each}{signature(getattr(value, each))}")
        return shown
    return [f"{name}{signature(value)}"] if callable(value) else [f"{name}: {', '.join(map(str, value))}"]


def signature(function: object) -> str:
    """Names, kinds and defaults of the parameters; types are mypy's business."""
    parameters = inspect.signature(function).parameters.values()
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in parameters]
    return str(inspect.Signature(bare)).replace("<class 'numpy.", "<").replace("'>", ">")


def test_the_public_surface_is_the_pinned_one():
    assert surface() == PINNED.read_text("utf-8"), (
        "if this is meant: python tests/test_public_surface.py > tests/public_surface.txt"
    )


def test_options_are_given_by_name():
    """What a function is of comes first, then where it is evaluated; everything after is keyword-only."""
    several = {
        line.split("(")[0]: line
        for line in surface().splitlines()
        if line.startswith("rmt_vn.") and "=" in line.split("*,")[0].split("(", 1)[-1] and "(" in line
    }
    # One option, which is what the function is about.
    assert set(several) <= {"rmt_vn.activations.leaky_relu", "rmt_vn.adapters.watch", "rmt_vn.ensembles.haar"} | {
        "rmt_vn.gaussian_averages.gaussian_mean",
        "rmt_vn.reports.report",  # A model has inputs, what was measured of one has none.
    }, several


if __name__ == "__main__":
    print(surface(), end="")
