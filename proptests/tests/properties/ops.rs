//! Every op against finite differences in f64, over shapes that include 0, 1 and sizes that are no
//! multiple of a SIMD register; f32 against f64; linearity of the vjp; threads.

use engine::gradcheck::gradcheck;
use engine::ode::RungeKutta;
use engine::ode::tableau::EULER;
use engine::ops::index::Moves;
use engine::rng::Stream;
use engine::sparse::Sparse;
use engine::{Matrix, Real, Recording, Tape, Var};
use proptest::prelude::*;

use crate::cases::cases;

/// A matrix of numbers away from the kinks of the ops: 0.2 < |x| < 2.2.
pub(crate) fn entries(rows: usize, cols: usize, seed: u64, positive: bool) -> Matrix<f64> {
    let mut s = Stream::new(seed, "entries", rows as u64, cols as u64);
    Matrix::from_fn(rows, cols, |_, _| {
        let x = 0.2 + 2.0 * s.uniform();
        if positive || s.uniform() < 0.5 { x } else { -x }
    })
}

/// The nearest multiples of 1/8, plus a shift. Sums of products of two such numbers are exact, and plus one that is
/// shifted by 1/128 they lie at least as far from 0, where a ReLU has its kink.
pub(crate) fn eighths(x: &Matrix<f64>, shift: f64) -> Matrix<f64> {
    Matrix::from_fn(x.rows(), x.cols(), |i, j| (8.0 * x[(i, j)]).round() / 8.0 + shift)
}

/// Numbers 0.01 apart in random order: no two are within a difference step, where a maximum has a kink.
fn separated(rows: usize, cols: usize, seed: u64) -> Matrix<f64> {
    let mut s = Stream::new(seed, "separated", rows as u64, cols as u64);
    let mut values: Vec<f64> = (0..rows * cols).map(|k| 0.01 * k as f64).collect();
    (1..values.len()).for_each(|k| values.swap(k, s.index(k + 1)));
    Matrix::from_vec(rows, cols, values)
}

/// An op of one input.
type Unary = (&'static str, bool, fn(&mut Recording<f64>, Var) -> Var, fn(&mut Recording<f32>, Var) -> Var);

macro_rules! unary {
    ($($name:ident, $positive:literal, |$g:ident, $x:ident| $body:expr;)+) => {
        &[$((stringify!($name), $positive, |$g, $x| $body, |$g, $x| $body),)+]
    };
}

/// Every op of one input: name, whether it wants positive entries, and its use.
const UNARY: &[Unary] = unary! {
    identity, false, |g, x| g.identity(x);
    relu, false, |g, x| g.relu(x);
    leaky_relu, false, |g, x| g.leaky_relu(x);
    elu, false, |g, x| g.elu(x);
    silu, false, |g, x| g.silu(x);
    gelu, false, |g, x| g.gelu(x);
    tanh, false, |g, x| g.tanh(x);
    sigmoid, false, |g, x| g.sigmoid(x);
    softplus, false, |g, x| g.softplus(x);
    exp, false, |g, x| g.exp(x);
    log, true, |g, x| g.log(x);
    sqrt, true, |g, x| g.sqrt(x);
    sin, false, |g, x| g.sin(x);
    cos, false, |g, x| g.cos(x);
    square, false, |g, x| g.square(x);
    abs, false, |g, x| g.abs(x);
    affine, false, |g, x| g.affine(x, -1.7, 0.3);
    scale, false, |g, x| g.scale(x, 3.0);
    neg, false, |g, x| g.neg(x);
    power, true, |g, x| g.power(x, 2.7);
    signed_power, false, |g, x| g.signed_power(x, 1.7);
    signed_square, false, |g, x| g.signed_power(x, 2.0);
    clamp, false, |g, x| g.clamp(x, -0.1, 5.0);
    sum, false, |g, x| g.sum(x);
    column_sum, false, |g, x| g.column_sum(x);
    row_sum, false, |g, x| g.row_sum(x);
    column_max, false, |g, x| g.column_max(x);
    max, false, |g, x| g.max(x);
    logsumexp, false, |g, x| g.logsumexp(x);
    column_logsumexp, false, |g, x| g.column_logsumexp(x);
    softmax, false, |g, x| g.softmax(x);
    column_softmax, false, |g, x| g.column_softmax(x);
    column_log_softmax, false, |g, x| g.column_log_softmax(x);
    normalise_columns, false, |g, x| g.normalise_columns(x, 0.1);
    normalise_rows, false, |g, x| g.normalise_rows(x, 0.1);
    transpose, false, |g, x| g.transpose(x);
    reshape, false, |g, x| { let s = g.shape(x); g.reshape(x, s.len(), 1) };
    slice_rows, false, |g, x| { let n = g.shape(x).rows; g.slice_rows(x, n / 3..n) };
    slice_cols, false, |g, x| { let n = g.shape(x).cols; g.slice_cols(x, 0..n - n / 3) };
    twice, false, |g, x| g.mul(x, x);
};

/// Sizes with the special ones more often than not.
pub(crate) fn size() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), Just(1), Just(7), Just(16), Just(17), 2_usize..40]
}

