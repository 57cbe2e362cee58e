"""Random networks, simulated: plainly, and by faster routes that have exactly the same distribution.

=======================  =========================  =================================================================
what                     plain (the oracle)         fast
=======================  =========================  =================================================================
VNI of the Jacobian      "jacobian": multiply the   "chain": a few nodes. Linear and ReLU: one number walks on the
                         matrices, O(N³) a layer    hyperbolic plane, O(1) a layer whatever the width. Other
                                                    activations: some rows of J, O(N) a layer
activations of inputs    "weights": draw W_l        "gram": given the inputs' Gram matrix, h has n independent columns
                                                    N(0, K); no weight is ever drawn
=======================  =========================  =================================================================
"""

from rmt_vn.samplers.activations import sample_activations, walk_activations
from rmt_vn.samplers.jacobian import JacobianLayer, walk_jacobian
from rmt_vn.samplers.vni import SampledVNI, sample_correlation, sample_vni

__all__ = [
    "JacobianLayer",
    "SampledVNI",
    "sample_activations",
    "sample_correlation",
    "sample_vni",
    "walk_activations",
    "walk_jacobian",
]
