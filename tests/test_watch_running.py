"""A watch leaves the run as it is: transformed, traced, compiled, copied, saved, in threads, and computed twice."""

import contextlib
import copy
import gc
import io
import pickle
import subprocess
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

from rmt_vn.adapters import watch

torch = pytest.importorskip("torch")
nn = torch.nn


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3))


def hooks_of(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def plug_in(x):
    return np.mean(np.square(np.corrcoef(x.detach().double().numpy(), rowvar=False)))


def per_sample_gradients(model, x):
    def loss(parameters, one):
        return torch.func.functional_call(model, parameters, (one[None],)).square().sum()

    parameters = {name: each.detach() for name, each in model.named_parameters()}
    return torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)["0.weight"]


def functional_gradient(model, x):
    parameters = {name: each.detach() for name, each in model.named_parameters()}
    return torch.func.grad(lambda p: torch.func.functional_call(model, p, (x,)).square().sum())(parameters)["0.weight"]


def faked(model, x):
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        shape = model(mode.from_tensor(x)).shape
    return torch.zeros(shape)


TRANSFORMED = {
    "vmap": lambda model, x: torch.func.vmap(model)(x),
    "jacrev": lambda model, x: torch.func.jacrev(model)(x[0]),
    "jvp": lambda model, x: torch.func.jvp(model, (x,), (x,))[1],
    "grad": functional_gradient,
    "vmap of grad": per_sample_gradients,
    "fake": faked,
    "meta": lambda model, x: torch.zeros(copy.deepcopy(model).to("meta")(x.to("meta")).shape),
    "make_fx": lambda model, x: torch.fx.experimental.proxy_tensor.make_fx(model)(x)(x),
    "symbolic_trace": lambda model, _: torch.tensor(len(torch.fx.symbolic_trace(model).graph.nodes)),
    "strict export": lambda model, x: torch.export.export(model, (x,), strict=True).module()(x),
    "export": lambda model, x: torch.export.export(model, (x,), strict=False).module()(x),
}


@pytest.mark.filterwarnings("ignore")  # PyTorch's own
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("name", TRANSFORMED)
def test_transformed_and_traced_models(mlp, name, every):
    """The result is what it is without, and what came before and after is measured as if nothing had been between."""
    import torch.fx.experimental.proxy_tensor

    x, transform = torch.randn(30, 6), TRANSFORMED[name]
    free = transform(mlp, x)
    with watch(mlp, every=every, activations=True) as layers:
        mlp(x)
        assert torch.equal(transform(mlp, x), free)
        if every == 1:
            mlp(x)
    assert hooks_of(mlp) == 0 and not layers.faults
    for number, layer in layers.items():
        assert layer.n_samples == 30 * (3 - every)
        assert layer.plug_in == pytest.approx(plug_in_of_varying(mlp[: int(number) + 1](x)), rel=1e-12)


def plug_in_of_varying(x):
    x = x.detach()
    return plug_in(x[:, x.std(dim=0) > 0])


@pytest.mark.parametrize("name", ["vmap", "grad", "fake", "make_fx"])
def test_what_could_not_be_read_is_said(mlp, name):
    x = torch.randn(30, 6)
    with watch(mlp, activations=True) as layers:
        TRANSFORMED[name](mlp, x)
    assert not layers and all("1 call could not be read: " in reason for reason in layers.faults.values())
    with layers:
        mlp(x)
    assert len(layers) == 5 and all("1 call could not be read: " in note for note in layers.notes.values())


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_jit_trace(mlp):
    x = torch.randn(30, 6)
    with watch(mlp, activations=True) as layers:
        traced = torch.jit.trace(mlp, x, check_trace=False)
        mlp(x)
    assert torch.equal(traced(x), mlp(x)) and layers["0"].n_samples == 30
    assert "aten::index_select" not in str(traced.inlined_graph)


