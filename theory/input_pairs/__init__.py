"""The proofs of what S7 stands on: what one layer does to two inputs.

=============  =======================================================================================================
`hermite_map`  the correlation of two inputs behind a wide layer, and its slope c at zero
`one_layer`    the scatter about it behind a layer of n nodes, with its exact law where the layer is linear
=============  =======================================================================================================
"""
