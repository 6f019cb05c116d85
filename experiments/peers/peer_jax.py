"""JAX: as it comes (`jit`), with products by oneDNN (`onednn`), and the same programs compiled by IREE (`iree`)."""

import math
import os

import peer

RATE = 1e-3


def setup(variant, work, threads, inputs):
    flags = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
    if variant == "onednn":
        flags += " --xla_cpu_experimental_onednn_custom_call=true"
    os.environ["XLA_FLAGS"] = flags
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    name, fast = f"JAX {jax.__version__} {variant}", Jit(jax)
    if variant == "iree":
        fast = Iree(jax, threads)
        name = f"IREE {fast.version}"
    step, results = WORKS[work](jax, fast, work, inputs)
    return name, step, results


class Jit:
    """Functions compiled by XLA."""

    def __init__(self, jax):
        self.jax = jax

    def __call__(self, f, donated=()):
        fast = self.jax.jit(f, donate_argnums=donated)
        return lambda *arguments: self.jax.block_until_ready(fast(*arguments))

    def array(self, x):
        # A copy: what is donated must not be NumPy's memory.
        return self.jax.numpy.array(x)


class Iree:
    """Functions that JAX traces and IREE compiles, for this processor; their arrays stay with IREE."""

    def __init__(self, jax, threads):
        import importlib.metadata

        import iree.compiler
        import iree.runtime

        self.jax, self.compiler, self.runtime = jax, iree.compiler, iree.runtime
        self.version = importlib.metadata.version("iree-base-compiler")
        iree.runtime.flags.parse_flags(f"--task_topology_max_group_count={threads}")
        self.config = iree.runtime.Config("local-task")

    def __call__(self, f, donated=()):
        # IREE is not told what it may overwrite: each step writes new arrays.
        compiled = []

        def call(*arguments):
            leaves = self.jax.tree.leaves(arguments)
            if not compiled:
                compiled.extend(self.compile(f, arguments))
            entry, shape = compiled
            results = entry(*leaves)
            # One result comes by itself.
            results = list(results) if isinstance(results, (tuple, list)) else [results]
            # Asking for a small one waits for all that was computed with it.
            results[-1].to_host()
            return self.jax.tree.unflatten(shape, results)

        return call

    def compile(self, f, arguments):
        def shaped(x):
            return self.jax.ShapeDtypeStruct(x.shape, x.dtype)

        shapes = self.jax.tree.map(shaped, arguments)
        traced = self.jax.jit(f, keep_unused=True).lower(*shapes)
        code = self.compiler.compile_str(
            str(traced.compiler_ir("stablehlo")),
            input_type="stablehlo",
            target_backends=["llvm-cpu"],
            extra_args=["--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3"],
        )
        module = self.runtime.VmModule.copy_buffer(self.config.vm_instance, code)
        context = self.runtime.SystemContext(config=self.config)
        context.add_vm_module(module)
        entry = context.modules[module.name]["main"]
        return entry, self.jax.tree.structure(self.jax.eval_shape(f, *shapes))

    def array(self, x):
        import numpy

        return self.runtime.asdevicearray(self.config.device, numpy.asarray(x))


def trainer(jax, compiled, parameters, loss):
    """A step of Adam on `loss(parameters)`, a dictionary of arrays."""
    import numpy

    jnp, tree = jax.numpy, jax.tree.map
    zeros = {name: 0 * x for name, x in parameters.items()}
    state = [tree(compiled.array, x) for x in [parameters, zeros, zeros]] + [compiled.array(numpy.float32(0))]

    def update(p, m, v, steps):
        steps = steps + 1.0
        value, g = jax.value_and_grad(loss)(p)
        m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate, correction = RATE / (1 - 0.9**steps), 1 / (1 - 0.999**steps)
        p = tree(lambda p, m, v: p - rate * m / (jnp.sqrt(v * correction) + 1e-8), p, m, v)
        return [p, m, v, steps], value

    fast = compiled(update, (0, 1, 2))

    def step():
        state[:], value = fast(*state)
        return numpy.asarray(value)

    return step, lambda: peer.losses(step)


def mlp(jax, compiled, _, inputs):
    jnp, data = jax.numpy, ["x", "t", "y", "w", "frequencies"]
    x, t, y, w, frequencies = (inputs[name] for name in data)

    def loss(ps):
        # Sines of a constant would be computed once, when XLA compiles.
        waves = jax.lax.optimization_barrier(t) * frequencies
        h = jnp.concatenate([x, jnp.sin(waves), jnp.cos(waves)], 1)
        for k in range(3):
            h = jax.nn.silu(h @ ps[f"w{k}"] + ps[f"b{k}"])
        return (w * (h @ ps["w3"] + ps["b3"] - y) ** 2).mean()

    return trainer(jax, compiled, inputs.parameters(data), loss)


