"""PyTorch: whether what was seen of a model is a chain x_l = φ(W_l x_{l−1} + b_l), of which φ, and why it is none.

Given the numbers that replaced the output of each layer (`rmt_vn.adapters.torch_probe`), the model is the network that
is read from it if every layer computes W x + b, gets φ of the numbers of the layer before and nothing else, and the
output follows from the numbers of the last one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np

from rmt_vn import activations
from rmt_vn.activations import Activation
from rmt_vn.adapters.torch_probe import Call, Passed, Run, Trace, is_dropout


def why_no_chain(linear: list[str], run: Run, given: Activation | None) -> str | None:
    """What makes a model no chain of its linear modules, with some φ between any two; None if they are one.

    Parameters
    ----------
    linear : list of str
        The names of all linear modules of the model.
    run : callable
        As `torch_probe.probed` returns it.
    given : Activation or None
        A φ that theory knows beside those of `rmt_vn.activations`.
    """
    first = run(0)
    checks: tuple[Callable[[], str | None], ...] = (
        lambda: _calls(linear, first.calls),
        lambda: _unusable(first.calls),
        lambda: _computed(first),
        lambda: _random(first, run(0)),
        lambda: _input(first),
        lambda: _tied(first.calls),
        *(partial(_connection, first, run, k, given) for k in range(1, len(first.calls))),
        lambda: _output(first, run),
    )
    return next((reason for check in checks if (reason := check()) is not None), None)


def activation_between(trace: Trace, given: Activation | None) -> Activation:
    """The φ between all layers: the one that is given, or the one that the numbers show.

    Raises
    ------
    ValueError
        If it is not the same everywhere, not the given one, or none that theory here knows.
    """
    kinds: dict[Activation, str] = {}
    for call, after in pairwise(trace.calls):
        where = f"between {call.name!r} and {after.name!r}"
        phi = _known_phi(call.replaced, after.entered, trace.tolerance, given)
        if phi is None:
            raise ValueError(f"what it computes {where} is no activation that theory here knows")
        if given is not None and phi != given:
            raise ValueError(f"{where} it computes {phi.name}, not {given.name} as `activation` says")
        kinds.setdefault(phi, where)
    if given is not None:
        return given
    if len(kinds) > 1:
        told = ", ".join(f"{phi.name} {where}" for phi, where in sorted(kinds.items(), key=lambda each: each[0].name))
        raise ValueError(f"its layers have different activations: {told}")
    return next(iter(kinds), activations.get("linear"))


def kept(trace: Trace, training: dict[str, bool], activation: Activation) -> float:
    """The probability with which the dropout modules between the layers keep a node, in the mode that the model has.

    Raises
    ------
    ValueError
        If it is not the same behind all layers but the last, or dropout is where Network has none.
    """
    if any(_is_active(each, training) for each in trace.before):
        raise ValueError("it has dropout of its inputs, and Network has none")
    probabilities = []
    for call, after in pairwise(trace.calls):
        probability = 1.0
        for each in call.passed:
            if _is_active(each, training):
                if type(each.module).__name__ != "Dropout":
                    raise ValueError(f"{each.name!r} is {type(each.module).__name__}, and Network knows Dropout alone")
                if not activation.is_homogeneous and not _same(each.left, after.entered, trace.tolerance):
                    raise ValueError(f"{each.name!r} drops nodes before {activation.name}, and Network behind it")
                probability *= 1 - each.module.p
        probabilities.append(probability)
    different = sorted(set(probabilities))
    if len(different) > 1:
        raise ValueError(f"its layers have different dropout: they keep nodes with probabilities {different}")
    return different[0] if different else 1.0


def _is_active(passed: Passed, training: dict[str, bool]) -> bool:
    return is_dropout(passed.module) and training[passed.name] and passed.module.p > 0


def _calls(linear: list[str], calls: list[Call]) -> str | None:
    times = Counter(call.name for call in calls)
    for name in linear:
        if times[name] != 1:
            how = (
                f"called {times[name]} times, and layers of a Network are independent" if times[name] else "not called"
            )
            return f"its linear module {name!r} is {how}"
    return None


def _unusable(calls: list[Call]) -> str | None:
    for call in calls:
        if not (np.isfinite(call.weight).all() and np.isfinite(call.bias).all()):
            return f"its layer {call.name!r} has weights or biases that are not finite"
        if not call.weight.any():
            return f"all weights of its layer {call.name!r} are 0"
    return None


def _computed(trace: Trace) -> str | None:
    for call in trace.calls:
        if not _same(call.entered @ call.weight.T + call.bias, call.left, trace.tolerance):
            return f"its linear module {call.name!r} computes something else than W x + b"
    return None


def _random(first: Trace, again: Trace) -> str | None:
    for call, repeated in zip(first.calls, again.calls, strict=False):
        if not _same(call.entered, repeated.entered, 0):
            return f"what enters {call.name!r} is random; dropout can be read if it is a module"
    if _differ(first.output, again.output):
        return "its output is random; dropout can be read if it is a module"
    return None


def _input(trace: Trace) -> str | None:
    call = trace.calls[0]
    if _same(call.entered, trace.probe, trace.tolerance):
        return None
    return f"what enters its first layer {call.name!r} is not the input itself{_named(trace.before)}"


def _tied(calls: list[Call]) -> str | None:
    """Equal weights, also transposed ones: of one parameter in two modules, or of layers that were copied."""
    seen: dict[bytes, str] = {}
    for call in calls:
        keys = {blake2b(np.ascontiguousarray(w).data).digest() for w in (call.weight, call.weight.T)}
        for key in keys if call.weight.size > 1 else ():
            if key in seen:
                return f"{seen[key]!r} and {call.name!r} have the same weights, and layers of a Network are independent"
            seen[key] = call.name
    return None


def _connection(trace: Trace, run: Run, k: int, given: Activation | None) -> str | None:
    """Why what enters layer k is not φ of what left the one before, for any φ that theory here knows."""
    before, call = trace.calls[k - 1 : k + 1]
    if _known_phi(before.replaced, call.entered, trace.tolerance, given) is not None:
        return None
    for earlier in trace.calls[:k]:
        if _same(call.entered, earlier.entered, trace.tolerance):
            return f"{call.name!r} gets what {earlier.name!r} gets: its layers are branches, not a chain"
        if _known_phi(earlier.replaced, call.entered, trace.tolerance, given) is not None:
            return f"{call.name!r} gets its input from {earlier.name!r}, not from {before.name!r}"
    for rest in _rests(call.entered, before.replaced):
        for earlier in trace.calls[:k]:
            if _same(rest, earlier.entered, trace.tolerance):
                return f"a skip connection adds what enters {earlier.name!r} to what enters {call.name!r}"
    # All else anew, but for the numbers of the layer before.
    others = run(1, before.name).calls
    if len(others) <= k or not _same(call.entered, others[k].entered, trace.tolerance):
        return f"what enters {call.name!r} does not follow from {before.name!r} alone: a skip connection or a branch"
    if call.entered.size != before.replaced.size:
        sizes = f"{before.replaced.shape[-1]} numbers leave {before.name!r}, and {call.entered.shape[-1]}"
        return f"{sizes} enter {call.name!r}{_named(before.passed)}"
    where = f"between {before.name!r} and {call.name!r}{_named(before.passed)}"
    if given is not None:
        return f"what it computes {where} is not {given.name}, as `activation` says"
    return (
        f"what it computes {where} is no activation that theory here knows; if it is a function of each node alone, "
        "name φ by `activation`"
    )


def _output(first: Trace, run: Run) -> str | None:
    last = first.calls[-1].name
    if first.weighted:
        return f"its output depends on weights that are used behind its last layer {last!r} by a function"
    if _differ(first.output, run(1, last).output):
        return f"its output does not follow from its last layer {last!r} alone: a skip connection or a branch"
    return None


def _known_phi(x: np.ndarray, entered: np.ndarray, tolerance: float, given: Activation | None) -> Activation | None:
    """The φ that made numbers that enter a layer of those that left another: the given one, or one of ours."""
    if entered.size != x.size:
        return None
    known = (*([given] if given is not None else []), *activations.ACTIVATIONS.values(), *_leaky(x, entered))
    return next((phi for phi in known if _same(phi.phi(x), entered, tolerance)), None)


def _leaky(x: np.ndarray, entered: np.ndarray) -> Iterator[Activation]:
    """The leaky ReLU with the slope that these numbers would have, if it is a short one first."""
    slopes = entered.ravel()[x.ravel() < 0] / x[x < 0]
    if slopes.size and np.isfinite(slopes).all():
        for digits in (6, 10):
            yield activations.leaky_relu(float(f"{np.median(slopes):.{digits}g}"))


def _rests(entered: np.ndarray, x: np.ndarray) -> Iterator[np.ndarray]:
    """What is left of an input without φ of the numbers of the layer before, for each φ."""
    if entered.size == x.size:
        for phi in activations.ACTIVATIONS.values():
            yield entered.reshape(x.shape) - phi.phi(x)


def _named(passed: list[Passed]) -> str:
    """The modules on the way, with what they are."""
    kinds = dict.fromkeys(_described(each.module) for each in passed if not is_dropout(each.module))
    return f" ({', '.join(list(kinds)[:4])})" if kinds else ""


def _described(module: Any) -> str:
    """As it prints itself, or, where that is long, its type."""
    text = str(module)
    return text if len(text) <= 40 and "\n" not in text else type(module).__name__


def _differ(these: list[np.ndarray], those: list[np.ndarray]) -> bool:
    return len(these) != len(those) or not all(_same(a, b, 1e-12) for a, b in zip(these, those, strict=True))


def _same(a: Any, b: Any, tolerance: float) -> bool:
    """Whether two arrays have the same numbers, to a part of the largest; shapes matter only for how many they are."""
    if a.size != b.size:
        return False
    a, b = a.ravel(), b.ravel()
    with np.errstate(invalid="ignore"):
        largest = np.abs(b).max(initial=1.0)
        return bool(np.array_equal(a, b, equal_nan=True) or np.abs(a - b).max(initial=0.0) <= tolerance * largest)
