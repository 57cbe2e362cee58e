"""S6, the spectrum of the Jacobian J: singular values, characteristic polynomial, Lyapunov exponents.

===========================  =========================================================================================
`wide_layers`                the law of the squared singular values as all widths grow, for any network
`fuss_catalan`               the same in closed form: linear networks, square Gaussian matrices
`lyapunov`                   rates at which directions stretch, and the mean log-determinant: linear networks, exact
`characteristic_polynomial`  its mean, in exact fractions: linear Gaussian networks of any widths
`complex_ginibre`            the density at finite width, exact: products of complex Gaussian matrices
`free_probability`           how `wide_layers` is computed
===========================  =========================================================================================
"""
