/* Workloads of `speed` by hand: plain loops that a compiler vectorises, over draws or columns, and OpenMP over points or
   rows. Called from peer_c.py. */

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { COLUMNS = 64, PARTICLES = 13, COMPONENTS = 40, MOST = 512, LANES = 16 };

static const float TWO_PI = 6.2831853f;

/* The product of a sparse matrix by rows and a dense one of 64 columns. Rows that come soon are asked for early. */
void spmm(int rows, const int *starts, const int *at, const float *values, const float *x, float *y) {
    enum { AHEAD = 8 };
    const int entries = starts[rows];
#pragma omp parallel for schedule(dynamic, 256)
    for (int i = 0; i < rows; i++) {
        float sum[COLUMNS] = {0};
        for (int e = starts[i]; e < starts[i + 1]; e++) {
            if (e + AHEAD < entries) {
                const float *next = x + (size_t)at[e + AHEAD] * COLUMNS;
                for (int c = 0; c < COLUMNS; c += 16) __builtin_prefetch(next + c);
            }
            const float v = values[e], *row = x + (size_t)at[e] * COLUMNS;
            for (int c = 0; c < COLUMNS; c++) sum[c] += v * row[c];
        }
        memcpy(y + (size_t)i * COLUMNS, sum, sizeof sum);
    }
}

/* Random bits: xoshiro128+ in lanes, begun by splitmix64. */
typedef struct {
    uint32_t s[4][LANES];
} Bits;

static void begin(Bits *bits, uint64_t seed) {
    for (int w = 0; w < 4; w++)
        for (int l = 0; l < LANES; l++) {
            uint64_t z = seed += 0x9e3779b97f4a7c15u;
            z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
            z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
            bits->s[w][l] = (uint32_t)((z ^ (z >> 31)) >> 32);
        }
}

static inline void next(Bits *bits, float out[LANES]) {
    uint32_t(*s)[LANES] = bits->s;
    for (int l = 0; l < LANES; l++) {
        const uint32_t word = s[0][l] + s[3][l], t = s[1][l] << 9;
        s[2][l] ^= s[0][l];
        s[3][l] ^= s[1][l];
        s[1][l] ^= s[2][l];
        s[0][l] ^= s[3][l];
        s[2][l] ^= t;
        s[3][l] = s[3][l] << 11 | s[3][l] >> 21;
        out[l] = ((word >> 8) + 0.5f) * 0x1p-24f;
    }
}

/* Normal numbers of one coordinate, by Box and Muller: the second half of the draws mirrors the first. Loops are apart,
   because the library has vectors of sines and of cosines, but not of both at once. */
static void normals(Bits *bits, int half, float *out) {
    float u[MOST], v[MOST], fresh[MOST];
    const int pairs = (half + 1) / 2;
    for (int k = 0; k < pairs; k += LANES) {
        next(bits, u + k);
        next(bits, v + k);
    }
    for (int k = 0; k < pairs; k++) u[k] = sqrtf(-2 * logf(u[k]));
    for (int k = 0; k < pairs; k++) fresh[k] = cosf(TWO_PI * v[k]);
    __asm__ volatile("" ::: "memory");
    for (int k = 0; k < pairs; k++) fresh[pairs + k] = u[k] * sinf(TWO_PI * v[k]);
    for (int k = 0; k < pairs; k++) fresh[k] *= u[k];
    for (int k = 0; k < half; k++) {
        out[k] = fresh[k];
        out[half + k] = -fresh[k];
    }
}

/* Moves x by noise, given or fresh. */
static void draw(Bits *bits, int d, int draws, float sigma, const float *x, const float *given, float at[][MOST]) {
    for (int a = 0; a < d; a++) {
        if (given)
            memcpy(at[a], given + (size_t)a * draws, draws * sizeof(float));
        else
            normals(bits, draws / 2, at[a]);
        for (int k = 0; k < draws; k++) at[a][k] = x[a] + sigma * at[a][k];
    }
}

/* The log of the mean density, and the mean of scores weighted by densities. */
static void reduce(int d, int draws, float *log_p, float score[][MOST], float *out) {
    float most = -3e38f, total = 0;
    for (int k = 0; k < draws; k++) most = log_p[k] > most ? log_p[k] : most;
    for (int k = 0; k < draws; k++) total += log_p[k] = expf(log_p[k] - most);
    out[0] = most + logf(total / draws);
    for (int a = 0; a < d; a++) {
        float sum = 0;
        for (int k = 0; k < draws; k++) sum += log_p[k] * score[a][k];
        out[1 + a] = sum / total;
    }
}

/* Sixteen numbers: a register of AVX-512, or two of AVX2. */
typedef float V __attribute__((vector_size(4 * LANES)));
typedef int32_t W __attribute__((vector_size(4 * LANES)));

static inline V lesser(V x, V y) {
    const W mask = x < y;
    return (V)(((W)x & mask) | ((W)y & ~mask));
}

