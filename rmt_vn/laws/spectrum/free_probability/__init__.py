"""Free probability: how the law of wide layers is computed, from the law of one layer to the whole spectrum.

==================  ==================================================================================================
`squared_slopes`    the law of φ′(√q z)², as nodes and weights of a quadrature
`s_transforms`      the equation x(u) of a network: a product of S-transforms, one for each factor of J
`subordination`     its solution u at given x, told apart from wrong branches by its subordination functions
`whole_spectrum`    edges, mass and moments of the solution: what single points are checked against
==================  ==================================================================================================
"""
