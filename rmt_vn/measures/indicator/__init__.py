"""The vanishing node indicator of activations: its value, the bias of its plug-in estimate, its error.

==================  ==================================================================================================
`estimate`          `vni`, which users call, and `plug_in_vni`, the thesis's estimate
`result`            `NodeVNI`: value, error and interval of one layer
`few_samples`       up to 256 samples: the jackknife
`many_samples`      more than 256 samples: the correction that the jackknife would make is computed
`leaving_out`       samples in groups, as positions of images are: groups are left out in turn
`bias`              what a finite sample adds to ρ² on average
`error`             the standard error, its degrees of freedom, and the half-width of an interval
`streaming`         the same from batches
`sketch`            the same for layers so wide that neither nodes² nor samples² numbers fit
==================  ==================================================================================================
"""
