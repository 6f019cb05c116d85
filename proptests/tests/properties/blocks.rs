//! Ops at sizes where several tasks and several blocks of columns run, against plain loops and finite
//! differences along a few directions.

use engine::gradcheck::gradcheck_along;
use engine::ops::index::Moves;
use engine::rng::Stream;
use engine::{Matrix, Recording, Var};

use crate::ops::{eighths, entries, run};

/// Shape of the results: entries for three tasks, and two blocks of columns with a part of a third.
const ROWS: usize = 150;
const COLS: usize = 300;
/// Terms of a product, so many that the factors' cotangents have more than one block too.
const INNER: usize = 140;

fn check(
    name: &str,
    inputs: &[Matrix<f64>],
    want: &Matrix<f64>,
    f: impl Fn(&mut Recording<f64>, &[Var]) -> Var,
) {
    let got = run::<f64>(inputs, &f);
    assert_eq!(got.len(), want.data().len(), "{name}");
    for (got, want) in got.iter().zip(want.data()) {
        assert!((got - want).abs() < 1e-11 * want.abs().max(1.0), "{name}: {got} is not {want}");
    }
    gradcheck_along(2, inputs, 1e-6, f).unwrap_or_else(|e| panic!("{name}: {e}"));
}

fn product(a: &Matrix<f64>, b: &Matrix<f64>) -> Matrix<f64> {
    Matrix::from_fn(a.rows(), b.cols(), |i, j| (0..a.cols()).map(|k| a[(i, k)] * b[(k, j)]).sum())
}

#[test]
fn products_of_several_blocks() {
    let flip = |a: &Matrix<f64>| Matrix::from_fn(a.cols(), a.rows(), |i, j| a[(j, i)]);
    let (a, b) = (entries(ROWS, INNER, 1, false), entries(INNER, COLS, 2, false));
    let want = product(&a, &b);
    check("matmul", &[a.clone(), b.clone()], &want, |g, x| g.matmul(x[0], x[1]));
    check("matmul_tn", &[flip(&a), b], &want, |g, x| g.matmul_tn(x[0], x[1]));
}

#[test]
fn layers_of_several_blocks() {
    let (w, x) =
        (eighths(&entries(ROWS, INNER, 1, false), 0.0), eighths(&entries(INNER, COLS, 2, false), 0.0));
    let b = eighths(&entries(ROWS, 1, 3, false), 1.0 / 128.0);
    let mut z = product(&w, &x);
    (0..COLS).for_each(|j| z.col_mut(j).iter_mut().zip(b.data()).for_each(|(z, b)| *z += b));
    let relu = Matrix::from_fn(ROWS, COLS, |i, j| z[(i, j)].max(0.0));
    let inputs = [w, x, b];
    check("linear", &inputs, &z, |g, x| g.linear(x[0], x[1], x[2]));
    check("linear_relu", &inputs, &relu, |g, x| g.linear_relu(x[0], x[1], x[2]));
}

