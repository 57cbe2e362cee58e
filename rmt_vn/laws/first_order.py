"""S1, the first-order law of the thesis: VNI ≈ 1/N + (L/N)(μ_2/μ_1² − 1 − s_1)."""

from __future__ import annotations

from itertools import pairwise

from rmt_vn.checks import checked_kind
from rmt_vn.laws.effective_depth import layer_depth, slope_ratio
from rmt_vn.network import Network


def first_order_vni(network: Network) -> float:
    """The first-order VNI of Chang & Lin (2019): proportional to depth, inverse to width.

    1/N + (L/N)(μ_2/μ_1² − 1 − s_1) if all widths are N, with μ_k at q*. At other widths each D_l adds (μ_2/μ_1² −
    1)/n_l, and each W_l what it adds to the effective depth: this is the first-order term of S2, in which D_L counts.
    It grows with depth as the tangents of S3 and S4 do, and lies above them by (μ_2/μ_1² − 1)/n_L, since S3 and S4 are
    about pre-activations or live nodes. It holds for small depth/width only, and exceeds 1 at large ones.

    Raises
    ------
    ValueError
        If μ_k is needed at a q* that does not exist.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> round(first_order_vni(Network.uniform(100, 50, activation="linear")), 12)
    0.51
    """
    checked_kind("network", network, Network)
    spread = (slope_ratio(network) - 1) * sum(1 / width for width in network.widths[1:])
    steps = sum(layer_depth(*shape, network.weights) for shape in pairwise(network.widths))
    return 1 / network.widths[-1] + spread + steps
