"""Reports of models as people build them: each layer is a row, and the model stays as it was."""

import math

import numpy as np
import pytest
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn import Baseline, adapters, measures, report

torch = pytest.importorskip("torch")
nn = torch.nn
functional = nn.functional


class Residual(nn.Module):
    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(n_out), nn.BatchNorm2d(n_out)
        self.downsample = nn.Conv2d(n_in, n_out, 1, stride, bias=False)

    def forward(self, x):
        out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(out + self.downsample(x))


def resnet(width=8):
    stages = [Residual(width, width, 1), Residual(width, 2 * width, 2), Residual(2 * width, 4 * width, 2)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10)]
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), *stages, *head
    )


class Block(nn.Module):
    """Pre-LN: attention and an MLP, causal or not."""

    def __init__(self, n, heads, causal):
        super().__init__()
        self.ln_1, self.ln_2, self.heads, self.causal = nn.LayerNorm(n), nn.LayerNorm(n), heads, causal
        self.qkv, self.proj = nn.Linear(n, 3 * n), nn.Linear(n, n)
        self.fc, self.out = nn.Linear(n, 4 * n), nn.Linear(4 * n, n)

    def forward(self, x):
        q, k, v = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in self.qkv(self.ln_1(x)).chunk(3, -1))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal).transpose(1, 2).flatten(2)
        x = x + self.proj(mixed)
        return x + self.out(functional.gelu(self.fc(self.ln_2(x))))


class ViT(nn.Module):
    def __init__(self, n=16, depth=2):
        super().__init__()
        self.patches = nn.Conv2d(3, n, 8, stride=8)
        self.blocks = nn.Sequential(*[Block(n, 2, False) for _ in range(depth)])
        self.head = nn.Linear(n, 10)

    def forward(self, images):
        return self.head(self.blocks(self.patches(images).flatten(2).transpose(1, 2)).mean(1))


class GPT(nn.Module):
    def __init__(self, n=16, depth=2, words=50):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(words, n), nn.Embedding(12, n)
        self.h = nn.Sequential(*[Block(n, 2, True) for _ in range(depth)])
        self.unused = nn.Linear(3, 3)

    def forward(self, words):
        x = self.h(self.wte(words) + self.wpe(torch.arange(words.shape[1])))
        return x @ self.wte.weight.T


class LSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.lstm, self.head = nn.Embedding(50, 8), nn.LSTM(8, 12, 2, batch_first=True), nn.Linear(12, 3)

    def forward(self, words):
        return self.head(self.lstm(self.embed(words))[0][:, -1])


def mlp():
    return nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4))


