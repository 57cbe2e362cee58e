"""How much faster the fast samplers are: `python -m pytest tests/benchmarks`.

No time is asserted. Rivals are held against each other at small widths, where that is cheap, and timed at large ones.
"""

import numpy as np
import pytest
from scipy.stats import ortho_group
from side_by_side import TARGET, Lane, assert_same_mean, samples_needed

from rmt_vn import Network, ensembles, laws, samplers

try:
    import torch
except ImportError:
    torch = None
else:
    torch.set_num_threads(1)

# Chaotic enough for tanh to bend: at σ_w = 1 a tanh network is all but linear.
TANH_SIGMA = 1.5
NAMES = {"gaussian": "Gaussian", "orthogonal": "Haar"}


def if_torch(run):
    return run if torch else None


@pytest.fixture(autouse=True)
def torch_seed():
    if torch:
        torch.manual_seed(1)


# --- the mean VNI -----------------------------------------------------------------------------------------------------


def numpy_product_vni(width, depth, count, rng):
    """VNI of products of float32 Gaussian matrices, all `count` at a time: the plain way, with nothing in its way."""
    product = rng.standard_normal((count, width, width), dtype=np.float32)
    for _ in range(depth - 1):
        product = rng.standard_normal((count, width, width), dtype=np.float32) @ product
        product *= np.float32(1 / np.sqrt(width))
    product /= np.linalg.norm(product, axis=-1, keepdims=True)
    return np.sum((product @ np.swapaxes(product, -2, -1)) ** 2, axis=(-2, -1)) / width**2


def torch_product_vni(width, depth, count):
    product = torch.randn(count, width, width)
    for _ in range(depth - 1):
        product = torch.randn(count, width, width) @ product
        product *= 1 / width**0.5
    product = torch.nn.functional.normalize(product, dim=-1)
    return ((product @ product.mT) ** 2).sum(dim=(-2, -1)).numpy() / width**2


def test_products_have_the_vni_of_the_law():
    law = laws.exact_vni(Network.uniform(16, 16, activation="linear"))
    assert_same_mean(numpy_product_vni(16, 16, 4000, np.random.default_rng(1)), law)
    if torch:
        assert_same_mean(torch_product_vni(16, 16, 4000), law)


