"""A study: bias of `vni`, and how often its intervals hold a known truth: `python tests/benchmarks/coverage_of_vni.py`.

Cells are a distribution, a shape, nodes, samples and, for groups, what one has: 16 times of a sequence, or 4 × 4
positions of an image. Each has seeds of its own, so that any of them can be computed alone; with `--kept FILE` what is
done is not done again. `--thin` is a tenth of them, for 20 minutes of one core; the whole takes hours.

Printed is a table of the cells, and those in which the bias is more than 2% and 0.2 standard deviations of the
estimate, or the coverage less than 92%, by more than three standard errors of the study; each with what the result says
of it in `caveats`, and how often. If one of them is said nothing of in half of its samples the study fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

from joblib import Parallel, delayed

sys.path.append(str(Path(__file__).parents[1]))
from populations import FUNCTIONS, SOURCES, Study

from rmt_vn.measures import vni

DISTRIBUTIONS = (*SOURCES, *FUNCTIONS)
SHAPES = ("independent", "one factor", "groups of four")
SEQUENCE, IMAGE = (16,), (4, 4)


class Cell(NamedTuple):
    """One population and a number of samples, or of groups of these."""

    distribution: str
    shape: str
    nodes: int
    n_samples: int
    group: tuple[int, ...] = ()

    def __str__(self) -> str:
        of = {(): "samples", SEQUENCE: "sequences", IMAGE: "images"}[self.group]
        return f"{self.distribution}, {self.shape}, N = {self.nodes}, {self.n_samples} {of}"


def whole() -> list[Cell]:
    """All cells, but for those of more than a million and a half values."""
    samples = (5, 6, 8, 10, 20, 40, 100, 255, 256, 257, 258, 511, 512, 513, 514, 2000, 5000)
    cells = [Cell(*each) for each in product(DISTRIBUTIONS, SHAPES, (5, 20, 150, 300, 1200), samples)]
    for group in (SEQUENCE, IMAGE):
        cells += [Cell(*each, group) for each in product(DISTRIBUTIONS, SHAPES, (20, 150), (5, 8, 32, 128))]
    return [cell for cell in cells if cell.nodes * cell.n_samples <= 1.5e6 and _varies(cell)]


def thin() -> list[Cell]:
    """A tenth of them: small, wide and long layers, and on both sides of where the way to compute changes."""
    cells = [Cell(*each) for each in product(DISTRIBUTIONS, SHAPES, (20,), (6, 10, 40, 514, 2000))]
    cells += [Cell(*each) for each in product(("gaussian", "relu"), SHAPES, (5,), (6, 40, 514))]
    seams = (10, 100, 255, 256, 257, 258, 511, 514)
    cells += [Cell(*each) for each in product(("gaussian", "exponential", "lognormal"), SHAPES[2:], (150,), seams)]
    wide = ("gaussian", "relu", "t3", "lognormal")
    cells += [Cell(*each) for each in product(wide, SHAPES[1:], (300,), (10, 100, 257, 1000))]
    cells += [Cell(*each) for each in product(wide[:2], SHAPES[2:], (1200,), (10, 100, 257))]
    for group in (SEQUENCE, IMAGE):
        cells += [Cell(*each, group) for each in product(DISTRIBUTIONS, SHAPES[1:], (20,), (8, 32, 128))]
    return [cell for cell in cells if _varies(cell)]


def _varies(cell: Cell) -> bool:
    """Whether some node varies in every sample of the study, as those that are seldom one need not."""
    return cell.distribution != "binary" or cell.n_samples >= (8 if cell.group else 20)


def found(cell: Cell, repeats: int) -> dict:
    """What the study says of a cell, in numbers and words that JSON has."""
    seed = [1, zlib.crc32(str(cell).encode())]
    distribution, shape, nodes, n_samples, group = cell
    measure = partial(vni, node_axis=-1)
    study = Study(measure, shape, distribution, n_samples, nodes=nodes, repeats=repeats, seed=seed, group=group)
    told = [each.caveats for each in study.measured]
    return {
        "cell": str(cell),
        "repeats": repeats,
        "truth": study.truth,
        "bias": study.bias,
        "spread": study.spread,
        "plug_in_bias": float(study.plug_in_bias),
        "stated": study.relative_stderr,
        "coverage": study.coverage(),
        "told": sum(map(bool, told)) / repeats,
        "caveat": next((each[-1] for each in told if each), ""),
    }


def outside(of: dict) -> str:
    """In what a cell is outside of what is claimed, or nothing."""
    noise = of["repeats"] ** -0.5
    reasons = []
    if abs(of["bias"]) > max(0.02 * of["truth"], 0.2 * of["spread"]) + 3 * noise * of["spread"]:
        reasons.append(f"bias {of['bias'] / of['truth']:+.1%} = {of['bias'] / of['spread']:+.2f} s.e.")
    if of["coverage"] < 0.92 - 3 * noise * (of["coverage"] * (1 - of["coverage"])) ** 0.5:
        reasons.append(f"coverage {of['coverage']:.1%}")
    return ", ".join(reasons)


def line(of: dict) -> str:
    noise = (of["coverage"] * (1 - of["coverage"]) / of["repeats"]) ** 0.5
    return (
        f"| {of['cell']} | {of['truth']:.4f} | {of['bias'] / of['truth']:+.1%} |"
        f" {of['bias'] / of['spread']:+.2f} ± {of['repeats'] ** -0.5:.2f} | {of['plug_in_bias'] / of['truth']:+.0%} |"
        f" {of['stated']:.2f} | {of['coverage']:.1%} ± {noise:.1%} | {of['told']:.0%} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--thin", action="store_true", help="a tenth of the cells")
    parser.add_argument("--only", default="", help="cells whose name contains this")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--kept", type=Path, help="a file of what is done, a line of JSON for each cell")
    options = parser.parse_args()
    cells = {str(cell): cell for cell in (thin() if options.thin else whole()) if options.only in str(cell)}
    kept = {}
    if options.kept and options.kept.exists():
        lines = [json.loads(each) for each in options.kept.read_text(encoding="utf-8").splitlines()]
        kept = {of["cell"]: of for of in lines if of["repeats"] == options.repeats and of["cell"] in cells}
    missing = (delayed(found)(cell, options.repeats) for name, cell in cells.items() if name not in kept)
    print("| cell | VNI | bias | in s.e. | bias of plug-in | stated error/true | coverage | told of |")
    print("|---|---|---|---|---|---|---|---|")
    for of in kept.values():
        print(line(of))
    for of in Parallel(n_jobs=options.jobs, return_as="generator")(missing):
        print(line(of), flush=True)
        kept[of["cell"]] = of
        if options.kept:
            with options.kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(of) + "\n")
    missed = {name: outside(of) for name, of in kept.items() if outside(of)}
    print(f"\n{len(kept)} cells, {len(missed)} of them outside:")
    for name, reason in missed.items():
        print(f"{name}: {reason}; in {kept[name]['told']:.0%} of the samples told: {kept[name]['caveat'] or 'nothing'}")
    return int(any(kept[name]["told"] < 0.5 for name in missed))


if __name__ == "__main__":
    sys.exit(main())
