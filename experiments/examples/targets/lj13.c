/* The Lennard-Jones cluster lj13: any number of particles in space, E = sum over i != j of (1 / r^12 - 2 / r^6), each
 * pair twice, and a trap 1/2 sum |x_i - mean|^2:
 *   cc -O3 -march=native -shared -fPIC -I ../../../models/include -o liblj13.so lj13.c */
#include "metastable_energy.h"

int metastable_energy_version(void) { return METASTABLE_ENERGY_VERSION; }

int metastable_energy(void* self, int n, int d, const double* x, double* energy, double* gradient) {
    (void)self;
    for (int row = 0; row < n; row++, x += d) {
        double mean[3] = {0.0, 0.0, 0.0}, e = 0.0;
        double* g = gradient ? gradient + (long)row * d : 0;
        for (int a = 0; a < d; a++) mean[a % 3] += x[a] * 3.0 / d;
        for (int a = 0; a < d; a++) {
            double from_mean = x[a] - mean[a % 3];
            e += 0.5 * from_mean * from_mean;
            if (g) g[a] = from_mean;
        }
        for (int i = 0; i < d; i += 3) {
            for (int j = i + 3; j < d; j += 3) {
                double u = x[i] - x[j], v = x[i + 1] - x[j + 1], w = x[i + 2] - x[j + 2];
                double inverse = 1.0 / (u * u + v * v + w * w), sixth = inverse * inverse * inverse;
                double slope = 24.0 * sixth * (1.0 - sixth) * inverse;
                e += 2.0 * sixth * (sixth - 2.0);
                if (g) {
                    g[i] += slope * u, g[i + 1] += slope * v, g[i + 2] += slope * w;
                    g[j] -= slope * u, g[j + 1] -= slope * v, g[j + 2] -= slope * w;
                }
            }
        }
        energy[row] = e;
    }
    return 0;
}
