"""The proofs of what S3, S4 and the law of ρ stand on: one module for each module of `rmt_vn/laws/hyperbolic/`.

=============  =======================================================================================================
`walk`         two rows of the Jacobian are a point of the hyperbolic plane, and ρ is a distance there
`transforms`   the spherical transform of one layer, and its inversion
`masks`        ReLU and dropout: D is a mask of fair coins, independent of the weights, with biases too
=============  =======================================================================================================
"""
