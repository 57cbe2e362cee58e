"""A digest of all that a result depends on: the parameters, and the code of every function that may run.

The code is taken from the loaded functions, not from files: it is what will run, also in a notebook, and neither
comments nor docstrings nor other code of the same file count.
"""

from __future__ import annotations

import copyreg
import dis
import functools
import hashlib
import random
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Code = types.FunctionType | type
Memo = dict[int, tuple[object, str]]

_CONSTANTS = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))
# What counts of objects that hold functions; the rest of them may be a cache, which changes as they are called.
_HOLDERS = {
    property: ("fget", "fset", "fdel"),
    functools.cached_property: ("func",),
    functools.partial: ("func", "args", "keywords"),
    type(functools.lru_cache(len)): ("__wrapped__",),
    np.vectorize: ("pyfunc", "otypes", "excluded", "signature"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    types.MethodType: ("__func__", "__self__"),
}
# Members of a class that follow from the others: annotations, and the members of an enumeration by value.
_LEFT_OUT = {"__annotate__", "__annotate_func__", "_value2member_map_"}


def fingerprint(thing: object, memo: Memo | None = None) -> str:
    """A digest that changes whenever `thing`, or code that it can call, changes.

    Functions are followed into everything that they name: other functions, classes and constants, of this package and
    of the caller's own files, with their defaults and closures. For the standard library and installed packages the
    version counts instead.

    Parameters
    ----------
    thing : object
        Numbers, strings, containers, arrays, functions, objects of any class.
    memo : dict, optional
        Passed from call to call it saves following a function twice. It is valid only as long as no code changes.

    Returns
    -------
    str
        64 hexadecimal digits, the same in every process.

    Raises
    ------
    TypeError
        If `thing` holds, or its code names, a random generator (whose state is another after every draw), a function
        that numpy hides (`numpy.frompyfunc`), or containers nested too deeply.

    Notes
    -----
    Not seen: imports inside functions, what is found by a name made at run time, what lies in files, and the inside of
    objects that pickle cannot take apart (locks, open files), of which the class counts.
    """
    programs: Memo = {} if memo is None else memo

    def whole(code: Code) -> list[object]:
        if id(code) not in programs:
            programs[id(code)] = (code, _program(code))
        return [programs[id(code)][1]]

    return _hashed([_described(thing, whole, {})])


def _program(root: Code) -> str:
    """The digest of a function or class with all that it can reach by names, as a set of equations name = description.

    A set has no order and no copies: functions that call each other are no matter, and a worker that was sent a copy of
    a function, where other functions find the original, has the same equations.
    """
    equations: set[str] = set()
    waiting: list[tuple[str, object]] = [("", root)]
    reached: set[tuple[str, int]] = set()
    parts: dict[int, list[object]] = {}

    def expand(code: Code) -> list[object]:
        if id(code) not in parts:
            parts[id(code)] = _members(code) if isinstance(code, type) else _inside(code)
            waiting.extend(() if isinstance(code, type) else _named(code).items())
        return parts[id(code)]

    while waiting:
        name, value = waiting.pop()
        if (name, id(value)) not in reached:
            reached.add((name, id(value)))
            try:
                equations.add(f"{name} = {_described(value, expand, {})}")
            except TypeError as error:
                raise TypeError(f"{name}: {error}" if name else str(error)) from None
    return _hashed(sorted(equations))


def _described(thing: Any, expand: Callable[[Code], list[object]], done: Memo, level: int = 0) -> str:
    """A short text, or the digest of a long one, that equal things have in common and no others.

    `expand` says what functions and classes consist of, `done` holds what was described on the way here.
    """
    kind = type(thing)
    if kind in _CONSTANTS:
        text = hex(thing) if kind is int else repr(thing)
        return text if len(text) < 100 else _hashed([text])
    if id(thing) not in done:
        # Until the description is known: a circle leads back to it.
        done[id(thing)] = (thing, f"what is {level} levels down")
        try:
            label, parts = _taken_apart(thing, expand)
            inner = (_described(each, expand, done, level + 1) for each in parts)
            # Neither the order of keywords nor that of a set matters.
            texts = sorted(inner) if kind in (dict, types.MappingProxyType, set, frozenset) else inner
            done[id(thing)] = (thing, _hashed([label, *texts]))
        except RecursionError:
            raise TypeError("a result cannot depend on what is nested so deeply") from None
    return done[id(thing)][1]


def _taken_apart(thing: Any, expand: Callable[[Code], list[object]]) -> tuple[str, Iterable[object]]:
    """A label, and the parts that are to be described in turn."""
    kind = type(thing)
    label = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(thing, types.FunctionType | type):
        return "code", expand(thing)
    if kind in (tuple, list, set, frozenset):
        return label, thing
    if kind in (dict, types.MappingProxyType):
        return label, thing.items()
    if kind in (np.ndarray, np.memmap) and not thing.dtype.hasobject:
        # Workers are sent large arrays as maps of a file.
        return f"array {thing.dtype} {thing.shape}", [hashlib.sha256(thing.tobytes()).hexdigest()]
    if hasattr(kind, "untyped_storage"):
        # A tensor of PyTorch, whose pickled form tells where in memory it lies.
        flat = thing.detach().cpu().contiguous().flatten().view(sys.modules["torch"].uint8)
        return f"tensor {thing.dtype} {tuple(thing.shape)}", [hashlib.sha256(flat.numpy().tobytes()).hexdigest()]
    if kind in _HOLDERS:
        return label, [getattr(thing, name) for name in _HOLDERS[kind]]
    if kind is types.CodeType:
        return label, _instructions(thing)
    if kind is types.ModuleType:
        return label, [thing.__name__, _version(thing.__name__)]
    if kind is types.BuiltinFunctionType:
        # It belongs to its module, or is the method of an object.
        return label, [thing.__qualname__, _version(thing.__module__), thing.__self__]
    if isinstance(thing, np.random.Generator | np.random.RandomState | random.Random):
        raise TypeError(
            "a result cannot depend on a random generator that is there before (its state is another after every draw "
            f"and in every process), got {label}; draw from the argument rng, or keep a seed"
        )
    if kind is np.ufunc and set("".join(thing.types)) == set("O->"):
        raise TypeError(f"the code in {thing.__name__!r} by numpy.frompyfunc cannot be seen; take numpy.vectorize")
    return label, [kind, *_state(thing)]


def _state(thing: Any) -> list[object]:
    """What pickle would write about an object; nothing if pickle cannot take it apart."""
    try:
        reduce = copyreg.dispatch_table.get(type(thing))
        reduced = reduce(thing) if reduce else thing.__reduce_ex__(4)
    except Exception:  # it may be raised by anybody's code
        return []
    if isinstance(reduced, str):  # the name of a global thing
        return [reduced, getattr(thing, "__module__", None)]
    make, arguments, state, *items = reduced if len(reduced) > 2 else (*reduced, None)
    attributes = state if type(state) is tuple and len(state) == 2 else (state,)
    if all(type(each) in (dict, type(None)) for each in attributes):
        # Those in slots apart from the others: a worker may be sent a copy of the class that has no slots.
        both = {name: value for each in attributes for name, value in (each or {}).items()}
        state = {name: value for name, value in both.items() if not _is_left_out(thing, name, value)}
    return [make, arguments, state, *(list(each) if isinstance(each, Iterator) else each for each in items)]


def _is_left_out(thing: object, name: object, value: object) -> bool:
    """Whether an attribute follows from the others, or belongs to one process."""
    if name == "_random_state":  # every distribution of scipy.stats holds the global one
        return isinstance(value, np.random.RandomState)
    return isinstance(name, str) and isinstance(getattr(type(thing), name, None), functools.cached_property)


def _members(thing: type) -> list[object]:
    home = _home(thing)
    if _is_installed(home):
        return [home, thing.__qualname__, _version(home)]
    members = {
        name: value
        for name, value in vars(thing).items()
        # The others with such names, like __doc__ and __slots__, are not run or are seen in what is run.
        if (callable(value) or type(value) in _HOLDERS or not name.startswith("__"))
        and not (name in _LEFT_OUT or type(value) is types.MemberDescriptorType)
    }
    return [home, thing.__qualname__, type(thing), thing.__bases__, members]


def _inside(thing: types.FunctionType) -> list[object]:
    """What a function consists of, without what it finds by global names."""
    home = _home(thing)
    if "registry" in vars(thing):  # by functools.singledispatch, whose closure holds a cache
        return [home, thing.__qualname__, vars(thing)["registry"]]
    closure = [_content(cell) for cell in thing.__closure__ or ()]
    if _is_installed(home):
        # What a decorator from elsewhere made of a function, and what the decorator was given, lie in the closure.
        return [home, thing.__qualname__, _version(home), closure]
    code = thing.__code__
    if thing.__doc__ is not None and code.co_consts[:1] == (thing.__doc__,):
        code = code.replace(co_consts=(None, *code.co_consts[1:]))
    return [home, thing.__qualname__, code, thing.__defaults__, thing.__kwdefaults__, closure, vars(thing)]


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # nothing was assigned to the variable, or it was deleted
        return types.CellType


def _named(thing: types.FunctionType) -> dict[str, object]:
    """The global things that a function names, and what it names of modules that are not installed."""
    if _is_installed(_home(thing)):
        return {}
    codes = list(_nested(thing.__code__))
    steps = [step for code in codes for step in dis.get_instructions(code)]
    used = {step.argval for step in steps if step.opname == "LOAD_NAME" or "GLOBAL" in step.opname}
    names = {name for code in codes for name in code.co_names}
    found = {f"{_home(thing)}.{name}": thing.__globals__[name] for name in used & set(thing.__globals__)}
    modules = list(found.values())
    for module in modules:
        if type(module) is types.ModuleType and not _is_installed(module.__name__):
            parts = {f"{module.__name__}.{name}": getattr(module, name) for name in names if hasattr(module, name)}
            modules += [value for name, value in parts.items() if name not in found]
            found |= parts
    return found


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of a function and of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _instructions(code: types.CodeType) -> list[object]:
    arguments = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars)
    return [code.co_code, code.co_exceptiontable, code.co_consts, names, arguments]


def _home(thing: Code) -> str:
    """The module where a function, also under a decorator, or a class was defined; code run by exec may have none."""
    if isinstance(thing, type):
        return thing.__module__ if isinstance(thing.__module__, str) else "builtins"  # Cython has others
    return thing.__globals__.get("__name__", "__main__")


@functools.cache
def _is_installed(module: str | None) -> bool:
    """Whether a module belongs to Python or to an installed package, for which the version is enough."""
    root = (module or "builtins").partition(".")[0]
    if root in ("__main__", __name__.partition(".")[0]):
        return False
    file = getattr(sys.modules.get(root), "__file__", None) or ""
    return root in sys.stdlib_module_names or bool({"site-packages", "dist-packages"} & set(Path(file).parts))


def _version(module: str | None) -> str:
    root = (module or "builtins").partition(".")[0]
    return str(getattr(sys.modules.get(root), "__version__", "")) or f"Python {sys.version_info[:2]}"


def _hashed(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode(errors="backslashreplace") + b"\0")
    return digest.hexdigest()
