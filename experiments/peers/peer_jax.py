"""JAX: as it comes (`jit`), and with products by oneDNN (`onednn`)."""

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

    step, results = WORKS[work](jax, work, inputs)
    return f"JAX {jax.__version__} {variant}", step, results


def trainer(jax, parameters, loss):
    """A step of Adam on `loss(parameters)`, a dictionary of arrays."""
    jnp, tree = jax.numpy, jax.tree.map
    parameters = tree(jnp.asarray, parameters)
    state = [parameters, tree(jnp.zeros_like, parameters), tree(jnp.zeros_like, parameters), 0.0]

    def update(p, m, v, steps):
        steps = steps + 1.0
        value, g = jax.value_and_grad(loss)(p)
        m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate, correction = RATE / (1 - 0.9**steps), 1 / (1 - 0.999**steps)
        p = tree(lambda p, m, v: p - rate * m / (jnp.sqrt(v * correction) + 1e-8), p, m, v)
        return [p, m, v, steps], value

    fast = jax.jit(update, donate_argnums=(0, 1, 2))

    def step():
        state[:], value = jax.block_until_ready(fast(*state))
        return value

    return step, lambda: peer.losses(step)


def mlp(jax, _, inputs):
    jnp, data = jax.numpy, ["x", "t", "y", "w", "frequencies"]
    x, t, y, w, frequencies = (inputs[name] for name in data)

    def loss(ps):
        # Sines of a constant would be computed once, when XLA compiles.
        waves = jax.lax.optimization_barrier(t) * frequencies
        h = jnp.concatenate([x, jnp.sin(waves), jnp.cos(waves)], 1)
        for k in range(3):
            h = jax.nn.silu(h @ ps[f"w{k}"] + ps[f"b{k}"])
        return (w * (h @ ps["w3"] + ps["b3"] - y) ** 2).mean()

    return trainer(jax, inputs.parameters(data), loss)


def egnn(jax, work, inputs):
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
    return trainer(jax, parameters, loss)


def graph_ode(jax, _, inputs):
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

    return trainer(jax, inputs.parameters(data), loss)


def score(jax, work, inputs):
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

    @jax.jit
    def estimate(x, noise):
        def total(x):
            densities = logsumexp(log_p(x[:, None] + sigma * noise), 1) - math.log(noise.shape[1])
            return densities.sum(), densities

        return jax.grad(total, has_aux=True)(x)

    @jax.jit
    def fresh(x, key):
        key, own = jax.random.split(key)
        half = jax.random.normal(own, (batch, draws // 2, d))
        return key, estimate(x, jnp.concatenate([half, -half], 1))

    key = [jax.random.key(0)]

    def step():
        key[0], _ = jax.block_until_ready(fresh(x0, key[0]))

    def results():
        scores, densities = estimate(x0[: len(noise)], noise)
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
