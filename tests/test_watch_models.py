"""Watching models as people build them: what is measured is what numpy computes from their outputs, or a reason."""

import copy
import importlib.util
import math
import pickle
import re
import tracemalloc

import numpy as np
import pytest

from rmt_vn import measures
from rmt_vn.adapters import watch

torch = pytest.importorskip("torch")
nn = torch.nn
functional = torch.nn.functional


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def no_fast_path():
    """PyTorch's transformer layers take it in evaluation if they have no hooks; it rounds in another way."""
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(True)


def plug_in(output, node_axis=-1):
    """The VNI of the sample by its definition, of nodes that vary."""
    x = np.moveaxis(output.detach().double().numpy(), node_axis, -1)
    x = x.reshape(-1, x.shape[-1])
    x = x[:, np.ptp(x, axis=0) > 0]
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


# --- what it takes: every layer of a model, on the axis of its nodes --------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_resnet_has_channels_everywhere(training):
    model = resnet().train(training)
    images = torch.randn(9, 3, 30, 30)
    leaves = [name for name, module in model.named_modules() if not list(module.children())]
    layers = watched(model, images, select=[*leaves, "4", "4.downsample"])
    assert not layers.faults
    torch.manual_seed(0)
    dropped = [name for name in leaves if int(name.partition(".")[0]) < 5 or not training]
    for name, calls in outputs_of(model, ["4", "4.downsample", *dropped], images).items():
        for number, output in enumerate(calls, 1):
            assert_measured(layers, name if number == 1 else f"{name}#{number}", output, 1)
    assert {"4.relu", "4.relu#2", "5", "6", "7.relu#2", "8", "9"} <= layers.keys()


def test_gpt_block_with_its_own_classes():
    model = nn.Sequential(nn.Embedding(50, 12), Attention(12, 3), Attention(12, 3))
    tokens = torch.randint(50, (7, 11))
    layers = watched(model, tokens)
    names = [f"{block}.{name}" for block in (1, 2) for name in ("c_attn", "c_proj", "mlp.c_fc", "mlp.c_proj")]
    assert list(layers) == ["0", *names] and not layers.faults and not layers.left_out
    chosen = watched(model, tokens, select=[NewGELU, Attention, nn.LayerNorm])
    for name, (output,) in outputs_of(model, [*names, *chosen], tokens).items():
        assert_measured(layers if name in names else chosen, name, output)


def test_a_matrix_of_its_own_class_where_sizes_coincide():
    """As many positions as nodes: the axis follows from what feeds the module, or is not known."""
    model, x = nn.Sequential(nn.LayerNorm(12), Conv1D(12, 36), nn.Identity(), Conv1D(36, 12)), torch.randn(7, 12, 12)
    layers = watched(model, x)
    for name, (output,) in outputs_of(model, ["1", "3"], x).items():
        assert_measured(layers, name, output)
    single = Conv1D(12, 12)
    assert watched(single, x).faults[""].startswith("which axis of its output, of shape (7, 12, 12), holds the nodes")
    assert_measured(watched(single, x, node_axis=-1), "", single(x))


@pytest.mark.parametrize("batch_first", [True, False])
def test_transformer_encoders(batch_first):
    layer = nn.TransformerEncoderLayer(12, 3, 20, batch_first=batch_first, dropout=0.0)
    model, x = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), torch.randn(9, 5, 12)
    layers = watched(model, x)
    assert list(layers) == [f"layers.{i}.{name}" for i in (0, 1) for name in ("self_attn", "linear1", "linear2")]
    assert not layers.faults
    assert layers.left_out["layers.0.self_attn.out_proj"].startswith(
        "the attention 'layers.0.self_attn' uses its weights"
    )
    for name, (output,) in outputs_of(model, layers, x).items():
        assert_measured(layers, name, output)
    for name in layers:  # the items of the batch are known where samples meet the measures
        assert layers[name].n_groups == (9 if batch_first else 5), name
    everything = watched(model, x, select=nn.Module)
    assert set(everything.faults) == {"layers", "layers.0.self_attn.out_proj", "layers.1.self_attn.out_proj"}
    assert everything.faults["layers"].startswith("no call of it was seen")
    assert_measured(everything, "layers.0.dropout", outputs_of(model, ["layers.0.dropout"], x)["layers.0.dropout"][0])


