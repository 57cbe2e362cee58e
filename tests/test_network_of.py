"""`network_of`: what is read of a model is what it computes, or it is refused with the reason."""

import copy
import math
from itertools import pairwise

import numpy as np
import pytest

from rmt_vn import activations
from rmt_vn.activations import Activation
from rmt_vn.adapters import network_of
from rmt_vn.adapters.weight_spectra import spectrum_of
from rmt_vn.network import Network
from rmt_vn.prediction import predict
from tests.torch_models import Model, chain, gaussian, nn, old, refused, residual, torch

F = torch.nn.functional
WIDTHS = (40, 60, 50, 50, 30)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


# --- what is read -----------------------------------------------------------------------------------------------------


def test_what_it_was_made_of_is_read():
    network = network_of(chain(WIDTHS, nn.Hardtanh, gaussian(1.3), lambda bias: nn.init.normal_(bias, std=0.2)))
    assert network.widths == WIDTHS and network.weights == "gaussian" and network.keep == 1
    assert network.activation == activations.get("hard_tanh")
    # Each of n numbers has a mean square of relative error √(2/n): k = 4 standard errors of its root.
    n_weights = sum(a * b for a, b in pairwise(WIDTHS))
    assert network.sigma_w == pytest.approx(1.3, rel=4 * math.sqrt(0.5 / n_weights))
    assert network.sigma_b == pytest.approx(0.2, rel=4 * math.sqrt(0.5 / sum(WIDTHS[1:])))
    # PyTorch's own initialization is uniform of variance 1/(3 n).
    assert network_of(chain((200, 200, 200))).sigma_w == pytest.approx(math.sqrt(1 / 3), rel=0.01)
    alone = network_of(nn.Sequential(nn.Linear(4, 4, bias=False)))
    assert alone.activation == activations.get("linear") and alone.sigma_b == 0


def test_orthogonal_weights_are_known_from_gaussian_ones():
    for gain in (1.0, 1.7):
        model = chain((64, 64, 64, 32), nn.Tanh, lambda w, gain=gain: nn.init.orthogonal_(w, gain), nn.init.zeros_)
        network = network_of(model)
        assert network.weights == "orthogonal" and network.sigma_b == 0
        assert network.sigma_w == pytest.approx(gain, rel=1e-5)
    with torch.no_grad():
        model[2].weight += 0.3 * torch.randn(64, 64)
    refused(model, "layer '0' are orthogonal, and those of '2' are not")
    # Two rows are orthogonal, to a thousandth, by chance.
    nn.init.orthogonal_(heads := chain((64, 64, 2), nn.Tanh)[2].weight)
    assert spectrum_of(heads.detach().double().numpy()).orthogonal is None


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("GELU", "gelu"), ("Hardtanh", "hard_tanh"), ("Identity", "linear"), ("LeakyReLU", "leaky_relu"),
        ("ReLU", "relu"), ("SiLU", "silu"), ("Sigmoid", "sigmoid"), ("Softplus", "softplus"), ("Tanh", "tanh"),
    ],
)  # fmt: skip
def test_activations_are_those_of_that_name(module, name):
    phi = getattr(torch.nn, module)()
    read = network_of(chain((2, 2, 2), lambda: phi)).activation
    assert read == activations.get(name)
    x = torch.linspace(-4, 4, 101, dtype=torch.float64)
    np.testing.assert_allclose(read.phi(x.numpy()), phi(x).numpy(), atol=1e-12)


