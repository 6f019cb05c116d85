"""The cluster lj13 in NumPy, all states of a batch at once."""

import numpy as np

from metastable_energy import serve


def energy_and_gradient(x):
    r = x.reshape(len(x), -1, 3)
    apart = r[:, :, None] - r[:, None]
    square = np.einsum("nijk,nijk->nij", apart, apart) + np.diag(np.full(r.shape[1], np.inf))
    sixth = square**-3
    trap = r - r.mean(axis=1, keepdims=True)
    energy = (sixth * (sixth - 2)).sum(axis=(1, 2)) + 0.5 * (trap**2).sum(axis=(1, 2))
    gradient = trap + np.einsum("nij,nijk->nik", 24 * sixth * (1 - sixth) / square, apart)
    return energy, gradient.reshape(x.shape)


if __name__ == "__main__":
    serve(energy_and_gradient)
