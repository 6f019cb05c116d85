/* An energy for Metastable as a shared library: implement the functions below, compile with
 *   cc -O3 -shared -fPIC -o libmine.so mine.c -lm
 * and describe the target in a file mine.toml with  kind = "library"  and  path = "libmine.so".
 * Only metastable_energy_version and metastable_energy must be there. No C++ exception may leave a function. */
#ifndef METASTABLE_ENERGY_H
#define METASTABLE_ENERGY_H
#define METASTABLE_ENERGY_VERSION 1
#ifdef __cplusplus
extern "C" {
#endif
/* return METASTABLE_ENERGY_VERSION; */
int metastable_energy_version(void);
/* E of the n rows of x (row-major, n x d) to energy (n), and dE/dx to gradient (n x d), which may be NULL: then it is
 * not asked for. E = INFINITY means outside the support. Returns 0, or another number where it failed. One thread at a
 * time calls it; with  threads = "many"  in the target's file several do, with the same self. */
int metastable_energy(void* self, int n, int d, const double* x, double* energy, double* gradient);
/* Once at the start: what becomes of self (else NULL). config is the target's text `config`, or "". NULL: failed. */
void* metastable_energy_open(const char* config);
/* The number d of coordinates of a state, which is compared with the target's. */
int metastable_energy_dim(void* self);
/* What went wrong last, a text that lives at least until the next call of the same
   thread (with threads = "many": keep one for each thread, or texts that are static); self is NULL if open failed. */
const char* metastable_energy_error(void* self);
/* At the end, once. */
void metastable_energy_close(void* self);
#ifdef __cplusplus
}
#endif
#endif
