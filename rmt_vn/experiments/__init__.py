"""Sweeps of any function over a grid, on many processes or a cluster: resumable, with the same numbers however run."""

from rmt_vn.experiments.engine import Engine, run
from rmt_vn.experiments.processes import stop_workers
from rmt_vn.experiments.sweeps import Estimate, monte_carlo, tidy

__all__ = ["Engine", "Estimate", "monte_carlo", "run", "stop_workers", "tidy"]
