"""PyTorch: hooks that come off quickly, and that no copy of a module takes along."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rmt_vn.adapters.torch_tensors import imported_torch

if TYPE_CHECKING:
    import torch

_KEYS = ("_forward_hooks", "_forward_pre_hooks")
_STATE, _COPY = "__getstate__", "__deepcopy__"


class Hooks:
    """Hooks in modules. They hold no module, and can be taken off and set back in a fraction of a microsecond each."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        self._hooks: list[Hook] = []
        self._modules: list[weakref.ref[torch.nn.Module]] = []

    def __len__(self) -> int:
        return len(self._handles)

    def add(self, module: torch.nn.Module, function: Callable[..., None], compiled: Callable[[], None]) -> None:
        """Call a function of the module, its inputs and its output whenever it was called, but not in a compiled graph:
        then call another one, once, while the graph is made."""
        hook = Hook(function, compiled)
        self._own(module, hook, module.register_forward_hook(hook))

    def add_around(self, module: torch.nn.Module, before: Callable[..., None], after: Callable[..., None]) -> None:
        """Call one function before, and one after every call of the module, whether it raises or not.

        Both are given the module and its positional arguments first; before it, the keyword arguments come next.
        """
        for hook, register, options in (
            (Hook(before), module.register_forward_pre_hook, {"with_kwargs": True}),
            (Hook(after), module.register_forward_hook, {"always_call": True}),
        ):
            self._own(module, hook, register(hook, **options))

    def lift(self) -> None:
        """Take all hooks off for a while."""
        for handle in self._handles:
            hooks = handle.hooks_dict_ref()
            if hooks is not None:
                hooks.pop(handle.id, None)

    def restore(self) -> None:
        """Set all hooks back."""
        for handle, hook in zip(self._handles, self._hooks, strict=True):
            hooks = handle.hooks_dict_ref()
            if hooks is not None:
                hooks[handle.id] = hook

    def remove(self) -> None:
        """Take all hooks off for good."""
        for handle in self._handles:
            handle.remove()
        for reference in self._modules:
            module = reference()
            if module is not None and not _numbers_of_ours(module):  # another watch of it may still be on
                _forget_ways(module)
        self._handles, self._hooks, self._modules = [], [], []

    def _own(self, module: torch.nn.Module, hook: Hook, handle: Any) -> None:
        self._handles.append(handle)
        self._hooks.append(hook)
        self._modules.append(weakref.ref(module))
        module.__dict__.setdefault(_STATE, _StateWithoutHooks(module))
        if hasattr(type(module), _COPY):
            module.__dict__.setdefault(_COPY, _CopyWithoutHooks(module))


class Hook:
    """A hook that does nothing in a compiled graph, and nothing in a copy of its module."""

    def __init__(self, function: Callable[..., None], compiled: Callable[[], None] | None = None) -> None:
        self._function, self._when_compiled = function, compiled
        self._is_compiling = imported_torch().compiler.is_compiling

    def __call__(self, *arguments: Any) -> None:
        if self._is_compiling():
            self._note_compiled()
        else:
            self._function(*arguments)

    def _note_compiled(self) -> bool:
        if self._when_compiled is not None:
            self._when_compiled()
        return True

    # What `torch.compiler.assume_constant_result` sets, which takes a second to import: the compiler calls the method
    # once, and compiles nothing of it.
    _note_compiled._dynamo_marked_constant = True  # type: ignore[attr-defined]

    def __reduce__(self) -> tuple[Any, ...]:
        # Of the standard library, so that a saved model can be loaded without this package. It takes anything, and
        # does nothing. Only what is copied or saved in an unusual way has it: see the classes below.
        return getattr, (contextlib.nullcontext(), "__exit__")


class _StateWithoutHooks:
    """What `copy` and `pickle` ask a module for, as an attribute of it: its state, without our hooks."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = weakref.ref(module)

    def __call__(self) -> Any:
        module = self._module()
        assert module is not None  # it is this module that asks
        own: Any = type(module).__getstate__
        state = own(module)
        if not isinstance(state, dict):
            return state
        ours = _numbers_of_ours(module)
        return {
            key: _without(value, ours) if key.startswith("_forward_") else value
            for key, value in state.items()
            if not isinstance(value, (_StateWithoutHooks, _CopyWithoutHooks))
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()  # where a class copies the attributes itself


class _CopyWithoutHooks:
    """What `copy.deepcopy` asks a module for whose class copies it, as parametrized ones: a copy, without our hooks."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = weakref.ref(module)

    def __call__(self, memo: dict[int, Any]) -> Any:
        module = self._module()
        assert module is not None
        own: Any = type(module).__deepcopy__
        copied = own(module, memo)
        ours = _numbers_of_ours(module)
        for key in [each for each in copied.__dict__ if each.startswith("_forward_")]:
            copied.__dict__[key] = _without(copied.__dict__[key], ours)
        for name in (_STATE, _COPY):
            if name in copied.__dict__ and copied.__dict__[name] is None:  # what our own become by copying
                del copied.__dict__[name]
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()


def _forget_ways(module: torch.nn.Module) -> None:
    """Take off the attributes by which a module is copied without our hooks."""
    for name, ours in ((_STATE, _StateWithoutHooks), (_COPY, _CopyWithoutHooks)):
        if isinstance(module.__dict__.get(name), ours):
            del module.__dict__[name]


def _numbers_of_ours(module: torch.nn.Module) -> set[int]:
    """The numbers by which the hooks of this package are known in a module."""
    return {number for key in _KEYS for number, hook in getattr(module, key).items() if isinstance(hook, Hook)}


def _without(hooks: Any, numbers: set[int]) -> Any:
    """A mapping from the numbers of hooks, without some of them."""
    if not hasattr(hooks, "items"):
        return hooks
    return type(hooks)((number, each) for number, each in hooks.items() if number not in numbers)
