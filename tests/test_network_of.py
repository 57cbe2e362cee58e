"""`network_of`: what is read of a model is what it computes and was made of, or it is refused with the reason."""

import copy
import math
import re
import warnings
from itertools import pairwise

import numpy as np
import pytest

from rmt_vn import activations
from rmt_vn.activations import Activation
from rmt_vn.adapters import network_of, watch
from rmt_vn.adapters.torch_networks import NotRandomWarning
from rmt_vn.adapters.weight_spectra import spectrum_of
from rmt_vn.ensembles import haar
from rmt_vn.network import Network
from rmt_vn.prediction import predict

torch = pytest.importorskip("torch")
nn = torch.nn
F = torch.nn.functional
WIDTHS = (40, 60, 50, 50, 30)
# PyTorch warns of its own old functions.
old = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:torch.quantize_per")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


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


# --- effective weights ------------------------------------------------------------------------------------------------


def effective(name):
    """A module whose weights are computed, and its effective ones, by hand."""
    new = nn.utils.parametrizations

    def normed(linear, v, g):
        return (g * v / v.norm(dim=1, keepdim=True)).detach().double().numpy()

    if name == "weight_norm":
        linear = new.weight_norm(nn.Linear(48, 48))
        of = linear.parametrizations.weight
        with torch.no_grad():
            of.original0 *= 3
        return linear, lambda: normed(linear, of.original1, of.original0)
    if name == "weight_norm, old":
        linear = nn.utils.weight_norm(nn.Linear(48, 48))
        with torch.no_grad():
            linear.weight_g *= 3
        return linear, lambda: normed(linear, linear.weight_v, linear.weight_g)
    if name == "spectral_norm":
        linear = new.spectral_norm(nn.Linear(48, 48), n_power_iterations=50)
        w = linear.parametrizations.weight.original.detach().double().numpy()
        return linear, lambda: w / np.linalg.norm(w, 2)
    if name == "pruned":
        from torch.nn.utils import prune

        linear = prune.random_unstructured(nn.Linear(48, 48), "weight", 0.5)
        return linear, lambda: (linear.weight_orig * linear.weight_mask).detach().double().numpy()
    raise AssertionError(name)


@old
@pytest.mark.parametrize(
    ("name", "precise"),
    [("weight_norm", 1e-6), ("weight_norm, old", 1e-6), ("spectral_norm", 0.02), ("pruned", 1e-6)],
)
def test_weights_are_those_that_are_used(name, precise):
    layers = [effective(name) for _ in range(3)]
    model = nn.Sequential(*(each for linear, _ in layers for each in (linear, nn.ReLU())))
    for passes in range(2):
        network = network_of(model)
        assert network.widths == (48,) * 4
        mean_square = np.mean([of() ** 2 for _, of in layers])
        assert network.sigma_w == pytest.approx(math.sqrt(48 * mean_square), rel=precise), passes
        model(torch.randn(3, 48)).sum().backward()  # computed weights have a history then, which cannot be copied
    raw = [parameter for name, parameter in model.named_parameters() if parameter.shape == (48, 48)]
    of_raw = math.sqrt(48 * np.mean([np.mean(each.detach().numpy() ** 2) for each in raw]))
    assert network.sigma_w != pytest.approx(of_raw, rel=0.05)  # the negative control


def test_orthogonal_parametrizations():
    network = network_of(chain((48, 48, 48), nn.Tanh, wrap=nn.utils.parametrizations.orthogonal))
    assert network.weights == "orthogonal" and network.sigma_w == pytest.approx(1, rel=1e-5)


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


# --- scales by layer --------------------------------------------------------------------------------------------------