def test_vision_transformer_in_training_and_evaluation(no_fast_path):
    model, images = ViT(), torch.randn(6, 3, 16, 16)
    layers = watched(model.train(), images)
    assert not layers.faults and "encoder.layers.1.linear2" in layers and "token" not in layers
    assert layers.left_out == {
        "": "it holds a matrix of weights beside modules of its own; select it by name to measure its output",
        **{
            f"encoder.layers.{i}.self_attn.out_proj": f"the attention 'encoder.layers.{i}.self_attn' uses its weights "
            "without calling it, and is watched itself"
            for i in (0, 1)
        },
    }
    layers = watched(model.eval(), images)
    outputs = outputs_of(model, layers, images)
    for name, (output,) in outputs.items():
        assert_measured(layers, name, output, 1 if name == "patches" else -1)
    # README's loop, and what is printed, show all there is.
    for name, layer in layers.items():
        assert layers[name] is layer
    lines = str(layers).splitlines()
    assert lines[0].split()[:3] == ["layer", "type", "samples"] and len(lines) == 1 + len(layers) + 3


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LSTM", {}), ("GRU", {"batch_first": True, "bidirectional": True}), ("RNN", {"num_layers": 2}),
        ("LSTM", {"proj_size": 3}), ("MultiheadAttention", {"num_heads": 3}),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_recurrent_and_attention_modules(kind, options):
    recurrent = kind != "MultiheadAttention"
    model = getattr(nn, kind)(6, **({"hidden_size": 5} if recurrent else {}), **options)
    inputs = [torch.randn(7, 4, 6)] * (1 if recurrent else 3)
    layers = watched(model, *inputs)
    (output,) = outputs_of(model, [""], *inputs)[""]
    assert_measured(layers, "", output)
    assert layers[""].n_groups == (7 if options.get("batch_first") else 4)
    alone = watched(model, *(each[:, 0] for each in inputs))  # without a batch: one sequence
    assert alone[""].n_samples == 7 and alone[""].n_groups == 1


def test_packed_sequences_have_no_padding():
    model = nn.LSTM(3, 4, batch_first=True)
    packed = nn.utils.rnn.pack_padded_sequence(torch.randn(3, 6, 3), [6, 4, 1], batch_first=True)
    with watch(model, activations=True) as layers, torch.no_grad():
        out = model(packed)[0].data
    assert_measured(layers, "", out)
    assert layers[""].n_samples == 11 and layers[""].n_groups == 3


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_sequences_have_no_padding():
    """In evaluation PyTorch's encoder makes a nested tensor of what a mask leaves."""
    layer = nn.TransformerEncoderLayer(12, 2, 20, batch_first=True)
    model, x = nn.TransformerEncoder(layer, 1).eval(), torch.randn(4, 7, 12)
    padding = torch.arange(7) >= torch.tensor([7, 5, 2, 4])[:, None]
    seen = []
    with watch(model) as layers, torch.no_grad():
        handle = model.layers[0].linear2.register_forward_hook(lambda _, __, out: seen.extend(out.unbind()))
        model(x, src_key_padding_mask=padding)
        handle.remove()
    assert_measured(layers, "layers.0.linear2", torch.cat(seen))
    assert [layer.n_samples for layer in layers.values()] == [18] * 3 and not layers.faults
    assert layers["layers.0.linear2"].n_groups == 4


def test_cells_are_told_apart_by_step():
    class Steps(nn.Module):
        def __init__(self, n_steps):
            super().__init__()
            self.cell, self.n_steps = nn.LSTMCell(3, 4), n_steps

        def forward(self, x):
            state = None
            for _ in range(self.n_steps):
                state = self.cell(x, state)
            return state[0]

    x = torch.randn(20, 3)
    layers = watched(Steps(3), x)
    assert list(layers) == ["cell", "cell#2", "cell#3"]
    model = Steps(70)
    layers = watched(model, x)
    for number, output in enumerate(outputs_of(model, ["cell"], x)["cell"][:64], 1):
        assert_measured(layers, "cell" if number == 1 else f"cell#{number}", output)
    assert len(layers) == 64 and layers.notes["cell"] == "6 calls beyond the 64th of a pass were not recorded"


