"""Tasks to train on: XOR and parity, spirals, a linear teacher, handwritten digits, and IDX files such as MNIST's."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from os import PathLike

import numpy as np

from rmt_vn.checks import checked_choice, checked_count, regular_file
from rmt_vn.losses import LOSSES, Loss
from rmt_vn.results import Result
from rmt_vn.rng import RNG

__all__ = ["Task", "continuous_xor", "digits", "linear_teacher", "parity", "read_idx", "two_spirals"]

_MOST_BITS = 20
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CHUNK = 2**20


@dataclass(frozen=True, eq=False, repr=False)
class Task(Result):
    """A learning task: inputs, their labels, and the loss.

    Parameters
    ----------
    inputs : ndarray, shape (samples, features)
        Finite real numbers.
    labels : ndarray
        For the logistic loss −1 or 1, shape (samples,); for softmax classes 0, …, n_outputs − 1, shape (samples,); for
        the squared loss finite real numbers, shape (samples, n_outputs).
    loss : {"logistic", "softmax", "squared"}
    n_outputs : int
        Outputs of the network; 1 for the logistic loss.

    Raises
    ------
    ValueError, TypeError
        If they do not fit together.
    """

    inputs: np.ndarray
    labels: np.ndarray
    loss: Loss
    n_outputs: int = 1

    def __post_init__(self) -> None:
        inputs, labels = np.asarray(self.inputs), np.asarray(self.labels)
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "labels", labels)
        checked_choice("loss", self.loss, LOSSES)
        least = {"logistic": 1, "softmax": 2, "squared": 1}[self.loss]
        if checked_count("n_outputs", self.n_outputs, least) > 1 and self.loss == "logistic":
            raise ValueError(f"the logistic loss needs n_outputs = 1, got {self.n_outputs}")
        if inputs.ndim != 2 or 0 in inputs.shape:
            raise ValueError(f"inputs must have shape (samples ≥ 1, features ≥ 1), got {inputs.shape}")
        shape = (len(inputs), self.n_outputs) if self.loss == "squared" else (len(inputs),)
        if labels.shape != shape:
            raise ValueError(f"labels of the {self.loss} loss must have shape {shape}, got {labels.shape}")
        for name, array in (("inputs", inputs), ("labels", labels)):
            if array.dtype.kind not in "fiu":
                raise TypeError(f"{name} must be real numbers, got dtype {array.dtype}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite, got {np.count_nonzero(~np.isfinite(array))} that are not")
        if self.loss == "logistic":
            _check_labels(labels, np.abs(labels) == 1, "−1 or 1")
        if self.loss == "softmax":
            if labels.dtype.kind == "f":
                raise TypeError(f"labels of the softmax loss must be integers, got dtype {labels.dtype}")
            _check_labels(labels, (labels >= 0) & (labels < self.n_outputs), f"from 0 to {self.n_outputs - 1}")


def parity(bits: int) -> Task:
    """All 2^bits points x_i = (−1)^{bit i} = ±1, labelled by their product: the parity of the bits. XOR is parity(2).

    An odd network, of an odd activation and without biases, never learns the parity of an even number of bits.

    Examples
    --------
    >>> xor = parity(2)
    >>> [(*map(int, x), int(y)) for x, y in zip(xor.inputs, xor.labels)]
    [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]
    """
    checked_count("bits", bits, most=_MOST_BITS)
    points = np.array(list(product([1.0, -1.0], repeat=bits)))
    return Task(points, points.prod(axis=1), "logistic")


def continuous_xor(n_samples: int, *, noise: float = 0.0, rng: RNG = None) -> Task:
    """Points uniform on [−1, 1]², labelled by the sign of x_1 x_2, then moved by noise × N(0, I)."""
    rng = np.random.default_rng(rng)
    points = rng.uniform(-1, 1, (checked_count("n_samples", n_samples), 2))
    labels = np.where(points.prod(axis=1) > 0, 1.0, -1.0)
    return Task(_moved(points, noise, rng), labels, "logistic")


def two_spirals(n_samples: int, *, turns: float = 1.5, noise: float = 0.0, rng: RNG = None) -> Task:
    """Two spirals in the unit disc, one rotated by π against the other, with `turns` turns from the centre to the rim.

    Points are uniform in the angle, alternate between the two spirals, and are moved by noise × N(0, I).
    """
    rng = np.random.default_rng(rng)
    _checked_scale("turns", turns, allow_zero=False)
    radius = rng.uniform(0, 1, checked_count("n_samples", n_samples))
    labels = np.where(np.arange(n_samples) % 2 == 0, 1.0, -1.0)
    angle = 2 * np.pi * turns * radius
    points = (labels * radius * np.array([np.cos(angle), np.sin(angle)])).T
    return Task(_moved(points, noise, rng), labels, "logistic")


def linear_teacher(n_samples: int, n_inputs: int, *, n_outputs: int = 1, noise: float = 0.0, rng: RNG = None) -> Task:
    """y = W x + noise × N(0, I), with x ~ N(0, I) and independent W_ij ~ N(0, 1/n_inputs)."""
    rng = np.random.default_rng(rng)
    x = rng.standard_normal((checked_count("n_samples", n_samples), checked_count("n_inputs", n_inputs)))
    w = rng.standard_normal((checked_count("n_outputs", n_outputs), n_inputs)) / np.sqrt(n_inputs)
    return Task(x, _moved(x @ w.T, noise, rng), "squared", n_outputs)


def digits() -> Task:
    """1797 real handwritten digits of 8 × 8 pixels, grey from −1 to 1 (Alpaydin & Kaynak 1998, in scikit-learn).

    Raises
    ------
    ImportError
        If scikit-learn is not installed; it comes with the extra `data`.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("digits need scikit-learn, the extra `data`: pip install 'rmt_vn[data]'") from error
    pixels, classes = load_digits(return_X_y=True)
    return Task(pixels / 8 - 1, classes, "softmax", 10)


