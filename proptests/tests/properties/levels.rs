//! Every SIMD level of this machine gives the same bits. The level is one for the whole program: other tests run at
//! another one meanwhile, which changes none of their numbers.

use std::sync::Arc;

use engine::ops::edge::Mean;
use engine::optim::{Adam, Ema, clip_by_norm};
use engine::packed_gemm::{self, LANES, Operand, Output, Packed};
use engine::rng::Stream;
use engine::simd::{Level, set_level};
use engine::sparse::Sparse;
use engine::{Matrix, Real, Recording, Tape, Var};
use models::score::{Messages, Pairs};
use models::target::own::Names;
use models::target::{Geometry, Target};
use sprs::CsMat;

fn random<T: Real>(rows: usize, cols: usize, seed: u64) -> Matrix<T> {
    let mut m = Matrix::zeros(rows, cols);
    Stream::new(seed, "levels", rows as u64, cols as u64).fill_normal(m.data_mut());
    m
}

fn bytes<'a, T: Real>(parts: impl IntoIterator<Item = &'a [T]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        // The bits of NaN say nothing.
        assert!(part.iter().all(|v| v.is_finite()));
        T::append_bytes(part, &mut bytes);
    }
    bytes
}

/// The value of `f` and the gradient in each input.
fn recorded<T: Real>(inputs: &[Matrix<T>], f: impl Fn(&mut Recording<T>, &[Var]) -> Var) -> Vec<u8> {
    let mut tape = Tape::new();
    let mut g = tape.record(&[]);
    let vars: Vec<Var> = inputs.iter().map(|m| g.variable(m.rows(), m.cols(), m.data())).collect();
    let y = f(&mut g, &vars);
    let shape = g.shape(y);
    g.backward_from(y, random(shape.rows, shape.cols, 99).data(), &mut []);
    bytes(std::iter::once(g.value(y).data).chain(vars.iter().map(|v| g.grad(*v).data)))
}

/// Layers, products, reductions, broadcasts and activations.
fn dense<T: Real>() -> Vec<u8> {
    recorded::<T>(&[random(64, 33, 1), random(33, 200, 2), random(64, 1, 3)], |g, x| {
        let h = g.linear_tanh(x[0], x[1], x[2]);
        let h = g.combine((x[2], h), (x[2], h, h));
        let h = g.combine_step((h, 0.1), (x[2], h), (x[2], h, h));
        let p = g.matmul_tn(h, h);
        let p = g.scale(p, 0.1);
        let p = g.column_softmax(p);
        let h = g.matmul(h, p);
        let s = g.column_logsumexp(h);
        let h = g.div(h, s);
        let h = g.sub(h, x[2]);
        let parts = [g.silu(h), g.gelu(h), g.softplus(h), g.sin(h), g.signed_power(h, 1.7), g.leaky_relu(h)];
        g.concat_rows(&parts)
    })
}

/// Ops on the edges of a graph.
fn on_edges<T: Real>() -> Vec<u8> {
    const N: usize = 60;
    let heard = |i: usize| (0..N).filter(move |j| i == 0 || (7 * i + 3 * j).is_multiple_of(5));
    let columns: Vec<usize> = (0..N).flat_map(heard).collect();
    let starts = (0..=N).map(|i| (0..i).map(|i| heard(i).count()).sum()).collect();
    let ones = vec![T::ONE; columns.len()];
    let (sparse, _) = Sparse::new(&CsMat::new((N, N), starts, columns, ones));
    recorded::<T>(&[random(48, N, 1), random(48, 48, 2), random(48, 1, 3)], |g, x| {
        let (x, map) = (x[0], (g.scale(x[1], 0.01), x[2]));
        let p = g.edge_attention(&sparse, map.0, map.1, x);
        let seen = g.sparse_columns(&sparse, p, x);
        let s = g.edge_dot(&sparse, seen, x, 2);
        let y = g.attend(&sparse, s, x);
        let r = g.edge_distance(&sparse, y, x);
        let w = g.scale(r, 0.01);
        let z = g.sparse_laplacian(&sparse, w, y);
        let z = g.sparse_differences(&sparse, w, z);
        let z = g.diffusion_rk4_step(&sparse, w, z, 0.1);
        let density = g.softplus(x);
        let flux = g.edge_flux(&sparse, Mean::Logarithmic, w, density, z);
        g.add(flux, z)
    })
}

