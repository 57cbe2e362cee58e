"""`network_of` leaves the model alone, whatever it is, and takes it as it comes."""

import inspect
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn import activations
from rmt_vn.adapters import network_of, watch
from rmt_vn.measures import jacobian_vni
from rmt_vn.prediction import predict
from tests.torch_models import Model, chain, nn, old, residual, torch


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


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


# --- a residual model, described by hand ------------------------------------------------------------------------------


def described_by_hand(n_models):
    """The description that the docstring makes of its model, and the VNI of such models over a small ball."""
    (example,) = re.findall(r"::\n\n((?:(?:    .*)?\n)+)", inspect.getdoc(network_of))
    names = {}
    exec(inspect.cleandoc(f"\n{example}"), names)
    network, values = names["network"], []
    for _ in range(n_models):
        model = nn.Sequential(*(names["Block"](network.width, network.hidden) for _ in range(network.depth))).double()
        # Over a small ball the covariance of the nodes is J Jᵀ: differences at one point, of mean square 1.
        x = torch.randn(1, network.width, dtype=torch.float64)
        x *= network.width**0.5 / x.norm()
        with torch.no_grad():
            moved = model(x + 1e-6 * torch.eye(network.width, dtype=torch.float64)) - model(x)
        values.append(float(jacobian_vni(moved.T.numpy()[None])[0]))
    return network, values


def test_a_residual_model_described_by_hand_has_the_vni_predicted():
    network, values = described_by_hand(20)
    # One model has as many weights as to tell σ to some thousandths.
    assert network.sigma_w == pytest.approx((3**-0.5,) * 2, rel=0.01)
    found, stderr = mean_and_error(values)
    said, wrong = (predict(each, n_networks=60, rng=0).layers[-1] for each in (network, replace(network, skip=0.7)))
    assert_sampled(found, said.vni, math.hypot(stderr, said.stderr), wrong=[wrong.vni])


@pytest.mark.slow
def test_residual_models_described_by_hand_are_inside_the_interval():
    network, values = described_by_hand(100)
    low, high = predict(network, rng=0).layers[-1].interval()
    # 95 are expected; fewer than 86 have a probability of 2 in 10 000.
    assert sum(low <= each <= high for each in values) >= 86
    low, high = predict(replace(network, normalization="post"), rng=0).layers[-1].interval()
    assert sum(low <= each <= high for each in values) < 50