def parametrized():
    parametrizations = nn.utils.parametrizations
    return nn.Sequential(
        parametrizations.weight_norm(nn.Linear(6, 8)),
        parametrizations.spectral_norm(nn.Linear(8, 7)),
        parametrizations.orthogonal(nn.Linear(7, 7)),
    )


def old_norms():
    with pytest.warns(FutureWarning):
        normed = nn.utils.weight_norm(nn.Linear(6, 8))
    return nn.Sequential(normed, nn.utils.spectral_norm(nn.Linear(8, 7)))


@pytest.mark.parametrize("build", [parametrized, old_norms])
def test_weights_that_are_computed(build):
    """Spectral norms take a step of their own whenever their weight is asked for: it must not be asked for."""
    model = build()
    layers = watched(model, torch.randn(30, 6))
    assert list(layers) == [str(i) for i in range(len(model))] and not layers.left_out
    model.eval()
    layers = watched(model, x := torch.randn(30, 6))
    for name, (output,) in outputs_of(model, layers, x).items():
        assert_measured(layers, name, output)


def test_lazy_modules():
    model, x = nn.Sequential(nn.LazyConv2d(5, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)), torch.randn(30, 2, 6, 6)
    with watch(model, activations=True) as layers, torch.no_grad():
        model(x)
    assert list(layers) == ["0", "1", "3"]
    for name, (output,) in outputs_of(model, layers, x).items():
        assert_measured(layers, name, output, 1)


@pytest.mark.filterwarnings("ignore")  # PyTorch's own about its own quantization
def test_quantized_layers():
    model, x = mlp(), torch.randn(40, 6)
    dynamic = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear})
    with watch(dynamic, activations=True) as layers, torch.no_grad():
        dynamic(x)
    assert list(layers) == ["0", "1", "2", "3", "4"]
    for name, (output,) in outputs_of(dynamic, layers, x).items():
        assert_measured(layers, name, output)
    static = torch.ao.quantization.QuantWrapper(nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU())).eval()
    static.qconfig = torch.ao.quantization.get_default_qconfig(torch.backends.quantized.engine)
    torch.ao.quantization.prepare(static, inplace=True)
    static(images := torch.randn(20, 2, 8, 8))
    torch.ao.quantization.convert(static, inplace=True)
    with watch(static, activations=True) as layers, torch.no_grad():
        static(images)
    assert list(layers) == ["module.0", "module.1"] and layers["module.0"].n_nodes == 5
    for name, (output,) in outputs_of(static, layers, images).items():
        assert_measured(layers, name, output.dequantize(), 1)


def test_scripted_children_are_left_out_and_say_so():
    with pytest.warns(DeprecationWarning):
        scripted = torch.jit.script(nn.Linear(8, 5))
    model = nn.Sequential(nn.Linear(6, 8), scripted, nn.ReLU(), nn.Linear(5, 3))
    layers = watched(model, torch.randn(30, 6))
    assert list(layers) == ["0", "2", "3"] and layers.left_out == {"1": "a scripted module takes no hooks"}
    with pytest.raises(ValueError, match="a scripted module takes no hooks"):
        watch(scripted)


def test_dead_relus_are_counted_and_a_dead_layer_is_a_row():
    model = mlp()
    with torch.no_grad():
        model[0].bias[:3] = -1e3
        model[2].weight.zero_()
    layers = watched(model, torch.randn(30, 6))
    assert layers["1"].constant_nodes == 3 and layers["0"].constant_nodes == 0
    assert list(layers) == ["0", "1"] and list(layers.faults) == ["2", "3", "4"]
    assert layers.faults["2"].startswith("all 5 nodes are constant")
    for error in (ValueError, KeyError):
        with pytest.raises(error, match=r"^layer '2': all 5 nodes are constant"):
            layers["2"]
    assert "2" not in layers and layers.get("2") is None and "0" in layers
    assert "2 (not measured): all 5 nodes are constant" in str(layers)


