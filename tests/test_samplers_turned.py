"""Several walks through each network: the mean of the plain sampler, and less scatter."""

import numpy as np
import pytest
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn import Network, samplers
from rmt_vn.samplers.turned_rows import turned_rows_vni

NETWORKS = {
    "tanh": Network.uniform(12, 6, sigma_w=1.5),
    "tanh haar": Network.uniform(12, 6, sigma_w=1.5, weights="orthogonal"),
    "softplus": Network.uniform(14, 8, activation="softplus", sigma_w=1.35),
    "dropout": Network.uniform(16, 5, activation="gelu", sigma_w=1.3, sigma_b=0.3, keep=0.7, weights="orthogonal"),
    "few live nodes": Network.uniform(10, 3, activation="hard_tanh", sigma_w=4.0, sigma_b=0.5),
    "up and down": Network((12, 20, 9, 14, 10), activation="silu", sigma_w=1.4),
    "up and down haar": Network((12, 20, 9, 14, 10), activation="silu", sigma_w=1.4, weights="orthogonal"),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_the_mean_is_that_of_whole_products(network):
    turned = turned_rows_vni(network, 4000, 8, 4, np.random.default_rng(1), 1.0)
    plain = samplers.sample_vni(network, 4000, rng=2, method="jacobian", input_variance=1.0)
    value, stderr = mean_and_error(turned)
    # Negative controls: 8% more or less.
    error = np.hypot(stderr, plain.stderr)
    assert_sampled(value, plain.value, error, wrong=(1.08 * plain.value, 0.92 * plain.value))


def test_walks_of_other_signs_scatter_less():
    network = Network.uniform(60, 10)
    alone, several = (turned_rows_vni(network, 400, 8, turns, np.random.default_rng(1), 1.0) for turns in (1, 16))
    rows = samplers.sample_vni(network, 400, rng=1, input_variance=1.0)
    assert np.std(several) < 0.6 * np.std(alone) and np.std(several) < 0.8 * np.std(rows.values)
