"""PyTorch: what was recorded of the layers of a model, and what was not, with the reason."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from rmt_vn.adapters.torch_collected import Batch, Collected
from rmt_vn.measures import NodeVNI

BYPASSED = (
    "or more outside a pass of the model were not recorded, since every > 1 counts passes by calls of the model itself "
    "(was model.forward called, or a module within it?)"
)
COMPILED = "it was compiled or exported while it was watched, and calls of the graph that was made were not recorded"
_UNSEEN = (
    "no call of it was seen: other modules may use its weights without calling it, or it ran in a compiled graph, "
    "which does not call hooks"
)
_NO_PASS = "no call was seen: no pass of the model came, or it ran in a compiled graph, which does not call hooks"

# A call of a module within a pass: its name, and 1, 2, …
Call = tuple[str, int]


class Records:
    """Sums by the calls of modules, and the reasons why calls are not in them. It may be used by several threads."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.n_passes = 0
        self._sums: dict[Call, Collected] = {}
        self._broken: dict[Call, str] = {}
        self._skipped: dict[Call, Counter[str]] = {}

    def begun_anew(self) -> Records:
        """Records without samples, which count passes, and calls that were not recorded, on from these."""
        with self.lock:
            anew = Records()
            anew.n_passes = self.n_passes
            anew._skipped = {call: Counter(reasons) for call, reasons in self._skipped.items()}
            return anew

    def calls(self) -> set[Call]:
        """All calls of which something is known."""
        with self.lock:
            return {*self._sums, *self._broken, *self._skipped}

    def is_broken(self, call: Call) -> bool:
        return call in self._broken

    def add(self, call: Call, batch: Batch) -> None:
        """Add samples. Errors as `Collected.add`."""
        with self.lock:
            if call not in self._sums:
                self._sums[call] = Collected()
            self._sums[call].add(batch)

    def skip(self, call: Call, reason: str) -> None:
        """Count a call that was not recorded."""
        with self.lock:
            self._skipped.setdefault(call, Counter())[reason] += 1

    def spoil(self, call: Call, reason: str) -> None:
        """Give a layer up, for the first reason there was."""
        with self.lock:
            self._broken.setdefault(call, reason)

    def merge(self, other: Records) -> None:
        """Add what another has recorded, which stays as it was."""
        with self.lock:
            for call, sums in other._sums.items():
                try:
                    self._sums.setdefault(call, Collected()).merge(sums)
                except ValueError as error:
                    self.spoil(call, str(error))
            self._broken = {**other._broken, **self._broken}
            for call, reasons in other._skipped.items():
                self._skipped.setdefault(call, Counter()).update(reasons)
            self.n_passes += other.n_passes

    def result(self, call: Call) -> NodeVNI | str:
        """The measure of a layer, or why there is none."""
        with self.lock:
            if call in self._broken:
                return self._broken[call]
            if call not in self._sums:
                return self._skips(call) or (_UNSEEN if self.n_passes else _NO_PASS)
            try:
                return self._sums[call].vni()
            except ValueError as error:
                return str(error)

    def sums(self, call: Call) -> Collected:
        return self._sums[call]

    def note(self, call: Call) -> str:
        """What must be known of the measure of a layer, or nothing."""
        return "; ".join(filter(None, (self._sums[call].note(), self._skips(call))))

    def n_bypassed(self) -> int:
        return sum(reasons[BYPASSED] for reasons in self._skipped.values())

    def _skips(self, call: Call) -> str:
        reasons = self._skipped.get(call, Counter())
        return "; ".join(
            reason if reason == COMPILED else f"{count} {'call' if count == 1 else 'calls'} {reason}"
            for reason, count in reasons.items()
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, lock=threading.RLock())
