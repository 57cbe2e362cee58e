"""PyTorch: which axis of a module's output holds its nodes, and which one the items of the batch.

Some types of modules say it themselves: channels are axis 1 behind convolutions, the last axis behind linear modules.
Others (activations, dropout, a block of a user's own) hand on what they are fed with. What they are fed with is known
if it is a tensor that another module has returned, or has the shape of one and could be no other way round. Where it is
not known, nothing is guessed.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rmt_vn.adapters.torch_tensors import imported_torch

UNKNOWN_AXIS = (
    "which axis of its output, of shape {shape}, holds the nodes is not known, since what feeds it is not a module's "
    "output; give node_axis"
)

# Shapes of outputs that are remembered at a time.
_MOST_SHAPES = 4096
# Places in memory that are remembered before those are looked for that are gone.
_FEW_PLACES = 64


@dataclass(frozen=True)
class Layout:
    """The axis of the nodes of a tensor, and the axis of the items of the batch: None if there is one item."""

    nodes: int
    items: int | None


@dataclass(frozen=True)
class Kind:
    """What the type of a module says about the layout of its output.

    Attributes
    ----------
    rule : str
        "last": nodes are the last axis. "channels": they are followed by `n_positions` axes. "second": they are axis 1.
        "kept": the layout is that of the input. "unknown".
    n_positions : int
    items : int, optional
        The axis of the items in an output of three axes, if the module says that.
    sizes : tuple of int
        The sizes of a matrix of weights of a module of unknown type.
    """

    rule: str
    n_positions: int = 0
    items: int | None = None
    sizes: tuple[int, ...] = ()


_CHANNELS = (
    "Conv", "ConvTranspose", "MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "LPPool", "FractionalMaxPool",
    "MaxUnpool", "Dropout", "InstanceNorm", "ReflectionPad", "ReplicationPad", "ZeroPad", "ConstantPad", "CircularPad",
)  # fmt: skip
_RULES: dict[str, Kind] = {
    **{f"{name}{d}d": Kind("channels", d) for name in _CHANNELS for d in (1, 2, 3)},
    **{name: Kind("channels", 2) for name in ("PixelShuffle", "PixelUnshuffle", "Softmax2d")},
    **{f"BatchNorm{d}d": Kind("second") for d in (1, 2, 3)},
    **dict.fromkeys(("SyncBatchNorm", "GroupNorm", "LocalResponseNorm", "ChannelShuffle", "Upsample"), Kind("second")),
    **dict.fromkeys(("Linear", "Bilinear", "Embedding", "EmbeddingBag", "RNNCellBase"), Kind("last")),
    **dict.fromkeys(("RNNBase", "MultiheadAttention", "TransformerEncoderLayer"), Kind("last")),
    **dict.fromkeys(("TransformerDecoderLayer", "Transformer", "LayerNorm", "RMSNorm"), Kind("last")),
}
# With these, a class of a user's own that computes its output itself still has the layout of the one it derives from.
_SURE = {"Linear", "Embedding", *(f"{name}{d}d" for name in ("Conv", "ConvTranspose") for d in (1, 2, 3))}
_KEPT = ("torch.nn.modules.activation", "torch.nn.modules.dropout", "transformers.activations")


def kind_of(module: Any) -> Kind:
    """What the type of a module says about its output."""
    classes = [each for each in type(module).__mro__ if each.__module__.startswith(("torch.", "transformers.act"))]
    computing = next(each for each in type(module).__mro__ if "forward" in vars(each))
    for each in classes:
        rule = _RULES.get(_plain_name(each))
        if rule and (computing.__module__.startswith("torch.") or _plain_name(each) in _SURE):
            if len(getattr(module, "normalized_shape", ())) > 1:
                return Kind("kept")
            batch_first = batch_first_of(module)
            return rule if batch_first is None else Kind("last", items=0 if batch_first else 1)
    if computing in classes and (computing.__module__ in _KEPT or computing.__name__ == "Identity"):
        return Kind("kept")
    weight = module._parameters.get("weight")
    return Kind("unknown", sizes=tuple(weight.shape) if weight is not None and weight.ndim == 2 else ())


def batch_first_of(module: Any) -> bool | None:
    """Whether a recurrent or attention module has the batch before the sequence; None for other modules."""
    own = getattr(module, "batch_first", None)
    return own if isinstance(own, bool) else getattr(getattr(module, "self_attn", None), "batch_first", None)


class Layouts:
    """The layouts of the tensors that modules have returned in one pass."""

    def __init__(self) -> None:
        self._tensors: dict[int, tuple[weakref.ref[Any], tuple[int, ...], Layout]] = {}
        self._places: dict[tuple[int, ...], tuple[Any, Layout]] = {}
        self._many = _FEW_PLACES
        self._shapes: dict[tuple[int, ...], set[Layout]] = {}

    def note(self, tensor: Any, layout: Layout) -> None:
        """Remember the layout of a tensor, without keeping the tensor."""
        shape, number = tuple(tensor.shape), id(tensor)
        if len(self._shapes) >= _MOST_SHAPES:  # many calls outside any pass
            self._shapes.clear()
        if len(self._places) >= self._many:
            self._places = {place: each for place, each in self._places.items() if not each[0].expired()}
            self._many = 2 * len(self._places) + _FEW_PLACES
        # What dies is forgotten: the pop is called with the number, and the reference as its default.
        self._tensors[number] = weakref.ref(tensor, partial(self._tensors.pop, number)), shape, layout
        self._shapes.setdefault(shape, set()).add(layout)
        if place := _place(tensor):
            # A slice may be all that is left of a tensor: so it is its memory that is referred to, weakly.
            weakly = imported_torch().multiprocessing.reductions.StorageWeakRef
            self._places[place] = weakly(tensor.untyped_storage()), layout

    def of(self, tensor: Any) -> Layout | None:
        """The layout of a tensor that a module has returned, if it is as it was, or of a slice of one."""
        noted = self._tensors.get(id(tensor))
        if noted and noted[1] == tuple(tensor.shape) and noted[0]() is tensor:
            return noted[2]
        # As long as there is a reference to its memory, no other memory has its place.
        place = _place(tensor)
        return self._places[place][1] if place in self._places else None

    def of_shape(self, shape: tuple[int, ...]) -> Layout | None:
        """The layout of all tensors of a shape, if it is one, and no axis of another size can be taken for the nodes'.

        Sums of outputs have their shape, and so have outputs that were turned round, if two axes are of the same size.
        """
        known = tuple(self._shapes.get(shape, ()))  # at once: other threads may add to it
        return known[0] if len(known) == 1 and not _could_be_turned(shape, known[0]) else None


def layout_of(kind: Kind, output: Any, inputs: Sequence[Any], layouts: Layouts, items: int) -> Layout | None:
    """The layout of an output, or None if it is not known.

    Parameters
    ----------
    kind : Kind
        What the type of the module says.
    output : tensor
        Of at least two axes.
    inputs : sequence
        What the module was called with, of which the first counts.
    layouts : Layouts
        Of what other modules have returned.
    items : int
        The axis of the items in a sequence, if nothing else says it: 1 in models with the sequence first.
    """
    rank, shape = output.ndim, tuple(output.shape)
    if kind.rule == "second":
        return Layout(1, 0)
    if kind.rule == "channels":
        nodes = rank - 1 - kind.n_positions
        return Layout(nodes, 0 if nodes else None) if nodes in (0, 1) else None
    fed_by: Any = inputs[0] if len(inputs) and hasattr(inputs[0], "shape") else output
    fed = layouts.of(fed_by) or layouts.of_shape(tuple(fed_by.shape))
    if kind.rule == "last":
        return Layout(rank - 1, _items_of_sequence(kind, rank, fed, fed_by, items))
    if kind.rule == "kept" and len(fed_by.shape) == rank and (known := layouts.of(fed_by)):
        return known
    if fed is not None and _differs_in_nodes_only(shape, fed, tuple(fed_by.shape)):
        return fed
    known = layouts.of(output) or layouts.of_shape(shape)
    if known is None and rank == 2:
        return Layout(1, 0)
    if known is None and shape[-1] in kind.sizes and not set(shape[1:-1]) & set(kind.sizes):
        return Layout(rank - 1, items)
    return known


def _place(tensor: Any) -> tuple[int, ...] | None:
    """In which memory a tensor lies, and with which strides: both are those of its slices, which have its axes.

    None if two axes have the same stride, as one of length one may have, so that axes could be exchanged.
    """
    if tensor.device.type == "meta" or str(tensor.layout) != "torch.strided":
        return None
    strides = tuple(tensor.stride())
    return (tensor.untyped_storage()._cdata, *strides) if len(set(strides)) == len(strides) else None


def _could_be_turned(shape: tuple[int, ...], layout: Layout) -> bool:
    """Whether another axis has the size of that of the nodes."""
    return any(
        shape[axis] == shape[layout.nodes] for axis in range(len(shape)) if axis not in (layout.nodes, layout.items)
    )


def _differs_in_nodes_only(shape: tuple[int, ...], fed: Layout, fed_by: tuple[int, ...]) -> bool:
    """Whether an output has another number of nodes than the input, and is like it else."""
    return len(shape) == len(fed_by) and [at for at in range(len(shape)) if shape[at] != fed_by[at]] == [fed.nodes]


def _items_of_sequence(kind: Kind, rank: int, fed: Layout | None, fed_by: Any, items: int) -> int | None:
    """The axis of the items in an output whose nodes are the last axis."""
    if kind.items is not None:
        return kind.items if rank > 2 else None  # recurrent and attention modules: without a batch, one sequence
    if fed is not None and len(fed_by.shape) == rank and (fed.items is None or fed.items < rank - 1):
        return fed.items
    return items if rank > 2 else 0


def _plain_name(kind: type) -> str:
    """The name of a class without what quantization adds: LinearReLU is a Linear."""
    name = kind.__name__
    if kind.__module__.startswith("torch.ao.nn"):
        name = name.removesuffix("ReLU").removesuffix("LeakyReLU").removesuffix("Tanh")
    return name
