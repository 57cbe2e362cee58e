"""Adapters: what hooks see is what the model computed."""

import copy
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from rmt_vn import measures
from rmt_vn.adapters import mlp_activations, network_of, watch
from rmt_vn.network import Network
from rmt_vn.prediction import predict

ROOT = Path(__file__).parents[1]


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return torch


@pytest.fixture
def mlp(torch):
    nn = torch.nn
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3))


def hooks_of(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def assert_same(watched, measured):
    """The same samples: their plug-in VNI. What takes its bias off differs, batch by batch or all at once."""
    for name in ("plug_in", "n_nodes", "n_samples", "constant_nodes"):
        assert getattr(watched, name) == pytest.approx(getattr(measured, name), rel=1e-9), name


# --- watch ------------------------------------------------------------------------------------------------------------


def test_what_is_watched_is_what_was_computed(torch, mlp):
    batches = torch.randn(4, 50, 6)
    with watch(mlp, [torch.nn.Tanh, "2"]) as layers, torch.no_grad():
        for batch in batches:
            mlp(batch)
    assert list(layers) == ["1", "2", "3"] and len(layers) == 3
    with torch.no_grad():
        for name in layers:
            outputs = mlp[: int(name) + 1](batches.reshape(200, 6)).double().numpy()
            assert_same(layers[name], measures.vni(outputs))
    assert dict(layers.items()).keys() == {"1", "2", "3"}


@pytest.mark.parametrize(("batch", "passes"), [(1, 30), (70_000, 2), (8192, 3)])
def test_portions_of_any_size(torch, batch, passes):
    x, model = torch.randn(passes, batch, 8), torch.nn.Identity()
    with watch(model, [""]) as layers:
        for each in x:
            model(each)
        assert layers[""].n_samples == passes * batch  # to ask in between changes nothing
        model(x[0])
    assert_same(layers[""], measures.vni(torch.cat([*x, x[0]]).numpy()))


def test_by_default_the_modules_with_matrices_of_weights(torch):
    nn = torch.nn
    model = nn.Sequential(
        nn.Embedding(10, 4),
        nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 5)),
        nn.ReLU(),
        nn.BatchNorm1d(7),
        nn.Linear(5, 2),
    )
    with watch(model) as layers:
        model(torch.randint(10, (30, 7)))
    assert list(layers) == ["0", "1.1", "4"] and not layers.left_out
    assert {name: layers[name].n_samples for name in layers} == dict.fromkeys(layers, 210)
    assert [layers[name].n_nodes for name in layers] == [4, 5, 2]
    assert list(watch(model, activations=True).faults) == ["0", "1.1", "2", "4"]
    assert list(watch(model, "4", activations=True).faults) == ["2", "4"]


@pytest.mark.parametrize(
    ("kind", "shape"), [("Conv1d", (9,)), ("Conv2d", (9, 8)), ("Conv3d", (4, 5, 6)), ("ConvTranspose2d", (5, 4))]
)
def test_nodes_of_convolutions_are_channels(torch, kind, shape):
    convolution = getattr(torch.nn, kind)(3, 7, kernel_size=2)
    x = torch.randn(11, 3, *shape)
    with watch(convolution) as layers, torch.no_grad():
        out = convolution(x).numpy()
    assert_same(layers[""], measures.vni(out, node_axis=1))
    assert layers[""].n_nodes == 7 and layers[""].n_samples == out.size // 7
    with watch(convolution) as alone, torch.no_grad():  # without the axis of the batch
        assert convolution(x[0]).ndim == out.ndim - 1
    assert alone[""].n_nodes == 7
    with watch(convolution, node_axis=-1) as columns, torch.no_grad():
        convolution(x)
    assert columns[""].n_nodes == out.shape[-1]


def test_recurrent_modules_give_the_first_of_what_they_return(torch):
    recurrent = torch.nn.GRU(3, 5)
    with watch(recurrent, [""]) as layers, torch.no_grad():
        out, _ = recurrent(torch.randn(20, 4, 3))
    assert_same(layers[""], measures.vni(out.numpy()))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_types(torch, dtype):
    model = torch.nn.Tanh()
    x = torch.randn(100, 4).to(getattr(torch, dtype))
    with watch(model, [""]) as layers:
        out = model(x)
    assert out.dtype == x.dtype
    assert_same(layers[""], measures.vni(out.double().numpy()))