def test_activations_are_read_from_what_is_computed():
    """Functions as well as modules, also far below where tanh is linear to all digits."""
    layers = {"a": (6, 5), "b": (5, 5), "c": (5, 3)}
    for name, phi in {"tanh": torch.tanh, "erf": torch.erf, "sin": torch.sin, "gelu": F.gelu}.items():
        model = Model(lambda self, x, phi=phi: self.c(phi(self.b(phi(self.a(x))))), **layers)
        assert network_of(model).activation == activations.get(name)
        assert network_of(model, activation=name).activation == activations.get(name)
        assert "it computes" in refused(model, "not relu as `activation` says", activation="relu")
    small = chain((30,) * 40, nn.Tanh, gaussian(0.01), nn.init.zeros_)
    assert network_of(small).activation == activations.get("tanh")
    assert network_of(chain((6, 5, 4), lambda: nn.LeakyReLU(0.2))).activation == activations.leaky_relu(0.2)
    third = network_of(chain((6, 5, 4), lambda: nn.LeakyReLU(1 / 3))).activation.phi(np.array([-3.0]))
    assert third == pytest.approx(-1, abs=1e-9)
    elu = Activation(lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), lambda x: np.exp(np.minimum(x, 0)), (0,))
    assert network_of(chain((6, 5, 4), nn.ELU), activation=elu).activation == elu
    refused(chain((6, 5, 4), nn.CELU, wrap=copy.deepcopy), "not custom", activation=Activation(np.arctan, np.cos))
    refused(
        chain((6, 5, 4), nn.ELU), r"between '0' and '2' \(ELU\(alpha=1.0\)\) is no activation that theory here knows"
    )
    refused(chain((6, 5, 4), lambda: nn.Hardtanh(-2, 2)), "Hardtanh.* is no activation that theory here knows")
    refused(chain((6, 5, 4), lambda: nn.GELU("tanh")), "GELU.* is no activation that theory here knows")
    refused(chain((4, 4, 4), nn.Identity), "computes linear, not erf", activation="erf")
    with pytest.raises(TypeError, match="activation must be a name or an Activation, got 3"):
        network_of(chain((4, 4)), activation=3)


def test_modules_without_weights_are_no_obstacle():
    shared = nn.Tanh()
    inner = nn.Sequential(nn.Linear(8, 8), shared, nn.Identity(), nn.Sequential(nn.Linear(8, 8), shared))
    model = nn.Sequential(nn.Flatten(), inner, nn.Linear(8, 3), nn.Softmax(-1))
    assert network_of(model).widths == (8, 8, 8, 3) and network_of(model).activation == activations.get("tanh")
    as_images = Model(
        lambda self, x: F.log_softmax(self.b(torch.relu(self.a(x.view(-1, 12)))), -1), a=(12, 7), b=(7, 2)
    )
    assert network_of(as_images).widths == (12, 7, 2)
    # Modules are read in the order in which they are called.
    backwards = Model(lambda self, x: self.a(torch.relu(self.b(x))), a=(16, 4), b=(8, 16))
    assert network_of(backwards).widths == (8, 16, 4)
    names = Model(lambda self, x: {"logits": self.b(torch.relu(self.a(x))), "more": (1, None)}, a=(5, 6), b=(6, 2))
    assert network_of(names).widths == (5, 6, 2)


@pytest.mark.parametrize("seed", range(6))
def test_the_network_read_computes_what_the_model_computes(seed):
    """From end to end, by plain matrix products, for random shapes, φ and initializations."""
    rng = np.random.default_rng(seed)
    widths = tuple(rng.integers(2, 40, rng.integers(2, 7)).tolist())
    phi = (nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.Softplus, lambda: nn.LeakyReLU(0.3))[seed]
    model = chain(widths, phi, gaussian(1.5), lambda bias: nn.init.normal_(bias, std=0.3)).double()
    network = network_of(model)
    x = inputs = rng.standard_normal((50, widths[0]))
    for layer, linear in enumerate(model[::2]):
        x = network.activation.phi(x) if layer else x
        x = x @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()
    assert network.widths == widths
    np.testing.assert_allclose(x, model(torch.tensor(inputs)).detach().numpy(), rtol=1e-6, atol=1e-9)


def test_what_works_in_place():
    in_place = chain((6, 6, 6), lambda: nn.ReLU(inplace=True))
    assert network_of(in_place).activation == activations.get("relu")
    scaled = Model(lambda self, x: self.b(self.a(x.mul_(2)).relu_()), a=(6, 6), b=(6, 6))
    refused(scaled, "what enters its first layer 'a' is not the input itself")
    skip = Model(lambda self, x: self.b(self.a(x).relu_().add_(x)), a=(6, 6), b=(6, 6))
    refused(skip, "a skip connection adds what enters 'a' to what enters 'b'")


