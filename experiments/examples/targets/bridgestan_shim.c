/* A model of Stan, compiled by BridgeStan (https://github.com/roualdes/bridgestan), as an energy for Metastable:
 *   make -C bridgestan STAN_THREADS=true /models/eight_schools_model.so
 *   cc -O2 -shared -fPIC -I ../../../models/include -o libeight_schools.so bridgestan_shim.c \
 *      /models/eight_schools_model.so -Wl,-rpath,/models
 * The target's `config` is the file of the data, whose name ends in .json and is looked for from the working directory
 * (or "" for none); states are the unconstrained parameters, with the Jacobian of their transformation, and E = -log
 * density without dropping constants: log Z is the evidence, if the model normalises its priors (a prior that a
 * constraint cuts off needs T[0, ]). `threads = "many"` may be said with STAN_THREADS, and only then.
 *
 * Where Stan throws, as for a scale that has overflowed or a reject(), the density is 0, as in Stan's own samplers; the
 * first time is told on stderr. A model that has worked nowhere is an error. */
#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include "metastable_energy.h"

/* From bridgestan.h. */
typedef struct bs_model bs_model;
bs_model* bs_model_construct(const char* data, unsigned int seed, char** error_msg);
void bs_model_destruct(bs_model* m);
void bs_free_error_msg(char* error_msg);
int bs_param_unc_num(const bs_model* m);
int bs_log_density(const bs_model* m, bool propto, bool jacobian, const double* theta_unc, double* lp, char** error_msg);
int bs_log_density_gradient(const bs_model* m, bool propto, bool jacobian, const double* theta_unc, double* lp,
                            double* gradient, char** error_msg);

static _Thread_local char said[500];
/* Some state has had a density; a throw was told of. */
static atomic_bool worked, told;

static int failed(char* error) {
    snprintf(said, sizeof said, "%s", error ? error : "Stan gave no reason");
    if (error) bs_free_error_msg(error);
    return 1;
}

int metastable_energy_version(void) { return METASTABLE_ENERGY_VERSION; }

void* metastable_energy_open(const char* config) {
    char* error = NULL;
    bs_model* model = bs_model_construct(config, 0, &error);
    if (!model) failed(error);
    return model;
}

void metastable_energy_close(void* self) { bs_model_destruct(self); }

int metastable_energy_dim(void* self) { return bs_param_unc_num(self); }

const char* metastable_energy_error(void* self) { (void)self; return said; }

int metastable_energy(void* self, int n, int d, const double* x, double* energy, double* gradient) {
    for (int i = 0; i < n; i++) {
        char* error = NULL;
        double* g = gradient ? gradient + (long)i * d : NULL;
        const double* row = x + (long)i * d;
        int code = g ? bs_log_density_gradient(self, false, true, row, energy + i, g, &error)
                     : bs_log_density(self, false, true, row, energy + i, &error);
        if (code) {
            failed(error);
            if (worked && !atomic_exchange(&told, true)) fprintf(stderr, "note: density 0 where Stan throws, as: %s\n", said);
        } else {
            worked = true;
        }
        energy[i] = code ? INFINITY : -energy[i];
        /* Derivatives overflow before densities do. A move without a force there is one that is refused. */
        for (int a = 0; g && a < d; a++) g[a] = code || !isfinite(g[a]) ? 0 : -g[a];
    }
    return n > 0 && !worked;
}
