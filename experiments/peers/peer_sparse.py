"""Sparse times dense by SciPy (`scipy`, on one thread) and by MKL (`mkl`)."""

import ctypes
import os
import sys
from pathlib import Path

import peer


def setup(variant, work, threads, inputs):
    import numpy
    import scipy.sparse

    x = inputs["x"]
    parts = inputs["values"], inputs["indices"], inputs["starts"]
    matrix = scipy.sparse.csr_matrix(parts, shape=(len(x), len(x)))
    if variant == "scipy":
        return f"SciPy {scipy.__version__}", lambda: matrix @ x, lambda: peer.product_results(matrix @ x)
    # The package looks for a library without a version in its name, which MKL's package does not have; and MKL takes the
    # functions of OpenMP from what is loaded.
    for library in sorted(Path(sys.prefix, "lib").glob("libmkl_rt.so*"))[:1]:
        os.environ.setdefault("MKL_RT", str(library))
    if "MKL_THREADING_LAYER" not in os.environ:
        os.environ["MKL_THREADING_LAYER"] = "GNU"
        ctypes.CDLL("libgomp.so.1", ctypes.RTLD_GLOBAL)
    import sparse_dot_mkl

    sparse_dot_mkl.mkl_set_num_threads(threads)
    out = numpy.zeros_like(x)

    def product():
        sparse_dot_mkl.dot_product_mkl(matrix, x, out=out)
        return out

    return f"MKL (sparse_dot_mkl {sparse_dot_mkl.__version__})", product, lambda: peer.product_results(product())


peer.serve({"spmm"}, setup)
