"""What all tests share."""

import os
import zlib

import pytest
from threadpoolctl import threadpool_limits

# The files that take longest, the longest first: begun last, one of them would keep one process busy alone at the end.
LONGEST = (
    "figures",
    "prediction_designing",
    "prediction_wide",
    "laws_signal_mode",
    "theory_analysis",
    "laws_against_samples",
    "samplers",
    "theory_algebra",
    "faults",
    "laws_exact",
)

# Of these only the first case runs always: the others are the same for other kinds of networks, take from half a second
# to three seconds each, and run with the slow tests.
FIRST_CASE_ALONE = {
    "test_a_few_nodes_are_sampled_too",
    "test_a_million_wide_and_a_million_deep",
    "test_a_reader_who_has_seen_enough_and_an_output_that_is_closed",
    "test_activations_need_no_weights",
    "test_annealed_law",
    "test_annealed_traces",
    "test_bias_error_and_interval",
    "test_comparing_rows_tells_residual_networks_apart",
    "test_dropout_of_a_linear_network",
    "test_effective_depth_along_the_length_map",
    "test_effective_depth_at_the_fixed_point",
    "test_effective_depth_is_the_depth_of_wide_networks",
    "test_few_inputs_do_not_bias",
    "test_figures_are_made_whatever_becomes_of_the_output",
    "test_first_order_law_is_the_thesis_formula",
    "test_gradients_and_their_mode",
    "test_gradients_of_homogeneous_residual_networks_grow_exactly_so",
    "test_gradients_of_narrow_networks",
    "test_gradients_of_wide_residual_networks",
    "test_groups_of_very_unequal_size",
    "test_inputs_that_are_close_are_a_small_ball",
    "test_intervals_from_some_nodes_hold_95_percent_of_networks",
    "test_intervals_hold_95_percent_of_networks",
    "test_intervals_hold_the_truth_and_those_of_independent_samples_do_not",
    "test_linear_networks_follow_the_exact_law",
    "test_lyapunov_exponents_are_those_of_the_law",
    "test_lyapunov_exponents_of_masked_networks_by_both_methods",
    "test_lyapunov_exponents_of_other_widths",
    "test_masks_by_binomial_sums",
    "test_mass_and_moments",
    "test_mass_and_moments_of_the_density",
    "test_matrix_by_matrix_has_the_singular_values_of_the_full_product",
    "test_mean_and_scatter_of_one_layer",
    "test_networks_that_die_are_drawn_again",
    "test_quantile_is_the_inverse",
    "test_rectangular_gaussian_with_bottlenecks",
    "test_replicas_of_scikit_learn_are_its_networks_before_they_are_fitted",
    "test_residual_networks_have_the_universal_law",
    "test_rows_of_residual_networks_have_the_law_of_the_full_product",
    "test_semi_orthogonal",
    "test_sparse_nodes_that_few_samples_do_not_show",
    "test_spectra_at_large_variances_against_products",
    "test_spectral_integral",
    "test_spectral_moments",
    "test_the_chain_of_gram_matrices_has_the_mean_of_full_matrices",
    "test_the_comparison_of_activations_tells_networks_apart",
    "test_the_law_meets_networks",
    "test_the_mean_is_that_of_whole_products",
    "test_the_stream_has_the_variance_of_the_mean_field",
    "test_the_variance_of_whole_layers",
    "test_the_walk_of_two_nodes_has_the_exact_mean",
    "test_transform_of_one_step_as_an_infinite_product",
    "test_triangles_alone_have_the_singular_values_of_the_full_product",
    "test_two_nodes_alone_have_the_correlation_they_have_in_the_full_product",
    "test_uniform_gaussian_to_ten_digits",
    "test_universal_law_to_ten_digits",
    "test_verdicts_do_not_contradict_themselves",
    "test_what_is_shown_without_a_caveat_is_true",
    "test_what_leaving_out_parts_corrects",
    "test_what_stops_a_figure_leaves_the_old_files_whole",
    "test_where_the_law_does_not_warn_it_holds",
    "test_where_the_law_warns_it_is_wrong_and_the_chain_is_right",
    "test_wide_tanh_networks_have_the_universal_law",
    "test_without_docstrings",
}

# Slow tests that take many seconds each, or start many processes: `-m long` runs these.
LONG = {
    "test_a_million_brute_products_have_the_exact_mean",
    "test_a_torch_model_of_24_pre_norm_blocks_is_as_predicted",
    "test_bias_and_coverage_of_many",
    "test_damaged_files_are_read_as_another_reader_reads_them_or_refused",
    "test_the_peak_follows_the_limit",
    "test_the_universal_law_on_a_grid",
}


def pytest_configure(config):
    """With `--dist loadfile` the files are handed out in the order below, not those first that have the most tests."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    seen = set()
    for item in items:
        function = item.path, getattr(item, "originalname", item.name)
        if function[1] in FIRST_CASE_ALONE and function in seen:
            item.add_marker(pytest.mark.slow)
        seen.add(function)
        name, slow = function[1], item.get_closest_marker("slow")
        if slow and (name in LONG or (item.path.stem == "test_cluster_faults" and "workers" not in name)):
            item.add_marker(pytest.mark.long)
    if share := os.environ.get("SLOW_SHARE"):
        # Of files, since some prepare much for all of their tests.
        which, of = map(int, share.split("/"))
        items[:] = [item for item in items if zlib.crc32(item.path.stem.encode()) % of == which]
    order = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread():
    """Threads change the last bits of a product, and fight over the cores of a busy machine."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def run_main(capsys):
    """Runs a command line's `main`; returns the exit code and the lines on standard error."""

    def run(main, *arguments):
        try:
            code = main(list(arguments))
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().err.splitlines()

    return run
