"""Watching models as people build them: what is measured is what numpy computes from their outputs, or a reason."""

import copy

import pytest
from watched_models import (
    Attention,
    Conv1D,
    NewGELU,
    ViT,
    assert_measured,
    mlp,
    outputs_of,
    resnet,
    torch,
    watched,
)

from rmt_vn.adapters import watch

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
    model, images = ViT(), torch.randn(10, 3, 16, 16)
    layers = watched(model.train(), images)
    assert not layers.faults and "encoder.layers.1.linear2" in layers and "token" not in layers
    assert layers.left_out == {
        f"encoder.layers.{i}.self_attn.out_proj": f"the attention 'encoder.layers.{i}.self_attn' uses its weights "
        "without calling it, and is watched itself"
        for i in (0, 1)
    }
    layers = watched(model.eval(), images)
    outputs = outputs_of(model, layers, images)
    for name, (output,) in outputs.items():
        assert_measured(layers, name, output, 1 if name == "patches" else -1)
    # README's loop, and what is printed, show all there is.
    for name, layer in layers.items():
        assert layers[name] is layer
    lines = str(layers).splitlines()
    assert lines[0].split()[:3] == ["layer", "type", "samples"] and len(lines) == 1 + len(layers) + 2


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


class Blocks(nn.Module):
    """Slices of what modules return, and parameters of several axes beside modules."""

    def __init__(self, shape):
        super().__init__()
        self.inner, self.phi, self.own = nn.Linear(8, 16), nn.SiLU(), nn.Parameter(torch.randn(shape))
        self.conv, self.psi = nn.Conv1d(8, 8, 2, padding=1), nn.GELU()

    def forward(self, x):
        h = self.inner(x)
        gate, up = h.chunk(2, -1)
        h = self.conv(self.phi(gate) * up)
        return self.psi(h[:, :, :-1])


def test_slices_have_the_axes_of_the_whole():
    """As many positions as nodes: shapes tell nothing. Gated units halve what feeds φ, causal convolutions cut it."""
    model, x = Blocks((1, 1, 8)), torch.randn(30, 8, 8)
    layers = watched(model, x)
    assert list(layers) == ["inner", "phi", "conv", "psi"] and not layers.faults
    outputs = outputs_of(model, layers, x)
    for name, axis in (("inner", -1), ("phi", -1), ("conv", 1), ("psi", 1)):
        assert_measured(layers, name, outputs[name][0], axis)

    class Turned(nn.Module):
        """What is turned round is no slice, nor is what has one position, which may be turned unseen."""

        def __init__(self, turn):
            super().__init__()
            self.inner, self.phi, self.turn = nn.Linear(8, 16), nn.SiLU(), turn

        def forward(self, x):
            return self.phi(self.turn(self.inner(x)))

    # The whole is gone before its slice is seen.
    cut = Turned(lambda h: h.chunk(2, -1)[1])
    x = torch.randn(30, 8, 8)
    layers = watched(cut, x)
    assert not layers.faults
    assert_measured(layers, "phi", outputs_of(cut, ["phi"], x)["phi"][0], -1)

    for turn, n in ((lambda h: h[..., :8].mT, 8), (lambda h: h[..., :8].transpose(0, 1), 1)):
        assert list(watched(Turned(turn), torch.randn(8, n, 8)).faults) == ["phi"]


@pytest.mark.parametrize(("shape", "left_out"), [((1, 1, 8), []), ((8, 1, 1), []), ((1, 5, 8), [""]), ((4, 8), [""])])
def test_a_token_or_a_scale_of_channels_is_no_matrix(shape, left_out):
    assert list(watch(Blocks(shape)).left_out) == left_out
