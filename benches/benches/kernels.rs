//! Kernels, each with its throughput in elements (or flops, where a product is measured).
#![allow(missing_docs)] // criterion's macros make undocumented functions

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::ops::edge::Mean;
use engine::ops::index::Moves;
use engine::packed_gemm::{self, Operand, Output, Packed};
use engine::rng::Stream;
use engine::sparse::Sparse;
use engine::{Recording, Shape, Tape, Var, View};
use models::sampler::iwsm::noised_score::Estimates;
use models::sampler::iwsm::{Buffer, Config, Proposal};
use models::target::{Geometry, Mixture, Target};

fn normals(n: usize) -> Vec<f32> {
    let mut x = vec![0.0; n];
    Stream::new(0, "bench", 0, 0).fill_normal(&mut x);
    x
}

/// Times forward and backward of a graph over one 128 x 512 input.
fn op(c: &mut Criterion, name: &str, f: impl Fn(&mut Recording<f32>, Var) -> Var) {
    let (x, mut tape) = (normals(128 * 512), Tape::new());
    let mut group = c.benchmark_group("ops 128x512");
    group.throughput(Throughput::Elements(128 * 512));
    group.bench_function(name, |b| {
        b.iter(|| {
            let mut g = tape.record(&[]);
            let v = g.variable(128, 512, &x);
            let y = f(&mut g, v);
            let y = g.sum(y);
            g.backward(y, &mut []);
        });
    });
    group.finish();
}

fn ops(c: &mut Criterion) {
    op(c, "sum (the frame of every figure here)", |_, x| x);
    op(c, "silu", |g, x| g.silu(x));
    op(c, "gelu", |g, x| g.gelu(x));
    op(c, "tanh", |g, x| g.tanh(x));
    op(c, "exp", |g, x| g.exp(x));
    op(c, "mul", |g, x| g.mul(x, x));
    op(c, "column_softmax", |g, x| g.column_softmax(x));
    op(c, "column_logsumexp", |g, x| g.column_logsumexp(x));
    op(c, "transpose", |g, x| g.transpose(x));
    let moves = Moves::new((0..512).map(|k| k * 7 % 512).collect(), 512).expect("indices are in range");
    op(c, "gather", |g, x| g.gather(x, &moves));
    op(c, "scatter_add", |g, x| g.scatter_add(x, &moves));
}

fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("products");
    for (m, k, n) in [(128, 128, 512), (256, 256, 1024)] {
        let (a, x, b) = (normals(m * k), normals(k * n), normals(m));
        let mut tape = Tape::new();
        group.throughput(Throughput::Elements((6 * m * k * n) as u64));
        group.bench_function(format!("linear_silu {m}x{k}x{n}, forward and backward, flops"), |bench| {
            bench.iter(|| {
                let mut g = tape.record(&[]);
                let (w, x, b) = (g.variable(m, k, &a), g.variable(k, n, &x), g.variable(m, 1, &b));
                let y = g.linear_silu(w, x, b);
                let y = g.sum(y);
                g.backward(y, &mut []);
            });
        });
    }
    let (n, degree, d) = (10_000, 12, 64);
    let mut s = Stream::new(0, "graph", 0, 0);
    let mut triplets = sprs::TriMat::new((n, n));
    (0..n * degree).for_each(|e| triplets.add_triplet(e / degree, s.index(n), 1.0_f32));
    let (sparse, values) = Sparse::new(&triplets.to_csr::<usize>());
    let (x, mut tape) = (normals(n * d), Tape::new());
    group.throughput(Throughput::Elements((2 * values.len() * d) as u64));
    group.bench_function("sparse_columns 10k nodes, 120k edges, 64 features, forward, flops", |bench| {
        bench.iter(|| {
            let mut g = tape.record(&[]);
            let (w, x) = (g.constant(1, values.len(), &values), g.constant(d, n, &x));
            g.sparse_columns(&sparse, w, x)
        });
    });
    group.finish();
}

/// The products of an EGNN's passes: 144 edges of 128 numbers.
fn panel_products(c: &mut Criterion) {
    let (h, n) = (128, 144);
    let (mut w, mut x) = (Packed::default(), Packed::default());
    packed_gemm::pack(View { data: &normals(h * h), shape: Shape::new(h, h) }, &mut w);
    packed_gemm::pack(View { data: &normals(h * n), shape: Shape::new(h, n) }, &mut x);
    let mut group = c.benchmark_group("panels 128x128x144");
    group.throughput(Throughput::Elements((2 * h * h * n) as u64));
    group.bench_function("product, flops", |bench| {
        let mut out = x.to_vec();
        bench
            .iter(|| packed_gemm::product(&w, Operand::panels(&x, h, n), Output::panels(&mut out, n, false)));
    });
    group.bench_function("outer product, flops", |bench| {
        let mut out = w.to_vec();
        bench.iter(|| packed_gemm::outer(&x, Operand::panels(&x, h, n), &mut out));
    });
    group.finish();
}

