"""C by hand, compiled on the spot: kernels.c with the vector functions of the system's mathematical library."""

import ctypes
import os
import subprocess
from pathlib import Path

import peer

FLAGS = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC"]


def setup(variant, work, threads, inputs):
    import numpy

    source, compiler = Path(__file__).with_name("kernels.c"), os.environ.get("CC", "cc")
    library = inputs.folder / "kernels.so"
    subprocess.run([compiler, *FLAGS, "-o", library, source, "-lm"], check=True)
    c = ctypes.CDLL(str(library))
    version = subprocess.run([compiler, "-dumpversion"], capture_output=True, text=True).stdout.strip()
    step, results = WORKS[work](c, numpy, inputs)
    return f"C ({compiler} {version})", step, results


def pointers(*arrays):
    """Where arrays lie; whoever calls must keep them."""
    return [ctypes.c_void_p(array.ctypes.data) for array in arrays]


def spmm(c, numpy, inputs):
    starts, indices, values, x = (inputs[name] for name in ["starts", "indices", "values", "x"])
    out = numpy.zeros_like(x)
    assert x.shape[1] == 64, "kernels.c has 64 columns"

    def step():
        c.spmm(len(x), *pointers(starts, indices, values, x, out))

    def results():
        step()
        return peer.product_results(out)

    return step, results


def score(c, numpy, inputs, kernel, constants):
    x, noise, sigma = inputs["x"], inputs["noise"], ctypes.c_float(inputs["sigma"][0])
    (batch, d), draws = x.shape, int(inputs["draws"][0])
    given = numpy.ascontiguousarray(noise.transpose(0, 2, 1))
    out = numpy.zeros((batch, 1 + d), numpy.float32)
    seed = [0]

    def step():
        seed[0] += 1
        kernel(batch, draws, seed[0], sigma, *pointers(x, out, *constants), None)

    def results():
        kernel(len(given), noise.shape[1], 0, sigma, *pointers(x, out, *constants, given))
        found = out[: len(given)]
        return {"log_density": found[:, 0].tolist(), "score": found[:, 1:].ravel().tolist()}

    return step, results


WORKS = {
    "gmm_score": lambda c, numpy, inputs: score(c, numpy, inputs, c.gmm_score, [inputs["means"]]),
    "lj13_score": lambda c, numpy, inputs: score(c, numpy, inputs, c.lj13_score, []),
    "spmm": spmm,
}

peer.serve(WORKS, setup)
