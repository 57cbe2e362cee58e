"""A sweep of slow chunks that write down when they run, for the tests of faults: `study.py CACHE|- JOBS|dask OUT`."""

import os
import sys
import time
from pathlib import Path

import numpy as np

from rmt_vn.experiments import Engine, monte_carlo, stop_workers

POINTS = [{"scale": scale} for scale in (1.0, 2.0, 3.0)]
REPLICATES = 30


def sample(scale, *, rng):
    """One sample, whose first number names the chunk."""
    values = scale * rng.standard_normal((1, 3))
    with open(os.environ["STUDY_LOG"], "a") as log:
        log.write(f"{os.getpid()} {float(values[0, 0])!r}\n")
    time.sleep(0.03)
    return values


def sweep(engine):
    estimates = monte_carlo(sample, POINTS, replicates=REPLICATES, seed=1, engine=engine, label="study")
    return np.stack([(each.mean, each.stderr) for each in estimates])


def main(cache, jobs, out):
    cache = None if cache == "-" else cache
    if jobs == "dask":
        from dask.distributed import Client, LocalCluster

        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as two, Client(two) as client:
            table = sweep(Engine(cache=cache, client=client))
    else:
        table = sweep(Engine(jobs=int(jobs), cache=cache))
        stop_workers()
    Path(out).write_bytes(table.tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