/// Products of panels, in tiles of several shapes.
fn in_panels<T: Real>() -> Vec<u8> {
    let mut all = Vec::new();
    for (m, k, n) in [(37, 50, 29), (16, 16, 12), (1, 3, 1)] {
        let (w, x, y) = (random::<T>(m, k, 1), random(k, n, 2), random(m, n, 3));
        let (mut packed, mut out) = (Packed::default(), Matrix::zeros(m, n));
        packed_gemm::pack(w.view(), &mut packed);
        packed_gemm::product(&packed, Operand::columns(x.view()), Output::columns(out.data_mut(), m, false));
        let (mut sums, mut back) = (vec![[T::ZERO; LANES]; packed_gemm::count(m) * k], Matrix::zeros(m, k));
        packed_gemm::pack(y.view(), &mut packed);
        packed_gemm::outer(&packed, Operand::columns(x.view()), &mut sums);
        packed_gemm::add_unpacked(&sums, m, back.data_mut());
        all.extend(bytes([out.data(), back.data()]));
    }
    all
}

/// The messages of an equivariant layer.
fn messages<T: Real>() -> Vec<u8> {
    const HIDDEN: usize = 20;
    let pairs = Pairs { particles: 7, space: 3, cutoff: f64::INFINITY };
    let op = Arc::new(Messages::new(pairs));
    // h, x, origin, E1, b1, E2, b2, a, a0, C, c1, w, w0.
    let shapes = [
        (HIDDEN, 21),
        (3, 21),
        (3, 21),
        (HIDDEN, 2 * HIDDEN + 2),
        (HIDDEN, 1),
        (HIDDEN, HIDDEN),
        (HIDDEN, 1),
        (1, HIDDEN),
        (1, 1),
        (HIDDEN, HIDDEN),
        (HIDDEN, 1),
        (1, HIDDEN),
        (1, 1),
    ];
    let inputs: Vec<Matrix<T>> = (1..).zip(shapes).map(|(seed, (m, n))| random(m, n, seed)).collect();
    recorded(&inputs, |g, x| g.apply(op.clone(), x))
}

/// A few steps of an optimiser.
fn trained<T: Real>() -> Vec<u8> {
    let (mut w, mut adam) = (random::<T>(5000, 1, 1), Adam::new(5000));
    let mut ema = Ema::new(w.data(), 0.99);
    for step in 0..3 {
        let mut gradient = random::<T>(5000, 1, 2 + step);
        clip_by_norm(gradient.data_mut(), 1.0);
        adam.step(w.data_mut(), gradient.data(), 0.01);
        ema.update(w.data());
    }
    bytes([w.data(), ema.values()])
}

/// Every operation of a formula.
fn formula() -> Vec<u8> {
    let text = "sum(i, 0:3, x[i]^4 + x[i]^-2 - 3*x[i] + abs(x[i])^1.5 + x[i]^20*1e-6)
        + sum(i, j, i+1:3, x[i]*x[j]/(1 + x[i]^2) + log1p(x[i]^2)*tanh(x[j]))
        + sum(i, exp(-x[i]^2) + log(1 + x[i]^2) + sqrt(1 + x[i]^2) + sin(x[i]) + cos(x[i]) + tan(0.3*x[i]))
        + sum(i, sinh(x[i]) + cosh(x[i]) + sigmoid(x[i]) + softplus(x[i]) + max(x[i], 0) + if(x[i] < 0.5, x[i]^3, 1))
        + logsumexp(i, 0:3, -(x[i] - i)^2) + log(3 + prod(i, sin(x[i])))";
    let formula = Names::new(Geometry::Euclidean(3)).formula(text).unwrap();
    let x = random::<f64>(3, 200, 4);
    let (mut log_p, mut score) = (vec![0.0; 200], vec![0.0; 600]);
    formula.log_density_batch(x.data(), &mut log_p, &mut score).unwrap();
    bytes([&log_p[..], &score])
}

fn kernels<T: Real>() -> [(&'static str, Vec<u8>); 6] {
    [
        ("dense", dense::<T>()),
        ("edges", on_edges::<T>()),
        ("panels", in_panels::<T>()),
        ("messages", messages::<T>()),
        ("training", trained::<T>()),
        ("formula", formula()),
    ]
}

#[test]
fn every_level_gives_the_same_bits() {
    let all = || [kernels::<f32>(), kernels::<f64>()];
    set_level(Level::Baseline);
    let want = all();
    for level in [Level::Avx2, Level::Avx512] {
        // A level that the machine lacks is not set.
        if set_level(level) != level {
            continue;
        }
        let got = all();
        for ((name, got), (_, want)) in got.iter().flatten().zip(want.iter().flatten()) {
            assert!(got == want, "{name}, {level:?}");
        }
    }
}