def test_where_the_axis_is_not_known_nothing_is_guessed():
    class Turned(nn.Module):
        def __init__(self, turn):
            super().__init__()
            self.conv, self.phi, self.turn = nn.Conv2d(3, 8, 1), nn.GELU(), turn

        def forward(self, x):
            return self.phi(self.turn(self.conv(x)))

    x = torch.randn(5, 3, 8, 8)
    for turn in (torch.sin, lambda h: h.permute(0, 2, 3, 1), lambda h: h.flatten(2)):
        model = Turned(turn)
        layers = watched(model, x)  # 8 channels, 8 rows, 8 columns
        assert list(layers) == ["conv"]
        assert (
            "which axis of its output, of shape (5, 8, " in layers.faults["phi"] and "node_axis" in layers.faults["phi"]
        )
        (output,) = outputs_of(model, ["phi"], x)["phi"]
        assert_measured(watched(model, x, node_axis={"phi": -1}), "phi", output, -1)
    model = Turned(torch.sin)
    x = torch.randn(5, 3, 6, 7)
    assert_measured(watched(model, x), "phi", outputs_of(model, ["phi"], x)["phi"][0], 1)  # could be no other way round


def test_norms_that_only_look_like_others_follow_what_feeds_them():
    class LayerNorm2d(nn.LayerNorm):
        def forward(self, x):
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    model, x = nn.Sequential(nn.Conv2d(3, 4, 1), LayerNorm2d(4), nn.GELU()), torch.randn(5, 3, 6, 7)
    layers = watched(model, x, select=["1", "2"])
    for name, (output,) in outputs_of(model, layers, x).items():
        assert_measured(layers, name, output, 1)


def test_batch_normalization_of_sequences_and_unbatched_inputs():
    model, x = nn.Sequential(nn.Conv1d(3, 4, 2), nn.BatchNorm1d(4), nn.Tanh(), nn.AvgPool1d(2)), torch.randn(5, 3, 9)
    layers = watched(model, x, select=["0", "1", "2", "3"])
    for name, (output,) in outputs_of(model, layers, x).items():
        assert_measured(layers, name, output, 1)
    alone = nn.Sequential(nn.Conv1d(3, 4, 2), nn.Tanh(), nn.AvgPool1d(2))
    layers = watched(alone, x[0], select=["0", "1", "2"])
    for name, (output,) in outputs_of(alone, layers, x[0]).items():
        assert_measured(layers, name, output, 0)
    single = nn.Linear(3, 4)
    with watch(single) as layers:
        for each in x[:, :, 0]:
            single(each)
    assert_measured(layers, "", single(x[:, :, 0]))


