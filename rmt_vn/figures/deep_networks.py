"""Kinds of deep networks that are trained beside each other, of any width and depth: plain ones and residual ones."""

from __future__ import annotations

from collections.abc import Callable

from rmt_vn.network import Network, ResidualNetwork


def plain(activation: str, sigma_w: float = 1.0, sigma_b: float = 0.0, **kind) -> Callable[..., Network]:
    return lambda width, depth, inputs=2, outputs=1: Network(
        (inputs, *[width] * (depth - 1), outputs), activation=activation, sigma_w=sigma_w, sigma_b=sigma_b, **kind
    )


def residual(**kind) -> Callable[..., ResidualNetwork]:
    """Blocks of two matrices, and as many of them that with embedding and readout there are `depth` matrices."""
    return lambda width, depth, inputs=2, outputs=1: ResidualNetwork(
        width, depth // 2 - 1, width, activation="tanh", inputs=inputs, outputs=outputs, **kind
    )


# All at scales where gradients neither grow nor vanish exponentially. Those of GELU are of Roberts, Yaida and Hanin
# (2022), "The principles of deep learning theory", section 5.3.4.
PLAIN: dict[str, Callable[..., Network]] = {
    "plain tanh": plain("tanh"),
    "Haar tanh": plain("tanh", weights="orthogonal"),
    "plain ReLU": plain("relu", 2**0.5),
    "plain hard tanh": plain("hard_tanh"),
    "plain GELU": plain("gelu", 1.98305826**0.5, 0.17292239**0.5),
}
# Post-LN that differs in β alone. With σ_1 = ½ tanh is nearly linear, so that gradients keep nearly the same size,
# whatever β is, while what a block adds to t grows with β from 0 to what two layers of a plain network add.
POST: dict[str, Callable[..., ResidualNetwork]] = {
    f"post-LN (β = {beta:g})": residual(sigma_w=(0.5, 1), branch_scale=beta, normalization="post")
    for beta in (0.25, 0.5, 1, 2, 4, 8)
}
LEAST, *_, MOST = POST
SKIPPING = {
    "residual (β = 1/√L)": residual(branch_scale="1/sqrt(L)"),
    "pre-LN (β = 1)": residual(normalization="pre"),
    **POST,
}
KINDS: dict[str, Callable[..., Network | ResidualNetwork]] = {**PLAIN, **SKIPPING}
