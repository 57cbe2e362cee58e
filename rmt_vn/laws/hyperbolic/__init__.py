"""The random walk on the hyperbolic plane from which S3, S4 and the law of ρ follow.

Two rows of the Jacobian form a 2×2 Gram matrix, a point of the hyperbolic plane; each layer moves it at random.

=================  ===================================================================================================
`transforms`       the spherical transform of one step (one layer), and its inversion: the mean VNI
`walk`             the walk projected along horocycles: what the law of ρ is integrated from
`steps`            which steps a network makes: the fan-ins of its layers, which may be random
`masks`            how many nodes are live in a ReLU layer, or under dropout: the fan-in of the next step
`residual_fan_in`  a linear residual block is a layer of random fan-in: with which probabilities
=================  ===================================================================================================
"""