def real_models():
    """Models of other packages, where they are installed; inputs; and how many layers are constant by construction."""
    if importlib.util.find_spec("torchvision"):
        from torchvision import models

        images = torch.randn(2, 3, 64, 64)
        yield models.resnet18().eval(), images, 0
        yield models.VisionTransformer(64, 16, 2, 4, 32, 60).eval(), images, 1
    if importlib.util.find_spec("transformers"):
        import transformers

        sizes = {"vocab_size": 90, "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 48}
        tokens = torch.randint(90, (3, 11))
        for kind, config in (
            (transformers.GPT2Model, transformers.GPT2Config(n_layer=2, n_embd=48, n_head=4, vocab_size=90)),
            (transformers.BertModel, transformers.BertConfig(**sizes, intermediate_size=100)),
            (transformers.LlamaModel, transformers.LlamaConfig(**sizes, intermediate_size=100)),
        ):
            yield kind(config).eval(), tokens, int(kind is transformers.BertModel)


@pytest.mark.filterwarnings("ignore")
def test_models_of_other_packages(no_fast_path):
    seen = 0
    for model, inputs, n_faults in real_models():
        with watch(model, activations=True) as layers, torch.no_grad():
            model(inputs)
        assert len(layers.faults) == n_faults and hooks_of(model) == 0 and layers
        called = outputs_of(model, {name.partition("#")[0] for name in layers}, inputs)
        for name in layers:
            module, _, call = name.partition("#")
            output = called[module][int(call or 1) - 1]
            assert_measured(layers, name, output, 1 if output.ndim == 4 else -1)
        seen += 1
    if not seen:
        pytest.skip("neither torchvision nor transformers is installed")


# --- many nodes, other measures, several watches ----------------------------------------------------------------------


def test_many_nodes_are_measured_by_some_of_them():
    head, x = nn.Linear(20, 1500), torch.randn(400, 20)
    layers = watched(head, x, most_nodes=150)
    (output,) = outputs_of(head, [""], x)[""]
    assert layers.notes == {"": "from 150 of its 1500 nodes, drawn at random"}
    assert "from 150 of its 1500 nodes" in str(layers)
    nodes = np.sort(np.random.default_rng([1500, 150]).choice(1500, 150, replace=False))
    some = plug_in(output[:, nodes])
    pairs = (some - 1 / 150) / (1 - 1 / 150)
    assert layers[""].plug_in == pytest.approx(1 / 1500 + (1 - 1 / 1500) * pairs, rel=1e-12)
    assert layers[""].n_nodes == 1500 and layers[""].constant_nodes == 0
    low, high = layers[""].confidence_interval()
    truth = measures.vni(output.numpy())
    assert low < truth.value < high and abs(layers[""].value - truth.value) < 4 * layers[""].stderr
    # The error holds the choice of nodes: over many samples nothing else is left of it.
    assert layers[""].stderr > truth.stderr
    assert layers.accumulator("").n_nodes == 150
    assert watched(head, x, most_nodes=1500).notes == {}


def test_a_vocabulary_needs_little_memory():
    """20 000 nodes, of which all would take gigabytes."""
    head, x = nn.Linear(16, 20_000), torch.randn(60, 16)
    tracemalloc.start()
    with torch.no_grad(), watch(head) as layers:
        head(x)
        assert layers[""].n_nodes == 20_000
        assert tracemalloc.get_traced_memory()[1] < 500e6
    tracemalloc.stop()
    low, high = layers[""].confidence_interval()
    assert low < measures.vni(head(x).detach().numpy()).value < high


def test_the_error_of_some_nodes_is_that_of_the_draw():
    """Of nodes in unequal clusters, 30 of 300 at a time: the reported variance against that of 300 other draws."""
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(20), 15)
    x = (
        rng.standard_normal((4000, 300))
        + np.linspace(0, 3, 20)[clusters] * rng.standard_normal((4000, 20))[:, clusters]
    )
    truth = measures.vni(x)
    estimates = []
    for _ in range(60):
        identity = nn.Identity()
        with watch(identity, "", most_nodes=30) as layers:
            identity(torch.from_numpy(x[:, rng.permutation(300)]))
        estimates.append((layers[""].value, layers[""].stderr))
    values, errors = np.array(estimates).T
    # k = 4 standard errors: of the mean of 60, and of a mean square of 60 numbers whose kurtosis is at most 6.
    assert abs(values.mean() - truth.value) < 4 * values.std(ddof=1) / math.sqrt(60)
    ratio = np.mean((values - truth.value) ** 2) / np.mean(errors**2)
    assert abs(ratio - 1) < 4 * math.sqrt(5 / 60) and ratio > 0.5


def test_all_measures_of_a_layer_and_a_flat_dict():
    model, x = mlp(), torch.randn(50, 6)
    layers = watched(model, x)
    (output,) = outputs_of(model, ["2"], x)["2"]
    sums, array = layers.accumulator("2"), output.double().numpy()
    for name in ("participation_ratio", "effective_rank", "stable_rank", "correlation"):
        np.testing.assert_allclose(getattr(sums, name)(), getattr(measures, name)(array), rtol=1e-9)
    flat = layers.as_dict()
    assert list(flat)[:3] == ["0/vni", "0/effective_nodes", "0/constant_nodes"] and len(flat) == 3 * len(layers)
    assert all(type(value) is float for value in flat.values())
    assert flat["2/effective_nodes"] == layers["2"].effective_nodes


