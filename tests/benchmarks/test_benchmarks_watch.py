"""What a watch costs a training: passes that are not recorded, those that are, and one in a hundred of these.

Copies of a model take their steps in turn, in random order, one of them watched, so that a busy moment of the machine
meets all; times are those of the processor. Sums of some layers are added up in portions, not at each recorded pass:
the mean counts these, of a pass as of the others. Looking up the layers costs what `vni` costs, and is not counted.
"""

import time

import numpy as np
import pytest

from rmt_vn import watch

torch = pytest.importorskip("torch")
nn = torch.nn


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True, dropout=0.0)
        self.tokens, self.places = nn.Embedding(100, 64), nn.Parameter(0.02 * torch.randn(32, 64))
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 100)

    def forward(self, tokens):
        return self.head(self.encoder(self.tokens(tokens) + self.places))


def perceptron():
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    return model, torch.randn(128, 784), torch.randint(10, (128,))


def convolutions():
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 49, 10))
    return model, torch.randn(64, 1, 28, 28), torch.randint(10, (64,))


def transformer():
    tokens = torch.randint(100, (16, 32))
    return Transformer(), tokens, tokens


def small_perceptron():
    """A step of a quarter of a millisecond, which shows what a pass that is not recorded costs."""
    model = nn.Sequential(nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
    return model, torch.randn(32, 20), torch.randint(2, (32,))


def training(build):
    torch.manual_seed(0)
    model, x, y = build()
    optimizer, loss_of = torch.optim.Adam(model.parameters(), 1e-3), nn.CrossEntropyLoss()

    def step():
        start = time.process_time()
        optimizer.zero_grad()
        loss_of(model(x).flatten(0, -2), y.flatten()).backward()
        optimizer.step()
        return time.process_time() - start

    return model, step


def extra(build, every, mean, seconds=16.0, blocks=16):
    """What a step of a watched training takes more than one of another, in pairs of blocks; and a step, in seconds.

    Of two trainings one is watched in one block, and the other in the next: they differ by where they lie in memory.
    """
    trainings, rng = [training(build), training(build)], np.random.default_rng(0)
    one = sum(step() + step() for _, step in trainings) / 4
    taken = np.empty((blocks, max(10, int(seconds / blocks / one / 2)), 2))
    for block in range(blocks):
        model, watched = trainings[block % 2]
        steps = [trainings[1 - block % 2][1], watched]
        with watch(model, every=every):
            for _ in range(3):
                watched()
            for pair in range(taken.shape[1]):
                for which in rng.permutation(2):
                    taken[block, pair, which] = steps[which]()
    # A step that was interrupted takes many times as long as others.
    typical = np.median(taken, axis=1, keepdims=True)
    of_blocks = mean(np.where(taken < 20 * typical, taken, typical), axis=1)
    return (of_blocks[:, 1] - of_blocks[:, 0]).reshape(-1, 2).mean(axis=1), float(np.median(typical))


@pytest.mark.parametrize("build", [perceptron, convolutions, transformer, small_perceptron])
def test_the_cost_of_every_hundredth_step(capsys, build):
    torch.set_num_threads(1)
    recorded, step = extra(build, 1, np.mean)
    others, _ = extra(build, 10**9, np.median)
    low, middle, high = np.quantile((0.01 * np.median(recorded) + 0.99 * others) / step, [0, 0.5, 1])
    with capsys.disabled():
        print(
            f"\n{build.__name__}: a step takes {step * 1e3:.2f} ms; a recorded one {np.median(recorded) / step:.2f} of"
            f" that more ({recorded.min() / step:.2f} to {recorded.max() / step:.2f}), others"
            f" {np.median(others) * 1e6:.0f} µs more ({others.min() * 1e6:.0f} to {others.max() * 1e6:.0f});"
            f" every hundredth recorded: {middle:+.2%} ({low:+.2%} to {high:+.2%})"
        )