/// Kernels on the edges of a random graph: 3000 nodes, 36 000 edges, 64 features, forward and backward.
fn edges(c: &mut Criterion) {
    let (n, degree, d) = (3000_usize, 12, 64);
    let mut s = Stream::new(0, "edges", 0, 0);
    let mut triplets = sprs::TriMat::new((n, n));
    (0..n * degree).for_each(|e| triplets.add_triplet(e / degree, s.index(n), 1.0_f32));
    let (sparse, w) = Sparse::new(&triplets.to_csr::<usize>());
    let x: Vec<f32> = normals(n * d).iter().map(|v| 0.1 + v * v).collect();
    let mut group = c.benchmark_group("edges");
    group.throughput(Throughput::Elements((w.len() * d) as u64));
    type Kernel = fn(&mut Recording<f32>, &Sparse, Var, Var) -> Var;
    let kernels: [(&str, Kernel); 9] = [
        ("weighted sum", |g, s, w, x| g.sparse_columns(s, w, x)),
        ("diffusion step", |g, s, w, x| g.sparse_step(s, w, x, x, 0.1)),
        ("dot product", |g, s, _, x| g.edge_dot(s, x, x, 1)),
        ("distance", |g, s, _, x| g.edge_distance(s, x, x)),
        ("sine", |g, s, w, x| g.edge_sine(s, w, x)),
        ("softmax (of weights)", |g, s, w, _| g.edge_softmax(s, w)),
        ("attention", |g, s, w, x| g.attend(s, w, x)),
        ("flux, upwind", |g, s, w, x| g.edge_flux(s, Mean::Upwind, w, x, x)),
        ("flux, logarithmic mean", |g, s, w, x| g.edge_flux(s, Mean::Logarithmic, w, x, x)),
    ];
    for (name, kernel) in kernels {
        let mut tape = Tape::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut g = tape.record(&[]);
                let (w, x) = (g.variable(1, w.len(), &w), g.variable(d, n, &x));
                let y = kernel(&mut g, &sparse, w, x);
                let y = g.sum(y);
                g.backward(y, &mut []);
            });
        });
    }
    group.finish();
}

fn sampling(c: &mut Criterion) {
    let mut group = c.benchmark_group("sampling");
    let mut out = vec![0.0_f32; 1 << 16];
    group.throughput(Throughput::Elements(1 << 16));
    group.bench_function("normals f32", |b| b.iter(|| Stream::new(0, "bench", 0, 0).fill_normal(&mut out)));
    let target = Mixture::gmm40();
    let x: Vec<f32> = normals(2 * 4096).iter().map(|v| v * 20.0).collect();
    let (mut log_p, mut score) = (vec![0.0; 4096], vec![0.0; 8192]);
    group.throughput(Throughput::Elements(4096 * 40));
    group.bench_function("gmm40 density and score, components", |b| {
        b.iter(|| target.evaluate(&x, &mut log_p, &mut score).unwrap());
    });
    let ten = Mixture::random(40, 10, 10.0, 1.3, true, 0).unwrap();
    let y = normals(10 * 4096);
    let mut score = vec![0.0; 10 * 4096];
    group.bench_function("40 modes in 10 dimensions, components", |b| {
        b.iter(|| ten.evaluate(&y, &mut log_p, &mut score).unwrap());
    });
    let mut estimates = Estimates::new(Target::<f32>::geometry(&target));
    group.throughput(Throughput::Elements(128 * 500 * 40));
    group.bench_function("Monte Carlo estimate, 128 points, 500 draws, components", |b| {
        b.iter(|| estimates.run(&target, &x[..256], &[5.0; 128], 500, (0, 0)).unwrap());
    });
    let proposal =
        Proposal::<f32>::new(Geometry::Euclidean(2), Buffer::new(2, 10_000, false), (30.0, 0.0), 0);
    let (weights, mut stream) = (Config::default().weights, Stream::new(0, "window", 0, 0));
    group.throughput(Throughput::Elements(128 * 10_000));
    group.bench_function("buffer density, 128 points, 10 000 states, pairs", |b| {
        b.iter(|| proposal.log_density(&x[..256], &[1.0; 128], &weights, &mut stream, &mut log_p[..128]));
    });
    group.finish();
}

fn transport(c: &mut Criterion) {
    let points = |seed: u64| {
        let mut x = vec![0.0_f64; 1000];
        Stream::new(seed, "bench", 0, 0).fill_normal(&mut x);
        x
    };
    let (x, y) = (points(1), points(2));
    c.bench_function("exact transport, 500 points in the plane", |b| {
        b.iter(|| models::metrics::w2(&x, &y, 2))
    });
}

criterion_group!(benches, ops, products, panel_products, edges, sampling, transport);
criterion_main!(benches);
