"""PyTorch: hooks that record the outputs of modules while a model runs, and leave the run as it is."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from rmt_vn.adapters.torch_collected import Batch
from rmt_vn.adapters.torch_hooks import Hooks
from rmt_vn.adapters.torch_layers import axis_of_items, has_sequences_first, telling_modules
from rmt_vn.adapters.torch_layouts import UNKNOWN_AXIS, Kind, Layout, Layouts, kind_of, layout_of
from rmt_vn.adapters.torch_records import BYPASSED, COMPILED, Call, Records
from rmt_vn.adapters.torch_tensors import first_tensor, number_of_backward, numbers, why_unreadable
from rmt_vn.checks import one_line

if TYPE_CHECKING:
    import torch

# From the arguments of the model, a tensor (batch, time): true where there is no padding.
Mask = Callable[..., Any]

# Calls of one module in one pass that are told apart.
_MOST_CALLS = 64
_TOO_MANY_CALLS = f"beyond the {_MOST_CALLS}th of a pass were not recorded"


@dataclass
class _Pass:
    """A pass of the model.

    Whether it is recorded, how often each module was called, by its id, the layouts, and which positions of its
    sequences are no padding: an array (items, times), or what kept it from being known.
    """

    recorded: bool
    calls: Counter[int] = field(default_factory=Counter)
    layouts: Layouts = field(default_factory=Layouts)
    mask: np.ndarray | str | None = None


# Of all passes that are not recorded nothing is remembered: to make one takes as long as a small layer.
_UNRECORDED = _Pass(False)


@dataclass(frozen=True)
class _Hooked:
    """A module with a hook: one that is watched, or one that only tells what feeds others."""

    name: str
    kind: Kind
    watched: bool


class Recorder:
    """Hooks of a model and its modules, and the records that they make.

    Modules are held by weak references, and the hooks are in the modules only: a recorder keeps no model alive.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        chosen: Mapping[str, torch.nn.Module],
        *,
        every: int,
        axes: Mapping[str, int],
        most_nodes: int,
        mask: Mask | None,
    ) -> None:
        self._mask = mask
        self._model = weakref.ref(model)
        self._modules = {name: weakref.ref(module) for name, module in chosen.items()}
        self._every, self._axes, self._most_nodes = every, axes, most_nodes
        self._items = axis_of_items(model)
        self._is_unsure = any(
            kind_of(module).rule in ("kept", "unknown") for name, module in chosen.items() if name not in axes
        )
        # Else all modules know their layout by themselves, and what they would tell others costs time.
        self._is_telling = self._is_unsure or has_sequences_first(model)
        self._lasting, self._lifted = Hooks(), Hooks()
        self._is_lifted = False
        self._number_of_backward = number_of_backward()
        self.clear()

    @property
    def is_running(self) -> bool:
        return bool(len(self._lasting))

    def clear(self) -> None:
        """Begin new records, of which the next pass is the first."""
        self.records = Records()
        self._open: dict[int, _Pass] = {}
        self._outside = _Pass(self._every == 1)

    def start(self) -> None:
        """Set the hooks.

        Raises
        ------
        RuntimeError
            If they are set, or the model exists no longer.
        """
        model = self._model()
        if self.is_running:
            raise RuntimeError("this watch is entered already")
        if model is None:
            raise RuntimeError("the model of this watch exists no longer")
        self._open.clear()
        self._is_lifted = False
        sentinel = next(iter(self._modules))
        for name, module in self._hooked(model).items():
            hooked = _Hooked(name, kind_of(module), name in self._modules)
            # The hook of the model itself must come before the end of the pass, and so stays where it is.
            hooks = self._lasting if module is model or name == sentinel else self._lifted
            hooks.add(module, partial(self._called, hooked), partial(self._compiled, hooked))
        self._lasting.add_around(model, self._before_pass, self._after_pass)

    def stop(self) -> None:
        """Remove the hooks."""
        self._lifted.remove()
        self._lasting.remove()

    def _hooked(self, model: torch.nn.Module) -> dict[str, torch.nn.Module]:
        """The watched modules, and those that may tell what feeds them, if one does not know its axis by itself."""
        watched = {name: module for name, ref in self._modules.items() if (module := ref()) is not None}
        if not self._is_unsure:
            return watched
        others = {name: module for name, module in telling_modules(model).items() if name not in watched}
        return {**others, **watched}

    def _before_pass(self, _: object, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        if self._number_of_backward() != -1:
            return
        with self.records.lock:
            recorded = self.records.n_passes % self._every == 0
            mask = None
            if recorded and self._mask is not None:
                mask = _mask_of(self._mask, arguments, keywords)
            self._open[threading.get_ident()] = _Pass(True, mask=mask) if recorded else _UNRECORDED
            self.records.n_passes += 1
            if recorded == self._is_lifted and not any(each.recorded for each in self._others_open()):
                self._lift_or_restore()

    def _after_pass(self, *_: object) -> None:
        with self.records.lock:
            self._open.pop(threading.get_ident(), None)

    def _lift_or_restore(self) -> None:
        """Take hooks off before a pass that is not recorded, and set them back before one that is.

        Behind a recorded pass they stay until the next pass begins, and the first layer has a hook all the time: to
        see calls that bypass the model, of which there would be no trace else.
        """
        (self._lifted.restore if self._is_lifted else self._lifted.lift)()
        self._is_lifted = not self._is_lifted

    def _others_open(self) -> list[_Pass]:
        thread = threading.get_ident()
        return [each for number, each in self._open.items() if number != thread]

    def _called(self, hooked: _Hooked, module: object, inputs: Any, output: Any) -> None:
        """What the hook of a module does. Nothing that it meets may disturb the run."""
        mine = self._open.get(threading.get_ident())
        if (mine is not None and not mine.recorded) or self._number_of_backward() != -1:
            return
        now, number = self._counted(hooked, module)
        call, wanted = (hooked.name, number), hooked.watched and number <= _MOST_CALLS
        if not now.recorded:
            if hooked.watched and now is self._outside:
                self.records.skip((hooked.name, 1), BYPASSED)
            return
        if hooked.watched and not wanted:
            self.records.skip((hooked.name, 1), _TOO_MANY_CALLS)
        try:
            batch = self._read(hooked, call, now.layouts, inputs, output)
            if wanted and batch is not None and now.mask is not None:
                batch = batch.without_padding(now.mask)
            if wanted and batch is not None and not self.records.is_broken(call):
                self.records.add(call, batch)
        except Exception as error:
            if wanted:
                self.records.spoil(call, one_line(error))

    def _compiled(self, hooked: _Hooked) -> None:
        if hooked.watched:
            self.records.skip((hooked.name, 1), COMPILED)

    def _counted(self, hooked: _Hooked, module: object) -> tuple[_Pass, int]:
        """The pass in which a module is called, and how often it was: outside passes, always once.

        Replicas of a module, each in a thread of its own, are counted each by itself.
        """
        with self.records.lock:
            now = self._open.get(threading.get_ident()) or next(reversed(self._open.values()), self._outside)
            if not now.recorded or now is self._outside:
                return now, 1
            now.calls[id(module)] += 1
            return now, now.calls[id(module)]

    def _read(self, hooked: _Hooked, call: Call, layouts: Layouts, inputs: Any, output: Any) -> Batch | None:
        """The samples of a call, if it is watched and its output can be read; the layout is remembered anyway.

        Raises
        ------
        TypeError, ValueError
            If the output is no tensor, or the axis of its nodes is not known.
        """
        if isinstance(output, tuple) and output and hasattr(output[0], "batch_sizes"):
            return Batch.of_packed(output[0], self._most_nodes) if hooked.watched else None
        tensor = first_tensor(output)
        if reason := why_unreadable(tensor):
            if hooked.watched:
                self.records.skip(call, f"could not be read: {reason}")
            return None
        if tensor.is_nested:
            return Batch.of_nested(tensor, self._most_nodes) if hooked.watched else None
        if tensor.ndim == 1 and hooked.kind.rule == "last":
            tensor = tensor[None]  # one sample, without the axis of a batch
        layout = self._layout(hooked, tensor, inputs, layouts)
        if layout is not None and self._is_telling:
            layouts.note(tensor, layout)
        if not hooked.watched:
            return None
        if layout is None:
            raise ValueError(UNKNOWN_AXIS.format(shape=tuple(tensor.shape)))
        return Batch.of(tensor, layout, self._most_nodes)

    def _layout(self, hooked: _Hooked, tensor: Any, inputs: Any, layouts: Layouts) -> Layout | None:
        if hooked.name in self._axes:
            axis = self._axes[hooked.name]
            return Layout(axis, 1 if axis in (0, -tensor.ndim) else 0)
        if tensor.ndim < 2:
            raise ValueError(f"its output must have two axes (samples, nodes) or more, got shape {tuple(tensor.shape)}")
        return layout_of(hooked.kind, tensor, inputs, layouts, self._items)


def _mask_of(mask: Mask, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> np.ndarray | str:
    """Which positions are no padding; or, since nothing here may disturb the run, why that is not known."""
    try:
        found = numbers(mask(*arguments, **keywords))
    except Exception as error:
        return f"mask failed: {one_line(error)}"
    if found.ndim != 2:
        return f"mask must give two axes (batch, time), got shape {found.shape}"
    return found.astype(bool)
