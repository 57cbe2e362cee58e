"""Training runs on handwritten digits: which networks learn, and the VNI of their layers before and after training."""

from __future__ import annotations

import numpy as np

from rmt_vn.experiments.cache import Numbers
from rmt_vn.experiments.sweeps import name_of
from rmt_vn.network import Network, ResidualNetwork
from rmt_vn.tasks import Task, digits
from rmt_vn.training import train

BATCH = 64
_TRAINING_DIGITS = 1297  # Of 1797: accuracy and VNI are measured on the others.


def digits_run(
    network: Network | ResidualNetwork, learning_rate: float, steps: int, replicas: int, seed: int
) -> Numbers:
    """Train replicas on 1297 digits by Adam; measure them on the 500 others, before and after training.

    Replica k starts from the same weights and sees the same batches at every learning rate.

    Returns
    -------
    dict of ndarray
        `accuracy`, and `gradient`, the norm of the gradient over all layers, of shape (2, replicas); `vni` and
        `jacobian_vni` of the hidden layers, shape (2, hidden layers, replicas); `diverged`, shape (replicas,).
    """
    everything = digits()
    order = np.random.default_rng(seed).permutation(len(everything.inputs))
    known, new = (
        Task(everything.inputs[part], everything.labels[part], everything.loss, everything.n_outputs)
        for part in np.split(order, [_TRAINING_DIGITS])
    )
    training = train(
        network,
        known,
        steps=steps,
        batch=BATCH,
        learning_rate=learning_rate,
        replicas=replicas,
        rng=np.random.SeedSequence(seed, spawn_key=name_of({"network": network})),
        measure_at=(0, steps),
        probe=new,
    )
    of = training.measurements
    return {
        "accuracy": np.stack([each.accuracy for each in of]),
        "gradient": np.stack([np.linalg.norm(each.gradient_norms, axis=0) for each in of]),
        "vni": np.stack([each.vni for each in of]),
        "jacobian_vni": np.stack([each.jacobian_vni for each in of]),
        "diverged": training.diverged,
    }
