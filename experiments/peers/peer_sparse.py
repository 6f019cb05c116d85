"""Sparse times dense by SciPy (`scipy`, on one thread) and by MKL (`mkl`)."""

import peer


def setup(variant, work, threads, inputs):
    import numpy
    import scipy.sparse

    x = inputs["x"]
    parts = inputs["values"], inputs["indices"], inputs["starts"]
    matrix = scipy.sparse.csr_matrix(parts, shape=(len(x), len(x)))
    if variant == "scipy":
        return f"SciPy {scipy.__version__}", lambda: matrix @ x, lambda: peer.product_results(matrix @ x)
    import sparse_dot_mkl

    sparse_dot_mkl.mkl_set_num_threads(threads)
    out = numpy.zeros_like(x)

    def product():
        sparse_dot_mkl.dot_product_mkl(matrix, x, out=out)
        return out

    return f"MKL (sparse_dot_mkl {sparse_dot_mkl.__version__})", product, lambda: peer.product_results(product())


peer.serve({"spmm"}, setup)
