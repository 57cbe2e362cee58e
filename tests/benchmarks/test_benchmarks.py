"""How long things take, and how much faster the fast ways are: `python -m pytest tests/benchmarks`.

Every time is the best of a few runs, on all cores, in one process. No time is asserted.
"""

import time

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from rmt_vn import Network, laws, samplers

ROWS = []


@pytest.fixture(scope="module", autouse=True)
def table(request):
    yield
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n")
        for what, value in ROWS:
            print(f"{what:<96} {value}")


def best_time(run, repeats=3):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def best_on_any_threads(run, repeats=3):
    """On a busy machine two BLAS threads wait for each other; every method gets the number that suits it."""
    times = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            times.append(best_time(run, repeats))
    return min(times)


def plain_vni(width, depth, n_samples, rng, batch):
    """VNI of products of float32 Gaussian matrices, `batch` at a time: the plain way, with nothing in its way."""
    values = []
    for _ in range(n_samples // batch):
        product = rng.standard_normal((batch, width, width), dtype=np.float32)
        for _ in range(depth - 1):
            product = rng.standard_normal((batch, width, width), dtype=np.float32) @ product
            product *= np.float32(1 / np.sqrt(width))
        product /= np.linalg.norm(product, axis=-1, keepdims=True)
        values.append(np.sum((product @ np.swapaxes(product, -2, -1)) ** 2, axis=(-2, -1)) / width**2)
    return np.concatenate(values)


def test_vni_to_a_thousandth(benchmark):
    width = depth = 256
    network = Network.uniform(width, depth, activation="linear")
    law, target = laws.exact_vni(network), 1e-3

    plain_seconds = {}
    for batch in (1, 4):
        rng = np.random.default_rng(1)
        plain_seconds[batch] = best_on_any_threads(lambda rng=rng, b=batch: plain_vni(width, depth, 4, rng, b), 2) / 4
    batch = min(plain_seconds, key=plain_seconds.get)
    with threadpool_limits(1):
        values = plain_vni(width, depth, 60, np.random.default_rng(2), batch)
    assert abs(values.mean() - law) < 4 * values.std(ddof=1) / np.sqrt(len(values))
    plain_needed = values.var(ddof=1) / target**2
    plain_total = plain_needed * plain_seconds[batch]

    sampled = samplers.sample_vni(network, 100_000, rng=3)
    assert abs(sampled.value - law) < 4 * sampled.stderr
    chain_needed = int(np.ceil((sampled.stderr / target) ** 2 * sampled.n_samples))
    # Not extrapolated: the chain is run for as many samples as it needs.
    reached = benchmark.pedantic(samplers.sample_vni, (network, chain_needed), {"rng": 4}, rounds=3, warmup_rounds=1)
    chain_total = (
        benchmark.stats.stats.min
        if benchmark.enabled
        else best_time(lambda: samplers.sample_vni(network, chain_needed, rng=4))
    )
    assert reached.stderr == pytest.approx(target, rel=0.05)
    ROWS.extend(
        [
            ("E VNI to ± 1e-3, width 256, depth 256, linear Gaussian", ""),
            (f"  plain product, float32, {batch} at a time: ms a network", f"{1e3 * plain_seconds[batch]:.1f}"),
            ("  plain product: networks needed, total s (extrapolated)", f"{plain_needed:.0f}, {plain_total:.0f}"),
            ("  chain: walks needed, total s", f"{chain_needed}, {chain_total:.3f}"),
            ("  plain / chain", f"{plain_total / chain_total:.0f}"),
        ]
    )


@pytest.mark.parametrize(
    ("width", "weights"), [(1024, "gaussian"), (2048, "gaussian"), (4096, "gaussian"), (1024, "orthogonal")]
)
def test_activations_without_weights(benchmark, width, weights):
    network = Network.uniform(width, 8, activation="tanh", weights=weights)
    inputs = np.random.default_rng(1).standard_normal((256, width))

    def seconds(method):
        return best_on_any_threads(
            lambda: samplers.sample_activations(network, inputs, rng=2, method=method), repeats=2
        )

    plain, gram = seconds("weights"), seconds("gram")
    benchmark.pedantic(samplers.sample_activations, (network, inputs), {"rng": 2, "method": "gram"}, rounds=1)
    ROWS.append(
        (
            f"activations of 256 inputs, depth 8, tanh {weights}, width {width}: weights s, gram s, ratio",
            f"{plain:.2f}, {gram:.3f}, {plain / gram:.1f}",
        )
    )


LAWS = {
    "exact_vni, Gaussian 100 x 100": (laws.exact_vni, Network.uniform(100, 100, activation="linear")),
    "exact_vni, Gaussian 1e6 x 1e6": (laws.exact_vni, Network.uniform(10**6, 10**6, activation="linear")),
    "exact_vni_complement, Gaussian 1e6 x 1e6": (
        laws.exact_vni_complement, Network.uniform(10**6, 10**6, activation="linear"),
    ),
    "exact_vni, ReLU width 1000, depth 100": (laws.exact_vni, Network.uniform(1000, 100, activation="relu")),
    "exact_vni_complement, ReLU width 1000, depth 100": (
        laws.exact_vni_complement, Network.uniform(1000, 100, activation="relu"),
    ),
    "universal_vni, one t": (laws.universal_vni, 1.0),
    "universal_vni_complement, t = 5000": (laws.universal_vni_complement, 5000.0),
    "universal_vni, 1000 values of t": (laws.universal_vni, np.linspace(0, 10, 1000)),
}  # fmt: skip


@pytest.mark.parametrize(("law", "argument"), LAWS.values(), ids=LAWS)
def test_laws(benchmark, request, law, argument):
    benchmark(law, argument)
    if benchmark.enabled:
        ROWS.append((f"{request.node.callspec.id}: ms", f"{1e3 * benchmark.stats.stats.median:.3f}"))