def test_vni_of_linear_networks(race, row):
    width = depth = 256
    network = Network.uniform(width, depth, activation="linear")
    sampled = samplers.sample_vni(network, 20_000, rng=1)
    assert abs(sampled.value - laws.exact_vni(network)) < 4 * sampled.stderr
    # Not extrapolated: the chain is run for as many samples as it needs.
    walks = samples_needed(sampled)
    rng = np.random.default_rng(2)
    chain = Lane("`chain`", lambda: samplers.sample_vni(network, walks, rng=3))
    # One network at a time stays in the cache: no slower than a batch.
    product = Lane("numpy, float32 products", lambda: numpy_product_vni(width, depth, 1, rng))
    in_torch = Lane("torch, float32 products", if_torch(lambda: torch_product_vni(width, depth, 1)))
    if race(chain, product, in_torch):
        assert chain.results[-1].stderr == pytest.approx(TARGET, rel=0.05)
        # Networks of half the size scatter as much, but for terms in 1/N, and are quicker to tell by how much.
        halves = np.ravel([numpy_product_vni(width // 2, depth // 2, 1, rng) for _ in range(500)])
        assert_same_mean(halves, laws.exact_vni(Network.uniform(width // 2, depth // 2, activation="linear")))
        product.factor = in_torch.factor = halves.var(ddof=1) / TARGET**2
        row(f"mean VNI to ± 0.001, linear, width and depth {width}", chain, product, in_torch)


def torch_tanh_vni(width, depth):
    """VNI of the Jacobian by autograd, at an input on the sphere ‖x‖² = width."""
    weights = torch.randn(depth, width, width) * (TANH_SIGMA / width**0.5)

    def forward(x):
        for w in weights:
            x = torch.tanh(w @ x)
        return x

    x = torch.nn.functional.normalize(torch.randn(width), dim=0) * width**0.5
    rows = torch.nn.functional.normalize(torch.func.jacrev(forward)(x), dim=-1)
    return float(((rows @ rows.T) ** 2).sum()) / width**2


def sampled_tanh_vni(width, depth, n_networks, method, rng):
    network = Network.uniform(width, depth, activation="tanh", sigma_w=TANH_SIGMA)
    return samplers.sample_vni(network, n_networks, rng=rng, method=method, input_variance=1.0)


def test_tanh_vni_is_the_same_by_all_methods():
    plain = sampled_tanh_vni(16, 8, 20_000, "jacobian", 1)
    fast = sampled_tanh_vni(16, 8, 20_000, "chain", 2)
    assert abs(fast.value - plain.value) < 4 * np.hypot(fast.stderr, plain.stderr)
    # An approximation, off by order 1/width: by less than 2% at 16 nodes.
    approximate = sampled_tanh_vni(16, 8, 40_000, "signal_chain", 3)
    assert abs(approximate.value - plain.value) < 4 * np.hypot(approximate.stderr, plain.stderr) + 0.02 * plain.value
    if torch:
        in_torch = [torch_tanh_vni(16, 8) for _ in range(400)]
        assert_same_mean(in_torch, plain.value, expected_stderr=plain.stderr)


def test_vni_of_tanh_networks(race, row):
    width, depth, batch = 256, 32, 2
    walks = samples_needed(sampled_tanh_vni(width, depth, 200, "chain", 1))
    rng = np.random.default_rng(2)
    rows = Lane("`chain`", lambda: sampled_tanh_vni(width, depth, walks, "chain", 3))
    signal_walks = samples_needed(sampled_tanh_vni(width, depth, 500, "signal_chain", 1))
    signal = Lane('`"signal_chain"`', lambda: sampled_tanh_vni(width, depth, signal_walks, "signal_chain", 3))
    jacobian = Lane('`"jacobian"`', lambda: sampled_tanh_vni(width, depth, batch, "jacobian", rng))
    in_torch = Lane("torch `jacrev`, float32", if_torch(lambda: torch_tanh_vni(width, depth)))
    if race(signal, rows, jacobian, in_torch):
        # Again from networks of half the size.
        needed = samples_needed(sampled_tanh_vni(width // 2, depth // 2, 500, "jacobian", 4))
        jacobian.factor, in_torch.factor = needed / batch, needed
        row(f"mean VNI to ± 0.001, tanh, width {width}, depth {depth}", signal, jacobian, rows, in_torch)


# --- activations ------------------------------------------------------------------------------------------------------


def torch_activations(inputs, depth, weights):
    """float32 throughout, as torch has it by default."""
    x, n = inputs, inputs.shape[1]
    for _ in range(depth):
        w = torch.nn.init.orthogonal_(torch.empty(n, n)) if weights == "orthogonal" else torch.randn(n, n) / n**0.5
        x = torch.tanh(x @ w.T)
    return x


def sampled_activations(inputs, depth, weights, method, rng):
    network = Network.uniform(inputs.shape[1], depth, activation="tanh", weights=weights)
    return samplers.sample_activations(network, inputs, rng=rng, method=method)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
def test_activations_have_the_same_moments_by_all_methods(weights):
    """The mean square of each of three inputs and their overlaps, over 2000 networks."""
    inputs = np.random.default_rng(1).standard_normal((3, 16))
    rng = np.random.default_rng(2)

    def moments(draw):
        drawn = np.array([draw() for _ in range(2000)], dtype=float)
        return (drawn @ np.swapaxes(drawn, -2, -1) / 16)[:, *np.triu_indices(3)]

    plain = moments(lambda: sampled_activations(inputs, 4, weights, "weights", rng))
    truth = {"expected": plain.mean(axis=0), "expected_stderr": plain.std(axis=0, ddof=1) / len(plain) ** 0.5}
    assert_same_mean(moments(lambda: sampled_activations(inputs, 4, weights, "gram", rng)), **truth)
    if torch:
        tensor = torch.tensor(inputs, dtype=torch.float32)
        assert_same_mean(moments(lambda: torch_activations(tensor, 4, weights).numpy()), **truth)


@pytest.mark.parametrize(
    ("width", "weights"), [(1024, "gaussian"), (2048, "gaussian"), (4096, "gaussian"), (1024, "orthogonal")]
)
def test_activations(race, row, width, weights):
    inputs = np.random.default_rng(1).standard_normal((256, width))
    tensor = torch and torch.tensor(inputs, dtype=torch.float32)
    gram, plain = (
        Lane(f'`"{method}"`', lambda method=method: sampled_activations(inputs, 8, weights, method, 2))
        for method in ("gram", "weights")
    )
    in_torch = Lane("torch, float32", if_torch(lambda: torch_activations(tensor, 8, weights)))
    if race(gram, plain, in_torch):
        row(f"256 inputs through 8 tanh layers of {width}, {NAMES[weights]}", gram, plain, in_torch)


# --- Haar matrices ----------------------------------------------------------------------------------------------------


def torch_haar(n, dtype):
    return torch.nn.init.orthogonal_(torch.empty(n, n, dtype=dtype)).numpy()


def scipy_haar(n, rng):
    return ortho_group.rvs(n, random_state=rng)


def test_haar_matrices_are_haar():
    """E tr O = 0 and E o_11⁴ = 3/(n(n+2)): QR without its signs put right fails the first."""

    def moments(draw):
        drawn = np.array([draw() for _ in range(4000)])
        return np.stack([np.trace(drawn, axis1=-2, axis2=-1), drawn[:, 0, 0] ** 4], axis=-1)

    haar_moments, rng = (0, 3 / 15), np.random.default_rng(1)
    assert_same_mean(moments(lambda: ensembles.haar(3, rng=rng)), haar_moments)
    assert_same_mean(moments(lambda: scipy_haar(3, rng)), haar_moments)
    if torch:
        assert_same_mean(moments(lambda: torch_haar(3, torch.float64)), haar_moments)


def test_haar(race, row):
    n, rng = 512, np.random.default_rng(1)
    ours = Lane("`haar`", lambda: ensembles.haar(n, rng=rng))
    in_scipy = Lane("scipy `ortho_group`", lambda: scipy_haar(n, rng))
    in_torch = Lane("torch `orthogonal_`, float64", if_torch(lambda: torch_haar(n, torch.float64)))
    if race(ours, in_scipy, in_torch, rounds=20):
        row(f"Haar matrix, n = {n}", ours, None, in_scipy, in_torch)
