"""Monte Carlo estimates of the mean VNI, and samples of the correlation of two nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rmt_vn.checks import checked_choice, checked_count, checked_kind
from rmt_vn.gaussian_averages import checked_variance
from rmt_vn.measures import jacobian_correlation, jacobian_vni
from rmt_vn.network import Network, ResidualNetwork
from rmt_vn.progress import progress
from rmt_vn.rng import RNG
from rmt_vn.samplers.chain import chain_correlation, chain_vni, walks_alone
from rmt_vn.samplers.forward import block_sizes, last_of
from rmt_vn.samplers.jacobian import walk_jacobian
from rmt_vn.samplers.means import SampledMean
from rmt_vn.samplers.residual_rows import sample_residual_rows
from rmt_vn.samplers.rows import rows_vni, sample_rows
from rmt_vn.samplers.signal_chain import signal_chain_vni

# Floats in one block of samples: blocks of the chain stay within the cache, others within tens of MB.
_CHAIN_BLOCK = 4096
_BLOCK_FLOATS = 2**21
# Rows of the Jacobian that the chain follows if φ is neither linear nor ReLU: they make 120 pairs of nodes.
_ROWS = 16
# Nodes of the signal chain, and networks per block: what one block works on stays within the cache.
_SIGNAL_NODES = 8
_SIGNAL_BLOCK = 1024


@dataclass(frozen=True, eq=False, repr=False)
class SampledVNI(SampledMean):
    """A Monte Carlo estimate of E VNI.

    Attributes
    ----------
    values : ndarray, shape (n_networks,)
        VNI of each random network (of each independent walk, for the chain).
    value, stderr : float
        Their mean, and its standard error.
    n_networks : int
    network : Network or ResidualNetwork
    method : {"jacobian", "chain", "signal_chain"}
    """

    method: Literal["jacobian", "chain", "signal_chain"]


def sample_vni(
    network: Network | ResidualNetwork,
    n_networks: int,
    *,
    rng: RNG = None,
    method: Literal["auto", "jacobian", "chain", "signal_chain"] = "auto",
    input_variance: float | None = None,
) -> SampledVNI:
    """Monte Carlo estimate of the mean VNI of the Jacobian of random networks, over the live nodes of the last layer.

    Parameters
    ----------
    network : Network or ResidualNetwork
    n_networks : int
        Number of random networks (of independent walks, for the chain), at least 2. A layer without a live node, which
        ReLU and dropout can leave, is drawn again.
    rng : seed or Generator
    method : {"auto", "jacobian", "chain", "signal_chain"}
        "jacobian" multiplies the matrices, with D_l from a forward pass at a random input. "chain" follows a few nodes
        only: for linear and ReLU networks two, at a cost per layer that does not depend on the width (each sample is
        the mean over the direction of the walk's end point), for others sixteen, at O(N) a layer; of residual networks
        two where `rmt_vn.laws.exact_vni` covers them. Both are exact in distribution; "auto" is "chain".
        "signal_chain" follows eight nodes of any plain network at a cost per layer that does not depend on the width,
        and is an approximation: `rmt_vn.samplers.signal_chain` says how good a one.
    input_variance : float, optional
        ‖x_0‖²/n_0 of the forward pass; by default the one that gives pre-activations of variance q*, or in residual
        networks 1. Linear and ReLU networks do not need it.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> sampled = sample_vni(Network.uniform(100, 100, activation="linear"), 20_000, rng=1)
    >>> abs(sampled.value - 0.478616) < 4 * sampled.stderr
    True
    """
    checked_kind("network", network, Network, ResidualNetwork)
    n_networks = checked_count("n_networks", n_networks, least=2)
    if input_variance is not None:
        checked_variance("input_variance", input_variance)
    rng = np.random.default_rng(rng)
    checked_choice("method", method, ("auto", "jacobian", "chain", "signal_chain"))
    if method == "auto":
        method = "chain"
    if method == "signal_chain":
        if isinstance(network, ResidualNetwork):
            raise ValueError("method 'signal_chain' is for plain networks, got a ResidualNetwork; take 'chain'")
        blocks = (
            signal_chain_vni(network, size, _SIGNAL_NODES, rng, input_variance)
            for size in block_sizes(n_networks, _SIGNAL_BLOCK)
        )
    elif method == "jacobian":
        blocks = (
            jacobian_vni(last_of(walk_jacobian(network, size, rng=rng, input_variance=input_variance)).jacobian)
            for size in _blocks(n_networks, _BLOCK_FLOATS // max(network.widths) ** 2)
        )
    elif walks_alone(network):
        blocks = (chain_vni(network, size, rng) for size in _blocks(n_networks, _CHAIN_BLOCK))
    else:
        blocks = (
            rows_vni(*_rows(network, size, _ROWS, rng, input_variance, live=True))
            for size in _blocks(n_networks, _BLOCK_FLOATS // (_ROWS * sum(network.widths)))
        )
    values = np.concatenate(list(blocks))
    return SampledVNI(values, network, method)


def sample_correlation(
    network: Network | ResidualNetwork,
    n_networks: int,
    *,
    rng: RNG = None,
    method: Literal["auto", "jacobian", "chain"] = "auto",
    input_variance: float | None = None,
) -> np.ndarray:
    """Correlations ρ of the pre-activations of two nodes of the last layer, a pair from each of n_networks networks.

    Parameters as `sample_vni`; the last layer must have at least two nodes.

    Returns
    -------
    ndarray, shape (n_networks,)
    """
    checked_kind("network", network, Network, ResidualNetwork)
    n_networks = checked_count("n_networks", n_networks, least=1)
    if input_variance is not None:
        checked_variance("input_variance", input_variance)
    if network.widths[-1] < 2:
        raise ValueError(f"a correlation needs at least 2 nodes in the last layer, got {network.widths[-1]}")
    rng = np.random.default_rng(rng)
    if _chosen_method(method) == "chain" and walks_alone(network):
        walks = (chain_correlation(network, size, rng) for size in _blocks(n_networks, _CHAIN_BLOCK))
        return np.concatenate(list(walks))
    if method == "jacobian":
        pairs = (
            last_of(walk_jacobian(network, size, rng=rng, input_variance=input_variance)).rows[:, :2]
            for size in _blocks(n_networks, _BLOCK_FLOATS // max(network.widths) ** 2)
        )
    else:
        pairs = (
            _rows(network, size, 2, rng, input_variance, live=False)[0]
            for size in _blocks(n_networks, _BLOCK_FLOATS // sum(network.widths))
        )
    correlations = np.concatenate([jacobian_correlation(rows)[:, 0, 1] for rows in pairs])
    if isinstance(network, ResidualNetwork):
        return correlations
    # The sign of a row of W_L is a fair coin but for the condition that layer L has a live node, which concerns D_L.
    return correlations * rng.choice([-1.0, 1.0], n_networks)


def _rows(
    network: Network | ResidualNetwork,
    n_networks: int,
    count: int,
    rng: np.random.Generator,
    input_variance: float | None,
    *,
    live: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Some rows of each network, and the slopes of its last layer, as `sample_rows`."""
    if isinstance(network, ResidualNetwork):
        rows = sample_residual_rows(network, n_networks, count, rng, input_variance)
        return rows, np.ones((n_networks, network.widths[-1]))
    return sample_rows(network, n_networks, count, rng, input_variance, live=live)


def _blocks(n_networks: int, size: int) -> Iterator[int]:
    """Sizes of the blocks in which networks are sampled, with a bar on a terminal."""
    return progress(block_sizes(n_networks, size), "blocks of networks")


def _chosen_method(method: str) -> Literal["jacobian", "chain"]:
    checked_choice("method", method, ("auto", "jacobian", "chain"))
    return "jacobian" if method == "jacobian" else "chain"
