"""Reads the samples of runs as users do: with NumPy, ArviZ and, for particles, ASE.

    python3 -m venv venv && venv/bin/pip install numpy arviz ase
    venv/bin/python experiments/tests/python/read_samples.py RUN [RUN ...]

The lines for ArviZ are those of docs/runs.md, read from there. Exit code 1 and the line that failed where a file is not
what the page says.
"""

import pathlib
import re
import sys
import warnings

import numpy as np

warnings.filterwarnings("ignore")
import arviz as az

DOCS = pathlib.Path(__file__).resolve().parents[3] / "docs" / "runs.md"


def arrays(run):
    """samples.npz agrees with samples.npy and log_weights.npy."""
    s = np.load(run / "samples.npz")
    x, energy, log_weight = s["x"], s["energy"], s["log_weight"]
    n = len(x)
    assert x.dtype == energy.dtype == log_weight.dtype == np.float64
    assert x.ndim == 2 and energy.shape == log_weight.shape == (n,)
    assert np.array_equal(x.astype("float32"), np.load(run / "samples.npy"))
    if (run / "log_weights.npy").exists():
        assert np.array_equal(log_weight, np.load(run / "log_weights.npy")[:, 0])
    else:
        assert not log_weight.any()
    if "chain" in s:
        m = s["chain"].max() + 1
        assert np.array_equal(s["chain"], np.arange(n) % m) and np.array_equal(s["draw"], np.arange(n) // m)
    return s


def documented(run, s):
    """The lines of the page run, and give a summary of every coordinate."""
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    (lines,) = [block for block in blocks if "arviz" in block]
    names = {}
    exec(lines.replace("results/latest", str(run)), names)
    summary = az.summary(names["posterior"])
    assert len(summary) == s["x"].shape[1] and np.isfinite(summary["mean"]).all()
    m = names["m"]
    x = names["posterior"].posterior["x"].values
    assert x.shape == (m, len(s["x"]) // m, s["x"].shape[1])
    assert np.array_equal(x[m - 1, 0], s["x"][m - 1])
    if m > 1:
        print(f"  {m} chains, largest R-hat {summary['r_hat'].max()}")


def states(run, s):
    """ASE reads every state of samples.extxyz, with its energy and its weight."""
    from ase.io import read

    frames = read(run / "samples.extxyz", index=":")
    particles = len(frames[0])
    assert len(frames) == min(len(s["x"]), max(1, 1_000_000 // particles))
    for k, atoms in enumerate(frames):
        want = s["x"][k].astype("float32").reshape(particles, -1)
        space = want.shape[1]
        assert np.array_equal(atoms.positions[:, :space].astype("float32"), want)
        assert not atoms.positions[:, space:].any() and not atoms.pbc.any()
        assert atoms.get_potential_energy() == s["energy"][k]
        assert atoms.info["log_weight"] == s["log_weight"][k]
    print(f"  {len(frames)} states of {particles} particles, energy of the first {frames[0].get_potential_energy():.3f}")


for run in map(pathlib.Path, sys.argv[1:]):
    print(run.name)
    s = arrays(run)
    documented(run, s)
    if (run / "samples.extxyz").exists():
        states(run, s)
