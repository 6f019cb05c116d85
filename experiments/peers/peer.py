"""The conversation of a peer with `speed --peers`.

A peer is started as `python FILE.py VARIANT WORK THREADS FOLDER`; the folder holds the inputs, an npy file each. It
builds the workload, computes what is compared, warms up, and says one line,

    ready {"name": ..., "results": {...}}     or     none REASON

and then, for each line `time N` that it reads, a JSON list of the milliseconds of N steps. It ends with its input.
"""

import json
import os
import sys
import time
from pathlib import Path

WARM_UP_SECONDS = 0.3


class Inputs:
    """The arrays of the folder by name."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def __getitem__(self, name):
        import numpy

        return numpy.load(self.folder / f"{name}.npy")

    def names(self):
        return sorted(path.stem for path in self.folder.glob("*.npy"))

    def parameters(self, but):
        """Every array that is not one of those named: the parameters of a network."""
        return {name: self[name] for name in self.names() if name not in but}


def use_cores(threads):
    """No more cores than threads: not every framework has a setting for all of its threads."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[:threads])


def timed(step):
    start = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - start)


def warm_up(step):
    steps, start = 0, time.perf_counter()
    while steps < 3 or time.perf_counter() - start < WARM_UP_SECONDS:
        step()
        steps += 1


def losses(step):
    """Results of a training whose step returns the loss before it."""
    return {"loss": [float(step()) for _ in range(4)]}


def product_results(product):
    """Results of spmm."""
    rows = product[:16].ravel().tolist()
    return {"rows": rows, "sums": product.sum(0, dtype="float64").tolist()}


def serve(works, setup):
    """Speaks for a peer. `setup(variant, work, threads, inputs)` gives its name, a step that blocks until it is done,
    and a function that returns the results to be compared, which is called before any step."""
    variant, work, threads, folder = sys.argv[1:5]
    # Whatever a library prints goes to stderr.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    if work not in works:
        print("none it does not have this workload", file=out)
        return
    use_cores(int(threads))
    try:
        name, step, results = setup(variant, work, int(threads), Inputs(folder))
        found = results()
        warm_up(step)
    except ImportError as error:
        print(f"none it is not installed ({error})", file=out)
        return
    print("ready " + json.dumps({"name": name, "results": found}), file=out)
    for line in sys.stdin:
        word, count = line.split()
        assert word == "time", line
        # Others have had the caches in the meantime.
        step()
        print(json.dumps([timed(step) for _ in range(int(count))]), file=out)
