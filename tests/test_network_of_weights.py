"""`network_of`: the weights that are used, scales of layers, and weights that are no longer random."""

import math
import re
import warnings
from itertools import pairwise

import numpy as np
import pytest

from rmt_vn.adapters import network_of
from rmt_vn.adapters.torch_networks import NotRandomWarning
from tests.torch_models import chain, gaussian, nn, old, refused, torch

F = torch.nn.functional


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


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
