"""Numba: the noised scores as loops over draws, compiled with `fastmath` and parallel over points."""

import math

import peer


def setup(variant, work, threads, inputs):
    import numba
    import numpy

    numba.set_num_threads(threads)
    x, noise, sigma = inputs["x"], inputs["noise"], numpy.float32(inputs["sigma"][0])
    (batch, d), draws = x.shape, int(inputs["draws"][0])
    given = numpy.ascontiguousarray(noise.transpose(0, 2, 1))
    energies = mixture(numba, numpy, inputs["means"]) if work == "gmm_score" else cluster(numba, numpy, d)

    @numba.njit(fastmath=True)
    def noised(x_t, e, s):
        for a in range(d):
            for k in range(e.shape[1]):
                s[a, k] = x_t[a] + sigma * e[a, k]

    @numba.njit(fastmath=True)
    def reduce(log_p, score, out):
        """The log of the mean density, and the mean of scores by densities."""
        most = log_p.max()
        total = numpy.float32(0)
        for k in range(log_p.size):
            log_p[k] = math.exp(log_p[k] - most)
            total += log_p[k]
        for a in range(d):
            s = numpy.float32(0)
            for k in range(log_p.size):
                s += log_p[k] * score[a, k]
            out[1 + a] = s / total
        out[0] = most + math.log(total / log_p.size)

    @numba.njit(parallel=True, fastmath=True)
    def estimate(x, noise, out):
        count = noise.shape[2]
        for i in numba.prange(len(x)):
            at = numpy.empty((d, count), numpy.float32)
            log_p, score = numpy.empty(count, numpy.float32), numpy.empty((d, count), numpy.float32)
            noised(x[i], noise[i], at)
            energies(at, log_p, score)
            reduce(log_p, score, out[i])

    @numba.njit(parallel=True, fastmath=True)
    def fresh(x, out):
        for i in numba.prange(len(x)):
            e = numpy.empty((d, draws), numpy.float32)
            for a in range(d):
                for k in range(draws // 2):
                    e[a, k] = numpy.random.normal()
                    e[a, draws // 2 + k] = -e[a, k]
            at = numpy.empty((d, draws), numpy.float32)
            log_p, score = numpy.empty(draws, numpy.float32), numpy.empty((d, draws), numpy.float32)
            noised(x[i], e, at)
            energies(at, log_p, score)
            reduce(log_p, score, out[i])

    out = numpy.zeros((batch, 1 + d), numpy.float32)

    def results():
        found = numpy.zeros((len(given), 1 + d), numpy.float32)
        estimate(x[: len(given)], given, found)
        return {"log_density": found[:, 0].tolist(), "score": found[:, 1:].ravel().tolist()}

    return f"Numba {numba.__version__}", lambda: fresh(x, out), results


def mixture(numba, numpy, means):
    norm = numpy.float32(math.log(len(means)) + math.log(2 * math.pi * 1.72))
    half, inverse = numpy.float32(0.5 / 1.72), numpy.float32(1 / 1.72)

    @numba.njit(fastmath=True)
    def energies(at, log_p, score):
        least = numpy.full(log_p.size, numpy.float32(1e30))
        total = numpy.zeros(log_p.size, numpy.float32)
        score[:] = 0
        for j in range(len(means)):
            for k in range(log_p.size):
                u, v = at[0, k] - means[j, 0], at[1, k] - means[j, 1]
                least[k] = min(least[k], u * u + v * v)
        for j in range(len(means)):
            for k in range(log_p.size):
                u, v = at[0, k] - means[j, 0], at[1, k] - means[j, 1]
                p = math.exp(half * (least[k] - (u * u + v * v)))
                total[k] += p
                score[0, k] -= p * u
                score[1, k] -= p * v
        for k in range(log_p.size):
            log_p[k] = math.log(total[k]) - half * least[k] - norm
            score[0, k] *= inverse / total[k]
            score[1, k] *= inverse / total[k]

    return energies


def cluster(numba, numpy, d):
    n = d // 3

    @numba.njit(fastmath=True)
    def energies(at, log_p, score):
        log_p[:] = 0
        score[:] = 0
        for i in range(n):
            for j in range(i):
                for k in range(log_p.size):
                    u, v, w = (
                        at[3 * i, k] - at[3 * j, k],
                        at[3 * i + 1, k] - at[3 * j + 1, k],
                        at[3 * i + 2, k] - at[3 * j + 2, k],
                    )
                    inverse = numpy.float32(1) / (u * u + v * v + w * w)
                    s = inverse * inverse * inverse
                    log_p[k] -= numpy.float32(2) * s * (s - numpy.float32(2))
                    f = numpy.float32(24) * s * (s - numpy.float32(1)) * inverse
                    score[3 * i, k] += f * u
                    score[3 * i + 1, k] += f * v
                    score[3 * i + 2, k] += f * w
                    score[3 * j, k] -= f * u
                    score[3 * j + 1, k] -= f * v
                    score[3 * j + 2, k] -= f * w
        for a in range(3):
            for k in range(log_p.size):
                mean = numpy.float32(0)
                for i in range(n):
                    mean += at[3 * i + a, k]
                mean /= n
                for i in range(n):
                    u = at[3 * i + a, k] - mean
                    log_p[k] -= numpy.float32(0.5) * u * u
                    score[3 * i + a, k] -= u

    return energies


peer.serve({"gmm_score", "lj13_score"}, setup)