def test_training_goes_as_without(torch, mlp):
    """Every third of ten steps is recorded, and gradients and steps are to the bit what they are without."""
    x, y = torch.randn(32, 6), torch.randn(32, 3)

    def train(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(10):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
        return [parameter.detach().clone() for parameter in model.parameters()]

    free = train(copy.deepcopy(mlp))
    with watch(mlp, ["1"], every=3) as layers:
        watched = train(mlp)
    assert all(map(torch.equal, free, watched))
    assert layers["1"].n_samples == 4 * 32
    layers.clear()
    seen = []
    with layers:
        mlp(x)
        with mlp[1].register_forward_pre_hook(lambda *_: seen.append(hooks_of(mlp))):
            mlp(x)
        assert seen == [4]  # at the model and the first layer: none slows the others in passes that are not recorded
        with pytest.raises(RuntimeError, match="shapes"):
            mlp(x.T)
        assert layers["1"].n_samples == 32
        mlp(x)  # the fourth
    assert layers["1"].n_samples == 64 and hooks_of(mlp) == 0
    with watch(mlp, ["", "1"], every=2) as layers:  # the model itself, too
        for _ in range(3):
            mlp(x)
    assert layers[""].n_samples == layers["1"].n_samples == 64


def test_hooks_are_gone_whatever_happens(torch, mlp):
    with watch(mlp) as layers:
        assert hooks_of(mlp) == 3 + 2  # of the modules, and of the model, which tell where a pass begins and ends
        with pytest.raises(RuntimeError, match="entered already"), layers:
            pass
        mlp(torch.randn(10, 6))
    assert hooks_of(mlp) == 0
    with pytest.raises(ZeroDivisionError), watch(mlp) as layers:
        mlp(torch.randn(10, 6))
        raise ZeroDivisionError
    assert hooks_of(mlp) == 0
    assert layers["0"].n_samples == 10
    for every in (1, 2):
        with pytest.raises(RuntimeError, match="shapes"), watch(mlp, every=every):
            mlp(torch.randn(10, 7))
        assert hooks_of(mlp) == 0


def test_what_went_wrong_is_said_when_asked_and_disturbs_nothing(torch, mlp):
    x = torch.randn(10, 6)
    x[3, 2] = math.nan
    with watch(mlp, ["1", "3"]) as layers:
        mlp(x)
        mlp(torch.randn(10, 6))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"layer '1': .* 8 "):
            layers["1"]
    with layers:  # and by many more, once they have been added up
        mlp(torch.randn(70_000, 6))
    with pytest.raises(ValueError, match=r"layer '1': .* 8 "):
        layers["1"]
    with watch(mlp) as layers:
        pass
    with pytest.raises(ValueError, match="layer '2': no call was seen: no pass of the model came"):
        layers["2"]
    with watch(mlp) as layers:
        mlp(torch.randn(1, 6))
    with pytest.raises(ValueError, match=r"layer '0': .*samples"):
        layers["0"]
    with pytest.raises(KeyError, match="no layer '9' is watched"):
        layers["9"]


def test_wrong_arguments(torch, mlp):
    named = torch.nn.ModuleDict({"encoder": torch.nn.Linear(2, 2), "scale": torch.nn.Tanh()})
    for error, told, arguments in (
        (TypeError, "model must be a torch.nn.Module, got int", (3,)),
        (ValueError, "no module named 'encodr'; did you mean 'encoder'", (named, ["encodr"])),
        (ValueError, "no module of type ReLU", (named, [torch.nn.ReLU])),
        (ValueError, "must name at least one module", (named, [])),
        (ValueError, "no modules with a matrix of weights", (torch.nn.Tanh(),)),
    ):
        with pytest.raises(error, match=told):
            watch(*arguments)
    for arguments, told in (
        ({"most_nodes": 1}, "most_nodes must be an integer ≥ 2, got 1"),
        ({"node_axis": {"5": 1}}, "node_axis must name watched modules, got '5'"),
    ):
        with pytest.raises(ValueError, match=told):
            watch(mlp, **arguments)
    with pytest.raises(TypeError, match=r"^select must be names or types of modules, got 3$"):
        watch(mlp, 3)
    for every in (0, -1, 1.5, True):
        with pytest.raises((TypeError, ValueError), match="every must be an integer ≥ 1"):
            watch(mlp, every=every)


