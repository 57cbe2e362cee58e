"""Random networks, simulated: by multiplying their matrices, and by faster ways with exactly the same distribution.

=======================  =========================  =================================================================
what                     plain (the oracle)         fast
=======================  =========================  =================================================================
VNI of the Jacobian      "jacobian": multiply the   "chain": a few nodes. Linear and ReLU: one number, a random walk on
                         matrices, O(N³) a layer    the hyperbolic plane, O(1) a layer whatever the width. Other
                                                    activations: some rows of J, O(N) a layer
                                                    (`turned_rows`: several walks through each network)
activations of inputs    "weights": draw W_l        "gram": given the inputs' Gram matrix, h has n independent columns
                                                    N(0, K); no weight is ever drawn
singular values and      "matrices": QR, matrix by  "bartlett": draw the triangles of those decompositions themselves:
Lyapunov exponents       matrix                     linear and ReLU networks with Gaussian weights
participation over       activations of many        four inputs to each network
wide inputs              inputs
=======================  =========================  =================================================================

The first two rows are for residual networks too (`rmt_vn.ResidualNetwork`); there the chain follows some rows of J, or
two nodes at O(1) a block where the branch is a single Gaussian matrix.
"""

from rmt_vn.samplers.activations import sample_activations, walk_activations
from rmt_vn.samplers.forward import JacobianLayer
from rmt_vn.samplers.jacobian import sample_along_depth, walk_jacobian
from rmt_vn.samplers.lyapunov import SampledLyapunov, sample_lyapunov
from rmt_vn.samplers.singular_values import log_singular_values, sample_log_singular_values
from rmt_vn.samplers.vni import SampledVNI, sample_correlation, sample_vni
from rmt_vn.samplers.wide_inputs import SampledParticipation, sample_wide_participation

__all__ = [
    "JacobianLayer",
    "SampledLyapunov",
    "SampledParticipation",
    "SampledVNI",
    "log_singular_values",
    "sample_activations",
    "sample_along_depth",
    "sample_correlation",
    "sample_log_singular_values",
    "sample_lyapunov",
    "sample_vni",
    "sample_wide_participation",
    "walk_activations",
    "walk_jacobian",
]
