"""The claims of the study, one module for each figure.

A module holds

- `CLAIM`, one sentence, and `CAPTION`, which says what the picture shows and names every line of it;
- `PRESETS`, the parameters of `compute` for each preset;
- `compute(*, seed, engine, **parameters)`, which returns tables of numbers;
- `evidence(tables)`, the numbers on which the claim rests, computed from the tables;
- `draw(tables)`, which draws the tables and computes nothing new.
"""
