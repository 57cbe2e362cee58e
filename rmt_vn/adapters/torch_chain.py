"""PyTorch: whether what was seen of a model is a chain x_l = φ(W_l x_{l−1} + b_l), of which φ, and why it is none.

Given the numbers that replaced the output of each layer (`rmt_vn.adapters.torch_probe`), the model is the network that
is read from it if every layer computes W x + b, gets φ of the numbers of the layer before and nothing else, and the
output follows from the numbers of the last one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from rmt_vn import activations
from rmt_vn.activations import Activation
from rmt_vn.adapters.torch_probe import Call, Passed, Trace, is_dropout


def why_no_chain(linear: list[str], first: Trace, again: Trace, other: Trace) -> str | None:
    """What makes a model no chain of its linear modules, φ aside; None if they are one.

    Parameters
    ----------
    linear : list of str
        The names of all linear modules of the model.
    first, again, other : Trace
        Of the same probe twice, and of another.
    """
    reasons = (
        _calls(linear, first.calls),
        _unusable(first.calls),
        _computed(first),
        _random(first, again),
        _input(first),
        _tied(first.calls),
        *(_connection(first, k) for k in range(1, len(first.calls))),
        _output(first, other),
    )
    return next((reason for reason in reasons if reason is not None), None)


def activation_between(trace: Trace, given: Activation | None) -> Activation:
    """The φ between all layers: the one that is given, or the one that the numbers show.

    Raises
    ------
    ValueError
        If it is not the same everywhere, not the given one, or none that theory here knows.
    """
    found = [
        (f"between {call.name!r} and {after.name!r}", _phi(call, after, trace.tolerance, given))
        for call, after in pairwise(trace.calls)
    ]
    if given is not None:
        for where, phi in found:
            if phi != given:
                raise ValueError(f"{where} it computes {phi.name}, not {given.name} as `activation` says")
        return given
    kinds = dict(reversed([(phi, where) for where, phi in found]))
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
            return f"what enters {call.name!r} is random, as behind dropout that is a function in `forward`"
    if _differ(first.output, again.output):
        return "its output is random, as behind dropout that is a function in `forward`"
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
        keys = {np.ascontiguousarray(w).tobytes() for w in (call.weight, call.weight.T)}
        for key in keys if call.weight.size > 1 else ():
            if key in seen:
                return f"{seen[key]!r} and {call.name!r} have the same weights, and layers of a Network are independent"
            seen[key] = call.name
    return None


def _connection(trace: Trace, k: int) -> str | None:
    """Why what enters layer k is not some function of what left the one before, number by number."""
    before, call = trace.calls[k - 1 : k + 1]
    for j, earlier in enumerate(trace.calls[:k]):
        if _same(call.entered, earlier.entered, trace.tolerance):
            return f"{call.name!r} gets what {earlier.name!r} gets: its layers are branches, not a chain"
        if j < k - 1 and _is_known(call.entered, earlier.replaced, trace.tolerance):
            return f"{call.name!r} gets its input from {earlier.name!r}, not from {before.name!r}"
    for rest in _rests(call.entered, before.replaced):
        for earlier in trace.calls[:k]:
            if _same(rest, earlier.entered, trace.tolerance) and not _same(rest, np.zeros(1), trace.tolerance):
                return f"a skip connection adds what enters {earlier.name!r} to what enters {call.name!r}"
    if call.entered.size != before.replaced.size:
        sizes = f"{before.replaced.shape[-1]} numbers leave {before.name!r}, and {call.entered.shape[-1]}"
        return f"{sizes} enter {call.name!r}{_named(before.passed)}"
    return None


def _output(first: Trace, other: Trace) -> str | None:
    if _differ(first.output, other.output):
        return f"its output does not follow from its last layer {first.calls[-1].name!r} alone: a skip or a branch"
    return None


def _phi(call: Call, after: Call, tolerance: float, given: Activation | None) -> Activation:
    x, y = call.replaced, after.entered.reshape(call.replaced.shape)
    for phi in (*([given] if given is not None else []), *_known(x, y)):
        if _same(phi.phi(x), y, tolerance):
            return phi
    where = f"between {call.name!r} and {after.name!r}"
    if given is not None:
        raise ValueError(f"{where} it computes something else than {given.name}{_named(call.passed)}")
    raise ValueError(
        f"what it computes {where} is no activation that theory here knows{_named(call.passed)}; if it is a function "
        "of each node alone, name φ by `activation`"
    )


def _known(x: np.ndarray, y: np.ndarray) -> Iterator[Activation]:
    yield from activations.ACTIVATIONS.values()
    slopes = (y / np.where(x == 0, 1.0, x))[x < 0]
    if slopes.size and np.isfinite(slopes).all():
        yield activations.leaky_relu(float(f"{np.median(slopes):.6g}"))


def _is_known(entered: np.ndarray, x: np.ndarray, tolerance: float) -> bool:
    return entered.size == x.size and any(
        _same(phi.phi(x), entered, tolerance) for phi in _known(x, entered.reshape(x.shape))
    )


def _rests(entered: np.ndarray, x: np.ndarray) -> Iterator[np.ndarray]:
    """What is left of an input without φ of the numbers of the layer before, for each φ."""
    if entered.size == x.size:
        for phi in activations.ACTIVATIONS.values():
            yield entered.reshape(x.shape) - phi.phi(x)


def _named(passed: list[Passed]) -> str:
    """The modules on the way, with what they are."""
    names = list(dict.fromkeys(str(each.module).splitlines()[0] for each in passed if not is_dropout(each.module)))
    return f" (there: {', '.join(names[:4])})" if names else ""


def _differ(these: list[np.ndarray], those: list[np.ndarray]) -> bool:
    return len(these) != len(those) or not all(_same(a, b, 1e-12) for a, b in zip(these, those, strict=True))


def _same(a: Any, b: Any, tolerance: float) -> bool:
    """Whether two arrays have the same numbers, to a part of the largest; shapes matter only for how many they are."""
    if a.size != b.size and b.size != 1:
        return False
    a, b = a.ravel(), b.ravel()
    with np.errstate(invalid="ignore"):
        largest = np.abs(b).max(initial=1.0)
        return bool(np.array_equal(a, b, equal_nan=True) or np.abs(a - b).max(initial=0.0) <= tolerance * largest)
