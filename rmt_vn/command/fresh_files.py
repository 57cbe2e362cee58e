"""The fresh networks of ``rmt-vn measure --null``: a file of activations for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import nan
from pathlib import Path

from rmt_vn.baseline import Baseline
from rmt_vn.baseline.running import Replica, collected
from rmt_vn.measures import NodeVNI
from rmt_vn.progress import progress

__all__ = ["null_of_files"]

_FEWEST = 2
# Of each layer what was measured, or why it could not be.
Measured = Mapping[str, NodeVNI | str]


def null_of_files(files: Sequence[Path], read: Callable[[Path], Measured], this: Measured) -> Baseline:
    """The VNI of fresh networks, read, measured and forgotten one after the other.

    Parameters
    ----------
    files : sequence of Path
        At least two.
    read : callable
        Measures the layers in a file. Of a file of one array the name of the layer is that of the file.
    this : mapping
        This network, which tells the layers and their sizes.

    Raises
    ------
    ValueError
        If there are fewer than two files, or if two of them, or one and this network, have the same VNI in all layers,
        and so the same weights.
    """
    if len(files) < _FEWEST:
        raise ValueError(f"--null must be the files of at least {_FEWEST} fresh networks, got {len(files)}")
    names = tuple(this)
    seen = {_marks(names, this): "the network that is measured"}

    def replicas() -> Iterator[Replica]:
        for file in progress(files, "fresh networks"):
            fresh = _named(read(file), names, file)
            marks = _marks(names, fresh)
            if marks in seen:
                raise ValueError(
                    f"{file}: its layers are those of {seen[marks]}; each network needs weights of its own"
                )
            if any(each == each for each in marks):
                seen[marks] = str(file)
            yield _replica(this, fresh, file)

    return collected(replicas(), "")


def _replica(this: Measured, fresh: Measured, file: Path) -> Replica:
    values, n_nodes, reasons = {}, {}, {}
    for name, each in this.items():
        other = fresh.get(name, "there is no such layer")
        if fault := _why_not(each, other):
            values[name], reasons[name] = nan, f"{file}: {fault}"
        elif not isinstance(other, str):
            values[name], n_nodes[name] = other.value, other.n_nodes
    return Replica(values, n_nodes, reasons)


def _named(fresh: Measured, names: tuple[str, ...], file: Path) -> Measured:
    """A file of one array names its layer after itself: it is the layer of this network, if that has one alone."""
    return {names[0]: fresh[file.stem]} if len(names) == 1 and list(fresh) == [file.stem] else fresh


def _why_not(this: NodeVNI | str, fresh: NodeVNI | str) -> str:
    """Why two measures cannot be compared; empty if they can."""
    if isinstance(fresh, str):
        return fresh
    if isinstance(this, str):
        return "not measured in this network"
    for word, mine, other in (
        ("nodes", this.n_nodes, fresh.n_nodes),
        ("samples, so not the same inputs", this.n_samples, fresh.n_samples),
    ):
        if mine != other:
            return f"{other} {word}, where this network has {mine}"
    return ""


def _marks(names: tuple[str, ...], layers: Measured) -> tuple[float, ...]:
    """What tells networks apart: the VNI of the sample, to its last digit."""
    measured = (layers.get(name) for name in names)
    return tuple(each.plug_in if isinstance(each, NodeVNI) else nan for each in measured)
