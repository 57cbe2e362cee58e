"""What is proved of the indicator itself, as `rmt_vn/measures/indicator/` measures it.

=============  =======================================================================================================
`bounds`       which values the VNI can take, and what it counts
`bias`         what a finite sample makes of it
=============  =======================================================================================================
"""