RNG = np.random.default_rng(0)
ROWS, IMAGES, WORDS = (
    RNG.standard_normal((60, 20)),
    RNG.standard_normal((12, 3, 32, 32)),
    RNG.integers(50, size=(20, 12)),
)
# Of each model its inputs, and the reasons by the layers that cannot be measured.
MODELS = {
    "mlp": (mlp, ROWS, {}),
    "resnet": (resnet, IMAGES, {}),
    "vit": (ViT, IMAGES, {}),
    "gpt": (GPT, WORDS, {"unused": "no call of it was seen"}),
    "lstm": (LSTM, WORDS, {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_of_a_model_is_a_row(name):
    make, inputs, unmeasured = MODELS[name]
    torch.manual_seed(1)
    model = make()
    state, before = {key: each.clone() for key, each in model.state_dict().items()}, torch.get_rng_state()
    told = report(
        model, torch.as_tensor(inputs, dtype=torch.float32 if inputs.dtype == float else None), replicas=3, rng=0
    )
    torch.testing.assert_close(torch.get_rng_state(), before, rtol=0, atol=0)
    torch.testing.assert_close(dict(model.state_dict()), state, rtol=0, atol=0)
    assert model.training and not any(module._forward_hooks for module in model.modules())
    weighted = [key for key, each in model.named_modules() if any(p.ndim > 1 for p in each.parameters(recurse=False))]
    assert {row.name for row in told.layers} == set(weighted)
    for row in told.layers:
        if row.name in unmeasured:
            assert row.measured is None and unmeasured[row.name] in row.fault
        else:
            assert row.measured is not None and row.fresh is not None and row.fresh.n_networks == 3
    assert "3 fresh networks" in str(told) and max(map(len, str(told).splitlines())) <= 80


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_short_training_is_told_and_that_there_was_none_too(name):
    make, inputs, unmeasured = MODELS[name]
    torch.manual_seed(1)
    model, x = make(), torch.as_tensor(inputs, dtype=torch.float32 if inputs.dtype == float else None)
    fresh = report(model, x, replicas=20, rng=0)
    labels, optimizer = torch.arange(len(x)) % 2, torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        out = model(x)
        functional.cross_entropy(out.reshape(len(x), -1, out.shape[-1])[:, -1, :2], labels).backward()
        optimizer.step()
    told = report(model, x, null=fresh.null, rng=0)
    assert [row.name for row in told.layers if row.measured is None] == list(unmeasured)
    # A fresh network is the farthest of all with probability 1/21, one that was trained is so.
    assert fresh.together[0] >= 1 and told.together == (0, 20)
    assert "Training: this network has fewer effective nodes than all 20 fresh networks" in str(told)
    assert any(row.fresh.is_below_all for row in told.layers if row.fresh)
    assert "data" in told._repr_html_() and max(map(len, str(told).splitlines())) <= 80


def begun(weight):
    """What makes an MLP whose weights are drawn in one of PyTorch's ways."""

    def make():
        phi = nn.ReLU if weight is nn.init.kaiming_normal_ else nn.Tanh
        hidden = [layer for n in (20, 24, 24) for layer in (nn.Linear(n, 24), phi())]
        model = nn.Sequential(*hidden, nn.Linear(24, 3))
        for module in model:
            if isinstance(module, nn.Linear):
                weight(module.weight)
                nn.init.zeros_(module.bias)
        return model

    return make


@pytest.mark.parametrize("weight", [nn.init.xavier_normal_, nn.init.kaiming_normal_, nn.init.orthogonal_])
def test_fresh_networks_are_those_that_a_factory_draws(weight):
    make, inputs = begun(weight), torch.as_tensor(ROWS, dtype=torch.float32)
    torch.manual_seed(2)
    told, by_hand = report(make(), inputs, replicas=15, rng=0, factory=make), []
    assert [row.name for row in told.layers] == ["0", "2", "4", "6"]
    for _ in range(15):
        with torch.no_grad():
            x, model = inputs, make()
            by_hand.append([])
            for module in model:
                x = module(x)
                if isinstance(module, nn.Linear):
                    by_hand[-1].append(measures.unbiased_vni(x.numpy()))
    (value, error), (expected, of_expected) = (
        mean_and_error(np.array(each)) for each in (np.stack(list(told.null.values.values()), axis=1), by_hand)
    )
    assert_sampled(value, expected, np.hypot(error, of_expected), wrong=[expected[::-1]], k=4.5)
    assert told.together[0] >= 1


def test_the_report_of_a_model_has_the_numbers_of_a_watch_and_of_its_null():
    torch.manual_seed(1)
    model, inputs = mlp().eval(), torch.as_tensor(ROWS, dtype=torch.float32)
    with adapters.watch(model) as layers, torch.no_grad():
        model(inputs)
    null = adapters.reinitialized(model, inputs, replicas=4, rng=7)
    told = report(model, inputs, replicas=4, rng=7)
    assert told.layers == report(layers, null=null).layers == report(model, inputs, null=null).layers
    arrays = {
        "0": (x := model[0](inputs).detach().numpy()),
        "3": model[3](torch.tanh(torch.as_tensor(x))).detach().numpy(),
    }
    for row, of_array in zip(told.layers[:2], report(arrays, null=null).layers[:2], strict=True):
        assert of_array.measured.value == pytest.approx(row.measured.value, rel=1e-9)
        assert of_array.fresh == row.fresh and of_array.near_duplicates == row.near_duplicates == 0


def test_the_same_seed_gives_the_same_report_with_dropout_too():
    torch.manual_seed(1)
    model, inputs = mlp(), torch.as_tensor(ROWS, dtype=torch.float32)
    one, same, other = (report(model, inputs, replicas=2, rng=seed).layers for seed in (1, 1, 2))
    assert one == same != other and one[1].measured != other[1].measured


def test_dead_and_duplicate_nodes_are_those_of_arrays():
    model = nn.Sequential(nn.Linear(20, 16), nn.ReLU())
    with torch.no_grad():
        model[0].weight[:5], model[0].bias[:5] = 0.0, torch.tensor([-1.0, -2.0, 0.0, 1.0, 2.0])
        model[0].weight[6], model[0].bias[6] = 2 * model[0].weight[7], 2 * model[0].bias[7]
        inputs = torch.as_tensor(ROWS, dtype=torch.float32)
        told = report(model, inputs, replicas=2, activations=True)
        (of_array,) = report({"1": model(inputs).numpy()}).layers
    row = told["1"]
    assert (row.measured.constant_nodes, row.dead_nodes, row.near_duplicates) == (5, 3, 1)
    assert (of_array.measured.constant_nodes, of_array.dead_nodes, of_array.near_duplicates) == (5, 3, 1)


def test_some_nodes_stand_for_all_in_what_is_told():
    model = nn.Sequential(nn.Linear(20, 400))
    with torch.no_grad():
        model[0].weight[:200], model[0].bias[:200] = 0.0, 0.0
        with adapters.watch(model, most_nodes=100) as layers:
            model(torch.as_tensor(ROWS, dtype=torch.float32))
    (row,) = report(layers).layers
    assert row.near_duplicates is None and "from 100 of its 400 nodes" in row.note
    # Drawn without replacement: hypergeometric, of which the standard deviation is 4 × √(100/4 × 3/4).
    assert (
        abs(row.dead_nodes - 200) < 4 * 4 * math.sqrt(100 / 4 * 3 / 4) and row.dead_nodes == row.measured.constant_nodes
    )


def test_batch_normalization_in_evaluation_is_told():
    told = report(resnet(4).eval(), torch.as_tensor(IMAGES, dtype=torch.float32), replicas=2)
    assert len(told.notes) == 1 and "batch normalization" in told.notes[0]


def test_nan_in_one_layer_is_told_and_the_rest_is_made():
    model = mlp()
    with torch.no_grad():
        model[3].bias[0] = math.nan
    told = report(model, torch.as_tensor(ROWS, dtype=torch.float32), replicas=2)
    assert [row.measured is None for row in told.layers] == [False, True, True]
    assert "NaN" in told["3"].fault and told["0"].fresh is not None


def test_a_model_that_fails_stays_as_it_was():
    model = nn.Sequential(nn.BatchNorm1d(20), nn.Linear(20, 4), nn.Linear(5, 4))
    before = {key: each.clone() for key, each in model.state_dict().items()}
    with pytest.raises(ValueError, match="failed on these inputs"):
        report(model, torch.as_tensor(ROWS, dtype=torch.float32), null=Baseline((), {}, {}, {}))
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("model", "options", "told"),
    [
        (mlp(), {}, "inputs must be given with a model, got Sequential without"),
        (mlp(), {"inputs": torch.zeros(5, 3)}, "the model failed on these inputs: "),
        (mlp(), {"inputs": []}, "at least one batch"),
        (
            mlp(),
            {"inputs": torch.zeros(5, 20), "null": lambda seed: None},
            "null must be a Baseline where a model is given",
        ),
        (mlp(), {"inputs": torch.zeros(5, 20), "replicas": 1}, "replicas must be an integer ≥ 2, got 1"),
        (nn.Tanh(), {"inputs": torch.zeros(5, 20)}, "no parameters"),
        (3, {"inputs": torch.zeros(5, 20)}, "model must be a torch.nn.Module, got int"),
        ({"a": ROWS}, {"inputs": ROWS}, "not with what was measured"),
        ({"a": ROWS}, {"null": 3}, "null must be a Baseline or a function of a seed, got int"),
        ({"a": ROWS}, {"null": lambda seed: ROWS, "node_axis": {"a": 1}}, "node_axis must be one"),
    ],
)
def test_bad_input_is_one_line(model, options, told):
    with pytest.raises((TypeError, ValueError), match=told) as raised:
        report(model, **options)
    assert "\n" not in str(raised.value)


def test_an_mlp_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.neural_network")
    fitted = sklearn.MLPClassifier((12, 12), max_iter=3, random_state=0, early_stopping=False)
    with pytest.warns(UserWarning, match="converged"):
        fitted.fit(ROWS, ROWS[:, 0] > 0)
    told = report(fitted, ROWS, replicas=3, rng=0)
    for row, array in zip(told.layers, adapters.mlp_activations(fitted, ROWS), strict=True):
        assert row.measured == measures.vni(array) and row.fresh.n_networks == 3
    assert [row.name for row in told.layers] == ["1", "2"]
    assert report(adapters.mlp_activations(fitted, ROWS), null=told.null).layers == told.layers
