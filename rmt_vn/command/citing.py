"""``rmt-vn cite``: BibTeX, whose version and year are those of ``CITATION.cff``; a test holds them together."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import rmt_vn

__all__ = ["run"]

_YEAR = 2026

_BIBTEX = """\
@software{rmt_vn,
  author  = {{The rmt\\_vn developers}},
  title   = {rmt\\_vn: the law of vanishing nodes in random neural networks},
  version = {%s},
  year    = {%d}
}

@misc{ChangLin2019,
  author        = {Chang, Wen-Yu and Lin, Tsung-Nan},
  title         = {Vanishing Nodes: Another Phenomenon That Makes Training Deep Neural Networks Difficult},
  year          = {2019},
  eprint        = {1910.09745},
  archivePrefix = {arXiv}
}

@mastersthesis{Chang2019,
  author = {Chang, Wen-Yu},
  type   = {Thesis},
  title  = {Vanishing nodes},
  school = {National Taiwan University},
  year   = {2019},
  doi    = {10.6342/NTU201901446}
}"""


def run(options: argparse.Namespace) -> Iterator[str]:
    """Three entries: this software, the preprint and the thesis."""
    yield _BIBTEX % (rmt_vn.__version__, _YEAR)
