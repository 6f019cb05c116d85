"""A client of i-PI in ASE, for the cluster lj13:  python3 lj13_ase.py localhost:31415  (or the NAME of a Unix socket).

Any other calculator of ASE goes into the place of this one. ASE has angstrom and eV, which it converts itself."""

import sys

import numpy as np
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.calculators.socketio import SocketClient


class Trapped(LennardJones):
    """4 eps ((s / r)^12 - (s / r)^6) with eps = 2 and s^6 = 1/2 is 2 (1 / r^12 - 2 / r^6) a pair; and the trap."""

    def __init__(self):
        super().__init__(epsilon=2.0, sigma=0.5 ** (1 / 6), rc=1e4)

    def calculate(self, atoms=None, *arguments, **more):
        super().calculate(atoms, *arguments, **more)
        trap = atoms.positions - atoms.positions.mean(axis=0)
        self.results["energy"] += 0.5 * (trap**2).sum()
        self.results["forces"] = self.results["forces"] - trap


atoms = Atoms("Ar13", positions=np.random.default_rng(0).normal(size=(13, 3)))
atoms.calc = Trapped()
host, _, port = sys.argv[1].rpartition(":")
client = SocketClient(host, int(port)) if host else SocketClient(unixsocket=port)
client.run(atoms)
