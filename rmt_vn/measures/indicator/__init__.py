"""The vanishing node indicator of activations: its value, the bias of its plug-in estimate, its error.

==================  ==================================================================================================
`estimate`          `vni`, which users call, and `plug_in_vni`, the thesis's estimate
`result`            `NodeVNI`: value, error and interval of one layer
`bias`              the mean of ρ² from products of different parts of the samples
`leaving_out`       the bias that is left, and the error, by leaving out parts: the jackknife
`part_sums`         up to 128 nodes: sums over parts, which are of whole groups, as positions of images are
`part_overlaps`     products of different parts, without each part in turn
`few_samples`       more nodes, up to 256 samples: overlaps of samples
`many_samples`      more nodes and samples: each of some 500 samples left out
`error`             the standard error, its degrees of freedom, and the half-width of an interval
`streaming`         the same from batches
`sketch`            the same for layers so wide that neither nodes² nor samples² numbers fit
==================  ==================================================================================================
"""
