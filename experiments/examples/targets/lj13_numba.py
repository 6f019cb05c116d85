"""The cluster lj13 in Python, compiled by Numba into a library:  python3 lj13_numba.py liblj13_numba.so

What Numba makes of a cfunc is plain machine code as long as nothing in it raises an error or makes an array: use
numpy.sqrt (math.sqrt raises), and loops. Needs numba and a C compiler, which links it."""

import subprocess
import sys
import tempfile
from pathlib import Path

import llvmlite.binding as llvm
from numba import cfunc, types

numbers = types.CPointer(types.double)


@cfunc(types.void(types.int32, types.int32, numbers, numbers, numbers), error_model="numpy")
def energy_and_gradient(n, d, x, energy, gradient):
    for row in range(n):
        x0 = row * d
        e = 0.0
        for k in range(3):
            mean = 0.0
            for a in range(k, d, 3):
                mean += x[x0 + a] * 3 / d
            for a in range(k, d, 3):
                e += 0.5 * (x[x0 + a] - mean) ** 2
                gradient[x0 + a] = x[x0 + a] - mean
        for i in range(x0, x0 + d, 3):
            for j in range(i + 3, x0 + d, 3):
                square = 0.0
                for k in range(3):
                    square += (x[i + k] - x[j + k]) ** 2
                sixth = 1 / (square * square * square)
                e += 2 * sixth * (sixth - 2)
                slope = 24 * sixth * (1 - sixth) / square
                for k in range(3):
                    gradient[i + k] += slope * (x[i + k] - x[j + k])
                    gradient[j + k] -= slope * (x[i + k] - x[j + k])
        energy[row] = e


SHIM = """
#include <stdlib.h>
void energy_and_gradient(int n, int d, const double* x, double* energy, double* gradient);
/* Numba asks for these where Python would raise an error: there is no Python here. */
void numba_gil_ensure(int* state) { abort(); }
void PyErr_Clear(void) {}
int metastable_energy_version(void) { return 1; }
int metastable_energy(void* self, int n, int d, const double* x, double* energy, double* gradient) {
    double* own = gradient ? gradient : malloc(sizeof(double) * n * d);
    if (!own) return 1;
    energy_and_gradient(n, d, x, energy, own);
    if (!gradient) free(own);
    return 0;
}
"""


def library(function, path):
    """Links the machine code of a cfunc with the functions of metastable_energy.h."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(cpu=llvm.get_host_cpu_name(), opt=3, reloc="pic", codemodel="small")
    code = function.inspect_llvm().replace(function.native_name, "energy_and_gradient")
    with tempfile.TemporaryDirectory() as folder:
        made, shim = Path(folder) / "energy.o", Path(folder) / "shim.c"
        made.write_bytes(machine.emit_object(llvm.parse_assembly(code)))
        shim.write_text(SHIM)
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", path, shim, made, "-lm"], check=True)


library(energy_and_gradient, sys.argv[1])