class Around(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("before", [True, False])
def test_compiled_models(mlp, before, in_place):
    """Compiled with no break of the graph before or inside the context, whose layers then say that nothing was seen."""
    torch.compiler.reset()
    mlp, x = Around(mlp), torch.randn(30, 6)
    expected, options = mlp(x), {"backend": "eager", "fullgraph": True}

    def compiled():
        return mlp.compile(**options) or mlp if in_place else torch.compile(mlp, **options)

    run = compiled() if before else None
    if before:
        run(x)
    with watch(mlp, activations=True) as layers:
        run = run if before else compiled()
        for _ in range(3):
            assert torch.equal(run(x), expected)
    assert torch.equal(run(x), expected)
    assert not layers and set(layers.faults) == {f"inner.{i}" for i in range(5)}
    assert all("compiled" in reason for reason in layers.faults.values())
    torch.compiler.reset()


@pytest.mark.filterwarnings("ignore")
def test_what_was_compiled_after_other_passes_is_said(mlp):
    torch.compiler.reset()
    model, x = Around(mlp), torch.randn(30, 6)
    with watch(model, activations=True) as layers:
        model(x)
        run = torch.compile(model, backend="eager", fullgraph=True)
        run(x), run(x)
    assert len(layers) == 5 and {layer.n_samples for layer in layers.values()} == {30}
    assert all(note.startswith("it was compiled or exported while") for note in layers.notes.values())
    assert layers.notes.keys() == layers.keys()
    torch.compiler.reset()


@pytest.mark.filterwarnings("ignore")
def test_the_wrapper_of_a_compiled_model_can_be_watched(mlp):
    torch.compiler.reset()
    x, run = torch.randn(30, 6), torch.compile(mlp, backend="eager")
    expected = run(x)
    with watch(run, every=2, activations=True) as layers:
        for _ in range(4):
            assert torch.equal(run(x), expected)
    assert set(layers) | set(layers.faults) == {f"_orig_mod.{i}" for i in range(5)}
    torch.compiler.reset()


# --- copies, and what is saved ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda model: torch.optim.swa_utils.AveragedModel(model).module,
        lambda model: torch.load(io.BytesIO(saved(model)), weights_only=False),
    ],
)
def test_copies_have_no_hooks(mlp, copied, every):
    mlp[0].register_forward_hook(nothing)  # a user's own stays
    x = torch.randn(30, 6)
    with watch(mlp, every=every, activations=True) as layers:
        mlp(x)
        other = copied(mlp)
        assert torch.equal(other(x), mlp(x))
        assert hooks_of(other) == 1 and not any("__getstate__" in vars(module) for module in other.modules())
        assert not copy.copy(mlp)._forward_hooks
        other(x)
    assert layers["0"].n_samples == (30 if every == 2 else 60) and hooks_of(mlp) == 1


def test_two_watches_of_a_model(mlp):
    x = torch.randn(30, 6)
    with watch(mlp) as outer:
        mlp(x)
        with watch(mlp, torch.nn.Tanh) as inner:
            mlp(x)
        assert hooks_of(copy.deepcopy(mlp)) == 0
    assert outer["0"].n_samples == 60 and inner["3"].n_samples == 30 and hooks_of(mlp) == 0
    assert not any("__getstate__" in vars(module) for module in mlp.modules())


def nothing(*_):
    return None


def saved(model):
    buffer = io.BytesIO()
    torch.save(model, buffer)
    return buffer.getvalue()


class Own(nn.Linear):
    def __deepcopy__(self, memo):
        new = type(self)(self.in_features, self.out_features)
        new.__dict__ = copy.deepcopy(self.__dict__, memo)
        return new


def test_a_saved_model_needs_no_watch_and_no_package(mlp, tmp_path):
    with watch(mlp):
        assert b"rmt_vn" not in saved(mlp)
        torch.save(mlp, tmp_path / "model.pt")
    code = (
        f"import sys, torch; torch.load({str(tmp_path / 'model.pt')!r}, weights_only=False)(torch.ones(2, 6));"
        "assert not any(name.startswith('rmt_vn') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    x = torch.randn(30, 6)
    own = nn.Sequential(Own(6, 4), nn.ReLU(), nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)))
    with watch(own) as layers:  # modules that are copied in a way of their own
        other = copy.deepcopy(own)
        assert hooks_of(other) == 0 and not any("__deepcopy__" in vars(module) for module in other.modules())
        assert torch.equal(other(x), own(x))
        other(x)
        loaded = torch.load(io.BytesIO(saved(nn.Sequential(*own[:2]))), weights_only=False)
        assert hooks_of(loaded) == 0 and not any("__deepcopy__" in vars(module) for module in loaded.modules())
    assert layers["0"].n_samples == 30 and not any("__deepcopy__" in vars(module) for module in own.modules())
    fused = torch.fx.symbolic_trace(mlp)
    with watch(fused) as layers:
        other = copy.deepcopy(fused)
        assert hooks_of(other) == 0 and hooks_of(pickle.loads(pickle.dumps(fused))) <= 1
        fused(x), other(x)
    assert layers["0"].n_samples == 30


