"""What a watch measures of a layer: some of many nodes, all measures, several watches, images as groups, padding."""

import math
import pickle
import re
import tracemalloc

import numpy as np
import pytest
from watched_models import (
    mlp,
    outputs_of,
    plug_in,
    resnet,
    torch,
    watched,
)

from rmt_vn import measures
from rmt_vn.adapters import watch

nn = torch.nn
functional = torch.nn.functional


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


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
