"""The proofs of S6, the spectrum of the Jacobian: one module for each module of `rmt_vn/laws/spectrum/`, and the tool.

===========================  =========================================================================================
`free_probability`           the tool: S-transforms multiply, checked against Wick's formula
`wide_layers`                the law of the squared singular values as all widths grow, for any network
`fuss_catalan`               the same in closed form: linear networks, square Gaussian matrices
`lyapunov`                   rates at which directions stretch, and the mean log-determinant
`characteristic_polynomial`  the mean of the characteristic polynomial, at finite width
`complex_ginibre`            the density at finite width, of products of complex Gaussian matrices
===========================  =========================================================================================
"""
