"""PyTorch: `eager`, and `compiled` as a whole, loss, gradient and optimiser, in the mode that tunes most."""

import math

import peer

MODE = "max-autotune-no-cudagraphs"
RATE = 1e-3


def setup(variant, work, threads, inputs):
    import torch

    torch.set_num_threads(threads)
    compiled = variant == "compiled"
    step, results = WORKS[work](torch, compiled, work, inputs)
    return f"PyTorch {torch.__version__.split('+')[0]} {variant}", step, results


def trainer(torch, compiled, parameters, loss):
    """A step of Adam on `loss(parameters)`, a dictionary of tensors."""
    names, values = list(parameters), [torch.from_numpy(p) for p in parameters.values()]
    if compiled:
        first_moments, second_moments = ([torch.zeros_like(p) for p in values] for _ in range(2))
        gradient = torch.func.grad_and_value(lambda ps: loss(dict(zip(names, ps))))

        def update(ps, ms, vs, rate, correction):
            gradients, value = gradient(ps)
            for p, m, v, g in zip(ps, ms, vs, gradients):
                m.lerp_(g, 0.1)
                v.lerp_(g * g, 0.001)
                p.sub_(rate * m / ((v * correction).sqrt() + 1e-8))
            return value

        fast, steps = torch.compile(update, mode=MODE), 0

        def step():
            nonlocal steps
            steps += 1
            rate, correction = RATE / (1 - 0.9**steps), 1 / (1 - 0.999**steps)
            with torch.no_grad():
                rate, correction = torch.tensor(rate), torch.tensor(correction)
                return fast(values, first_moments, second_moments, rate, correction)

        return step, lambda: peer.losses(step)

    values = [p.requires_grad_() for p in values]
    optimiser = torch.optim.Adam(values, RATE, fused=True)

    def step():
        optimiser.zero_grad(set_to_none=True)
        value = loss(dict(zip(names, values)))
        value.backward()
        optimiser.step()
        return value.detach()

    return step, lambda: peer.losses(step)


def mlp(torch, compiled, _, inputs):
    data = ["x", "t", "y", "w", "frequencies"]
    x, t, y, w, frequencies = (torch.from_numpy(inputs[name]) for name in data)

    def loss(ps):
        h = torch.cat([x, torch.sin(t * frequencies), torch.cos(t * frequencies)], 1)
        for k in range(3):
            h = torch.nn.functional.silu(torch.addmm(ps[f"b{k}"], h, ps[f"w{k}"]))
        return (w * (torch.addmm(ps["b3"], h, ps["w3"]) - y) ** 2).mean()

    return trainer(torch, compiled, inputs.parameters(data), loss)


def egnn(torch, compiled, work, inputs):
    n, layers = {"egnn_dw4": (4, 3), "egnn_lj13": (13, 5)}[work]
    data = ["x", "t", "y", "w"]
    x0, t, y, w = (torch.from_numpy(inputs[name]) for name in data)
    states = len(t)
    a, b = torch.nonzero(~torch.eye(n, dtype=torch.bool), as_tuple=True)
    base = n * torch.arange(states).repeat_interleave(len(a))
    i, j = a.repeat(states) + base, b.repeat(states) + base
    silu = torch.nn.functional.silu

    def loss(ps):
        def dense(name, h):
            return torch.addmm(ps[f"{name}.bias"], h, ps[f"{name}.weight"])

        def heard(values):
            # The edges of a receiver stand together.
            return values.view(states * n, n - 1, -1).sum(1)

        h = (t * ps["embedding.weight"] + ps["embedding.bias"]).repeat_interleave(n, 0)
        x = x0
        e0 = ((x[i] - x[j]) ** 2).sum(1, keepdim=True)
        for k in range(layers):
            d = x[i] - x[j]
            r2 = (d * d).sum(1, keepdim=True)
            m = silu(dense(f"gcl_{k}.edge_mlp.0", torch.cat([h[i], h[j], r2, e0], 1)))
            m = silu(dense(f"gcl_{k}.edge_mlp.2", m))
            m = m * torch.sigmoid(dense(f"gcl_{k}.att_mlp.0", m))
            c = dense(f"gcl_{k}.coord_mlp.2", silu(dense(f"gcl_{k}.coord_mlp.0", m)))
            x = x + heard(d / (torch.sqrt(r2 + 1e-8) + 1) * torch.tanh(c))
            if k + 1 < layers:
                z = dense(f"gcl_{k}.node_mlp.0", torch.cat([h, heard(m)], 1))
                h = h + dense(f"gcl_{k}.node_mlp.2", silu(z))
        return (w * (x - x0 - y) ** 2).mean()

    unused = f"gcl_{layers - 1}.node_mlp"
    parameters = {k: v for k, v in inputs.parameters(data).items() if not k.startswith(unused)}
    return trainer(torch, compiled, parameters, loss)


