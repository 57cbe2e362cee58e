"""The page of the benchmarks: the table that ``pytest tests/benchmarks --page`` writes, and how to read it."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PATH = Path(__file__).with_name("README.md")
LIBRARIES = ("numpy", "scipy", "mpmath", "torch", "freealg")

HEAD = "| what | this package | obvious way | usual alternative |\n|---|---|---|---|"

CAPTION = """\
Times are the best of a few interleaved runs on one thread; what takes long ran less often. × is how many times as long
as this package a rival takes; ≈ is extrapolated, from the time of one network and the number of networks that ± 0.001
takes, or from a few steps. This package computes in float64, `train` in float32 as its rivals do."""

_PAGE = """\
# The benchmarks

Every fast way of this package beside the obvious way to compute the same, and beside what one would otherwise use. This
page is written by

```sh
python -m pytest tests/benchmarks --page
```

which takes some minutes on a quiet machine; without `--page` the table is printed only. Rivals that are not installed
are left out, and each benchmark first checks that all ways give the same.

{head}
{rows}

{caption} Errors of densities are relative, at 50 points, against 50 digits.

{machine}

Between runs most ratios move by a fifth, some by half. Two of them have a floor: for 10⁵ × 1000 activations the float32
product alone takes two thirds of the time of `vni`, so that nothing that forms the correlations could be 5 times as
fast as `corrcoef`; and random numbers and multiplications alone take all of the time of `sample_log_singular_values`.
scikit-rmt 2.1.1 has no column: it needs an older numpy and has no such samplers.

## How far the VNI of samples is to be trusted

`python tests/benchmarks/coverage_of_vni.py` holds `vni` against layers of known VNI, of ten distributions and three
shapes. Of 241 cells like its own, of 50 to 500 samples each, 13 were outside of what is asked for (a bias of 2% or 0.2
standard errors, and 92% coverage) by more than three standard errors of the study, and `caveats` tells of each of them,
in 70% or more of its samples: five or six samples (coverage down to 79%; six cells), lognormal and t of 3 in groups of
four (79 to 90%, a bias of one to five per cent; four cells), and zeros with one in ten ones, of 40 samples or eight
groups (a bias of −6 to −26%; three cells). In another ten, nine of them of independent nodes, intervals held the truth
in more than 97%: 1/N is where they end.

Since then the number of nodes is kept in the bias where all of them vary: zeros with one in ten ones, 40 samples of 20
nodes, are within 2%, and were up to 5% off; eight groups are still off by −10 to −25%. And of 120 more cells, of 20 or
300 nodes and 511 to 514 or 5000 samples (Gaussian, lognormal, t of 3 and such zeros; 200 samples of each), ten were
outside, all of 300 nodes that are lognormal or t of 3, as `caveats` tells in each of their samples: in groups of four
70 to 84%, and t of 3 with one factor 77%. Nothing changes from 511 to 514.
"""


def page(rows: list[str], machine: str) -> str:
    """The page, from the rows of its table and a sentence on what they were measured with."""
    return _PAGE.format(head=HEAD, rows="\n".join(rows), caption=CAPTION, machine=machine)


def machine() -> str:
    """Versions and processors, in a sentence."""
    libraries = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    return f"Python {platform.python_version()}, {libraries}, on a machine of {os.cpu_count()} cores."


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"
