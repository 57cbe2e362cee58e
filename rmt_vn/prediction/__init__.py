"""Predictions for one network, layer by layer, in numbers and in words; and the width that a target needs.

===============  =====================================================================================================
`predicting`     `predict`: the laws, and the intervals of simulated networks, put together
`verdict`        `Prediction` and `LayerPrediction`: the numbers, and what they mean in sentences
`expected`       what the laws say along the depth: moments, effective depths, mean VNI
`scatter`        how much single networks scatter about the mean, by simulation
`designing`      `design`: the width that keeps the VNI within a target
`sampled_width`  how it is found where no law is exact: by samples
===============  =====================================================================================================
"""

from rmt_vn.prediction.designing import Design, design
from rmt_vn.prediction.predicting import predict
from rmt_vn.prediction.verdict import LayerPrediction, Prediction

__all__ = ["Design", "LayerPrediction", "Prediction", "design", "predict"]
