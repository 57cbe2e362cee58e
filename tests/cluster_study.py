"""A sweep on a cluster, for the tests of its faults: `cluster_study.py ADDRESS CALLS SECONDS`.

A call of -1 seconds ends its worker. When all are done there is a line for each, [process, time when it began]; on
standard error there are the warnings, each with the time, and the error with which it ends.
"""

import json
import os
import sys
import time
import warnings

import numpy as np

from rmt_vn.experiments import Engine, run


def call(index, seconds):
    began = time.time()
    if seconds == -1:
        os._exit(1)
    time.sleep(seconds)
    return {"process": np.array(os.getpid()), "began": np.array(began)}


def main(address, calls, seconds):
    from dask.distributed import Client

    warnings.showwarning = lambda message, *_: print(time.time(), message, file=sys.stderr, flush=True)
    print(time.time(), "asks", os.getpid(), file=sys.stderr, flush=True)
    tasks = [{"index": index, "seconds": float(seconds)} for index in range(int(calls))]
    engine = Engine(client=Client(address, timeout=5))
    try:
        for result in run(call, tasks, engine=engine, label="study"):
            print(json.dumps([int(result["process"]), float(result["began"])]))
    except Exception as error:
        print(time.time(), type(error).__name__, error, file=sys.stderr, flush=True)
        os._exit(1)  # without what Dask says when it is closed


if __name__ == "__main__":
    main(*sys.argv[1:])