pub(crate) fn run<T: Real>(inputs: &[Matrix<f64>], f: impl Fn(&mut Recording<T>, &[Var]) -> Var) -> Vec<f64> {
    let mut tape = Tape::<T>::new();
    let mut g = tape.record(&[]);
    let vars: Vec<Var> =
        (inputs.iter()).map(|m| g.variable(m.rows(), m.cols(), m.cast::<T>().data())).collect();
    let y = f(&mut g, &vars);
    g.value(y).data.iter().map(|v| v.f64()).collect()
}

fn check(name: &str, inputs: &[Matrix<f64>], f: impl Fn(&mut Recording<f64>, &[Var]) -> Var) {
    if let Err(mismatch) = gradcheck(inputs, 1e-6, f) {
        panic!(
            "{name} at {}: {mismatch}",
            inputs.iter().map(|m| m.shape().to_string()).collect::<Vec<_>>().join(", ")
        );
    }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn unary_ops_have_the_right_gradients(rows in size(), cols in size(), seed in 0_u64..1 << 40) {
        for (name, positive, f, _) in UNARY {
            let x = if name.contains("max") && !name.contains("soft") {
                separated(rows, cols, seed)
            } else {
                entries(rows, cols, seed, *positive)
            };
            check(name, &[x], |g, x| f(g, x[0]));
        }
        if rows * cols > 0 {
            let x = [entries(rows, cols, seed, false)];
            check("mean", &x, |g, x| g.mean(x[0]));
            check("column_mean", &x, |g, x| g.column_mean(x[0]));
            check("row_mean", &x, |g, x| g.row_mean(x[0]));
        }
    }

    #[test]
    fn unary_ops_agree_in_both_precisions(rows in size(), cols in size(), seed in 0_u64..1 << 40) {
        for (name, positive, f64_op, f32_op) in UNARY {
            // Inputs that are exact in single precision, so that only the op's own error shows.
            let x = entries(rows, cols, seed, *positive).cast::<f32>().cast::<f64>();
            let (a, b) = (run::<f64>(std::slice::from_ref(&x), |g, x| f64_op(g, x[0])), run::<f32>(std::slice::from_ref(&x), |g, x| f32_op(g, x[0])));
            // A sum rounds in proportion to what is summed, which may be far larger than the result.
            let summed = if a.len() < x.data().len() { x.data().iter().map(|v| v.abs()).sum::<f64>() } else { 0.0 };
            for (a, b) in a.iter().zip(&b) {
                let same = a == b || (a - b).abs() < 2e-5 * a.abs().max(1.0) + 3e-7 * summed;
                prop_assert!(same, "{name}: {a} {b}");
            }
        }
    }

    #[test]
    fn broadcast_ops_have_the_right_gradients(rows in size(), cols in size(), seed in 0_u64..1 << 40) {
        let a = entries(rows, cols, seed, false);
        for (r, c) in [(rows, cols), (rows, 1), (1, cols), (1, 1)] {
            let inputs = [a.clone(), entries(r, c, seed ^ 1, true)];
            check("add", &inputs, |g, x| g.add(x[0], x[1]));
            check("sub", &inputs, |g, x| g.sub(x[0], x[1]));
            check("mul", &inputs, |g, x| g.mul(x[0], x[1]));
            check("div", &inputs, |g, x| g.div(x[0], x[1]));
        }
    }

    #[test]
    fn combinations_have_the_right_values_and_gradients(rows in size(), cols in size(), seed in 0_u64..1 << 40, repeated in 0_usize..3) {
        let [a, c, d] = [0, 1, 2].map(|k| entries(rows, cols, seed ^ k, false));
        for (first, second) in [(rows, rows), (1, rows), (rows, 1), (1, 1)] {
            let (alpha, beta) = (entries(first, 1, seed ^ 3, false), entries(second, 1, seed ^ 4, false));
            let inputs = [alpha, a.clone(), beta, c.clone(), d.clone()];
            let combined = |g: &mut Recording<f64>, x: &[Var]| match repeated {
                // One value in two places gets both cotangents.
                0 => g.combine((x[0], x[1]), (x[2], x[1], x[4])),
                1 => g.combine((x[0], x[1]), (x[2], x[3], x[3])),
                _ => g.combine((x[0], x[1]), (x[2], x[3], x[4])),
            };
            let plain = |g: &mut Recording<f64>, x: &[Var]| {
                let (c, d) = [(x[1], x[4]), (x[3], x[3]), (x[3], x[4])][repeated];
                let (linear, product) = (g.mul(x[1], x[0]), g.mul(c, d));
                let product = g.mul(product, x[2]);
                g.add(linear, product)
            };
            let (got, want) = (run::<f64>(&inputs, combined), run::<f64>(&inputs, plain));
            prop_assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-12 * b.abs().max(1.0)));
            check("combine", &inputs, combined);
            // A step along it, from a state of its own or from one that it has already: the very same numbers.
            let x = if repeated == 2 { entries(rows, cols, seed ^ 5, false) } else { a.clone() };
            let inputs = [&inputs[..], &[x]].concat();
            let from = if repeated == 0 { 1 } else { 5 };
            let step = |g: &mut Recording<f64>, x: &[Var]| {
                let c = if repeated == 1 { x[5] } else { x[3] };
                g.combine_step((x[from], 0.3), (x[0], x[1]), (x[2], c, x[4]))
            };
            let by_parts = |g: &mut Recording<f64>, x: &[Var]| {
                let c = if repeated == 1 { x[5] } else { x[3] };
                let method = RungeKutta::new(&EULER).unwrap();
                method.step(g, x[from], 0.0, 0.3, &mut |g, _, _| g.combine((x[0], x[1]), (x[2], c, x[4])))
            };
            prop_assert_eq!(run::<f64>(&inputs, step), run::<f64>(&inputs, by_parts));
            check("combine_step", &inputs, step);
        }
    }

    #[test]
    fn products_have_the_right_values_and_gradients(m in size(), k in size(), n in size(), seed in 0_u64..1 << 40) {
        let product = |a: &Matrix<f64>, b: &Matrix<f64>| {
            Matrix::from_fn(m, n, |i, j| (0..k).map(|l| a[(i, l)] * b[(l, j)]).sum::<f64>())
        };
        let flip = |a: &Matrix<f64>| Matrix::from_fn(a.cols(), a.rows(), |i, j| a[(j, i)]);
        let [a, b] = [entries(m, k, seed, false), entries(k, n, seed ^ 1, false)].map(|x| eighths(&x, 0.0));
        let want = product(&a, &b);
        type Product = fn(&mut Recording<f64>, Var, Var) -> Var;
        let uses: [(Matrix<f64>, Matrix<f64>, Product); 2] = [
            (a.clone(), b.clone(), |g, a, b| g.matmul(a, b)),
            (flip(&a), b.clone(), |g, a, b| g.matmul_tn(a, b)),
        ];
        for (a, b, f) in uses {
            let inputs = [a, b];
            let got = run::<f64>(&inputs, |g, x| f(g, x[0], x[1]));
            prop_assert!(got.iter().zip(want.data()).all(|(a, b)| (a - b).abs() < 1e-12 * k.max(1) as f64 * 5.0));
            check("matmul", &inputs, |g, x| f(g, x[0], x[1]));
        }
        let inputs = [a, b, eighths(&entries(m, 1, seed ^ 2, false), 1.0 / 128.0)];
        type Layer = fn(&mut Recording<f64>, Var, Var, Var) -> Var;
        type Case = (&'static str, Layer, fn(f64) -> f64);
        let layers: [Case; 4] = [
            ("linear", |g, w, x, b| g.linear(w, x, b), |z| z),
            ("linear_relu", |g, w, x, b| g.linear_relu(w, x, b), |z| z.max(0.0)),
            ("linear_silu", |g, w, x, b| g.linear_silu(w, x, b), |z| z / (1.0 + (-z).exp())),
            ("linear_tanh", |g, w, x, b| g.linear_tanh(w, x, b), f64::tanh),
        ];
        for (name, layer, reference) in layers {
            let got = run::<f64>(&inputs, |g, x| layer(g, x[0], x[1], x[2]));
            for (k, y) in got.iter().enumerate() {
                let z = want.data()[k] + inputs[2].data()[k % m];
                prop_assert!((y - reference(z)).abs() < 1e-9 * z.abs().max(1.0), "{name}: {y} at {z}");
            }
            check(name, &inputs, |g, x| layer(g, x[0], x[1], x[2]));
        }
    }

    #[test]
    fn scaled_and_shifted_rows_have_the_right_gradients(rows in size(), cols in size(), seed in 0_u64..1 << 40) {
        let one = |k| entries(rows, 1, seed ^ k, false);
        let x = [entries(rows, cols, seed, false), one(1), one(2)];
        let got = run::<f64>(&x, |g, x| g.scale_shift(x[0], x[1], x[2]));
        let want = run::<f64>(&x, |g, x| {
            let y = g.mul(x[0], x[1]);
            g.add(y, x[2])
        });
        prop_assert_eq!(got, want);
        check("scale_shift", &x, |g, x| g.scale_shift(x[0], x[1], x[2]));
    }

    #[test]
    fn dropout_has_the_right_gradient(rows in size(), cols in size(), rate in 0.0..0.9, seed in 0_u64..1 << 40) {
        let x = [entries(rows, cols, seed, false)];
        check("dropout", &x, |g, x| g.dropout(x[0], rate, &mut Stream::new(seed, "mask", 0, 0)));
    }

    #[test]
    fn moving_columns_has_the_right_gradients(rows in size(), n in 1_usize..20, count in 0_usize..40, seed in 0_u64..1 << 40) {
        let mut s = Stream::new(seed, "indices", 0, 0);
        let indices: Vec<usize> = (0..count).map(|_| s.index(n)).collect();
        let moves = Moves::new(indices.iter().map(|i| *i as u32).collect(), n).unwrap();
        let x = [entries(rows, n, seed, false)];
        let got = run::<f64>(&x, |g, x| g.gather(x[0], &moves));
        let want: Vec<f64> = indices.iter().flat_map(|i| x[0].col(*i)).copied().collect();
        prop_assert_eq!(got, want);
        check("gather", &x, |g, x| g.gather(x[0], &moves));
        let x = [entries(rows, count, seed, false)];
        let mut want = Matrix::<f64>::zeros(rows, n);
        indices.iter().enumerate().for_each(|(k, i)| want.col_mut(*i).iter_mut().zip(x[0].col(k)).for_each(|(y, x)| *y += x));
        prop_assert_eq!(run::<f64>(&x, |g, x| g.scatter_add(x[0], &moves)), want.into_vec());
        check("scatter_add", &x, |g, x| g.scatter_add(x[0], &moves));
    }

    #[test]
    fn sparse_products_agree_with_dense_ones(m in 0_usize..20, n in 0_usize..20, d in size(), seed in 0_u64..1 << 40) {
        let mut s = Stream::new(seed, "sparse", 0, 0);
        let dense = Matrix::from_fn(m, n, |_, _| if s.uniform() < 0.3 { s.uniform() + 0.1 } else { 0.0 });
        let (mut starts, mut columns, mut data) = (vec![0], Vec::new(), Vec::new());
        for i in 0..m {
            for j in (0..n).filter(|j| dense[(i, *j)] != 0.0) {
                columns.push(j);
                data.push(dense[(i, j)]);
            }
            starts.push(columns.len());
        }
        let csr = sprs::CsMat::new((m, n), starts, columns, data);
        let (sparse, values) = Sparse::new(&csr);
        let w = Matrix::from_vec(1, values.len(), values);
        let x = [w, entries(d, n, seed, false)];
        let got = run::<f64>(&x, |g, x| g.sparse_columns(&sparse, x[0], x[1]));
        let want = Matrix::from_fn(d, m, |a, i| (0..n).map(|j| dense[(i, j)] * x[1][(a, j)]).sum::<f64>());
        prop_assert!(got.iter().zip(want.data()).all(|(a, b)| (a - b).abs() < 1e-12));
        check("sparse_columns", &x, |g, x| g.sparse_columns(&sparse, x[0], x[1]));
    }

    #[test]
    fn stacking_has_the_right_gradients(a in size(), b in size(), n in size(), seed in 0_u64..1 << 40) {
        let inputs = [entries(a, n, seed, false), entries(b, n, seed ^ 1, false)];
        check("concat_rows", &inputs, |g, x| g.concat_rows(&[x[0], x[1], x[0]]));
        let inputs = [entries(n, a, seed, false), entries(n, b, seed ^ 1, false)];
        check("concat_cols", &inputs, |g, x| g.concat_cols(&[x[0], x[1], x[0]]));
    }
}