def test_layers_of_different_scales_are_named_with_their_values():
    model = chain((64,) * 7, nn.ReLU, gaussian(1.0), nn.init.zeros_)
    sigma = [math.sqrt(64 * float((linear.weight.detach().double() ** 2).mean())) for linear in model[::2]]
    assert network_of(model).sigma_w == pytest.approx(math.sqrt(np.mean(np.square(sigma))), rel=1e-6)
    with torch.no_grad():
        model[0].weight *= 10
    low = 2 * int(np.argmin(sigma[1:])) + 2
    told = refused(model, f"sigma_w is {min(sigma[1:]):.3g} in layer '{low}' and {10 * sigma[0]:.3g} in '0'")
    # By one σ_w² for all, (100 + 5)/6 = 17.5, a gradient at layer 1 is wrong by 17.5^{5/2}.
    assert float(re.search(r"by a factor of ([\d.e+]+)", told)[1]) == pytest.approx(17.5**2.5, rel=0.1)
    model = chain((64,) * 7, nn.Tanh, gaussian(1.0), lambda bias: nn.init.normal_(bias, std=0.05))
    network_of(model)
    nn.init.normal_(model[6].bias, std=3.0)
    refused(model, "sigma_b is 0.0.* and (2.9|3|3.1).* in '6'")


def test_biases_matter_over_wide_inputs_even_where_slopes_are_constant():
    model = chain((64,) * 7, nn.ReLU, gaussian(math.sqrt(2)), nn.init.zeros_)
    nn.init.normal_(model[10].bias, std=30.0)
    refused(model, "the part of biases in a variance would be .* 0.7 off is allowed")