def test_dropout_modules_are_read_where_network_has_dropout():
    def dropping(*rates, phi=nn.ReLU, first=None):
        modules = [nn.Linear(9, 9), phi()]
        for rate in rates:
            modules += [nn.Dropout(rate), nn.Linear(9, 9), phi()]
        return nn.Sequential(*([nn.Dropout(first)] if first else []), *modules)

    assert network_of(dropping(0.25, 0.25)).keep == 0.75
    assert network_of(dropping(0.25, 0.25).eval()).keep == 1
    assert network_of(dropping(0.0, 0.0)).keep == 1
    twice = nn.Sequential(nn.Linear(9, 9), nn.Dropout(0.5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(9, 9))
    assert network_of(twice).keep == 0.25
    refused(dropping(0.1, 0.2), r"different dropout: they keep nodes with probabilities \[0.8, 0.9\]")
    refused(dropping(0.1, 0.0), "different dropout")
    refused(dropping(0.1, first=0.1), "dropout of its inputs")
    refused(nn.Sequential(nn.Linear(9, 9), nn.Dropout(0.5), nn.Tanh(), nn.Linear(9, 9)), "'1' drops nodes before tanh")
    refused(nn.Sequential(nn.Linear(9, 9), nn.ReLU(), nn.AlphaDropout(0.5), nn.Linear(9, 9)), "'2' is AlphaDropout")
    by_function = Model(
        lambda self, x: self.b(F.dropout(torch.relu(self.a(x)), 0.5, self.training)), a=(9, 9), b=(9, 9)
    )
    refused(by_function, "what enters 'b' is random")
    assert network_of(by_function.eval()).keep == 1
    refused(chain((9, 9, 9), nn.RReLU), "what enters '2' is random")
    noisy = Model(lambda self, x: self.b(torch.relu(self.a(x))) + torch.randn(1), a=(9, 9), b=(9, 9))
    refused(noisy, "its output is random")


# --- what is refused --------------------------------------------------------------------------------------------------


def test_residual_networks_whose_gradients_do_not_vanish_are_refused():
    model = residual(32, 20)
    refused(model, "a skip connection adds what enters 'block0' to what enters 'block1'")
    # What was said of it before: of a chain of these weights, and what is true.
    x = torch.randn(1, 8, requires_grad=True)
    first = torch.relu(model.first(x))
    outputs = model(x)
    (gradient,) = torch.autograd.grad(outputs[0, 0], x)
    plain = predict(Network((8, *[32] * 21, 4), "relu", sigma_w=math.sqrt(1 / 3)), n_networks=40, rng=0)
    assert first.shape == (1, 32) and plain.gradients == "vanish" and math.sqrt(plain.gradient_growth) < 1e-6
    assert gradient.norm() > 0.05

    def blocks(self, x):
        x = torch.relu(self.a(x))
        x = torch.relu(x + self.c(torch.relu(self.b(x))))
        return self.d(x)

    refused(Model(blocks, a=(4, 6), b=(6, 6), c=(6, 6), d=(6, 2)), "'d' does not follow from 'c' alone")
    at_the_end = Model(lambda self, x: x + self.b(torch.relu(self.a(x))), a=(6, 6), b=(6, 6))
    refused(at_the_end, "its output does not follow from its last layer 'b' alone")


def test_branches_are_no_chain():
    attention = Model(lambda self, x: F.softmax(self.q(x) @ self.k(x).T, -1) @ self.v(x), q=(8, 8), k=(8, 8), v=(8, 8))
    refused(attention, "'k' gets what 'q' gets: its layers are branches")
    refused(attention, "'k' gets what 'q' gets", activation="relu")
    two_heads = Model(lambda self, x: (self.b(h := torch.relu(self.a(x))), self.c(h)), a=(4, 6), b=(6, 6), c=(6, 6))
    refused(two_heads, "'c' gets its input from 'a', not from 'b'")
    gated = Model(lambda self, x: self.b(F.glu(self.a(x))), a=(4, 12), b=(6, 2))
    refused(gated, "12 numbers leave 'a', and 6 enter 'b'")
    product = Model(lambda self, x: self.c(self.a(x) * torch.sigmoid(self.b(x))), a=(6, 6), b=(6, 6), c=(6, 6))
    refused(product, "'b' gets what 'a' gets")


def test_tied_layers_are_not_independent():
    def again(self, x):
        for _ in range(5):
            x = torch.tanh(self.a(x))
        return x

    refused(Model(again, a=(8, 8)), "'a' is called 5 times, and layers of a Network are independent")
    tied = chain((8, 8, 8), nn.Tanh)
    tied[2].weight = tied[0].weight
    refused(tied, "'0' and '2' have the same weights")
    copied = copy.deepcopy(chain((8, 8, 8), nn.Tanh))
    copied[2] = copy.deepcopy(copied[0])
    refused(copied, "'0' and '2' have the same weights")
    autoencoder = chain((8, 5, 8))
    autoencoder[2].weight = nn.Parameter(autoencoder[0].weight.detach().T)
    refused(autoencoder, "'0' and '2' have the same weights")
    assert network_of(chain((8, 8, 8), nn.Tanh)).depth == 2


def test_modules_that_are_not_called():
    refused(Model(lambda self, x: self.a(x), a=(4, 4), b=(4, 4)), "'b' is not called")
    by_function = Model(lambda self, x: self.b(torch.relu(F.linear(x, self.a.weight))), a=(4, 4), b=(4, 4))
    refused(by_function, "'a' is not called")
    decoded = Model(lambda self, x: F.linear(torch.relu(self.a(x)), self.a.weight.T), a=(4, 3))
    refused(decoded, "weights that are used behind its last layer 'a' by a function")
    unregistered = Model(lambda self, x: self.others[0](torch.relu(self.a(x))), a=(4, 4))
    unregistered.others = [nn.Linear(4, 4)]
    refused(unregistered, "weights that are used behind its last layer 'a'")
    refused(Model(lambda self, x: self.b(self.a.forward(x)), a=(4, 4), b=(4, 4)), "'a' is not called")


def test_different_activations():
    bottleneck = nn.Sequential(
        nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4), nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)
    )
    refused(bottleneck, "different activations: linear between '2' and '3', relu between '0' and '2'")
    mixed = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    refused(mixed, "different activations: relu between '2' and '4', tanh between '0' and '2'")


