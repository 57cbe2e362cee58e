"""Measures of activations: a layer's vanishing node indicator, its effective nodes, and their relatives.

==================================  =======================================================================
`vni`                               the vanishing node indicator, its bias removed, with an error and interval
`unbiased_vni`                      the same value alone, in a part of the time
`plug_in_vni`                       the thesis's estimate alone: quick, and too high by about 1/samples
`sketch_vni`                        for layers so wide that neither nodes² nor samples² numbers fit
`correlation`, `near_duplicates`    ρ_ij, and groups of nodes that are nearly copies of each other
`participation_ratio`               (Tr C)²/Tr C² of the covariance C, plain or its bias removed
`effective_rank`, `stable_rank`     exp of the spectral entropy of C, and Tr C/λ_max
`VNIAccumulator`                    all of these from batches; it holds nodes²/2 numbers and little more
`as_samples`                        which axes are samples and which one is nodes
`jacobian_vni` and its relatives    the same for Jacobians (…, nodes, inputs): C = J Jᵀ, isotropic inputs
==================================  =======================================================================

Activations are arrays (samples, nodes); of three axes the last one is nodes unless `node_axis` says otherwise, of more
`node_axis` must say which one, and all others are samples. Masked values, and numbers that float64 does not hold, are
errors.

Nodes are centred over the samples unless `centre` says otherwise. A node that does not vary over the samples by more
than rounding explains is *constant*: it has no correlations. Constant nodes are counted and left out, or with
`constant="raise"` are an error. Samples are taken to be independent unless they are in groups (`groups`; of three axes
or more, all samples at one place of the first one).
"""

from rmt_vn.measures.arrays import as_samples
from rmt_vn.measures.duplicates import correlation, near_duplicates
from rmt_vn.measures.effective_dimension import effective_rank, participation_ratio, stable_rank
from rmt_vn.measures.indicator.estimate import NodeVNI, plug_in_vni, unbiased_vni, vni
from rmt_vn.measures.indicator.sketch import sketch_vni
from rmt_vn.measures.indicator.streaming import VNIAccumulator
from rmt_vn.measures.jacobian import jacobian_correlation, jacobian_participation_ratio, jacobian_vni

__all__ = [
    "NodeVNI",
    "VNIAccumulator",
    "as_samples",
    "correlation",
    "effective_rank",
    "jacobian_correlation",
    "jacobian_participation_ratio",
    "jacobian_vni",
    "near_duplicates",
    "participation_ratio",
    "plug_in_vni",
    "sketch_vni",
    "stable_rank",
    "unbiased_vni",
    "vni",
]
