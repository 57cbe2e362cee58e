"""``rmt-vn design``: the width that a target takes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from threadpoolctl import threadpool_limits

from rmt_vn.command.residual import check_plain, one_scale, residual_parameters
from rmt_vn.command.tables import table, to_json
from rmt_vn.network import NORMALIZATIONS
from rmt_vn.prediction import Design, ResidualDesign, design, design_residual

__all__ = ["run"]


def run(options: argparse.Namespace) -> Iterator[str]:
    """A table, or JSON."""
    if options.seed < 0:
        raise ValueError(f"--seed must be an integer from 0, got {options.seed}")
    if not options.residual:
        check_plain(options)
    parameters = {name: getattr(options, name) for name in ("activation", "sigma_b", "keep")}
    parameters["sigma_w"] = options.sigma_w[0] if options.residual else one_scale(options)
    kinds = {} if options.weights is None else {"weights": options.weights}
    # Threads gain nothing here, and fight over the cores of a busy machine.
    with threadpool_limits(1):
        residual = _residual(options) if options.residual else []
        found = design(
            options.depth, options.vni, input_variance=options.input_variance, rng=options.seed, **kinds, **parameters
        )
    if options.json:
        asked = {"depth": options.depth, "vni": options.vni, "input_variance": options.input_variance}
        more = {"residual": [each.to_dict() for each in residual]} if options.residual else {}
        yield to_json(asked | parameters | {"designs": [each.to_dict() for each in found]} | more)
    else:
        yield "\n".join(
            table(("weights", "width", "VNI", "std. error", "by", "depth t"), [_row(each) for each in found])
        )
        yield from (f"{each.weights}: {each.caveat}." for each in found if each.caveat is not None)
        if residual:
            head = ("residual", "norm", "scale b", "width", "branch", "VNI", "std. error", "by", "depth t")
            yield "\n".join(["", *table(head, [_residual_row(each) for each in residual])])
            yield from (f"residual, {each.network.normalization}: {each.caveat}" for each in residual if each.caveat)


def _residual(options: argparse.Namespace) -> list[ResidualDesign]:
    """One for each normalization and scale of the branches, those that are given or all."""
    parameters = residual_parameters(options)
    norms = (parameters.pop("normalization"),) if "normalization" in parameters else NORMALIZATIONS
    scales = (parameters.pop("branch_scale"),) if "branch_scale" in parameters else ("1/sqrt(L)", 1.0)
    if options.width is not None:
        # Whether a scale is given too, design_residual checks.
        scales = (options.branch_scale,)
    linear = options.activation == "linear" and options.branch_ratio is None
    if options.branch_ratio is not None and not 0 < options.branch_ratio <= 1000:
        raise ValueError(f"--branch-ratio must be a number > 0 and at most 1000, got {options.branch_ratio:g}")
    ratio = None if linear else 1.0 if options.branch_ratio is None else options.branch_ratio
    asked = {"width": options.width, "hidden_ratio": ratio, "input_variance": options.input_variance}
    return [
        design_residual(
            options.depth, options.vni, branch_scale=scale, normalization=norm, rng=options.seed, **asked, **parameters
        )
        for norm in norms
        for scale in scales
    ]


def _residual_row(found: ResidualDesign) -> tuple[str, ...]:
    network = found.network
    error = f"{found.stderr:.1g}" if found.stderr > 0 else ""
    scale = f"{found.beta:.4g}" + ("" if network.branch_scale == found.beta else f" = {network.branch_scale}")
    sizes = str(network.width), "" if network.hidden is None else str(network.hidden)
    numbers = f"{found.vni:.4g}", error, found.method, f"{found.effective_depth:.4g}"
    return network.weights, network.normalization, scale, *sizes, *numbers


def _row(found: Design) -> tuple[str, ...]:
    error = f"{found.stderr:.1g}" if found.stderr > 0 else ""
    return found.weights, str(found.width), f"{found.vni:.4g}", error, found.method, f"{found.effective_depth:.4g}"