def test_what_lies_between_is_no_function_of_each_node():
    for module in (nn.BatchNorm1d(6, affine=False), nn.LayerNorm(6, elementwise_affine=False), nn.Softmax(-1)):
        between = nn.Sequential(nn.Linear(6, 6), module, nn.ReLU(), nn.Linear(6, 6))
        refused(between, f"between '0' and '3' .*{type(module).__name__}.* is no activation|from '0' alone")
    functional = Model(lambda self, x: self.b(torch.relu(F.layer_norm(self.a(x), (6,)))), a=(6, 6), b=(6, 6))
    refused(functional, "between 'a' and 'b' is no activation")
    scaled = Model(lambda self, x: self.b(torch.relu(self.a(x / 255))), a=(6, 6), b=(6, 6))
    refused(scaled, "what enters its first layer 'a' is not the input itself")

    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    refused(nn.Sequential(nn.Linear(6, 6), nn.ReLU(), Doubled(6, 6)), "'2' computes something else than W x")

    class Noisy(nn.Linear):
        def forward(self, x):
            return F.linear(x, self.weight + self.training * torch.randn_like(self.weight), self.bias)

    noisy = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), Noisy(6, 6))
    refused(noisy, "'2' computes something else than W x")
    assert network_of(noisy.eval()).depth == 2


