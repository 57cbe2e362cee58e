"""A study: do the intervals of `predict` hold 95% of networks? `python tests/benchmarks/coverage_of_predictions.py`.

Fresh networks are plain numpy, and share no code with the package: weights are drawn and multiplied, and ρ² averaged.
Printed is a table, a line for each network: the share of fresh networks within the intervals, in the layer in which it
is least and in the last two layers, of pre-activations of all nodes and of activations of live ones.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from rmt_vn import Network
from rmt_vn.prediction import predict

sys.path.append(str(Path(__file__).parents[1]))
from brute_force import ball_vni

SQRT2 = 2**0.5
# Widths and what differs from a tanh network with Gaussian weights; `v` is the input variance.
NETWORKS = [
    ((784, *[100] * 8, 10), {"activation": "relu", "sigma_w": SQRT2}),
    ((784, *[500] * 3, 10), {"activation": "relu", "sigma_w": SQRT2}),
    ((61, 200, 200, 200, 10), {"sigma_w": 1.5}),
    ((61, 600, 600, 600, 10), {"sigma_w": 1.5}),
    ((784, *[100] * 30, 10), {"sigma_w": 1.2}),
    ((20, *[20] * 10), {"activation": "linear"}),
    ((8, *[8] * 6), {"activation": "softplus", "sigma_w": 1.35}),
    ((100, *[100] * 20), {"activation": "softplus", "sigma_w": 1.35}),
    ((100, *[100] * 20), {"activation": "gelu", "sigma_w": 1.5}),
    ((100, *[100] * 20), {"activation": "silu", "sigma_w": 1.39, "sigma_b": 0.5**0.5}),
    ((100, *[100] * 20), {"activation": "erf", "sigma_w": 1.5, "weights": "orthogonal"}),
    ((100, *[100] * 20), {"activation": "hard_tanh", "sigma_w": 1.5, "weights": "orthogonal"}),
    ((100, *[100] * 20), {"activation": "hard_tanh", "sigma_w": 2.0, "sigma_b": 0.3}),
    ((60, *[60] * 15), {"activation": "leaky_relu", "sigma_w": SQRT2, "weights": "orthogonal"}),
    ((80, *[80] * 10), {"activation": "relu", "sigma_w": 1.5, "keep": 0.8}),
    ((80, *[80] * 10), {"sigma_w": 1.5, "keep": 0.7}),
    ((80, *[80] * 10), {"activation": "gelu", "sigma_w": 1.5, "keep": 0.8, "weights": "orthogonal"}),
    ((100, *[80] * 2, 2, *[80] * 3), {"sigma_w": 1.5, "sigma_b": 0.3}),
    ((100, *[80] * 2, 2, *[80] * 3), {"activation": "relu", "sigma_w": 1.5, "sigma_b": 0.1}),
    ((200, 150, 100, 60, 30, 10), {"activation": "gelu", "sigma_w": 1.4, "sigma_b": 0.1}),
    ((10, 30, 60, 100, 150, 200), {"activation": "relu", "sigma_w": SQRT2, "sigma_b": 0.2}),
    ((3, *[100] * 6), {"activation": "sin", "sigma_w": 1.5}),
    ((2, 5, *[60] * 6, 3), {"activation": "sigmoid", "sigma_w": 4.0}),
    ((30, *[30] * 200), {"sigma_w": 1.0}),
    ((60, *[60] * 100), {"activation": "relu", "sigma_w": SQRT2}),
    ((40, *[40] * 40), {"activation": "sin", "sigma_w": 1.5, "v": 4.0}),
    ((100, *[100] * 20), {"activation": "gelu", "sigma_w": 1.5, "v": 4.0}),
    ((100, *[100] * 20), {"activation": "sigmoid", "sigma_w": 4.0, "sigma_b": 0.5}),
    ((64, *[64] * 20), {"activation": "linear", "weights": "orthogonal", "keep": 0.9}),
    ((20, 40, 6, 12, 40, 10), {"activation": "erf", "sigma_w": 1.5, "weights": "orthogonal"}),
    ((50, 60, 100, 60, 40, 80), {"activation": "silu", "sigma_w": 1.4, "weights": "orthogonal", "sigma_b": 0.3}),
    ((32, *[32] * 30), {"sigma_w": 1.5, "sigma_b": 0.3}),
    ((300, *[300] * 10), {"sigma_w": 1.5, "v": 4.0}),
    ((300, *[300] * 10), {"activation": "relu", "sigma_w": SQRT2, "weights": "orthogonal"}),
    ((300, *[300] * 10), {"activation": "erf", "sigma_w": 1.3}),
    ((512, *[512] * 4, 10), {"activation": "softplus", "sigma_w": 1.2, "sigma_b": 0.2}),
    ((100, 2048, 2048, 10), {"activation": "relu", "sigma_w": SQRT2}),
    ((100, 2048, 2048, 10), {"activation": "tanh", "sigma_w": 1.5, "sigma_b": 0.1}),
    ((784, 1024, 16, 1024, 10), {"activation": "leaky_relu", "sigma_w": SQRT2}),
    ((12, 6, 3, 2, 3, 6, 12), {"activation": "silu", "sigma_w": 1.5, "sigma_b": 0.2}),
]


def shares(widths, n_fresh, seed, **parameters):
    """Of fresh networks in the intervals, shape (L, 2)."""
    rng = np.random.default_rng([seed, 1])
    ours = {name: value for name, value in parameters.items() if name != "v"}
    v = parameters.get("v", 1.0)
    start = time.perf_counter()
    rows = predict(Network(widths, **ours), input_variance=v, rng=seed).layers
    seconds = time.perf_counter() - start
    intervals = np.array([[row.interval(kind=kind) for kind in ("pre-activations", "activations")] for row in rows])
    values = []
    while len(values) < n_fresh:
        one = ball_vni(rng, widths, **parameters)
        if one is not None:
            values.append(one)
    values = np.array(values)
    low, high = intervals[..., 0], intervals[..., 1]
    return np.mean((low - 1e-9 <= values) & (values <= high + 1e-9), axis=0), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fresh", type=int, default=1000, help="networks of each kind; 400 of the widest")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of networks in the list")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| network | least | last but one | last | seconds |", "|---|---|---|---|---|", sep="\n")
    chosen = range(len(NETWORKS)) if options.only is None else options.only
    for number in chosen:
        widths, parameters = NETWORKS[number]
        n_fresh = 400 if max(widths) >= 500 else options.fresh
        with np.errstate(over="ignore"):
            found, seconds = shares(widths, n_fresh, options.seed + number, **parameters)
        name = repr(Network(widths, **{key: value for key, value in parameters.items() if key != "v"}))
        v = parameters.get("v", 1.0)
        cells = [f"{a:.3f}, {b:.3f}" for a, b in (found.min(axis=0), *found[-2:])]
        cells[0] += f" (layer {found.min(axis=1).argmin() + 1} of {len(found)})"
        print(f"| {number} {name}{f', v = {v}' if v != 1 else ''} | {' | '.join(cells)} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
