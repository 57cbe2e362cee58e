"""The statements S1 to S8: how correlations of nodes depend on depth and width. Pure functions without randomness.

=================  ======================================  =====================================================
statement          function                                is
=================  ======================================  =====================================================
S1                 `first_order_vni`                       the thesis's law: the tangent at small depth/width
S2                 `annealed_participation`,               exact; a ratio of means, not the mean VNI
                   `log_trace_moments`
                   `trace_moment`                          exact moments of every order, as rationals: linear Gaussian
S3                 `exact_vni`,                            exact mean VNI: linear, ReLU, dropout, any widths
                   `exact_vni_complement`
S4                 `universal_vni`,                        the limit of wide networks, for any activation
                   `universal_vni_complement`,
                   `effective_depth`,
                   `layer_depth`, `approximate_vni`
S8                 `residual_block_depth`,                 residual networks: S4 again, with what a block adds to t; the
                   `pre_norm_slope`                        laws of S3, S4 and S5 take them as they take plain ones
S3, S4             `correlation_density`,                  the distribution of a single ρ, in wide networks or exact at
                   `correlation_cdf`,                      any widths: is it more than depth alone would give?
                   `correlation_p_value`,
                   `correlation_quantile`,
                   `correlation_moment`
                   `signal_mode_share`,                    where S4 ends: the one direction that D_l and W_l share
                   `signal_mode_vni`
S5                 `gradient_growth`                       mean squared gradients: χ^L, and what the signal mode adds
S6                 `lyapunov_exponents`,                   exact, linear networks: rates at which directions stretch,
                   `mean_log_determinant`,                 and the mean of ln det J Jᵀ
                   `expected_characteristic_polynomial`    exact, as rationals: linear Gaussian
                   `complex_ginibre_density`               exact density at finite width, of complex Gaussian products
                   `spectral_density`,                     wide layers of any network: the law of the squared singular
                   `spectral_distribution`,                values of J, exact in the limit
                   `spectral_moments`,
                   `spectral_edges`,
                   `spectral_atoms`
                   `signal_mode_outlier`                   one eigenvalue that is not part of that law: the signal mode
                   `fuss_catalan_density`                  the same in closed form: linear, square, Gaussian
S7                 `wide_input_participation`,             wide inputs, odd activations: pairs of inputs are a chain,
                   `wide_input_vni`                        from which the VNI follows by a fitted curve
                   `wide_input_limit`                      whether all inputs, and so all nodes, become one
=================  ======================================  =====================================================

S1 to S5 and S8 are about the *Jacobian* VNI: nodes measured over inputs in a small ball. S7 is about wide inputs.
"""

from rmt_vn.laws.annealed import annealed_participation, log_trace_moments
from rmt_vn.laws.approximate import approximate_vni
from rmt_vn.laws.correlation import (
    correlation_cdf,
    correlation_density,
    correlation_moment,
    correlation_p_value,
    correlation_quantile,
)
from rmt_vn.laws.effective_depth import effective_depth, layer_depth, pre_norm_slope, residual_block_depth
from rmt_vn.laws.exact import exact_vni, exact_vni_complement
from rmt_vn.laws.first_order import first_order_vni
from rmt_vn.laws.gradients import gradient_growth
from rmt_vn.laws.signal_mode import signal_mode_outlier, signal_mode_share, signal_mode_vni
from rmt_vn.laws.spectrum.characteristic_polynomial import expected_characteristic_polynomial
from rmt_vn.laws.spectrum.complex_ginibre import complex_ginibre_density
from rmt_vn.laws.spectrum.fuss_catalan import fuss_catalan_density
from rmt_vn.laws.spectrum.lyapunov import lyapunov_exponents, mean_log_determinant
from rmt_vn.laws.spectrum.wide_layers import (
    spectral_atoms,
    spectral_density,
    spectral_distribution,
    spectral_edges,
    spectral_moments,
)
from rmt_vn.laws.trace_moments import trace_moment
from rmt_vn.laws.universal import universal_vni, universal_vni_complement
from rmt_vn.laws.wide_inputs import wide_input_limit, wide_input_participation, wide_input_vni

__all__ = [
    "annealed_participation",
    "approximate_vni",
    "complex_ginibre_density",
    "correlation_cdf",
    "correlation_density",
    "correlation_moment",
    "correlation_p_value",
    "correlation_quantile",
    "effective_depth",
    "exact_vni",
    "exact_vni_complement",
    "expected_characteristic_polynomial",
    "first_order_vni",
    "fuss_catalan_density",
    "gradient_growth",
    "layer_depth",
    "log_trace_moments",
    "lyapunov_exponents",
    "mean_log_determinant",
    "pre_norm_slope",
    "residual_block_depth",
    "signal_mode_outlier",
    "signal_mode_share",
    "signal_mode_vni",
    "spectral_atoms",
    "spectral_density",
    "spectral_distribution",
    "spectral_edges",
    "spectral_moments",
    "trace_moment",
    "universal_vni",
    "universal_vni_complement",
    "wide_input_limit",
    "wide_input_participation",
    "wide_input_vni",
]