FAULTS = {
    "a small skip": lambda h, x: h + 1e-4 * x,
    "a scale": lambda h, x: 1.0001 * h,
    "a bias": lambda h, x: h + 1e-4,
    "centred nodes": lambda h, x: h - h.mean(-1, keepdim=True),
    "a normalized layer": lambda h, x: h / h.norm(dim=-1, keepdim=True),
    "a normalized batch": lambda h, x: h - 1e-3 * h.mean(0),
    "a bound": lambda h, x: h.clamp(-3, 3),
    "nodes in another order": lambda h, x: h.flip(-1),
    "a node that is cut off": lambda h, x: torch.cat([h[:, 1:], 0 * h[:, :1]], -1),
    "a gate": lambda h, x: h * torch.sigmoid(x),
}


@pytest.mark.parametrize("phi", [torch.relu, torch.tanh, lambda h: h])
def test_any_fault_of_any_layer_is_seen(phi):
    def passing(fault, faulty):
        def forward(self, x):
            for k, name in enumerate("abcd"):
                h = getattr(self, name)(x)
                x = phi(fault(h, x) if k == faulty else h)
            return self.e(x)

        return Model(forward, **{name: (12, 12) for name in "abcde"})

    assert network_of(passing(lambda h, x: h, 0)).depth == 5
    for fault in FAULTS.values():
        for faulty in range(4):
            refused(passing(fault, faulty), "no Network describes this model: what .*between|does not follow|skip")


@pytest.mark.parametrize("kind", ["Conv1d(6, 6, 1)", "LayerNorm(6)", "BatchNorm1d(6)", "PReLU()", "Embedding(6, 6)"])
def test_other_modules_with_weights_are_named(kind):
    module = eval(f"nn.{kind}")
    refused(nn.Sequential(nn.Linear(6, 6), module, nn.Linear(6, 6)), f"got {type(module).__name__} modules")


def test_weights_outside_modules():
    model = Model(lambda self, x: self.a(x) * self.gain, a=(4, 4))
    model.gain = nn.Parameter(torch.ones(4))
    refused(model, "got Model modules with weights of their own")
    refused(nn.MultiheadAttention(8, 2), "got MultiheadAttention modules")
    refused(nn.Sequential(nn.Tanh()), "got none")


@old
def test_models_that_cannot_be_probed():
    refused(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(5, 4)), r"does not run on a probe of shape \(32, 4\)")

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 4)

        def forward(self, x, y):
            return self.a(x) + y

    refused(Two(), "does not run on a probe .* missing 1 required positional argument: 'y'")
    refused(nn.Sequential(nn.LazyLinear(4)), "got a lazy module .* run the model once")
    refused(torch.jit.script(nn.Sequential(nn.Linear(4, 4))), "got a scripted model")
    refused(nn.Sequential(torch.jit.script(nn.Linear(4, 4)), nn.ReLU(), nn.Linear(4, 4)), "got a scripted model .*'0'")
    quantized = torch.ao.quantization.quantize_dynamic(chain((4, 4, 4)), {nn.Linear}, dtype=torch.qint8)
    refused(quantized, "got a quantized model")
    refused(nn.Sequential(nn.Linear(4, 4, device="meta")), "no real numbers .torch.float32 on device meta")
    refused(
        nn.Sequential(nn.Linear(4, 4, dtype=torch.complex64)), "'0.weight' that are no real numbers .torch.complex64"
    )
    locked = chain((4, 4))
    locked.generator = (each for each in [1])
    refused(locked, "cannot be copied: TypeError")
    broken = chain((4, 4, 4))
    nn.init.constant_(broken[2].weight, math.nan)
    refused(broken, "'2' has weights or biases that are not finite")
    nn.init.zeros_(broken[2].weight)
    refused(broken, "all weights of its layer '2' are 0")
    hooked = chain((4, 4, 4))
    hooked[1].register_forward_hook(lambda module, inputs, output: 2 * output)
    refused(hooked, "got a hook at module '1'")
    for wrong in (3, None, "model"):
        with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module"):
            network_of(wrong)
