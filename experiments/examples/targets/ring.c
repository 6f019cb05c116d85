/* A ring in the plane, E = 2 (|x| - 3)^2:  cc -O3 -shared -fPIC -I ../../../models/include -o libring.so ring.c -lm */
#include <math.h>
#include "metastable_energy.h"

int metastable_energy_version(void) { return METASTABLE_ENERGY_VERSION; }

int metastable_energy_dim(void* self) { (void)self; return 2; }

int metastable_energy(void* self, int n, int d, const double* x, double* energy, double* gradient) {
    (void)self;
    for (int i = 0; i < n; i++, x += d) {
        double r = hypot(x[0], x[1]);
        energy[i] = 2.0 * (r - 3.0) * (r - 3.0);
        for (int a = 0; gradient && a < d; a++) {
            gradient[i * d + a] = r > 0.0 ? 4.0 * (r - 3.0) * x[a] / r : 0.0;
        }
    }
    return 0;
}