@pytest.mark.parametrize("phi", [nn.ReLU, nn.Tanh, nn.GELU, nn.Sigmoid])
def test_default_and_he_initialization_pass_at_any_widths(phi):
    for widths in (
        (784, 256, 256, 10),
        (1, 64, 64, 1),
        (2, 64, 64, 64, 1),
        (10, *[100] * 12, 3),
        (5, 300, 20, 300, 5),
        (3, 3, 3, 3),
    ):
        model = chain(widths, phi)
        assert network_of(model).sigma_w == pytest.approx(math.sqrt(1 / 3), rel=4 * math.sqrt(0.4 / 27))
        he = chain(widths, phi, lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"), nn.init.zeros_)
        assert network_of(he).sigma_w == pytest.approx(math.sqrt(2), rel=4 * math.sqrt(0.5 / 27))
    contracting = chain((784, 256, 256, 10), phi, nn.init.orthogonal_, nn.init.zeros_)
    assert network_of(contracting).sigma_w == pytest.approx(1, rel=1e-5)


def test_chance_is_no_reason():
    """Narrow layers scatter: by √(2/9) in nine weights. None of 80 networks is refused, nor thought trained."""
    rng = np.random.default_rng(3)
    for _ in range(80):
        widths = tuple(rng.integers(2, 12, rng.integers(2, 9)).tolist())
        assert network_of(chain(widths, nn.Tanh, gaussian(1.2), nn.init.normal_)).widths == widths


def test_initialization_that_depends_on_the_shape_is_named():
    xavier = chain((4, 128, 128, 128, 1), nn.Tanh, nn.init.xavier_normal_, nn.init.zeros_)
    refused(xavier, "as Xavier's initialization gives layers of different shapes")
    assert network_of(chain((64, 64, 64), nn.Tanh, nn.init.xavier_uniform_)).sigma_w == pytest.approx(1, rel=0.05)
    fan_out = chain((4, 128, 128, 128, 1), nn.ReLU, lambda w: nn.init.kaiming_normal_(w, mode="fan_out"))
    refused(fan_out, "as fan-out initialization gives")
    expanding = chain((4, 128, 128, 128), nn.Tanh, nn.init.orthogonal_, nn.init.zeros_)
    refused(expanding, "as orthogonal initialization gives")
    by_hand = chain((64, 64, 64, 64), nn.Tanh, gaussian(1.0))
    nn.init.normal_(by_hand[4].weight, std=0.5)
    assert (
        "as "
        not in refused(by_hand, "sigma_w is .* in layer .*: root mean square gradients").partition(", where")[0][60:]
    )


def test_a_common_scale_describes_what_passes():
    """Default biases of narrow inputs differ eightfold; VNIs over wide inputs differ little from those of one σ_b."""
    widths, own, common, rng = (2, 64, 64, 64, 64), [], [], np.random.default_rng(0)
    sigma_b = network_of(chain(widths, nn.Tanh)).sigma_b
    for values, scale in ((own, None), (common, sigma_b)):
        for _ in range(40):
            x = rng.standard_normal((600, 2))
            for n_in, n_out in pairwise(widths):
                biases = rng.standard_normal(n_out) * (math.sqrt(1 / 3 / n_in) if scale is None else scale)
                h = x @ rng.standard_normal((n_in, n_out)) * math.sqrt(1 / 3 / n_in) + biases
                x = np.tanh(h)
            values.append(np.mean(np.corrcoef(h.T) ** 2))
    error = math.hypot(np.std(own), np.std(common)) / math.sqrt(40)
    assert abs(np.mean(common) / np.mean(own) - 1) < 0.1 + 4 * error / np.mean(own)


# --- weights that are no longer random --------------------------------------------------------------------------------


def test_trained_weights_get_a_warning_with_a_number():
    inputs, labels = torch.randn(200, 20), torch.randint(3, (200,))
    model = chain((20, 64, 64, 3))
    network_of(model)  # before training there is no warning, which would be an error here
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            network_of(model)
        except ValueError as error:
            assert "sigma_" in str(error)
    (one,) = told
    assert one.category is NotRandomWarning and issubclass(NotRandomWarning, UserWarning)
    assert one.filename == __file__ and "\n" not in str(one.message)
    layer, ratio = re.search(r"layer '(\d)'.* is ([\d.]+) times the edge", str(one.message)).groups()
    w = model[int(layer)].weight.detach().double().numpy()
    edge = np.sqrt(np.mean(w**2)) * sum(math.sqrt(n) for n in w.shape)
    assert np.linalg.norm(w, 2) / edge == pytest.approx(float(ratio), rel=0.02)


@pytest.mark.parametrize("shape", [(2, 2), (2, 300), (3, 64), (10, 10), (200, 10), (64, 64), (250, 300)])
def test_random_matrices_are_taken_for_random(shape):
    rng = np.random.default_rng(4)
    kinds = (
        rng.standard_normal,
        lambda shape: rng.uniform(-1, 1, shape),
        lambda shape: rng.choice([-1.0, 1.0], shape),
        lambda shape: np.clip(rng.standard_normal(shape), -2, 2),
        lambda shape: rng.standard_normal(shape) * (rng.random(shape) < 0.3) + 1e-9,
        lambda shape: np.atleast_2d(haar(max(shape), min(shape), rng=rng)),
    )
    for kind in kinds:
        for _ in range(4 if max(shape) > 200 else 60):
            assert spectrum_of(kind(shape)).departure is None, kind


@pytest.mark.parametrize("shape", [(64, 64), (30, 200), (250, 300)])
def test_departures_are_seen_where_theory_says_they_show(shape):
    """A spike shows beyond the threshold of Baik, Ben Arous and Péché, and not below it."""
    rng = np.random.default_rng(5)
    n_out, n_in = shape
    noise = rng.standard_normal(shape) / math.sqrt(n_in)
    threshold = (n_out / n_in) ** 0.25
    u, v = rng.standard_normal(n_out), rng.standard_normal(n_in)
    spike = np.outer(u / np.linalg.norm(u), v / np.linalg.norm(v))
    assert spectrum_of(noise + 0.7 * threshold * spike).departure is None
    ratio, told = spectrum_of(noise + 4 * threshold * spike).departure
    seen = noise + 4 * threshold * spike
    edge = np.sqrt(np.mean(seen**2)) * (math.sqrt(n_out) + math.sqrt(n_in))
    assert "largest singular value" in told and ratio == pytest.approx(np.linalg.norm(seen, 2) / edge, rel=0.02)
    # Rows of different sizes, and singular values that lie too close together.
    assert spectrum_of(noise * np.exp(rng.standard_normal((n_out, 1)))).departure is not None
    if n_out == n_in:
        near = haar(n_out, rng=rng) + 0.1 * noise
        ratio, told = spectrum_of(near).departure
        values = np.linalg.svd(near, compute_uv=False) ** 2
        by_hand = n_out**2 * np.sum(values**2) / np.sum(values) ** 2 / (2 * n_out + 1)
        assert "fourth powers" in told and ratio == pytest.approx(by_hand, rel=0.02)


def test_an_orthogonal_matrix_that_is_not_haar():
    assert spectrum_of(haar(64, rng=0)).departure is None
    permutation = np.eye(64)[np.random.default_rng(0).permutation(64)]
    ratio, told = spectrum_of(permutation).departure
    assert ratio == pytest.approx(8) and "one entry" in told


# --- the model is left alone ------------------------------------------------------------------------------------------


MODELS = {
    "plain": lambda: chain((6, 8, 5)),
    "dropout": lambda: nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 6)),
    "spectral norm": lambda: chain((32, 32, 32), nn.Tanh, wrap=nn.utils.parametrizations.spectral_norm),
    "old spectral norm": lambda: chain((32, 32, 32), nn.Tanh, wrap=nn.utils.spectral_norm),
    "old weight norm": lambda: chain((6, 6, 6), wrap=nn.utils.weight_norm),
    "half": lambda: chain((6, 8, 5)).bfloat16(),
    "double": lambda: chain((6, 8, 5)).double(),
    "batch norm": lambda: nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6, affine=False), nn.Linear(6, 6)),
    "noise": lambda: Model(lambda self, x: self.a(x) + torch.rand(1), a=(6, 6)),
    "residual": lambda: residual(8, 3),
    "in float32": lambda: Model(lambda self, x: self.b(torch.relu(self.a(x.float()))), a=(6, 6), b=(6, 6)),
}


