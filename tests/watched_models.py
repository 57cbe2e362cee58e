"""PyTorch models as people build them, skipped without PyTorch, and what a watch must say of their layers."""

import math

import numpy as np
import pytest

from rmt_vn.adapters import watch

torch = pytest.importorskip("torch")
nn = torch.nn
functional = torch.nn.functional


def plug_in(output, node_axis=-1):
    """The VNI of the sample by its definition, of nodes that vary."""
    x = np.moveaxis(output.detach().double().numpy(), node_axis, -1)
    x = x.reshape(-1, x.shape[-1])
    x = x[:, np.ptp(x, axis=0) > 0]
    x = x - x[0]  # exactly, if nodes vary by little: numpy's mean would be rounded
    rho = np.corrcoef(x, rowvar=False)
    return np.mean(np.square(rho))


def watched(model, *inputs, select=None, activations=True, **options):
    """The watch of one pass, which leaves the model and its output as they were."""
    state = {name: each.clone() for name, each in model.state_dict().items()}
    rng, n_hooks = torch.get_rng_state(), hooks_of(model)
    with torch.no_grad():
        free = first(model(*inputs))
        model.load_state_dict(state)  # batch normalization counts its passes
        torch.set_rng_state(rng)
        with watch(model, select, activations=activations and select is None, **options) as layers:
            seen = first(model(*inputs))
    torch.testing.assert_close(free, seen, rtol=0, atol=0, equal_nan=True)
    assert hooks_of(model) == n_hooks and not any("__getstate__" in vars(module) for module in model.modules())
    assert model.state_dict().keys() == state.keys()
    return layers


def first(output):
    return output[0] if isinstance(output, tuple) else output


def hooks_of(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def outputs_of(model, names, *inputs):
    """What each module returns, at each of its calls, by hooks of this test's own."""
    seen = {name: [] for name in names}
    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: seen[name].append(first(out).clone())
        )
        for name in names
    ]
    with torch.no_grad():
        model(*inputs)
    for handle in handles:
        handle.remove()
    return seen


def assert_measured(layers, name, output, node_axis=-1):
    assert layers[name].plug_in == pytest.approx(plug_in(output, node_axis), rel=1e-12), name
    assert layers[name].n_nodes == output.shape[node_axis]
    assert layers[name].n_samples == output.numel() // output.shape[node_axis]


# --- models -----------------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """A block of ResNet-18: one ReLU for two places, and a sum that no module computes."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.downsample = nn.Sequential(nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + self.downsample(x))


def resnet():
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        Residual(8, 12),
        nn.Dropout2d(0.5),
        nn.Identity(),
        Residual(12, 10),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(10, 7),
    )


class Attention(nn.Module):
    """A block of GPT-2: a fused matrix for q, k and v, a matrix class of its own, and its own GELU."""

    def __init__(self, n, heads):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(n), nn.LayerNorm(n)
        self.c_attn, self.c_proj = Conv1D(n, 3 * n), Conv1D(n, n)
        self.mlp = nn.ModuleDict({"c_fc": Conv1D(n, 4 * n), "act": NewGELU(), "c_proj": Conv1D(4 * n, n)})
        self.heads = heads

    def forward(self, x):
        q, k, v = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in self.c_attn(self.ln_1(x)).chunk(3, -1)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.c_proj(mixed)
        return x + self.mlp["c_proj"](self.mlp["act"](self.mlp["c_fc"](self.ln_2(x))))


class Conv1D(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_in, n_out) / math.sqrt(n_in))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x):
        return x @ self.weight + self.bias


class NewGELU(nn.Module):
    def forward(self, x):
        return functional.gelu(x, approximate="tanh")


class ViT(nn.Module):
    def __init__(self, n=16):
        super().__init__()
        self.patches = nn.Conv2d(3, n, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, n))
        layer = nn.TransformerEncoderLayer(n, 4, 40, batch_first=True, activation="gelu", norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(n), nn.Linear(n, 5)

    def forward(self, images):
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        return self.head(self.norm(self.encoder(x))[:, 0])


def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3))