def test_without_torch_one_line_names_the_extra(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('not here')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport rmt_vn\nrmt_vn.watch(None)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    last = run.stderr.splitlines()[-1]
    assert run.returncode == 1 and last.startswith("ImportError: ") and "pip install 'rmt_vn[torch]'" in last
    assert "not here" not in run.stderr


# --- a real network against the prediction ----------------------------------------------------------------------------

SEEDS, SAMPLES, BALL = 40, 3000, 1e-4
DEPTHS = (1, 5, 20, 50)


def gaussian(torch, sigma_w):
    return lambda weight: torch.nn.init.normal_(weight, std=sigma_w / math.sqrt(weight.shape[1]))


def tanh_network(torch, width, depth, sigma_w):
    nn = torch.nn
    model = nn.Sequential(*(each for _ in range(depth) for each in (nn.Linear(width, width, bias=False), nn.Tanh())))
    for module in model[::2]:
        gaussian(torch, sigma_w)(module.weight)
    return model.double()


def test_measured_networks_lie_in_the_predicted_interval(torch):
    """Tanh, width 100, depth 50, weights N(0, 1/n): the VNI of inputs in a small ball, by hooks, for 40 networks."""
    predicted = predict(Network.uniform(100, 50, activation="tanh"))
    names = {depth: str(2 * depth - 1) for depth in DEPTHS}
    inside, too_shallow = dict.fromkeys(DEPTHS, 0), 0
    for _ in range(SEEDS):
        model = tanh_network(torch, 100, 50, 1.0)
        centre = torch.randn(100, dtype=torch.float64)
        with watch(model, names.values()) as layers, torch.no_grad():
            model(10 * centre / centre.norm() + BALL * torch.randn(SAMPLES, 100, dtype=torch.float64))
        for depth in DEPTHS:
            low, high = predicted.layers[depth - 1].interval()
            inside[depth] += low <= layers[names[depth]].value <= high
        low, high = predicted.layers[27].interval()
        too_shallow += low <= layers[names[50]].value <= high
    # Binomial, k = 4, with the variance of the share between quantiles of 1000 simulated networks.
    least = SEEDS * (0.95 - 4 * math.sqrt(0.95 * 0.05 * (1 / SEEDS + 1 / 1002)))
    assert min(inside.values()) >= least, inside
    assert too_shallow < least  # the negative control: the prediction for little more than half of the depth
    network = network_of(model)
    assert network.widths == predicted.network.widths and network.weights == "gaussian"
    assert network.sigma_w == pytest.approx(1, rel=0.01)


def test_over_wide_inputs_another_law_holds_and_the_report_says_so(torch):
    model = tanh_network(torch, 50, 25, 1.6)
    with watch(model, ["49"]) as wide, torch.no_grad():
        model(torch.randn(SAMPLES, 50, dtype=torch.float64))
    network = network_of(model)
    ball = predict(network)
    assert wide["49"].value < ball.layers[-1].interval()[0]
    assert "For inputs in a small ball round a point" in ball.verdict[-1]
    # The interval is of the activations behind the last φ: the output of this model is not linear.
    report = predict(network, inputs="wide", output="activation", rng=1)
    low, high = report.layers[-1].interval(0.98)
    assert low <= wide["49"].value <= high


# --- scikit-learn -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images / 16, labels


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")  # few iterations are enough here
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_hidden_layers_of_scikit_learn_lead_to_its_own_probabilities(digits, activation):
    from sklearn.neural_network import MLPClassifier

    x, y = digits
    mlp = MLPClassifier((40, 20), activation=activation, max_iter=5, random_state=0).fit(x, y)
    hidden = mlp_activations(mlp, x)
    assert [each.shape for each in hidden] == [(len(x), 40), (len(x), 20)]
    logits = hidden[-1] @ mlp.coefs_[-1] + mlp.intercepts_[-1]
    np.testing.assert_allclose(softmax(logits, axis=1), mlp.predict_proba(x), rtol=1e-9, atol=1e-12)
    effective = [measures.vni(each).effective_nodes for each in hidden]
    assert 1 < effective[0] < 40 and 1 < effective[1] < 20


def test_regressors_and_what_is_no_mlp(digits):
    from sklearn.linear_model import LinearRegression
    from sklearn.neural_network import MLPRegressor

    x, y = digits
    mlp = MLPRegressor(hidden_layer_sizes=(10,), max_iter=200, tol=1e-2, random_state=0).fit(x, y)
    (hidden,) = mlp_activations(mlp, x)
    np.testing.assert_allclose((hidden @ mlp.coefs_[1] + mlp.intercepts_[1])[:, 0], mlp.predict(x), rtol=1e-9)
    for wrong in (MLPRegressor(), LinearRegression()):
        with pytest.raises(TypeError, match="must be a fitted MLPClassifier or MLPRegressor"):
            mlp_activations(wrong, x)
    for shape in ((5, 63), (64,)):
        with pytest.raises(ValueError, match=r"inputs must have shape \(samples, 64\), got"):
            mlp_activations(mlp, np.zeros(shape))
