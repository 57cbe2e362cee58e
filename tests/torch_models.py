"""Small PyTorch models for the tests of `network_of`, skipped without PyTorch, and how refusals are tested."""

import math
from itertools import pairwise

import pytest

from rmt_vn.adapters import network_of

torch = pytest.importorskip("torch")
nn = torch.nn
# PyTorch warns of its own old functions.
old = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:torch.quantize_per")


def chain(widths, phi=nn.ReLU, weight=None, bias=None, wrap=lambda linear: linear):
    """Linear modules with φ between them, of PyTorch's own initialization or another."""
    modules = []
    for n_in, n_out in pairwise(widths):
        linear = nn.Linear(n_in, n_out)
        if weight is not None:
            weight(linear.weight)
        if bias is not None:
            bias(linear.bias)
        modules += [wrap(linear), phi()]
    return nn.Sequential(*modules[:-1])


def gaussian(sigma_w):
    return lambda weight: nn.init.normal_(weight, std=sigma_w / math.sqrt(weight.shape[1]))


class Model(nn.Module):
    """Linear modules by name, and a forward pass that is a function of them and of the input."""

    def __init__(self, forward, **linear):
        super().__init__()
        for name, (n_in, n_out) in linear.items():
            self.add_module(name, nn.Linear(n_in, n_out))
        self.passes = forward

    def forward(self, x):
        return self.passes(self, x)


def residual(width, depth):
    """x + relu(W x + b), block by block."""

    def forward(self, x):
        x = self.first(x)
        for k in range(depth):
            x = x + torch.relu(getattr(self, f"block{k}")(x))
        return self.last(x)

    blocks = {f"block{k}": (width, width) for k in range(depth)}
    return Model(forward, first=(8, width), **blocks, last=(width, 4))


def refused(model, told, **options):
    with pytest.raises(ValueError, match=told) as error:
        network_of(model, **options)
    assert "\n" not in str(error.value)
    return str(error.value)
