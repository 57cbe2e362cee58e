"""A study: where `laws.approximate_vni` holds, and whether it knows: `python tests/benchmarks/domain_of_s4.py`.

Over a grid of activations, weights, biases, scales, inputs, widths and depths, the law is held against exact samples.
Printed is a table of its errors where it does not warn and where it does; every network is a line of the CSV file.
The order of the networks is random, so that a run stopped early is a fair sample of the grid.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np

from rmt_vn import Network, laws, samplers

# From ordered to chaotic, or where the activation grows for ever, to where the variance still does not.
SCALES = {
    "linear": (0.8, 1.0, 1.1),
    "relu": (1.0, 2**0.5, 1.6),
    "leaky_relu": (1.0, 2**0.5, 1.6),
    "tanh": (0.8, 1.5, 3.0),
    "hard_tanh": (0.8, 1.5, 3.0),
    "erf": (0.8, 1.3, 3.0),
    "sin": (0.8, 1.5, 2.5),
    "sigmoid": (1.0, 4.0, 10.0),
    "softplus": (1.0, 1.2, 1.35),
    "gelu": (1.0, 1.39, 1.5),
    "silu": (1.0, 1.39, 1.5),
}
WIDTHS, DEPTHS = (50, 200, 800), (5, 10, 20, 50, 100, 200)
INPUTS = (None, 1.0, 4.0)
FIELDS = ("activation", "weights", "sigma_w", "sigma_b", "input_variance", "width", "depth")
NUMBERS = ("law", "warned", "chain", "sampled", "stderr")


def grid(widths, depths):
    kinds = itertools.product(SCALES, ("gaussian", "orthogonal"), range(3), (0.0, 0.5), INPUTS, widths, depths)
    return [(name, weights, SCALES[name][scale], *rest) for name, weights, scale, *rest in kinds]


def one(point, n_networks, seed):
    """The law, whether it warned, the chain's mean, and exact samples; None where the variance does not stay finite."""
    name, weights, sigma_w, sigma_b, input_variance, width, depth = point
    network = Network.uniform(width, depth, activation=name, weights=weights, sigma_w=sigma_w, sigma_b=sigma_b)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            law = laws.approximate_vni(network, input_variance=input_variance)
        except ValueError:
            return None
    kind = {"rng": seed, "input_variance": input_variance}
    sampled = samplers.sample_vni(network, n_networks, **kind)
    chain = samplers.sample_vni(network, 1000, method="signal_chain", **kind)
    return law, bool(caught), chain.value, sampled.value, sampled.stderr


def table(rows):
    """Lines of a markdown table of errors, where the law warns and where it does not; off is beyond 10% and 4 s.e."""
    groups = defaultdict(list)
    for row in rows:
        law, warned, chain, value, stderr = (row[name] for name in NUMBERS)
        groups[row["width"], bool(warned)].append((law / value - 1, chain / value - 1, stderr / value))
    yield "| width | warned | networks | law: median, 95%, largest error | chain: the same | law off |"
    yield "|---|---|---|---|---|---|"
    for (width, warned), errors in sorted(groups.items()):
        law, chain, stderr = np.array(errors).T
        beyond = np.mean((np.abs(law) > 0.1) & (np.abs(law) > 4 * stderr))
        three = (f"{np.median(e):.1%}, {np.quantile(e, 0.95):.1%}, {e.max():.1%}" for e in (abs(law), abs(chain)))
        yield f"| {width} | {'yes' if warned else 'no'} | {len(law)} | {' | '.join(three)} | {beyond:.1%} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--depths", type=int, nargs="+", default=DEPTHS)
    parser.add_argument("--networks", type=int, default=100, help="how many random networks a point of the grid takes")
    parser.add_argument("--minutes", type=float, default=np.inf, help="stop after so long")
    parser.add_argument("--out", type=Path, default=Path("domain_of_s4.csv"))
    options = parser.parse_args()
    points = grid(options.widths, options.depths)
    np.random.default_rng(0).shuffle(order := np.arange(len(points)))
    end, rows = time.monotonic() + 60 * options.minutes, []
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS + NUMBERS)
        writer.writeheader()
        for seed in order.tolist():
            if time.monotonic() > end:
                break
            numbers = one(points[seed], options.networks, seed)
            if numbers is not None:
                rows.append(dict(zip(FIELDS + NUMBERS, (*points[seed], *numbers), strict=True)))
                writer.writerow(rows[-1])
                file.flush()
    print(f"{len(rows)} of {len(points)} networks", *table(rows), sep="\n")


if __name__ == "__main__":
    main()
