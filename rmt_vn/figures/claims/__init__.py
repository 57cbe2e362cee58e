"""The claims of the study, one module for each figure.

A module holds its `CLAIM`, its `PRESETS` of parameters, `compute(*, seed, engine, **parameters)`, which returns tables
of numbers, `evidence(tables)`, the numbers out of them with which the claim stands or falls, and `draw(tables)`, which
only draws them.
"""