def test_watches_are_merged():
    model, x = mlp(), torch.randn(5000, 6)
    whole, *parts = watched(model, x), watched(model, x[:2000]), watched(model, x[2000:])
    sent = pickle.loads(pickle.dumps(parts[1]))
    with pytest.raises(RuntimeError, match="was loaded has no model"):
        sent.__enter__()
    parts[0].merge(sent)
    for name in whole:
        assert parts[0][name].plug_in == pytest.approx(whole[name].plug_in, rel=1e-12)
        assert parts[0][name].n_samples == 5000 and sent[name].n_samples == 3000
    broken = watched(model, x * math.nan)
    parts[0].merge(broken)
    assert list(parts[0].faults) == ["0", "1", "2", "3", "4"]
    for other in (watched(model, x, select="1"), watched(model, x, most_nodes=7)):
        with pytest.raises(ValueError, match="of the same layers and the same most_nodes"):
            whole.merge(other)
    with watch(model) as running, pytest.raises(TypeError, match="once its context is left"):
        pickle.dumps(running)


def test_images_are_groups_and_autocast_is_known():
    """A spread of a thousandth of the mean is more than float32's rounding, and less than bfloat16's."""
    model, x = resnet(), torch.randn(9, 3, 30, 30)
    with watch(model, activations=True) as layers:
        model(x)
    assert all(layer.n_groups == 9 for layer in layers.values())
    narrow = torch.nn.Linear(6, 5)
    with torch.no_grad():
        narrow.weight.mul_(1e-3)
        narrow.bias.copy_(torch.linspace(1, 2, 5))
    with watch(narrow) as single:
        narrow(torch.randn(50, 6))
    with watch(narrow) as half, torch.autocast("cpu", torch.bfloat16):
        narrow(torch.randn(50, 6))
    assert single[""].constant_nodes == 0 and not single[""].caveats
    assert "" in half.faults or half[""].constant_nodes > 0


# --- padding ----------------------------------------------------------------------------------------------------------


class Padded(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.layer, self.head = nn.Embedding(11, 6), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, tokens, *, attention_mask):
        h = torch.relu(self.layer(self.embedding(tokens)))
        return self.head((h * attention_mask[..., None]).sum(1))


def test_a_mask_leaves_out_padding():
    model, tokens = Padded(), torch.randint(0, 11, (9, 7))
    lengths = torch.tensor([7, 7, 2, 5, 4, 0, 1, 6, 3])
    kept = torch.arange(7) < lengths[:, None]
    with watch(model, mask=lambda tokens, attention_mask: attention_mask) as layers, torch.no_grad():
        model(tokens, attention_mask=kept)
    whole = model.layer(model.embedding(tokens)).detach()
    samples = whole[kept].numpy()
    assert layers["layer"].plug_in == pytest.approx(plug_in(whole[kept]), rel=1e-12)
    # A sequence of nothing but padding is no group; the head's outputs have no time.
    assert (layers["layer"].n_samples, layers["layer"].n_groups) == (35, 8) and layers["head"].n_samples == 9
    labels = np.nonzero(kept.numpy())[0]
    assert layers["layer"].stderr == pytest.approx(measures.vni(samples, groups=labels).stderr, rel=1e-6)
    with watch(model) as layers, torch.no_grad():
        model(tokens, attention_mask=kept)
    assert layers["layer"].n_samples == 63


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (lambda tokens: tokens > 0, "mask failed: .*attention_mask"),
        (lambda tokens, attention_mask: tokens[0] > 0, r"two axes \(batch, time\), got shape \(7,\)"),
        (lambda tokens, attention_mask: "no tensor", "mask failed: its output must be a tensor"),
    ],
)
def test_masks_that_fail_are_told_and_do_not_disturb(mask, told):
    model, tokens = Padded(), torch.randint(0, 11, (9, 7))
    with watch(model, mask=mask) as layers:
        assert model(tokens, attention_mask=torch.ones(9, 7)).shape == (9, 3)
    assert not layers and all(re.search(told, reason) for reason in layers.faults.values())
    with pytest.raises(TypeError, match="mask must be a function of the model's arguments, got Tensor"):
        watch(model, mask=torch.ones(9, 7))
