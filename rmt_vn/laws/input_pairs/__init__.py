"""Two inputs to a random network, for S7: what one layer makes of their correlation, and all layers, on a grid.

`one_layer` has the mean and the scatter of the correlation behind one nonlinear layer, `chain` its law along the depth.
"""