def egnn(jax, compiled, work, inputs):
    n, layers = {"egnn_dw4": (4, 3), "egnn_lj13": (13, 5)}[work]
    import numpy

    jnp, data = jax.numpy, ["x", "t", "y", "w"]
    x0, t, y, w = (inputs[name] for name in data)
    states, silu = len(t), jax.nn.silu
    a, b = numpy.nonzero(~numpy.eye(n, dtype=bool))
    base = numpy.repeat(n * numpy.arange(states), len(a))
    i, j = numpy.tile(a, states) + base, numpy.tile(b, states) + base

    def loss(ps):
        def dense(name, h):
            return h @ ps[f"{name}.weight"] + ps[f"{name}.bias"]

        def heard(values):
            # The edges of a receiver stand together.
            return values.reshape(states * n, n - 1, -1).sum(1)

        h = jnp.repeat(t * ps["embedding.weight"] + ps["embedding.bias"], n, 0)
        x = x0
        e0 = ((x[i] - x[j]) ** 2).sum(1, keepdims=True)
        for k in range(layers):
            d = x[i] - x[j]
            r2 = (d * d).sum(1, keepdims=True)
            m = silu(dense(f"gcl_{k}.edge_mlp.0", jnp.concatenate([h[i], h[j], r2, e0], 1)))
            m = silu(dense(f"gcl_{k}.edge_mlp.2", m))
            m = m * jax.nn.sigmoid(dense(f"gcl_{k}.att_mlp.0", m))
            c = dense(f"gcl_{k}.coord_mlp.2", silu(dense(f"gcl_{k}.coord_mlp.0", m)))
            x = x + heard(d / (jnp.sqrt(r2 + 1e-8) + 1) * jnp.tanh(c))
            if k + 1 < layers:
                z = dense(f"gcl_{k}.node_mlp.0", jnp.concatenate([h, heard(m)], 1))
                h = h + dense(f"gcl_{k}.node_mlp.2", silu(z))
        return (w * (x - x0 - y) ** 2).mean()

    unused = f"gcl_{layers - 1}.node_mlp"
    parameters = {k: v for k, v in inputs.parameters(data).items() if not k.startswith(unused)}
    return trainer(jax, compiled, parameters, loss)


def graph_ode(jax, compiled, _, inputs):
    import numpy

    jnp = jax.numpy
    data = ["receivers", "senders", "feature_starts", "feature_indices", "labels"]
    to, of, starts, indices, labels = (inputs[name] for name in data)
    nodes, hidden, steps, dt = len(labels), 64, 16, 0.25
    owners = numpy.repeat(numpy.arange(nodes), numpy.diff(starts))

    def by_owner(values, owners):
        return jax.ops.segment_sum(values, owners, nodes, indices_are_sorted=True)

    def loss(ps):
        def dense(name, x):
            return x @ ps[name] + ps[f"{name}.bias"]

        def attention(x):
            s = (dense("query", x)[to] * dense("key", x)[of]).sum(1) / math.sqrt(hidden)
            s = jnp.exp(s - s.max())
            return (s / by_owner(s, to)[to])[:, None]

        def change(x, a):
            return by_owner(a * x[of], to) - x

        x = by_owner(ps["encoder"][indices], owners)
        for _ in range(steps):
            a = attention(x)
            k1 = change(x, a)
            k2 = change(x + dt / 2 * k1, a)
            k3 = change(x + dt / 2 * k2, a)
            k4 = change(x + dt * k3, a)
            x = x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        logits = jax.nn.log_softmax(dense("decoder", jax.nn.relu(x)))
        return -logits[numpy.arange(nodes), labels].mean()

    return trainer(jax, compiled, inputs.parameters(data), loss)


def score(jax, compiled, work, inputs):
    import numpy

    jnp, logsumexp = jax.numpy, jax.nn.logsumexp
    x0, noise, sigma = inputs["x"], inputs["noise"], inputs["sigma"]
    (batch, d), draws = x0.shape, int(inputs["draws"][0])
    if work == "gmm_score":
        means = inputs["means"]
        norm = math.log(len(means)) + math.log(2 * math.pi * 1.72)

        def log_p(x):
            return logsumexp(-0.5 * ((x[..., None, :] - means) ** 2).sum(-1) / 1.72, -1) - norm

    else:
        n = d // 3
        i, j = numpy.triu_indices(n, 1)

        def log_p(x):
            x = x.reshape(x.shape[:-1] + (n, 3))
            s = ((x[..., i, :] - x[..., j, :]) ** 2).sum(-1) ** -3
            trap = ((x - x.mean(-2, keepdims=True)) ** 2).sum((-1, -2))
            return -2 * (s * (s - 2)).sum(-1) - 0.5 * trap

    def estimate(x, noise):
        def total(x):
            densities = logsumexp(log_p(x[:, None] + sigma * noise), 1) - math.log(noise.shape[1])
            return densities.sum(), densities

        return jax.grad(total, has_aux=True)(x)

    def fresh(x, key):
        key, own = jax.random.split(key)
        half = jax.random.normal(own, (batch, draws // 2, d))
        return key, estimate(x, jnp.concatenate([half, -half], 1))

    fast, first, key = compiled(fresh), compiled.array(x0), [compiled.array(jax.random.PRNGKey(0))]

    def step():
        key[0], _ = fast(first, key[0])

    def results():
        few = [compiled.array(x) for x in (x0[: len(noise)], noise)]
        scores, densities = map(numpy.asarray, compiled(estimate)(*few))
        return {"log_density": densities.tolist(), "score": scores.ravel().tolist()}

    return step, results


WORKS = {
    "mlp": mlp,
    "mlp_wide": mlp,
    "gmm_score": score,
    "lj13_score": score,
    "egnn_dw4": egnn,
    "egnn_lj13": egnn,
    "graph_ode": graph_ode,
}

peer.serve(WORKS, setup)
