"""``rmt-vn design``: the width that a target takes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from threadpoolctl import threadpool_limits

from rmt_vn.command.tables import table, to_json
from rmt_vn.prediction import design

__all__ = ["run"]


def run(options: argparse.Namespace) -> Iterator[str]:
    """A table, or JSON."""
    parameters = {name: getattr(options, name) for name in ("activation", "sigma_w", "sigma_b", "keep")}
    kinds = {} if options.weights is None else {"weights": options.weights}
    # Threads gain nothing here, and fight over the cores of a busy machine.
    with threadpool_limits(1):
        found = design(options.depth, options.vni, input_variance=options.input_variance, **kinds, **parameters)
    if options.json:
        asked = {"depth": options.depth, "vni": options.vni, "input_variance": options.input_variance}
        yield to_json(asked | parameters | {"designs": [each.to_dict() for each in found]})
    else:
        rows = [(each.weights, str(each.width), f"{each.vni:.4g}", f"{each.effective_depth:.4g}") for each in found]
        yield "\n".join(table(("weights", "width", "VNI", "depth t"), rows))
        yield from (f"{each.weights}: {each.caveat}." for each in found if each.caveat is not None)