@old
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_nothing_of_the_model_changes(name, training):
    model = MODELS[name]().train(training)
    model[-1].train(not training) if isinstance(model, nn.Sequential) else None  # modes of modules may differ
    dtype = next(model.parameters()).dtype
    n_inputs = next(m for m in model.modules() if isinstance(m, nn.Linear)).in_features
    model(torch.randn(4, n_inputs, dtype=dtype)).float().sum().backward()

    def state():
        flags = [
            (m.training, {k: v for k, v in vars(m).items() if isinstance(v, (int, float))}) for m in model.modules()
        ]
        hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
        tensors = [v.detach().clone() for m in model.modules() for v in vars(m).values() if isinstance(v, torch.Tensor)]
        parameters = [(id(p), p.dtype, p.requires_grad, p._version) for p in model.parameters()]
        values = [each.clone() for each in model.state_dict().values()]
        gradients = [p.grad.clone() for p in model.parameters()]
        return (flags, hooks, parameters), [*values, *gradients, *tensors, torch.get_rng_state()]

    before, tensors_before = state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    try:
        network_of(model)
    except ValueError as error:
        assert "no Network describes this model" in str(error)
    after, tensors_after = state()
    assert before == after
    assert len(tensors_before) == len(tensors_after) and all(map(torch.equal, tensors_before, tensors_after))
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32


def test_the_outputs_after_it_are_those_without_it():
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 6))
    x = torch.randn(20, 6)
    torch.manual_seed(1)
    without = model(x)
    torch.manual_seed(1)
    network_of(model)
    assert torch.equal(model(x), without)


def test_a_watch_around_it_sees_nothing():
    model = chain((6, 8, 5))
    with watch(model) as layers:
        model(torch.randn(30, 6))
        network_of(model)
    assert {layers[name].n_samples for name in layers} == {30}


def test_precisions_and_wrappers():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        model = chain((64, 64, 64, 4), nn.Tanh).to(dtype)
        mean_square = np.average(
            [float((m.weight.detach().double() ** 2).mean()) * m.in_features for m in model[::2]],
            weights=[4096, 4096, 256],
        )
        assert network_of(model).sigma_w == pytest.approx(math.sqrt(mean_square), rel=1e-12)
        assert network_of(model).activation == activations.get("tanh")
    model = chain((64, 64, 4), nn.Tanh)
    with torch.inference_mode():
        assert network_of(model) == network_of(model)
    assert network_of(torch.compile(model, backend="eager")) == network_of(model) == network_of(nn.DataParallel(model))
    own_precision = Model(lambda self, x: self.b(torch.relu(self.a(x.float()))), a=(6, 6), b=(6, 6))
    assert network_of(own_precision).activation == activations.get("relu")


def test_a_copy_is_made_and_no_more():
    """Deep networks cost in proportion to their depth: one copy, a few passes."""
    passes = []
    model = Model(lambda self, x: passes.append(0) or self.b(torch.relu(self.a(x))), a=(6, 6), b=(6, 6))
    network_of(model)
    assert len(passes) <= 6
    assert network_of(chain((8,) * 201, nn.Tanh)).depth == 200
