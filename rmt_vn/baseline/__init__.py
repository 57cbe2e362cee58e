"""The null of a network: the VNI of its layers in copies with fresh weights, over the same inputs.

=========  =============================================================================================================
`running`  `baseline`: of any function of a seed that returns activations, whatever library computes them
`result`   `Baseline`: the replicas' values, the interval of one more network, and its rank among them
=========  =============================================================================================================

`rmt_vn.adapters.reinitialized` makes it of a PyTorch model, `rmt_vn.prediction.predict` of a `Network`.
"""

from rmt_vn.baseline.result import Baseline, Rank, interval_of_another
from rmt_vn.baseline.running import baseline

__all__ = ["Baseline", "Rank", "baseline", "interval_of_another"]
