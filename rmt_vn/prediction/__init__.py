"""Predictions for one network, layer by layer, in numbers and in words; and the width that a target needs.

====================  ==================================================================================================
`predicting`          `predict`: simulated networks, and what the laws say beside them
`verdict`             `Prediction` and `LayerPrediction`: the numbers, and what they mean in sentences
`expected`            what the laws say along the depth: moments, effective depths, E ρ² of two nodes
`ball_scatter`        the VNI of single random networks over inputs in a small ball
`some_nodes`          from some nodes of each network to the VNI of its whole layers
`wide_scatter`        the VNI of single random networks over wide inputs
`given_inputs`        the VNI of single random networks over inputs that are given, and which law speaks of them
`simulated`           what these hand on
`residual`            `predict` for residual networks, and what the laws say of them block by block
`residual_scatter`    the VNI of single random residual networks
`blocks`              random networks in blocks, side by side in threads
`designing`           `design`: the width that keeps the VNI within a target
`designing_residual`  `design_residual`: the width, or the scale of the branches, of a residual network
`sampled_width`       how it is found where no law is exact: by samples
====================  ==================================================================================================
"""

from rmt_vn.prediction.designing import Design, design
from rmt_vn.prediction.designing_residual import ResidualDesign, design_residual
from rmt_vn.prediction.predicting import predict
from rmt_vn.prediction.verdict import LayerPrediction, Prediction

__all__ = ["Design", "LayerPrediction", "Prediction", "ResidualDesign", "design", "design_residual", "predict"]