#[test]
fn broadcasts_over_several_tasks() {
    let a = entries(ROWS, COLS, 1, false);
    type Case = (&'static str, fn(&mut Recording<f64>, Var, Var) -> Var, fn(f64, f64) -> f64);
    let cases: [Case; 4] = [
        ("add", |g, a, b| g.add(a, b), |a, b| a + b),
        ("sub", |g, a, b| g.sub(a, b), |a, b| a - b),
        ("mul", |g, a, b| g.mul(a, b), |a, b| a * b),
        ("div", |g, a, b| g.div(a, b), |a, b| a / b),
    ];
    for (rows, cols) in [(ROWS, COLS), (ROWS, 1), (1, COLS), (1, 1)] {
        let inputs = [a.clone(), entries(rows, cols, 2, true)];
        for (name, f, plain) in cases {
            let b = |i: usize, j: usize| inputs[1][(i.min(rows - 1), j.min(cols - 1))];
            let want = Matrix::from_fn(ROWS, COLS, |i, j| plain(a[(i, j)], b(i, j)));
            check(&format!("{name} {rows} x {cols}"), &inputs, &want, |g, x| f(g, x[0], x[1]));
        }
    }
}

#[test]
fn normalisations_over_several_tasks() {
    let x = entries(ROWS, COLS, 1, false);
    let (w, b) = (entries(ROWS, 1, 2, false), entries(ROWS, 1, 3, false));
    let scaled = Matrix::from_fn(ROWS, COLS, |i, j| w[(i, 0)] * x[(i, j)] + b[(i, 0)]);
    check("scale_shift", &[x.clone(), w, b], &scaled, |g, x| g.scale_shift(x[0], x[1], x[2]));
    let eps = 0.1;
    let unit = |group: Vec<f64>| -> Vec<f64> {
        let n = group.len() as f64;
        let mean = group.iter().sum::<f64>() / n;
        let variance = group.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        group.iter().map(|v| (v - mean) / (variance + eps).sqrt()).collect()
    };
    let rows: Vec<_> = (0..ROWS).map(|i| unit((0..COLS).map(|j| x[(i, j)]).collect())).collect();
    let by_row = Matrix::from_fn(ROWS, COLS, |i, j| rows[i][j]);
    check("normalise_rows", std::slice::from_ref(&x), &by_row, |g, x| g.normalise_rows(x[0], eps));
    let columns: Vec<_> = (0..COLS).map(|j| unit((0..ROWS).map(|i| x[(i, j)]).collect())).collect();
    let by_column = Matrix::from_fn(ROWS, COLS, |i, j| columns[j][i]);
    check("normalise_columns", &[x], &by_column, |g, x| g.normalise_columns(x[0], eps));
}

#[test]
fn combinations_and_activations_over_several_tasks() {
    let [a, c, d] = [1, 2, 3].map(|seed| entries(ROWS, COLS, seed, false));
    let silu = Matrix::from_fn(ROWS, COLS, |i, j| a[(i, j)] / (1.0 + (-a[(i, j)]).exp()));
    check("silu", std::slice::from_ref(&a), &silu, |g, x| g.silu(x[0]));
    let (alpha, beta) = (entries(ROWS, 1, 4, false), entries(1, 1, 5, false));
    let want =
        Matrix::from_fn(ROWS, COLS, |i, j| alpha[(i, 0)] * a[(i, j)] + beta[(0, 0)] * c[(i, j)] * d[(i, j)]);
    let f = |g: &mut Recording<f64>, x: &[Var]| g.combine((x[0], x[1]), (x[2], x[3], x[4]));
    let inputs = [alpha, a, beta, c, d];
    check("combine", &inputs, &want, f);
    let want = Matrix::from_fn(ROWS, COLS, |i, j| inputs[3][(i, j)] + 0.25 * want[(i, j)]);
    let f =
        |g: &mut Recording<f64>, x: &[Var]| g.combine_step((x[3], 0.25), (x[0], x[1]), (x[2], x[3], x[4]));
    check("combine_step", &inputs, &want, f);
}

#[test]
fn columns_moved_by_several_tasks() {
    for (rows, n, count) in [(ROWS, 200, COLS), (1, 20_000, 40_000)] {
        let mut s = Stream::new(1, "indices", 0, 0);
        let indices: Vec<usize> = (0..count).map(|_| s.index(n)).collect();
        let moves = Moves::new(indices.iter().map(|i| *i as u32).collect(), n).unwrap();
        let x = entries(rows, n, 2, false);
        let want = Matrix::from_fn(rows, count, |i, k| x[(i, indices[k])]);
        check("gather", &[x], &want, |g, x| g.gather(x[0], &moves));
        let x = entries(rows, count, 3, false);
        let mut want = Matrix::zeros(rows, n);
        for (k, target) in indices.iter().enumerate() {
            (0..rows).for_each(|i| want[(i, *target)] += x[(i, k)]);
        }
        check("scatter_add", &[x], &want, |g, x| g.scatter_add(x[0], &moves));
    }
}