def graph_ode(torch, compiled, _, inputs):
    data = ["receivers", "senders", "feature_starts", "feature_indices", "labels"]
    to, of, starts, indices, labels = (torch.from_numpy(inputs[name]).long() for name in data)
    parameters = inputs.parameters(data)
    nodes, hidden, steps, dt = len(labels), 64, 16, 0.25
    owners = torch.repeat_interleave(torch.arange(nodes), starts.diff())
    zeros = torch.zeros(nodes, hidden)

    def loss(ps):
        def dense(name, x):
            return torch.addmm(ps[f"{name}.bias"], x, ps[name])

        def attention(x):
            s = (dense("query", x)[to] * dense("key", x)[of]).sum(1) / math.sqrt(hidden)
            s = torch.exp(s - s.max())
            return (s / torch.zeros(nodes).index_add(0, to, s)[to])[:, None]

        def change(x, a):
            return torch.zeros_like(x).index_add(0, to, a * x[of]) - x

        x = zeros.index_add(0, owners, ps["encoder"][indices])
        for _ in range(steps):
            a = attention(x)
            k1 = change(x, a)
            k2 = change(x + dt / 2 * k1, a)
            k3 = change(x + dt / 2 * k2, a)
            k4 = change(x + dt * k3, a)
            x = x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return torch.nn.functional.cross_entropy(dense("decoder", torch.relu(x)), labels)

    return trainer(torch, compiled, parameters, loss)


def score(torch, compiled, work, inputs):
    x0, noise, sigma = (torch.from_numpy(inputs[name]) for name in ["x", "noise", "sigma"])
    (batch, d), draws = x0.shape, int(inputs["draws"][0])
    if work == "gmm_score":
        means = torch.from_numpy(inputs["means"])
        norm = math.log(len(means)) + math.log(2 * math.pi * 1.72)

        def log_p(x):
            return torch.logsumexp(-0.5 * ((x[..., None, :] - means) ** 2).sum(-1) / 1.72, -1) - norm

    else:
        n = d // 3
        i, j = torch.triu_indices(n, n, 1)

        def log_p(x):
            x = x.unflatten(-1, (n, 3))
            s = ((x[..., i, :] - x[..., j, :]) ** 2).sum(-1) ** -3
            trap = ((x - x.mean(-2, keepdim=True)) ** 2).sum((-1, -2))
            return -2 * (s * (s - 2)).sum(-1) - 0.5 * trap

    def estimate(x, noise):
        def total(x):
            densities = torch.logsumexp(log_p(x[:, None] + sigma * noise), 1) - math.log(noise.shape[1])
            return densities.sum(), densities

        return torch.func.grad(total, has_aux=True)(x)

    def fresh(x):
        half = torch.randn(batch, draws // 2, d)
        return estimate(x, torch.cat([half, -half], 1))

    if compiled:
        estimate_once, fresh = (torch.compile(f, mode=MODE) for f in (estimate, fresh))
    else:
        estimate_once = estimate

    def results():
        scores, densities = estimate_once(x0[: len(noise)], noise)
        return {"log_density": densities.tolist(), "score": scores.ravel().tolist()}

    return lambda: fresh(x0), results


def spmm(torch, compiled, _, inputs):
    if compiled:
        raise ImportError("nothing to compile")
    starts, indices = (torch.from_numpy(inputs[name]) for name in ["starts", "indices"])
    values, x = torch.from_numpy(inputs["values"]), torch.from_numpy(inputs["x"])
    matrix = torch.sparse_csr_tensor(starts, indices, values, (len(x), len(x)))
    return lambda: torch.sparse.mm(matrix, x), lambda: peer.product_results(torch.sparse.mm(matrix, x).numpy())


WORKS = {
    "mlp": mlp,
    "mlp_wide": mlp,
    "gmm_score": score,
    "lj13_score": score,
    "egnn_dw4": egnn,
    "egnn_lj13": egnn,
    "graph_ode": graph_ode,
    "spmm": spmm,
}

peer.serve(WORKS, setup)
