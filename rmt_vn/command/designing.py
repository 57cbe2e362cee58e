"""``rmt-vn design``: the width that a target takes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from threadpoolctl import threadpool_limits

from rmt_vn.command.tables import table, to_json
from rmt_vn.prediction import Design, design

__all__ = ["run"]


def run(options: argparse.Namespace) -> Iterator[str]:
    """A table, or JSON."""
    if options.seed < 0:
        raise ValueError(f"--seed must be an integer from 0, got {options.seed}")
    parameters = {name: getattr(options, name) for name in ("activation", "sigma_w", "sigma_b", "keep")}
    kinds = {} if options.weights is None else {"weights": options.weights}
    # Threads gain nothing here, and fight over the cores of a busy machine.
    with threadpool_limits(1):
        found = design(
            options.depth, options.vni, input_variance=options.input_variance, rng=options.seed, **kinds, **parameters
        )
    if options.json:
        asked = {"depth": options.depth, "vni": options.vni, "input_variance": options.input_variance}
        yield to_json(asked | parameters | {"designs": [each.to_dict() for each in found]})
    else:
        yield "\n".join(
            table(("weights", "width", "VNI", "std. error", "by", "depth t"), [_row(each) for each in found])
        )
        yield from (f"{each.weights}: {each.caveat}." for each in found if each.caveat is not None)


def _row(found: Design) -> tuple[str, ...]:
    error = f"{found.stderr:.1g}" if found.stderr > 0 else ""
    return found.weights, str(found.width), f"{found.vni:.4g}", error, found.method, f"{found.effective_depth:.4g}"
