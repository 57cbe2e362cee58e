"""Watching models of other packages, with random weights, where these are installed: torchvision, transformers, timm.

All in float64, in which what is measured is to be what numpy computes to twelve digits.
"""

import importlib

import pytest
from watched_models import assert_measured, hooks_of, outputs_of, torch

from rmt_vn.adapters import watch

IMAGES = 6, 3, 64, 64
UNSEEN, CONSTANT = "no call of it was seen", "nodes are constant over the samples"
SIZES = {"vocab_size": 90, "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 48}

# Of each model: how it is made, the shape of its images (None: of tokens), and the ends of the names of layers that are
# not measured, with the reason: heads that begin at zero, or weights that are used without a call.
TORCHVISION = {
    "resnet18": (lambda t: t.models.resnet18(), IMAGES, {}),
    "vision transformer": (
        lambda t: t.models.VisionTransformer(64, 16, 2, 4, 32, 60),
        IMAGES,
        {"head": CONSTANT},
    ),
    "convnext": (
        lambda t: t.models.ConvNeXt(
            [t.models.convnext.CNBlockConfig(20, 24, 2), t.models.convnext.CNBlockConfig(24, None, 1)]
        ),
        IMAGES,
        {},
    ),
    "efficientnet": (lambda t: t.models.efficientnet_b0(), IMAGES, {}),
    "swin": (
        lambda t: t.models.SwinTransformer([4, 4], 32, [2, 2], [2, 4], [4, 4]),
        IMAGES,
        {"qkv": UNSEEN, "proj": UNSEEN},
    ),
    "densenet": (lambda t: t.models.DenseNet(8, (2, 2), 16), IMAGES, {}),
}
TRANSFORMERS = {
    "GPT-2": (
        lambda t: t.GPT2Model(
            t.GPT2Config(n_layer=2, n_embd=48, n_head=4, vocab_size=90, bos_token_id=0, eos_token_id=0)
        ),
        None,
        {},
    ),
    "BERT": (
        lambda t: t.BertModel(t.BertConfig(**SIZES, intermediate_size=100)),
        None,
        {"token_type_embeddings": CONSTANT},
    ),
    "Llama": (lambda t: t.LlamaForCausalLM(t.LlamaConfig(**SIZES, intermediate_size=100)), None, {}),
    "T5": (
        lambda t: t.T5EncoderModel(t.T5Config(vocab_size=90, d_model=48, d_kv=12, d_ff=100, num_layers=2, num_heads=4)),
        None,
        {"shared": UNSEEN},
    ),
}
TIMM = {
    "mixer": (
        lambda t: t.models.MlpMixer(10, img_size=64, patch_size=16, num_blocks=2, embed_dim=64),
        IMAGES,
        {"head": CONSTANT},
    ),
    "vision transformer": (
        lambda t: t.create_model("vit_tiny_patch16_224", img_size=64, num_classes=10, depth=2),
        IMAGES,
        {},
    ),
    "EVA-02": (
        lambda t: t.create_model("eva02_tiny_patch14_224", img_size=56, num_classes=10, depth=2),
        (6, 3, 56, 56),
        {"qkv": UNSEEN},
    ),
    "poolformer": (lambda t: t.create_model("poolformer_s12"), IMAGES, {}),
}
CASES = [
    pytest.param(package, *case, id=f"{package}, {name}")
    for package, cases in (("torchvision", TORCHVISION), ("transformers", TRANSFORMERS), ("timm", TIMM))
    for name, case in cases.items()
]


@pytest.fixture(autouse=True)
def as_in_training():
    """PyTorch's transformer layers take a way of their own in evaluation if they have no hooks, and round otherwise."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(True)


def made(package, build):
    try:
        return build(importlib.import_module(package))
    except ImportError as error:  # also of a package that it needs
        pytest.skip(f"{package} is not installed, or not whole: {error}")
    except RuntimeError as error:  # torchvision, if it was built for another PyTorch
        pytest.skip(f"{package} cannot be imported: {error}")


def result(model, inputs):
    output = model(inputs)
    return (output if torch.is_tensor(output) else next(iter(output.values()))).clone()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("package", "build", "shape", "not_measured"), CASES)
def test_models_of_other_packages(package, build, shape, not_measured):
    model = made(package, build).eval().double()
    inputs = torch.randint(90, (6, 11)) if shape is None else torch.randn(shape).double()
    state = {name: each.clone() for name, each in model.state_dict().items()}
    attributes = [sorted(vars(module)) for module in model.modules()]
    with torch.no_grad():
        free = result(model, inputs)
        with watch(model, activations=True) as layers:
            seen = result(model, inputs)
    # The run is as without, and the model as before: nothing is left that could make it slower.
    assert torch.equal(free, seen) and hooks_of(model) == 0
    assert attributes == [sorted(vars(module)) for module in model.modules()]
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(each, state[name]) for name, each in model.state_dict().items())

    for name, reason in layers.faults.items():
        assert not_measured[name.rpartition(".")[2]] in reason, name
    # Whatever holds a matrix is measured, or there is a reason, which the cases above know.
    told = {name.partition("#")[0] for name in layers} | layers.faults.keys() | layers.left_out.keys()
    leaves = {name: each for name, each in model.named_modules() if not list(each.children())}
    assert {name for name, each in leaves.items() if getattr(getattr(each, "weight", None), "ndim", 0) > 1} <= told
    called = outputs_of(model, {name.partition("#")[0] for name in layers}, inputs)
    for name in layers:
        module, _, call = name.partition("#")
        output = called[module][int(call or 1) - 1]
        channels = output.ndim == 4 and output.shape[1] == layers[name].n_nodes
        assert_measured(layers, name, output, 1 if channels else -1)