def test_a_watch_keeps_no_model_alive():
    mlp = nn.Sequential(nn.Linear(6, 4), nn.ReLU())
    with watch(mlp, activations=True) as layers:
        mlp(torch.randn(30, 6))
    gone = weakref.ref(mlp)
    del mlp
    gc.collect()
    assert gone() is None and layers["0"].n_samples == 30
    with pytest.raises(RuntimeError, match="the model of this watch exists no longer"):
        layers.__enter__()


# --- what runs twice, elsewhere, or past the watch --------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_counts_once(reentrant, every):
    from torch.utils.checkpoint import checkpoint

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.GELU()) for _ in range(3))

        def forward(self, x):
            for block in self.blocks:
                x = checkpoint(block, x, use_reentrant=reentrant)
            return x

    model, x = Checkpointed(), torch.randn(30, 6, requires_grad=True)
    with watch(model, every=every, activations=True) as layers:
        for _ in range(3):
            model(x).sum().backward()
    expected = 30 * (3 if every == 1 else 2)
    assert [layer.n_samples for layer in layers.values()] == [expected] * 6 and not layers.notes
    with watch(model, activations=True) as layers:  # the whole model
        checkpoint(model, x, use_reentrant=False).sum().backward()
    assert [layer.n_samples for layer in layers.values()] == [30] * 6


def test_modules_used_several_times_are_told_apart():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.step, self.phi = nn.Linear(6, 5), nn.Linear(5, 5), nn.Tanh()
            self.again = self.step

        def forward(self, x, n_steps=2):
            x = self.phi(self.first(x))
            for _ in range(n_steps):
                x = self.phi(self.again(x))
            return x

    model, x = Tied(), torch.randn(50, 6)
    with watch(model, activations=True) as layers, torch.no_grad():
        model(x), model(x), model(x, 3)
    assert list(layers) == ["first", "step", "step#2", "step#3", "phi", "phi#2", "phi#3", "phi#4"]
    assert layers["step#2"].n_samples == 150 and layers["step#3"].n_samples == 50
    h = torch.tanh(model.first(x))
    for name in ("step", "step#2", "step#3"):
        h = model.step(h)
        assert layers[name].plug_in == pytest.approx(plug_in(h), rel=1e-9)
        h = torch.tanh(h)
    with pytest.raises(ValueError, match="no module named 'again' by its first name: it is the module 'step'"):
        watch(model, "again")


