"""Kinds of functions that people sweep: for each its source, and a change of it that changes what it returns."""

from __future__ import annotations

import sys
from dataclasses import dataclass

PREAMBLE = """
import numpy as np

def draws(rng, scale):
    return scale * rng.standard_normal((5, 2))
"""


@dataclass(frozen=True)
class Kind:
    """Source of a function `sample`; a change (old, new) of it; what refuses it in a notebook, and in a module."""

    source: str
    change: tuple[str, str]
    in_notebook: str | None = None
    in_module: str | None = None


UNSENT = "sample cannot be sent to other processes .*{}.*; let it make what it needs itself"

KINDS = {
    "function with a helper": Kind(
        "def helper(x):\n    return x + 1.5\ndef sample(scale, *, rng):\n    return helper(draws(rng, scale))",
        ("1.5", "2.5"),
    ),
    "lambda": Kind("sample = lambda scale, *, rng: 1.5 + draws(rng, scale)", ("1.5", "2.5")),
    "closure": Kind(
        "def made(shift):\n    return lambda scale, *, rng: shift + draws(rng, scale)\nsample = made(1.5)",
        ("1.5", "2.5"),
    ),
    "partial": Kind(
        "from functools import partial\ndef shifted(scale, shift, *, rng):\n    return shift + draws(rng, scale)\n"
        "sample = partial(shifted, shift=1.5)",
        ("1.5", "2.5"),
    ),
    "bound method": Kind(
        "class Model:\n    def __init__(self, shift):\n        self.shift = shift\n"
        "    def sample(self, scale, *, rng):\n        return self.shift + draws(rng, scale)\n"
        "sample = Model(1.5).sample",
        ("1.5", "2.5"),
    ),
    "object that can be called": Kind(
        "class Model:\n    def __call__(self, scale, *, rng):\n        return 1.5 + draws(rng, scale)\n"
        "sample = Model()",
        ("1.5", "2.5"),
    ),
    "static method": Kind(
        "class Model:\n    @staticmethod\n    def sample(scale, *, rng):\n        return 1.5 + draws(rng, scale)\n"
        "sample = Model.sample",
        ("1.5", "2.5"),
    ),
    "class method": Kind(
        "class Model:\n    SHIFT = 1.5\n    @classmethod\n    def sample(cls, scale, *, rng):\n"
        "        return cls.SHIFT + draws(rng, scale)\nsample = Model.sample",
        ("1.5", "2.5"),
    ),
    "abstract base class": Kind(
        "from abc import ABC, abstractmethod\nclass Base(ABC):\n    @abstractmethod\n    def shift(self): ...\n"
        "    def __call__(self, scale, *, rng):\n        return self.shift() + draws(rng, scale)\n"
        "class Model(Base):\n    def shift(self):\n        return 1.5\nsample = Model()",
        ("1.5", "2.5"),
    ),
    "protocol": Kind(
        "from typing import Protocol, runtime_checkable\n@runtime_checkable\nclass HasShift(Protocol):\n"
        "    shift: float\nclass Model:\n    shift = 1.5\ndef sample(scale, *, rng):\n"
        "    assert isinstance(Model(), HasShift)\n    return Model.shift + draws(rng, scale)",
        ("1.5", "2.5"),
    ),
    "subclass of Sequence": Kind(
        "from collections.abc import Sequence\nclass Shifts(Sequence):\n    def __len__(self):\n        return 3\n"
        "    def __getitem__(self, index):\n        return 1.5\nSHIFTS = Shifts()\ndef sample(scale, *, rng):\n"
        "    return SHIFTS[0] + draws(rng, scale)",
        ("1.5", "2.5"),
    ),
    "metaclass and super": Kind(
        "class Meta(type):\n    @property\n    def shift(cls):\n        return 1.5\nclass Base(metaclass=Meta):\n"
        "    def of(self, scale, rng):\n        return type(self).shift + draws(rng, scale)\nclass Model(Base):\n"
        "    def __call__(self, scale, *, rng):\n        return super().of(scale, rng)\nsample = Model()",
        ("1.5", "2.5"),
    ),
    "slots": Kind(
        "class Model:\n    __slots__ = ('shift',)\n    def __init__(self, shift):\n        self.shift = shift\n"
        "MODEL = Model(1.5)\ndef sample(scale, *, rng):\n    return MODEL.shift + draws(rng, scale)",
        ("1.5", "2.5"),
    ),
    "dataclass": Kind(
        "from dataclasses import dataclass, field\n@dataclass(frozen=True)\nclass Model:\n    shift: float = 1.5\n"
        "    more: list = field(default_factory=list)\n    def sample(self, scale, *, rng):\n"
        "        return self.shift + draws(rng, scale)\nsample = Model().sample",
        ("1.5", "2.5"),
    ),
    "cached property": Kind(
        "from functools import cached_property\nclass Model:\n    @cached_property\n    def shift(self):\n"
        "        return 1.5\nMODEL = Model()\ndef sample(scale, *, rng):\n    return MODEL.shift + draws(rng, scale)",
        ("1.5", "2.5"),
    ),
    "enumerations": Kind(
        "from enum import Enum, Flag, IntEnum, auto\nclass Shift(Enum):\n    SMALL = 1.5\n    LARGE = 9.5\n"
        "class Bits(Flag):\n    ONE = auto()\n    TWO = auto()\nclass Size(IntEnum):\n    ONE = 1\n"
        "BOTH = Bits.ONE | Bits.TWO\nCHOSEN = Shift.SMALL\ndef sample(scale, *, rng):\n"
        "    assert Bits(3) == BOTH and Size.ONE == 1\n    return CHOSEN.value + draws(rng, scale)",
        ("CHOSEN = Shift.SMALL", "CHOSEN = Shift.LARGE"),
    ),
    "named tuple": Kind(
        "from typing import NamedTuple\nclass Model(NamedTuple):\n    shift: float\n    def twice(self):\n"
        "        return 2 * self.shift\nMODEL = Model(1.5)\ndef sample(scale, *, rng):\n"
        "    return MODEL.twice() + draws(rng, scale)",
        ("2 * self", "3 * self"),
    ),
    "compiled pattern": Kind(
        "import re\nPATTERN = re.compile('1.*')\ndef sample(scale, *, rng):\n"
        "    return float(PATTERN.match('125')[0]) + draws(rng, scale)",
        ("1.*", "12"),
    ),
    "numpy ufunc": Kind(
        "BEND = np.sin\ndef sample(scale, *, rng):\n    return BEND(draws(rng, scale))", ("np.sin", "np.cos")
    ),
    "scipy ufunc": Kind(
        "from scipy import special\nBEND = special.erf\ndef sample(scale, *, rng):\n"
        "    return BEND(special.expit(draws(rng, scale)))",
        ("special.erf", "special.erfc"),
    ),
    "np.vectorize": Kind(
        "@np.vectorize\ndef bend(x):\n    return 1.5 * x\ndef sample(scale, *, rng):\n"
        "    return bend(draws(rng, scale))",
        ("1.5", "2.5"),
    ),
    "np.frompyfunc": Kind(
        "def twice(x):\n    return 1.5 * x\nbend = np.frompyfunc(twice, 1, 1)\ndef sample(scale, *, rng):\n"
        "    return bend(draws(rng, scale)).astype(float)",
        ("1.5", "2.5"),
        in_module="bend: .*take numpy.vectorize",
        in_notebook=UNSENT.format("twice"),
    ),
    "np.errstate": Kind(
        "@np.errstate(over='ignore')\ndef sample(scale, *, rng):\n    return 1.5 + draws(rng, scale)",
        ("1.5", "2.5"),
        in_notebook=UNSENT.format("ContextVar"),
    ),
    "module that logs": Kind(
        "import logging\nlog = logging.getLogger('study')\nlog.addHandler(logging.NullHandler())\n"
        "def sample(scale, *, rng):\n    log.debug('one more')\n    return 1.5 + draws(rng, scale)",
        ("1.5", "2.5"),
    ),
    "lru_cache": Kind(
        "from functools import lru_cache\n@lru_cache\ndef shift(n):\n    return n + 1.5\n"
        "def sample(scale, *, rng):\n    return shift(1) + draws(rng, scale)",
        ("1.5", "2.5"),
    ),
    "decorator with wraps": Kind(
        "from functools import wraps\ndef plus(shift):\n    def decorator(f):\n        @wraps(f)\n"
        "        def wrapper(*args, **names):\n            return shift + f(*args, **names)\n        return wrapper\n"
        "    return decorator\n@plus(1.5)\n@plus(1)\ndef sample(scale, *, rng):\n    return draws(rng, scale)",
        ("1.5", "2.5"),
    ),
    "decorator that is a class": Kind(
        "from functools import update_wrapper\nclass plus:\n    def __init__(self, f):\n        self.f = f\n"
        "        update_wrapper(self, f)\n    def __call__(self, *args, **names):\n"
        "        return 1.5 + self.f(*args, **names)\n@plus\ndef sample(scale, *, rng):\n    return draws(rng, scale)",
        ("1.5", "2.5"),
    ),
    "singledispatch": Kind(
        "from functools import singledispatch\nfrom collections.abc import Iterable\n@singledispatch\n"
        "def shift(x):\n    return 0.5\n@shift.register(float)\ndef _(x):\n    return 1.5\n"
        "@shift.register(Iterable)\ndef _(x):\n    return 3.5\ndef sample(scale, *, rng):\n"
        "    return shift(scale) + draws(rng, scale)",
        ("1.5", "2.5"),
        in_notebook=UNSENT.format("weakref"),
    ),
    "context manager": Kind(
        "from contextlib import contextmanager\n@contextmanager\ndef shifted():\n    yield 1.5\n"
        "def sample(scale, *, rng):\n    with shifted() as shift:\n        return shift + draws(rng, scale)",
        ("1.5", "2.5"),
    ),
    "generator": Kind(
        "def rows(rng, scale):\n    for row in draws(rng, scale):\n        yield row + 1.5\n"
        "def sample(scale, *, rng):\n    return list(rows(rng, scale))",
        ("1.5", "2.5"),
    ),
    "recursion": Kind(
        "def sample(scale, n=3, *, rng):\n    return 1.5 + (sample(scale, n - 1, rng=rng) if n else draws(rng, scale))",
        ("1.5", "2.5"),
    ),
    "recursion in a closure": Kind(
        "def made():\n    def inner(n):\n        return 1.5 if n == 0 else inner(n - 1)\n"
        "    return lambda scale, *, rng: inner(3) + draws(rng, scale)\nsample = made()",
        ("1.5", "2.5"),
    ),
    "mutual recursion": Kind(
        "def even(n):\n    return 1.5 if n == 0 else odd(n - 1)\ndef odd(n):\n    return 0 if n == 0 else even(n - 1)\n"
        "def sample(scale, *, rng):\n    return even(4) + draws(rng, scale)",
        ("1.5", "2.5"),
    ),
    "default that is an array": Kind(
        "def sample(scale, shift=np.array([1.5, 3.0]), *, rng):\n    return shift + draws(rng, scale)", ("1.5", "2.5")
    ),
    "array of two megabytes": Kind(
        "from functools import partial\ndef shifted(scale, table, *, rng):\n    return table[0] + draws(rng, scale)\n"
        "sample = partial(shifted, table=np.full(250_000, 1.5))",
        ("1.5", "2.5"),
    ),
    "names in type hints alone": Kind(
        "Shift = dict[str, 'Unknown']\ndef shift(x: Shift) -> Shift:\n    return x + 1.5\n"
        "def sample(scale: float, *, rng: np.random.Generator) -> np.ndarray:\n"
        "    y: Shift = shift(draws(rng, scale))\n    return y",
        ("1.5", "2.5"),
    ),
    "dicts and sets": Kind(
        "from collections import Counter, OrderedDict, defaultdict\nfrom types import MappingProxyType\n"
        "SETS = {'one', 'two', 'three'}, frozenset({'four', 'five', 1.0, None})\n"
        "MORE = Counter('abca'), OrderedDict(a=1), defaultdict(list, b=[2]), MappingProxyType({'a': 1.5})\n"
        "def sample(scale, *, rng):\n    assert 'four' in SETS[1] and MORE[0]['a'] == 2\n"
        "    return (MORE[3] if 'one' in SETS[0] else {})['a'] + draws(rng, scale)",
        ("1.5", "2.5"),
    ),
    "paths, dates and fractions": Kind(
        "from datetime import UTC, datetime, timedelta\nfrom decimal import Decimal\nfrom fractions import Fraction\n"
        "from pathlib import Path\nfrom uuid import UUID\n"
        "WHERE, WHEN = Path('a') / 'b', datetime(2020, 1, 2, tzinfo=UTC)\n"
        "SHIFT, MORE = Fraction(3, 2), Decimal('0.25')\nID = UUID(int=3)\ndef sample(scale, *, rng):\n"
        "    assert WHERE.name == 'b' and WHEN + timedelta(1) and ID.int == 3\n"
        "    return float(SHIFT) + float(MORE) + draws(rng, scale)",
        ("Fraction(3, 2)", "Fraction(5, 2)"),
    ),
    "functions of operator": Kind(
        "from operator import attrgetter, itemgetter\nFIRST, REAL = itemgetter(0), attrgetter('real')\n"
        "def sample(scale, *, rng):\n    return FIRST([1.5, 2]) + REAL(draws(rng, scale)) + 'ab'.count('a')",
        ("itemgetter(0)", "itemgetter(1)"),
    ),
    "frozen distribution": Kind(
        "from scipy import stats\nLAW = stats.norm(1.5, 0.5)\ndef sample(scale, *, rng):\n"
        "    return scale * LAW.rvs((5, 2), random_state=rng)",
        ("1.5", "2.5"),
    ),
    "distribution of one's own": Kind(
        "from scipy import stats\nclass Law(stats.rv_continuous):\n    def _ppf(self, q):\n        return 1.5 * q\n"
        "LAW = Law(name='law')\ndef sample(scale, *, rng):\n    return scale * LAW.ppf(rng.random((5, 2)))",
        ("1.5", "2.5"),
    ),
    "many-dimensional distribution": Kind(
        "from scipy import stats\nLAW = stats.multivariate_normal([0, 1.5])\ndef sample(scale, *, rng):\n"
        "    return scale * LAW.rvs(5, random_state=rng)",
        ("1.5", "2.5"),
    ),
    "interpolator": Kind(
        "from scipy.interpolate import CubicSpline\nBEND = CubicSpline([0, 1, 2], [0, 1.5, 4])\n"
        "def sample(scale, *, rng):\n    return BEND(draws(rng, scale))",
        ("1.5", "2.5"),
    ),
    "sympy lambdified": Kind(
        "import sympy\nx = sympy.Symbol('x')\nBEND = sympy.lambdify(x, sympy.sin(x) + 1.5)\n"
        "def sample(scale, *, rng):\n    return BEND(draws(rng, scale))",
        ("1.5", "2.5"),
    ),
    "lock": Kind(
        "import threading\nLOCK = threading.Lock()\ndef sample(scale, *, rng):\n    with LOCK:\n"
        "        return 1.5 + draws(rng, scale)",
        ("1.5", "2.5"),
        in_notebook=UNSENT.format("lock"),
    ),
    "thread-local and weak cache": Kind(
        "import threading, weakref\nLOCAL, CACHE = threading.local(), weakref.WeakValueDictionary()\n"
        "def sample(scale, *, rng):\n    LOCAL.calls = len(CACHE)\n    return 1.5 + draws(rng, scale)",
        ("1.5", "2.5"),
        in_notebook=UNSENT.format("thread._local|weakref"),
    ),
    "open file": Kind(
        "FILE = open(2, 'w', closefd=False)\ndef sample(scale, *, rng):\n    assert FILE.writable()\n"
        "    return 1.5 + draws(rng, scale)",
        ("1.5", "2.5"),
        in_notebook=UNSENT.format("files"),
    ),
    "random generator": Kind(
        "RNG = np.random.default_rng(0)\ndef sample(scale, *, rng):\n    return 1.5 + draws(RNG, scale)",
        ("1.5", "2.5"),
        in_notebook="RNG: .*random generator.*draw from the argument rng",
        in_module="RNG: .*random generator.*draw from the argument rng",
    ),
    "functions of random": Kind(
        "from random import gauss\ndef sample(scale, *, rng):\n    return [1.5 + scale * gauss(0, 1)]",
        ("1.5", "2.5"),
        in_notebook="gauss: .*random generator.*draw from the argument rng",
        in_module="gauss: .*random generator.*draw from the argument rng",
    ),
    "method of a generator": Kind(
        "sample = np.random.default_rng(1).normal  # 1.5",
        ("1.5", "2.5"),
        in_notebook="random generator.*draw from the argument rng",
        in_module="random generator.*draw from the argument rng",
    ),
}


def in_notebook(source: str):
    """The function, as a cell of a notebook defines it: in `__main__`, without a file that holds its source."""
    names = {"__name__": "__main__"}
    exec(compile(PREAMBLE + source, "<cell>", "exec"), names)
    return names["sample"]


if __name__ == "__main__":  # in a process of its own
    from rmt_vn.experiments.fingerprint import fingerprint

    for kind in KINDS.values():
        try:
            print(fingerprint(in_notebook(kind.source)))
        except TypeError:
            print("refused", file=sys.stdout)
