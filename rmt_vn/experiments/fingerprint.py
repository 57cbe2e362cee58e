"""A digest of all that a result depends on: the parameters, and the code of every function that may run.

The code is taken from the loaded functions, not from files: it is what will run, also in a notebook, and neither
comments nor docstrings nor other code of the same file count.
"""

from __future__ import annotations

import dataclasses
import dis
import functools
import hashlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np

# Objects that hold functions, and where they hold them.
_WRAPPERS = {property: "fget", functools.cached_property: "func", staticmethod: "__func__", classmethod: "__func__"}
_CONSTANTS = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))

Memo = dict[int, tuple[object, str]]


def fingerprint(thing: object, memo: Memo | None = None) -> str:
    """A digest that changes whenever `thing`, or code that it can call, changes.

    Functions are followed into everything that they name: other functions, classes and constants, of this package and
    of the caller's own files. For the standard library and installed packages the version counts instead.

    Parameters
    ----------
    thing : object
        Numbers, strings, containers, arrays, functions, dataclasses, and other objects that could be pickled.
    memo : dict, optional
        Passed from call to call it saves following a function twice. It is valid only as long as no code changes.

    Returns
    -------
    str
        64 hexadecimal digits, the same in every process.

    Raises
    ------
    TypeError
        If `thing` holds something that cannot be described, such as an open file.

    Notes
    -----
    Imports inside functions, and functions found by a name that is made at run time, are not followed.
    """
    digest = hashlib.sha256()
    for word in _words(thing, set(), {} if memo is None else memo):
        digest.update(word.encode(errors="backslashreplace") + b"\0")
    return digest.hexdigest()


def _words(thing: object, seen: set[int], memo: Memo) -> Iterator[str]:
    """The description of `thing`, piece by piece; `seen` are the functions and classes already on the way here."""
    if isinstance(thing, _CONSTANTS):
        yield f"{type(thing).__name__} {thing!r}"
    elif thing is np.random.mtrand._rand:
        # Every distribution of scipy.stats holds it. Its state is another in each process.
        yield "numpy's global random state"
    elif isinstance(thing, types.BuiltinFunctionType):
        yield f"built-in {thing.__qualname__} {_version(thing.__module__)}"
        yield from _words(thing.__self__, seen, memo)  # its module, or what it is a method of
    elif isinstance(thing, tuple | list):
        yield f"{type(thing).__name__} of {len(thing)}"
        for each in thing:
            yield from _words(each, seen, memo)
    elif isinstance(thing, dict | set | frozenset):
        # Sorted, since neither the order of keywords nor that of a set matters.
        each_of = thing.items() if isinstance(thing, dict) else thing
        yield f"{type(thing).__name__} of {len(thing)}"
        yield from sorted("\0".join(_words(each, set(seen), memo)) for each in each_of)
    elif isinstance(thing, types.CodeType):
        yield from _code_words(thing, None, seen, memo)
    elif isinstance(thing, types.ModuleType):
        yield f"module {thing.__name__} {_version(thing.__name__)}"
    elif isinstance(thing, np.ufunc):
        yield f"ufunc {thing.__name__}"
    elif isinstance(thing, types.FunctionType | type):
        yield from _once(thing, seen, memo)
    elif dataclasses.is_dataclass(thing):
        yield from _words(type(thing), seen, memo)
        yield from _words([getattr(thing, field.name) for field in dataclasses.fields(thing)], seen, memo)
    elif type(thing) in _WRAPPERS:
        yield from _words(getattr(thing, _WRAPPERS[type(thing)]), seen, memo)
    elif hasattr(thing, "__wrapped__"):
        yield from _words(thing.__wrapped__, seen, memo)
    elif isinstance(thing, types.MethodType):
        yield from _words((thing.__self__, thing.__func__), seen, memo)
    else:
        reduced = thing.__reduce_ex__(4)  # what pickle would write; a string is a global name
        yield f"object {type(thing).__module__}.{type(thing).__qualname__} {_version(type(thing).__module__)}"
        parts = (reduced,) if isinstance(reduced, str) else reduced
        for part in parts:
            yield from _words(list(part) if isinstance(part, Iterator) else part, seen, memo)


def _once(thing: types.FunctionType | type, seen: set[int], memo: Memo) -> Iterator[str]:
    """A function or class: its digest if the walk begins at it, its full description if other code led to it."""
    if not seen:
        # Only a walk that begins here is worth remembering: inside a cycle, where A calls B and B calls A, the
        # description of B leaves out A, which was there already.
        if id(thing) not in memo:
            words = "\0".join(_parts(thing, {id(thing)}, memo))
            digest = hashlib.sha256(words.encode(errors="backslashreplace")).hexdigest()
            memo[id(thing)] = (thing, digest)  # a reference to `thing` is kept, so that no other object gets its id
        yield memo[id(thing)][1]
    elif id(thing) not in seen:
        seen.add(id(thing))
        yield from _parts(thing, seen, memo)


def _parts(thing: types.FunctionType | type, seen: set[int], memo: Memo) -> Iterator[str]:
    # Where a function was defined, also under a decorator; code that was run by exec has no module.
    home = thing.__module__ if isinstance(thing, type) else thing.__globals__.get("__name__", "__main__")
    yield f"{home}.{thing.__qualname__}"
    if _is_installed(home):
        yield _version(home)
        if not isinstance(thing, type) and not _is_installed(thing.__module__):
            # What a decorator from elsewhere made of a function of ours: the function, and what the decorator was
            # given, lie in its closure.
            yield from _words([cell.cell_contents for cell in thing.__closure__ or ()], seen, memo)
    elif isinstance(thing, type):
        for name, value in sorted(vars(thing).items()):
            if isinstance(value, (types.FunctionType, *_WRAPPERS)) or not (
                name.startswith("__") or isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType)
            ):
                yield name
                yield from _words(value, seen, memo)
        yield from _words(thing.__bases__, seen, memo)
    else:
        cells = [cell.cell_contents for cell in thing.__closure__ or ()]
        yield from _code_words(thing.__code__, thing.__doc__, seen, memo)
        yield from _words([thing.__defaults__, thing.__kwdefaults__, cells], seen, memo)
        used = {name for code in _nested(thing.__code__) for name in _globals_used(code)}
        names = sorted({name for code in _nested(thing.__code__) for name in code.co_names})
        for name in sorted(used & set(thing.__globals__)):
            yield name
            value = thing.__globals__[name]
            if isinstance(value, types.ModuleType) and not _is_installed(value.__name__):
                # What is used of the module is among the names too.
                value = [getattr(value, each) for each in names if hasattr(value, each)]
            yield from _words(value, seen, memo)


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of a function and of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _globals_used(code: types.CodeType) -> Iterator[str]:
    return (step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"))


def _code_words(code: types.CodeType, doc: str | None, seen: set[int], memo: Memo) -> Iterator[str]:
    yield code.co_code.hex()
    constants = code.co_consts[1:] if doc is not None and code.co_consts[:1] == (doc,) else code.co_consts
    yield from _words([*constants, code.co_names, code.co_varnames, code.co_freevars], seen, memo)


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