@pytest.mark.parametrize("every", [1, 3])
def test_threads(every):
    """Replicas as `DataParallel` makes them, and one model in several threads: every sample once, and no waiting."""
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5))
    x = torch.randn(4, 6, 500, 6)

    class Parallel(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, parts):
            replicas = [replica_of(self.module) for _ in parts]
            in_threads(lambda i: replicas[i](parts[i]), len(parts))

    with watch(model, every=every, activations=True) as layers:
        in_threads(lambda i: [model(each) for each in x[i].repeat(5, 1, 1)], len(x))
    assert [layer.n_samples for layer in layers.values()] == [4 * 30 * 500 // every] * 3
    expected = plug_in(model[:1](x.reshape(-1, 6)))
    if every == 1:
        assert layers["0"].plug_in == pytest.approx(expected, rel=1e-12)
    parallel = Parallel(model)
    with watch(parallel, every=every, activations=True) as layers:
        for number in range(6):
            parallel(x[:, number])
    assert [layer.n_samples for layer in layers.values()] == [4 * 500 * 6 // every] * 3
    assert list(layers) == ["module.0", "module.1", "module.2"]


def replica_of(module):
    replica = module._replicate_for_data_parallel()
    replica._parameters = dict(module._parameters)
    for name, child in module._modules.items():
        replica._modules[name] = replica_of(child)
    return replica


def in_threads(function, n_threads):
    failures = []

    def run(number):
        try:
            function(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not failures and not any(thread.is_alive() for thread in threads)


def test_calls_past_the_model_are_measured_or_told(mlp):
    x = torch.randn(30, 6)
    with watch(mlp, activations=True) as layers:  # every pass is recorded: so is what calls modules directly
        mlp.forward(x)
        mlp[0](x)
    assert layers["0"].n_samples == 60 and layers["4"].n_samples == 30 and "0#2" not in layers
    with (
        pytest.warns(RuntimeWarning, match="5 calls of layers or more outside a pass"),
        watch(mlp, every=2, activations=True) as layers,
    ):
        mlp.forward(x)
    assert not layers and all("1 call or more outside a pass of the model" in each for each in layers.faults.values())
    with (
        pytest.warns(RuntimeWarning, match="5 calls of layers or more outside a pass"),
        watch(mlp, every=2, activations=True) as layers,
    ):
        for _ in range(3):
            mlp(x)
        mlp[0](x), mlp[0](x), mlp[3:](torch.tanh(mlp[2](mlp[1].forward(mlp[0].forward(x)))))
    assert layers["0"].n_samples == 60 and layers.notes["0"].startswith("2 calls or more outside a pass of the model")
    assert "1" not in layers.notes and "(note): 2 calls or more outside" in str(layers)
    layers.clear()
    with pytest.warns(RuntimeWarning, match="10 calls of layers or more"), layers:
        for _ in range(10):  # the first layer sees them also behind passes that are not recorded
            mlp(x), mlp(x)
            mlp.forward(x)


@pytest.mark.parametrize("every", [1, 2])
def test_interrupted_passes(mlp, every):
    x = torch.randn(30, 6)

    def interrupt(*_):
        raise KeyboardInterrupt

    with watch(mlp, every=every, activations=True) as layers:
        with mlp[3].register_forward_hook(interrupt), contextlib.suppress(KeyboardInterrupt):
            mlp(x)
        for _ in range(4):
            mlp(x)
    assert layers["0"].n_samples == (150 if every == 1 else 90) and list(layers) == ["0", "1", "2", "3", "4"]
    assert hooks_of(mlp) == 0


def test_nothing_in_a_hook_reaches_the_run(mlp, monkeypatch):
    def fail(*_, **__):
        raise MemoryError("no room")

    monkeypatch.setattr("rmt_vn.adapters.torch_collected.numbers", fail)
    with watch(mlp, activations=True) as layers:
        mlp(torch.randn(30, 6))
    assert set(layers.faults.values()) == {"no room"}


def test_the_memory_is_flat(mlp):
    x, held = torch.randn(64, 6), []
    with watch(mlp, activations=True) as layers:
        tracemalloc.start()
        for step in range(300):
            mlp(x)
            mlp.forward(x)
            if step % 100 == 99:
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert layers["0"].n_samples == 64 * 600 and held[2] - held[1] < 20_000


def test_outputs_that_are_no_samples_are_rows():
    class Odd(nn.Module):
        def forward(self, x, what):
            return {"dict": {"a": x}, "none": None, "complex": x + 1j, "scalar": x.sum(), "strided": x.to_sparse()}[
                what
            ]

    x = torch.randn(30, 6)
    for what, told in (
        ("dict", "its output must be a tensor, got dict"),
        ("none", "its output must be a tensor, got NoneType"),
        ("complex", "must be an array of real numbers, got dtype complex64"),
        ("scalar", r"must have two axes \(samples, nodes\) or more, got shape \(\)"),
    ):
        odd = Odd()
        with watch(odd, "") as layers:
            odd(x, what)
        with pytest.raises(ValueError, match=told):
            layers[""]
    with watch(odd, "") as layers:
        odd(x, "strided")
    assert layers[""].n_samples == 30
    with watch(odd, "") as layers:
        odd(x, "strided"), odd(x[:, :4], "strided")
    assert layers.faults[""] == "its outputs must have the 6 nodes of the first, got 4"
