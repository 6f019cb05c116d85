"""Energies in Python for Metastable: copy this file beside yours, end yours with a call of serve(...), and describe the
target in a file my.toml with  kind = "program"  and  command = ["python3", "my_energy.py"].  Needs NumPy only."""

import os, struct, sys, traceback

import numpy as np


def serve(energy_and_gradient):
    """Answers until the sampler ends. energy_and_gradient(x) gets x (n, d) in double precision and returns the energies
    (n,) and their gradients (n, d). An exception that it raises ends the run with its text."""
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed, here and in C, goes to stderr
    answers.write(b"metastable energy 1\n")
    answers.flush()
    while len(head := questions.read(12)) == 12:
        n, d, wants_gradient = struct.unpack("<3I", head)
        x = np.frombuffer(questions.read(8 * n * d), "<f8").reshape(n, d)
        try:
            result = [np.asarray(v, "<f8") for v in energy_and_gradient(x)]
            for name, v, shape in zip(("energies", "gradients"), result, ((n,), (n, d)), strict=True):
                if v.shape != shape:
                    raise ValueError(f"{name} have the shape {v.shape}, wanted are {shape}")
            answer = struct.pack("<4sI", b"good", n) + b"".join(v.tobytes() for v in result[: 1 + wants_gradient])
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error} ({os.path.basename(place.filename)}, line {place.lineno})"
            answer = struct.pack("<4sI", b"fail", len(text.encode()[:60000])) + text.encode()[:60000]
        answers.write(answer)
        answers.flush()


def jax_energy(energy):
    """The function for serve of a JAX energy of one state: energy(x) with x (d,) gives a scalar. Batches are filled up to
    powers of two, so that few shapes are compiled."""
    import jax

    jax.config.update("jax_enable_x64", True)
    both = jax.jit(jax.vmap(jax.value_and_grad(energy)))

    def energy_and_gradient(x):
        n = len(x)
        filled = np.concatenate([x, np.repeat(x[-1:], (1 << (n - 1).bit_length()) - n, axis=0)])
        return [np.asarray(v)[:n] for v in both(filled)]

    return energy_and_gradient


def torch_energy(energy):
    """The function for serve of a PyTorch energy of a batch: energy(x) with x (n, d), float64, gives a tensor (n,)."""
    import torch

    def energy_and_gradient(x):
        x = torch.tensor(x, requires_grad=True)
        e = energy(x)
        return e.detach().numpy(), torch.autograd.grad(e.sum(), x)[0].numpy()

    return energy_and_gradient