/// Some of everything, large enough that the parallel paths are taken.
fn everything<T: Real>(g: &mut Recording<T>, w: Var, x: Var, b: Var) -> Var {
    let h = g.linear_silu(w, x, b);
    let p = g.matmul_tn(h, h);
    let p = g.scale(p, 1e-3);
    let p = g.column_softmax(p);
    let h = g.matmul(h, p);
    let h = g.tanh(h);
    let s = g.column_logsumexp(h);
    let h = g.mul(h, s);
    let h = g.combine((b, h), (b, h, h));
    let h = g.slice_rows(h, 1..20);
    g.concat_rows(&[h, s])
}

fn gradients(threads: usize) -> Vec<u64> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let (w, x, b) = (entries(64, 33, 1, false), entries(33, 700, 2, false), entries(64, 1, 3, false));
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let vars = [&w, &x, &b].map(|m| g.variable(m.rows(), m.cols(), m.data()));
        let y = everything(&mut g, vars[0], vars[1], vars[2]);
        let seed = entries(20, 700, 4, false);
        g.backward_from(y, seed.data(), &mut []);
        vars.iter().flat_map(|v| g.grad(*v).data).map(|v| v.to_bits()).collect()
    })
}

#[test]
fn gradients_have_the_same_bits_for_any_number_of_threads() {
    let one = gradients(1);
    assert_eq!(one, gradients(2));
    assert_eq!(one, gradients(5));
}

#[test]
fn a_vjp_is_linear_in_its_cotangent() {
    let x = entries(9, 11, 5, true);
    for (name, _, f, _) in UNARY {
        let pull = |seed: f64| {
            let mut tape = Tape::<f64>::new();
            let mut g = tape.record(&[]);
            let v = g.variable(9, 11, x.data());
            let y = f(&mut g, v);
            let n = g.shape(y).len();
            g.backward_from(y, &(0..n).map(|k| seed * (1.0 + k as f64)).collect::<Vec<_>>(), &mut []);
            g.grad(v).data.to_vec()
        };
        let (one, three) = (pull(1.0), pull(3.0));
        assert!(one.iter().zip(&three).all(|(a, b)| (3.0 * a - b).abs() < 1e-9 * b.abs().max(1.0)), "{name}");
        assert!(pull(0.0).iter().all(|v| *v == 0.0), "{name}");
    }
}