/* e^x for x in [-87, 0], and 0 for less. */
static inline V exponential(V x) {
    const W small = x < -87;
    /* The nearest integer: x is not positive, and a conversion cuts off. (Adding and taking away a large number is taken
       away by -ffast-math.) */
    const W whole = __builtin_convertvector(x * 1.44269504f - 0.5f, W), shift = whole << 23;
    const V n = __builtin_convertvector(whole, V);
    const V r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    V p = r * 1.3981999e-3f + 8.3683e-3f;
    p = p * r + 4.1665e-2f;
    p = p * r + 0.16666665f;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1;
    return (V)(((W)p + shift) & ~small);
}

/* A mixture of 40 Gaussians of variance 1.72 in the plane; out has a log-density and a score for each point. */
void gmm_score(int points, int draws, int seed, float sigma, const float *x, float *out, const float *means,
               const float *given) {
    const float half = 0.5f / 1.72f, norm = logf(COMPONENTS * TWO_PI * 1.72f);
#pragma omp parallel for schedule(dynamic, 8)
    for (int i = 0; i < points; i++) {
        float at[2][MOST] __attribute__((aligned(64))) = {0}, score[2][MOST] __attribute__((aligned(64)));
        float log_p[MOST], totals[MOST] __attribute__((aligned(64))), leasts[MOST] __attribute__((aligned(64)));
        Bits bits;
        begin(&bits, (uint64_t)seed << 32 | (uint32_t)i);
        draw(&bits, 2, draws, sigma, x + 2 * i, given ? given + (size_t)i * 2 * draws : 0, at);
        for (int k = 0; k < draws; k += LANES) {
            const V a = *(V *)&at[0][k], b = *(V *)&at[1][k];
            V least = (V){} + 3e38f, total = {}, s = {}, t = {};
            for (int j = 0; j < COMPONENTS; j++) {
                const V u = a - means[2 * j], v = b - means[2 * j + 1], r2 = u * u + v * v;
                least = lesser(r2, least);
            }
            for (int j = 0; j < COMPONENTS; j++) {
                const V u = a - means[2 * j], v = b - means[2 * j + 1];
                const V p = exponential(half * (least - (u * u + v * v)));
                total += p;
                s += p * u;
                t += p * v;
            }
            *(V *)&totals[k] = total;
            *(V *)&leasts[k] = least;
            *(V *)&score[0][k] = -2 * half * s / total;
            *(V *)&score[1][k] = -2 * half * t / total;
        }
        for (int k = 0; k < draws; k++) log_p[k] = logf(totals[k]) - half * leasts[k] - norm;
        reduce(2, draws, log_p, score, out + 3 * i);
    }
}

/* 13 Lennard-Jones particles in a trap; a pair counts twice. */
void lj13_score(int points, int draws, int seed, float sigma, const float *x, float *out, const float *given) {
    enum { D = 3 * PARTICLES, BLOCK = 64 };
#pragma omp parallel for schedule(dynamic, 4)
    for (int i = 0; i < points; i++) {
        static _Thread_local float at[D][MOST], score[D][MOST], log_p[MOST];
        Bits bits;
        begin(&bits, (uint64_t)seed << 32 | (uint32_t)i);
        draw(&bits, D, draws, sigma, x + D * i, given ? given + (size_t)i * D * draws : 0, at);
        memset(score, 0, sizeof score);
        memset(log_p, 0, sizeof log_p);
        /* Blocks of draws stay in the first cache. */
        for (int first = 0; first < draws; first += BLOCK) {
            const int end = first + BLOCK < draws ? first + BLOCK : draws;
            for (int p = 0; p < PARTICLES; p++)
                for (int q = 0; q < p; q++) {
                    float *xp = at[3 * p], *xq = at[3 * q], *sp = score[3 * p], *sq = score[3 * q];
#pragma omp simd
                    for (int k = first; k < end; k++) {
                        const float u = xp[k] - xq[k], v = xp[MOST + k] - xq[MOST + k],
                                    w = xp[2 * MOST + k] - xq[2 * MOST + k];
                        const float inverse = 1 / (u * u + v * v + w * w), s = inverse * inverse * inverse;
                        const float f = 24 * s * (s - 1) * inverse;
                        log_p[k] -= 2 * s * (s - 2);
                        sp[k] += f * u;
                        sp[MOST + k] += f * v;
                        sp[2 * MOST + k] += f * w;
                        sq[k] -= f * u;
                        sq[MOST + k] -= f * v;
                        sq[2 * MOST + k] -= f * w;
                    }
                }
            for (int a = 0; a < 3; a++)
                for (int k = first; k < end; k++) {
                    float mean = 0;
                    for (int p = 0; p < PARTICLES; p++) mean += at[3 * p + a][k];
                    mean /= PARTICLES;
                    for (int p = 0; p < PARTICLES; p++) {
                        const float u = at[3 * p + a][k] - mean;
                        log_p[k] -= 0.5f * u * u;
                        score[3 * p + a][k] -= u;
                    }
                }
        }
        reduce(D, draws, log_p, score, out + (D + 1) * i);
    }
}
