"""The null of models: copies with fresh weights say what fresh models say, and leave the model as it was."""

import copy
import json

import numpy as np
import pytest
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn import Network
from rmt_vn.adapters import reinitialized, watch
from rmt_vn.prediction import predict

torch = pytest.importorskip("torch")
nn = torch.nn


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def inputs(n_samples=80, n_inputs=6, seed=0):
    """Of few dimensions, as data are."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy((rng.standard_normal((n_samples, 4)) @ rng.standard_normal((4, n_inputs))).astype("f4"))


X = inputs()


def mlp():
    return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 3))


class Gaussian(nn.Linear):
    """W of variance σ_w²/fan-in, as a `Network` has it."""

    def reset_parameters(self):
        nn.init.normal_(self.weight, std=1.4 / self.in_features**0.5)
        nn.init.normal_(self.bias, std=0.3)


def state_of(model):
    """All that a model is: parameters, buffers, gradients, modes, hooks."""
    tensors = {name: each.clone() for name, each in model.state_dict().items()}
    grads = [None if each.grad is None else each.grad.clone() for each in model.parameters()]
    modes = [module.training for module in model.modules()]
    hooks = [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()]
    return tensors, grads, modes, hooks


def assert_untouched(before, after):
    for one, other in zip(before[:2], after[:2], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert before[2:] == after[2:]


# --- what it is -------------------------------------------------------------------------------------------------------


def of_fresh(make, x, names, n, mode="train"):
    """The VNI of models that are made anew, layer by layer, watched."""
    found = []
    for _ in range(n):
        model = getattr(make(), mode)()
        with watch(model, names) as layers, torch.no_grad():
            model(x)
        found.append([layers[name].value for name in names])
    return np.array(found)


def batch_normalized():
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 9))


def images_and_sequences():
    """Of everything one: PyTorch's own modules, whose parameters are drawn by ways of their own."""
    encoder = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
    return nn.Sequential(
        nn.Unflatten(1, (2, 3)),
        nn.Conv1d(2, 8, 2),
        nn.GroupNorm(2, 8),
        nn.PReLU(),
        _Turned(),
        encoder,
        _Attended(),
        _Recurred(),
    )


class _Turned(nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)


class _Attended(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, add_bias_kv=True, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x)[0]