def read_idx(path: str | PathLike[str], *, max_bytes: int = 2**30) -> np.ndarray:
    """An array from an IDX file, gzipped or not: the format of MNIST and its relatives.

    With ``images`` and ``classes`` read from MNIST's files,
    ``Task(images.reshape(len(images), -1) / 255, classes, "softmax", 10)`` is its task.

    Parameters
    ----------
    path : path
    max_bytes : int
        The largest array to accept. No more than that is ever unpacked, whatever size a gzip file declares, and little
        more memory is taken.

    Raises
    ------
    ValueError
        If the file is not in that format, is truncated, has bytes after its data, or holds more than max_bytes; if it
        is a folder, device or pipe.
    OSError
        If it cannot be opened.
    """
    checked_count("max_bytes", max_bytes)
    regular_file(path)
    with open(path, "rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            return _read_idx(gzip.GzipFile(fileobj=file).read if is_gzip else file.read, max_bytes)
        except EOFError:
            raise ValueError(f"{path}: truncated gzip file") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: corrupt gzip file: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def _read_idx(read: Callable[[int], bytes], max_bytes: int) -> np.ndarray:
    zeros, code, n_axes = struct.unpack(">HBB", _read_exactly(read, 4, "magic number"))
    if zeros != 0 or code not in _IDX_TYPES or n_axes == 0:
        raise ValueError(
            "not an IDX file: it must begin 00 00, a type 08, 09 or 0b to 0e, and a number of dimensions ≥ 1, "
            f"got {zeros:04x} {code:02x} {n_axes:02x}"
        )
    shape = struct.unpack(f">{n_axes}I", _read_exactly(read, 4 * n_axes, "list of dimensions"))
    dtype = np.dtype(_IDX_TYPES[code])
    size = math.prod(shape) * dtype.itemsize
    if size > max_bytes:
        raise ValueError(f"its dimensions {shape} mean {size} bytes, more than max_bytes = {max_bytes}")
    data = _read_exactly(read, size, f"array of dimensions {shape}")
    if read(1):
        raise ValueError(f"the file goes on after its array of dimensions {shape}")
    array = np.frombuffer(data, dtype).reshape(shape)
    if not dtype.isnative:
        array.byteswap(inplace=True)
    return array.view(dtype.newbyteorder("="))


def _read_exactly(read: Callable[[int], bytes], size: int, what: str) -> bytearray:
    """Read `size` bytes; no more than a chunk of memory is taken beyond what the file really holds."""
    data = bytearray()
    while len(data) < size:
        chunk = read(min(size - len(data), _CHUNK))
        if not chunk:
            raise ValueError(f"truncated: its {what} needs {size} bytes, got {len(data)}")
        data += chunk
    return data


def _moved(points: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    return points + _checked_scale("noise", noise, allow_zero=True) * rng.standard_normal(points.shape)


def _checked_scale(name: str, value: float, *, allow_zero: bool) -> float:
    valid = "≥ 0" if allow_zero else "> 0"
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise TypeError(f"{name} must be a number {valid}, got {value!r}")
    if not (0 < value < math.inf or (allow_zero and value == 0)):
        raise ValueError(f"{name} must be a finite number {valid}, got {value!r}")
    return float(value)


def _check_labels(labels: np.ndarray, valid: np.ndarray, what: str) -> None:
    if not valid.all():
        raise ValueError(f"labels must be {what}, got {labels[~valid][0]}")
