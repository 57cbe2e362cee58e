"""Kinds of functions that people sweep, from `kinds_of_functions.txt`: for each a source, a change, what refuses it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# What every source can use. Each defines `sample`, and begins with a line `#= kind: old -> new`, where the change is
# 1.5 -> 2.5 if it is not said.
PREAMBLE = """
import numpy as np

def draws(rng, scale):
    return scale * rng.standard_normal((5, 2))
"""

_UNSENT = r"cannot be sent to other processes \(.*{}.*\); let it make what it needs itself"
_DRAWN = "random generator.*draw from the argument rng"
# What refuses a function that is defined in a notebook, and in a module that the workers can import.
_REFUSED: dict[str, tuple[str, str | None]] = {
    "np.frompyfunc": (_UNSENT.format("twice"), "bend: .*take numpy.vectorize"),
    "np.errstate": (_UNSENT.format("ContextVar"), None),
    "singledispatch": (_UNSENT.format("weakref"), None),
    "lock": (_UNSENT.format("lock"), None),
    "thread-local and weak cache": (_UNSENT.format("(weakref|_local)"), None),
    "open file": (_UNSENT.format("files"), None),
    "random generator": (f"RNG: .*{_DRAWN}", f"RNG: .*{_DRAWN}"),
    "functions of random": (f"gauss: .*{_DRAWN}", f"gauss: .*{_DRAWN}"),
    "method of a generator": (_DRAWN, _DRAWN),
}


@dataclass(frozen=True)
class Kind:
    source: str
    old: str
    new: str
    refused_in_notebook: str | None
    refused_in_module: str | None

    @property
    def is_heavy(self) -> bool:
        """Whether it imports what takes a second to load."""
        return any(words in self.source for words in ("import sympy", "scipy import stats", "scipy.interpolate"))


def _read() -> dict[str, Kind]:
    kinds = {}
    for section in Path(__file__).with_suffix(".txt").read_text().split("#= ")[1:]:
        heading, source = section.split("\n", 1)
        name, _, change = heading.partition(": ")
        old, new = change.split(" -> ") if change else ("1.5", "2.5")
        assert source.count(old) == 1, heading
        kinds[name] = Kind(source, old, new, *_REFUSED.get(name, (None, None)))
    return kinds


KINDS = _read()


def in_notebook(source: str):
    """The function, as a cell of a notebook defines it: in `__main__`, without a file that holds its source."""
    names = {"__name__": "__main__"}
    exec(compile(PREAMBLE + source, "<cell>", "exec"), names)
    return names["sample"]