class _Recurred(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.norm = nn.LSTM(8, 7, 2, batch_first=True), nn.LayerNorm(7)

    def forward(self, x):
        return self.norm(self.lstm(x)[0])


@pytest.mark.parametrize(
    ("make", "mode"),
    [(mlp, "train"), (batch_normalized, "train"), (batch_normalized, "eval"), (images_and_sequences, "train")],
)
def test_replicas_have_the_values_of_models_made_anew(make, mode):
    model = getattr(make(), mode)()
    with torch.no_grad():  # as if it had been trained
        for parameter in model.parameters():
            parameter.mul_(3).add_(0.5)
    model(X)
    before, state = state_of(model), torch.get_rng_state()
    null = reinitialized(model, X, replicas=25, rng=0)
    assert_untouched(before, state_of(model))
    assert torch.equal(state, torch.get_rng_state())
    assert null.faults == {} and null.replicas == 25
    fresh = of_fresh(make, X, null.layers, 25, mode)
    (value, error), (expected, of_expected) = (
        mean_and_error(each) for each in (np.transpose([null.values[name] for name in null.layers]), fresh)
    )
    with watch(model, null.layers) as layers, torch.no_grad():
        model(X)
    trained = [layers[name].value for name in null.layers]
    assert_sampled(value, expected, np.hypot(error, of_expected), wrong=[trained], k=4.5)
    assert bool(null.notes) == (mode == "eval")
    assert mode == "train" or null.notes[""].startswith("1 modules of batch normalization are in evaluation")


def test_the_route_by_arrays_says_the_same():
    model = nn.Sequential(Gaussian(6, 15), nn.Tanh(), Gaussian(15, 15), nn.Tanh(), Gaussian(15, 4))
    null = reinitialized(model, X, replicas=30, rng=0, activations=True)
    network = Network((6, 15, 15, 4), "tanh", sigma_w=1.4, sigma_b=0.3)
    predicted = predict(network, inputs=X.numpy(), n_networks=30, rng=0)
    # Negative control: other biases and another scale.
    other = predict(Network((6, 15, 15, 4), "tanh", sigma_w=3.0), inputs=X.numpy(), n_networks=30, rng=0)
    for names, kind in ((("0", "2", "4"), "pre-activations"), (("1", "3"), "activations")):
        ours = mean_and_error(np.transpose([null.values[name] for name in names]))
        arrays, wrong = (
            mean_and_error(np.transpose(list(each.baseline(kind=kind).values.values()))[:, : len(names)])
            for each in (predicted, other)
        )
        assert_sampled(ours[0], arrays[0], np.hypot(ours[1], arrays[1]), wrong=[wrong[0]])


@pytest.mark.slow
def test_ranks_of_fresh_models_are_uniform_and_those_of_trained_ones_are_not():
    null = reinitialized(mlp(), X, replicas=99, rng=0)
    names = ("0", "2")
    labels = torch.sign(X[:, :1]).expand(-1, 3)

    def places(steps):
        found = []
        for _ in range(200):
            model = mlp()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(steps):
                optimizer.zero_grad()
                torch.mean((model(X) - labels) ** 2).backward()
                optimizer.step()
            with watch(model, names) as layers, torch.no_grad():
                model(X)
            found.append([null.rank(name, layers[name].value).below / 99 for name in names])
        return np.array(found)

    # All are held against one null, whose own places scatter: 1/√(12 × 99) in the mean.
    scatter = np.sqrt(1 / 12 * (1 / 200 + 1 / 99))
    value = places(0).mean(axis=0)
    assert np.all(np.abs(value - 0.5) < 4 * scatter)
    assert np.abs(places(40).mean(axis=0) - 0.5).max() > 4 * scatter


def test_the_same_seed_gives_the_same_numbers_whatever_the_random_state():
    model = batch_normalized().train()
    one = reinitialized(model, X, replicas=3, rng=1)
    torch.manual_seed(99)
    same, other = reinitialized(model, X, replicas=3, rng=1), reinitialized(model, X, replicas=3, rng=2)
    for name in one.layers:
        assert one.values[name].tolist() == same.values[name].tolist() != other.values[name].tolist()
    assert len(set(one.values["0"].tolist())) == 3
    assert json.dumps(one.to_dict())


def test_a_factory_makes_what_modules_cannot():
    made = []

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.out = nn.Parameter(torch.randn(6)), nn.Linear(6, 8)
            self.register_buffer("shift", torch.ones(6))

        def forward(self, x):
            return self.out(self.scale * x + self.shift)

    def factory():
        made.append(Own())
        return made[-1]

    model = Own().double().eval()
    with pytest.raises(ValueError, match=r"^no module draws parameter 'scale' anew; give factory"):
        reinitialized(model, X.double())
    null = reinitialized(model, X.double(), replicas=3, rng=0, factory=factory)
    assert null.layers == ("out",) and len(set(null.values["out"].tolist())) == 3
    assert not made[-1].training and made[-1].shift.dtype == made[-1].scale.dtype == torch.float64
    again = reinitialized(model, X.double(), replicas=3, rng=0, factory=Own)
    assert again.values["out"].tolist() == null.values["out"].tolist()


# --- what models are made of ------------------------------------------------------------------------------------------


def test_tied_weights_stay_tied():
    class Tied(nn.Module):
        def __init__(self, other):
            super().__init__()
            self.one = nn.Linear(6, 6)
            self.other = nn.Linear(6, 6) if other == "linear" else nn.Embedding(6, 6)
            self.other.weight = self.one.weight
            self.seen = []

        def forward(self, x):
            self.seen.append(torch.equal(self.one.weight, self.other.weight))
            return self.other(self.one(x))

    model = Tied("linear")
    null = reinitialized(model, X, replicas=2, rng=0)
    assert set(null.values) == {"one", "other"} and model.seen == []
    with pytest.raises(ValueError, match=r"'one.weight' of Linear and 'other.weight' of Embedding are one parameter"):
        reinitialized(Tied("embedding"), X)


def test_buffers_are_those_of_the_model_in_each_replica():
    seen = []

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(6, 4)
            self.register_buffer("count", torch.tensor(7.0))
            self.register_buffer("replaced", torch.tensor(1.0), persistent=False)

        def forward(self, x):
            seen.append((float(self.count), float(self.replaced)))
            self.count += 1
            self.replaced = self.replaced + 1
            return self.out(x)

    model = Counting()
    reinitialized(model, X, replicas=3, rng=0)
    assert seen == [(7.0, 1.0)] * 3 and float(model.count) == 7


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_types_are_those_of_the_model(dtype):
    seen = []
    model = mlp().to(dtype)
    model[1].register_forward_hook(lambda *passed: seen.append(passed[2].dtype))
    null = reinitialized(model, X.to(dtype), replicas=2, rng=0)
    assert set(seen) == {dtype} and null.faults == {}
    of_arrays = reinitialized(model, X.numpy(), replicas=2, rng=0)
    assert of_arrays.values["0"].tolist() == null.values["0"].tolist()


def test_random_numbers_of_other_devices():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    model, x = batch_normalized().cuda().train(), X.cuda()
    state = torch.cuda.get_rng_state()
    one, same = (reinitialized(model, x, replicas=3, rng=0) for _ in range(2))
    assert one.values["0"].tolist() == same.values["0"].tolist()
    assert torch.equal(state, torch.cuda.get_rng_state())


def test_inputs_of_all_kinds():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(6, 5)

        def forward(self, x, factor=2.0):
            return self.out(factor * x)

    model, two = Two(), X.numpy() * 2
    expected = reinitialized(model, X, replicas=2, rng=0).values["out"].tolist()
    for given in ((X, 2.0), {"x": X, "factor": 2.0}, {"x": X.numpy()}, (two, 1)):
        assert reinitialized(model, given, replicas=2, rng=0).values["out"].tolist() == pytest.approx(
            expected, rel=1e-6
        )
    batches = reinitialized(model, [X[:50], (X[50:],)], replicas=2, rng=0, select="out", most_nodes=4)
    assert not batches.faults and batches.n_nodes == {"out": 5}


def test_layers_that_cannot_be_measured_are_told_and_the_rest_is_made():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.out, self.idle, self.nan = nn.Linear(6, 5), nn.Linear(6, 5), nn.Linear(6, 4)

        def forward(self, x):
            return self.out(x).sum() + self.nan(x * torch.nan).sum()

    null = reinitialized(Broken(), X, replicas=3, rng=0)
    assert null.layers == ("out", "idle", "nan") and null.faults.keys() == {"idle", "nan"}
    assert "no call of it was seen" in null.faults["idle"] and "NaN" in null.faults["nan"]
    few = reinitialized(mlp(), X[:3], replicas=2, rng=0)
    assert few.faults.keys() == {"0", "2", "4"} and "five" in few.faults["0"]


# --- what is refused --------------------------------------------------------------------------------------------------


class Stubborn(nn.Linear):
    def reset_parameters(self):
        with torch.no_grad():
            self.weight.fill_(1.0)
            self.bias.uniform_(0, 0) if getattr(self, "bias", None) is not None else None


class Failing(nn.Linear):
    def reset_parameters(self):
        if hasattr(self, "made"):
            raise RuntimeError("only once\nand no more")
        super().reset_parameters()
        self.made = True


def half_drawn():
    model = nn.Linear(6, 5)
    model.own = nn.Parameter(torch.zeros(3))
    model.more = nn.ParameterList([torch.zeros(2)] * 6)
    return model


MODEL, SAME = mlp(), mlp()


@pytest.mark.parametrize(
    ("model", "given", "options", "told"),
    [
        (3, X, {}, "model must be a torch.nn.Module, got int"),
        (nn.Tanh(), X, {}, "the model has no parameters"),
        (MODEL, X[:, :4], {}, "the model failed on these inputs: mat1 and mat2 shapes cannot be multiplied"),
        (MODEL, [], {}, "inputs must hold at least one batch"),
        (MODEL, X, {"replicas": 1}, "replicas must be an integer ≥ 2, got 1"),
        (MODEL, X, {"select": "9"}, "no module named '9'"),
        (
            half_drawn(),
            X,
            {},
            r"parameters 'own', 'more.0', 'more.1', 'more.2', 'more.3' and 2 more anew; give factory",
        ),
        (nn.utils.parametrizations.weight_norm(nn.Linear(6, 5)), X, {}, r"'parametrizations.weight.original0'"),
        (nn.LazyLinear(5), X, {}, "parameter 'weight' has no shape before the model has run"),
        (Stubborn(6, 5), X, {}, "reset_parameters gave the same weights twice"),
        (Failing(6, 5), X, {}, "reset_parameters of 'the model' failed: only once and no more; give factory"),
        (MODEL, X, {"factory": 3}, "factory must be a function that returns a model, got int"),
        (MODEL, X, {"factory": lambda: 3}, "factory must return a torch.nn.Module, got int"),
        (MODEL, X, {"factory": lambda: MODEL}, "factory must return new models, got one that shares its parameters"),
        (MODEL, X, {"factory": lambda: copy.deepcopy(SAME)}, "factory returned the same weights twice"),
        (MODEL, X, {"factory": lambda: nn.Linear(6, 3)}, r"got a parameter '0.weight' of shape none for \(12, 6\)"),
        (MODEL, X, {"factory": lambda: 1 // 0}, "factory failed: integer division"),
    ],
)
def test_one_line_says_what_is_wrong(model, given, options, told):
    state = torch.get_rng_state()
    with pytest.raises((TypeError, ValueError), match=told) as error:
        reinitialized(model, given, **{"rng": 0, **options})
    assert "\n" not in str(error.value)
    assert torch.equal(state, torch.get_rng_state())


def test_it_can_be_interrupted():
    class Slow(nn.Linear):
        def forward(self, x):
            raise KeyboardInterrupt

    model, state = Slow(6, 5), torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        reinitialized(model, X)
    assert torch.equal(state, torch.get_rng_state()) and not model._forward_hooks
