"""A watch along a training: what is logged at each step, and fresh networks that are drawn once beside it."""

import json
import pickle

import numpy as np
import pytest
from watched_models import mlp, torch

from rmt_vn import report
from rmt_vn.adapters import reinitialized, watch

nn = torch.nn


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


def model_and_inputs():
    model = nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 2))
    return model, torch.randn(60, 8)


def update(model, x, optimizer, y):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()


class Writer:
    """What TensorBoard's SummaryWriter takes, checked as it does."""

    def __init__(self):
        self.scalars = {}

    def add_scalar(self, tag, value, step):
        assert type(tag) is str and type(value) is float and type(step) is int
        self.scalars[tag, step] = value


def test_each_step_is_measured_by_itself_and_logged():
    model, probe = model_and_inputs()
    y = (probe[:, 0] * probe[:, 1] > 0).long()
    optimizer, writer, layers, alone = torch.optim.Adam(model.parameters(), 0.05), Writer(), watch(model), []
    for step in range(21):
        if step % 10 == 0:
            with layers, torch.no_grad():
                model(probe)
            for name, value in layers.log(step).items():
                writer.add_scalar(name, value, step)
            with torch.no_grad(), watch(model) as only:
                model(probe)
            alone.append(only)
        update(model, probe, optimizer, y)
    history = layers.history
    assert {len(column) for column in history.values()} == {3 * 3}
    assert history["step"].tolist() == [0, 0, 0, 10, 10, 10, 20, 20, 20] and history["step"].dtype.kind == "i"
    assert history["layer"].tolist() == ["0", "2", "4"] * 3
    assert history["n_samples"].tolist() == [60] * 9 and history["n_nodes"].tolist() == [12, 12, 2] * 3
    expected = [only[name] for only in alone for name in only]
    assert history["vni"].tolist() == [each.value for each in expected]
    assert history["stderr"].tolist() == [each.stderr for each in expected]
    assert history["effective_nodes"].tolist() == [each.effective_nodes for each in expected]
    assert len(set(history["vni"].tolist())) == 9  # it was trained between
    assert writer.scalars["2/vni", 10] == history["vni"][4]
    assert len(writer.scalars) == 9 * 3 and json.dumps(alone[0].as_dict())


def test_it_may_be_called_at_each_step_and_passes_are_counted_on():
    model, x = model_and_inputs()
    with torch.no_grad(), watch(model, every=3) as layers:
        told = []
        for step in range(8):
            model(x)
            told.append(bool(layers.log(step)))
    assert told == [True, False, False, True, False, False, True, False]
    assert np.unique(layers.history["step"]).tolist() == [0, 3, 6] and set(layers.history["n_samples"]) == {60}


def test_nothing_recorded_is_no_row_and_what_is_logged_stays():
    model, x = model_and_inputs()
    layers = watch(model)
    assert layers.log(0) == {}
    with pytest.raises(TypeError, match=r"^step must be an integer, got 'last'$"):
        layers.log("last")
    with pytest.raises(TypeError, match=r"^other must be a Watch, got dict$"):
        layers.merge({})
    columns = ["step", "layer", "vni", "stderr", "effective_nodes", "n_nodes", "constant_nodes", "n_samples"]
    assert list(layers.history) == columns and all(len(each) == 0 for each in layers.history.values())
    with layers, torch.no_grad():
        model(x)
    layers.log(1)
    layers.clear()
    assert len(layers) == 0 and layers.history["step"].tolist() == [1, 1, 1]
    loaded = pickle.loads(pickle.dumps(layers))
    assert loaded.history["vni"].tolist() == layers.history["vni"].tolist() and loaded.log(2) == {}
    with pytest.raises(TypeError):
        layers.log(1.5)


def test_a_layer_that_failed_once_is_measured_again():
    model, x = model_and_inputs()
    layers = watch(model)
    for step, factor in enumerate((1.0, np.nan, 1.0)):
        with torch.no_grad():
            model[2].weight *= factor if step == 1 else 1
            if step == 2:
                model[2].reset_parameters()
            with layers:
                model(x)
        layers.log(step)
    history = layers.history
    assert [history["step"][history["layer"] == name].tolist() for name in "024"] == [[0, 1, 2], [0, 2], [0, 2]]


def test_calls_that_were_not_recorded_are_told_after_a_log_too():
    model, x = model_and_inputs()
    with torch.no_grad(), pytest.warns(RuntimeWarning, match="calls of layers"), watch(model, every=2) as layers:
        model(x)
        model.forward(x)
        layers.log(0)


def test_a_callback_of_a_trainer():
    """The one of the docstring; a stand-in does what Lightning's trainer does at these two places."""

    class EffectiveNodes:
        def __init__(self, model, probe):
            self.layers, self.probe = watch(model), probe

        def on_train_epoch_end(self, trainer, module):
            with self.layers, torch.no_grad():
                module(self.probe)
            module.log_dict(self.layers.log(trainer.global_step))

    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.logged = mlp(), []

        def forward(self, x):
            return self.net(x)

        def log_dict(self, numbers):
            self.logged.append(numbers)

    class Trainer:
        global_step = 0

        def fit(self, module, epochs, callback):
            for _ in range(epochs):
                self.global_step += 5
                callback.on_train_epoch_end(self, module)

    module = Module()
    probe = torch.randn(40, next(module.parameters()).shape[1])
    callback = EffectiveNodes(module, probe)
    Trainer().fit(module, 2, callback)
    assert len(module.logged) == 2 and module.logged[0].keys() == module.logged[1].keys() > set()
    assert np.unique(callback.layers.history["step"]).tolist() == [5, 10]


def test_fresh_networks_are_drawn_once_and_the_network_leaves_them_as_it_is_trained():
    model, probe = model_and_inputs()
    y = (probe[:, 0] > 0).long()
    null, layers = reinitialized(model, probe, replicas=19, rng=0), watch(model)
    optimizer, seen = torch.optim.Adam(model.parameters(), 0.05), []
    for step in range(101):
        if step in (0, 100):
            with layers, torch.no_grad():
                model(probe)
            seen.append(report(layers, null=null).together)
            layers.log(step)
        update(model, probe, optimizer, y)
    # All 19 fresh networks are nearer to the common mean than one that is fresh with probability 1/20.
    assert seen[0][0] > 0 and seen[1] == (0, 19)
    low, high = null.interval("2")
    vni = layers.history["vni"][layers.history["layer"] == "2"]
    assert low < vni[0] < high < vni[1]
