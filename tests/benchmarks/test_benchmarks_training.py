"""Twenty networks trained at once, against torch training them one by one, and under vmap.

That they compute the same is held by tests/test_mlp.py and tests/test_optimizers.py: gradients to 1e-10 of torch's, ten
steps to 1e-12.
"""

import time
from itertools import pairwise

import numpy as np
from side_by_side import Lane
from threadpoolctl import threadpool_limits

from rmt_vn import Network, tasks
from rmt_vn.training import train

try:
    import torch
except ImportError:
    torch = None

REPLICAS, WIDTH, DEPTH, BATCH, RATE = 20, 32, 50, 64, 1e-3
NETWORK = Network((2, *[WIDTH] * (DEPTH - 1), 1))
STEPS = 40


def train_here(task):
    train(NETWORK, task, steps=STEPS, batch=BATCH, learning_rate=RATE, replicas=REPLICAS, rng=2)


def module():
    parts = [part for shape in pairwise(NETWORK.widths) for part in (torch.nn.Linear(*shape), torch.nn.Tanh())]
    return torch.nn.Sequential(*parts[:-1])


def batch_of(*shape):
    x = 2 * torch.rand(*shape, 2) - 1
    return x, (x[..., :1] * x[..., 1:] > 0).float()


def one_by_one(steps):
    """A training loop as in a tutorial, with the fused Adam, the faster one."""
    networks = [module() for _ in range(REPLICAS)]
    optimizers = [torch.optim.Adam(network.parameters(), lr=RATE, fused=True) for network in networks]
    loss_of = torch.nn.BCEWithLogitsLoss()

    def advance():
        for network, optimizer in zip(networks, optimizers, strict=True):
            for _ in range(steps):
                x, y = batch_of(BATCH)
                optimizer.zero_grad()
                loss_of(network(x), y).backward()
                optimizer.step()

    return advance


def vmapped(steps):
    stacked, _ = torch.func.stack_module_state([module() for _ in range(REPLICAS)])
    stacked = {name: parameter.detach().clone() for name, parameter in stacked.items()}
    base, loss_of = module().to("meta"), torch.nn.BCEWithLogitsLoss()
    gradients_of = torch.func.vmap(
        torch.func.grad(lambda p, x, y: loss_of(torch.func.functional_call(base, (p,), (x,)), y))
    )
    optimizer = torch.optim.Adam(stacked.values(), lr=RATE, fused=True)

    def advance():
        for _ in range(steps):
            gradients = gradients_of(stacked, *batch_of(REPLICAS, BATCH))
            for name, parameter in stacked.items():
                parameter.grad = gradients[name]
            optimizer.step()

    return advance


def share_of_peak(seconds):
    """Of the float32 peak of matrix products on one thread."""
    square = np.ones((2048, 2048), np.float32)
    best = np.inf
    for _ in range(5):
        start = time.perf_counter()
        square @ square
        best = min(best, time.perf_counter() - start)
    flops = STEPS * (DEPTH - 2) * 2 * REPLICAS * BATCH * WIDTH * (3 * WIDTH + 2)
    return flops / seconds / (2 * 2048**3 / best)


def test_twenty_networks(race, row):
    task = tasks.continuous_xor(4096, rng=1)
    few = 2  # steps of what is slow
    with threadpool_limits(1):
        if torch:
            torch.set_num_threads(1)
        ours = Lane("`train`", lambda: train_here(task))
        loop = Lane("torch, one by one", one_by_one(few) if torch else None, factor=STEPS / few)
        batched = Lane("`torch.func.vmap`", vmapped(STEPS) if torch else None)
        if race(ours, loop, batched, rounds=5):
            ours.note = f"{share_of_peak(ours.seconds):.0%} of the float32 peak"
            networks = f"{REPLICAS} networks, width {WIDTH}, depth {DEPTH}, batch {BATCH}"
            row(f"{STEPS} Adam steps of {networks}", ours, loop, batched)
