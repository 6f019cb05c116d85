//! Cholesky factors of matrices of the size of a state, with the same bits at every SIMD level.
//!
//! Matrices are by rows. Every kernel adds multiples of rows to a row, four at a time: a sum over such multiples has a
//! fixed order, and a library's has that of the machine's vectors.

use engine::simd_fn;

/// y += sum a_k x_k, as far as `y` goes.
#[inline(always)]
fn add_rows(a: [f64; 4], x: [&[f64]; 4], y: &mut [f64]) {
    let n = y.len();
    let [x0, x1, x2, x3] = x.map(|x| &x[..n]);
    for k in 0..n {
        y[k] = a[3].mul_add(x3[k], a[2].mul_add(x2[k], a[1].mul_add(x1[k], a[0].mul_add(x0[k], y[k]))));
    }
}

/// y += a x, as far as `y` goes.
#[inline(always)]
fn add_row(a: f64, x: &[f64], y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = a.mul_add(*x, *y);
    }
}

simd_fn! {
    /// Replaces the upper triangle of a symmetric matrix A (n x n) by that of U, A = U^T U. Where A is not positive
    /// definite, a pivot is 0 or no number.
    pub(super) fn cholesky(n: usize, a: &mut [f64]) {
        for i in 0..n {
            let (above, row) = a.split_at_mut(i * n);
            let row = &mut row[i..n];
            let mut j = 0;
            while j + 4 <= i {
                let x = [j, j + 1, j + 2, j + 3].map(|j| &above[j * n + i..(j + 1) * n]);
                add_rows(x.map(|x| -x[0]), x, row);
                j += 4;
            }
            while j < i {
                let x = &above[j * n + i..(j + 1) * n];
                add_row(-x[0], x, row);
                j += 1;
            }
            let pivot = row[0].sqrt();
            row[0] = pivot;
            let by = 1.0 / pivot;
            row[1..].iter_mut().for_each(|v| *v *= by);
        }
    }

    /// Writes the upper triangle of `scale` M^T M + `shift` I for a lower triangular M, whose upper triangle holds zeros.
    pub(super) fn gram(n: usize, m: &[f64], scale: f64, shift: f64, out: &mut [f64]) {
        for i in 0..n {
            let row = &mut out[i * n + i..(i + 1) * n];
            row.fill(0.0);
            let mut k = i;
            while k + 4 <= n {
                let x = [k, k + 1, k + 2, k + 3].map(|k| &m[k * n + i..(k + 1) * n]);
                add_rows(x.map(|x| x[0]), x, &mut row[..k + 4 - i]);
                k += 4;
            }
            while k < n {
                let x = &m[k * n + i..(k + 1) * n];
                add_row(x[0], x, &mut row[..k + 1 - i]);
                k += 1;
            }
            row.iter_mut().for_each(|v| *v *= scale);
            row[0] += shift;
        }
    }

    /// Writes the inverse of a lower triangular matrix; zeros above its diagonal.
    pub(super) fn invert_lower(n: usize, l: &[f64], out: &mut [f64]) {
        for i in 0..n {
            let (above, row) = out.split_at_mut(i * n);
            let (row, l) = (&mut row[..n], &l[i * n..(i + 1) * n]);
            row.fill(0.0);
            let mut j = 0;
            while j + 4 <= i {
                let x = [j, j + 1, j + 2, j + 3].map(|j| &above[j * n..(j + 1) * n]);
                add_rows([-l[j], -l[j + 1], -l[j + 2], -l[j + 3]], x, &mut row[..j + 4]);
                j += 4;
            }
            while j < i {
                add_row(-l[j], &above[j * n..(j + 1) * n], &mut row[..j + 1]);
                j += 1;
            }
            row[i] = 1.0;
            let by = 1.0 / l[i];
            row[..i + 1].iter_mut().for_each(|v| *v *= by);
        }
    }

    /// Writes U^T x for an upper triangular U.
    pub(super) fn times_transposed(n: usize, u: &[f64], x: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        for k in 0..n {
            add_row(x[k], &u[k * n + k..(k + 1) * n], &mut out[k..]);
        }
    }

    /// Writes L^T x for a lower triangular L.
    pub(super) fn times_lower_transposed(n: usize, l: &[f64], x: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        for k in 0..n {
            add_row(x[k], &l[k * n..k * n + k + 1], &mut out[..k + 1]);
        }
    }

    /// Replaces x by L^-T x for a lower triangular L.
    pub(super) fn solve_lower_transposed(n: usize, l: &[f64], x: &mut [f64]) {
        for k in (0..n).rev() {
            let row = &l[k * n..k * n + k + 1];
            let value = x[k] / row[k];
            x[k] = value;
            add_row(-value, row, &mut x[..k]);
        }
    }

    /// Replaces x by U^-T x for an upper triangular U.
    pub(super) fn solve_transposed(n: usize, u: &[f64], x: &mut [f64]) {
        for k in 0..n {
            let row = &u[k * n + k..(k + 1) * n];
            let value = x[k] / row[0];
            x[k] = value;
            add_row(-value, &row[1..], &mut x[k + 1..]);
        }
    }
}

/// Writes the transpose of an upper triangular matrix, with zeros above the diagonal.
pub(super) fn transpose(n: usize, u: &[f64], out: &mut [f64]) {
    for (i, row) in out.chunks_exact_mut(n.max(1)).enumerate() {
        for (j, v) in row.iter_mut().enumerate() {
            *v = if j <= i { u[j * n + i] } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::rng::Stream;
    use engine::simd::{Level, level, set_level};

    use super::*;

    /// A positive definite matrix, and a vector.
    fn case(n: usize) -> (Vec<f64>, Vec<f64>) {
        let (mut g, mut x) = (vec![0.0; n * n], vec![0.0; n]);
        let mut stream = Stream::new(1, "matrix", n as u64, 0);
        stream.fill_normal(&mut g);
        stream.fill_normal(&mut x);
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                a[i * n + j] = (0..n).map(|k| g[i * n + k] * g[j * n + k]).sum::<f64>() / n as f64;
            }
            a[i * n + i] += 0.3;
        }
        (a, x)
    }

    fn product(n: usize, a: impl Fn(usize, usize) -> f64, x: &[f64]) -> Vec<f64> {
        (0..n).map(|i| (0..n).map(|j| a(i, j) * x[j]).sum()).collect()
    }

    fn close(a: &[f64], b: &[f64]) {
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-11 * (1.0 + b.abs())), "{a:?} {b:?}");
    }

    /// All that is computed of a matrix and a vector.
    fn all(n: usize) -> Vec<Vec<f64>> {
        let (a, x) = case(n);
        let (mut u, zeros) = (a.clone(), vec![0.0; n * n]);
        cholesky(n, &mut u);
        let (mut l, mut m, mut s) = (zeros.clone(), zeros.clone(), zeros);
        transpose(n, &u, &mut l);
        invert_lower(n, &l, &mut m);
        gram(n, &m, 2.0, 0.5, &mut s);
        let (mut y, mut z) = (vec![1.0; n], vec![1.0; n]);
        times_transposed(n, &u, &x, &mut y);
        times_lower_transposed(n, &l, &x, &mut z);
        let [mut v, mut w] = [x.clone(), x];
        solve_lower_transposed(n, &l, &mut v);
        solve_transposed(n, &u, &mut w);
        vec![u, l, m, s, y, z, v, w]
    }

    #[test]
    fn products_and_solutions_are_those_of_their_definitions() {
        for n in [0, 1, 2, 3, 4, 5, 8, 9, 13, 31, 39] {
            let (a, x) = case(n);
            let [u, l, m, s, y, z, v, w] = <[Vec<f64>; 8]>::try_from(all(n)).unwrap();
            let lower = |i: usize, j: usize| if j <= i { l[i * n + j] } else { 0.0 };
            let upper = |i: usize, j: usize| lower(j, i);
            // L L^T x = A x.
            close(&product(n, lower, &product(n, upper, &x)), &product(n, |i, j| a[i * n + j], &x));
            assert!((0..n).all(|i| (i..n).all(|j| u[i * n + j] == l[j * n + i])));
            close(&product(n, lower, &product(n, |i, j| m[i * n + j], &x)), &x);
            // s = 2 A^-1 + I / 2.
            let inverse = |i: usize, j: usize| {
                let (i, j) = (i.min(j), i.max(j));
                0.5 * (s[i * n + j] - if i == j { 0.5 } else { 0.0 })
            };
            close(&product(n, |i, j| a[i * n + j], &product(n, inverse, &x)), &x);
            close(&y, &product(n, lower, &x));
            close(&z, &product(n, upper, &x));
            close(&product(n, upper, &v), &x);
            close(&product(n, lower, &w), &x);
        }
    }

    #[test]
    fn every_simd_level_gives_the_same_bits() {
        let before = level();
        for n in [1, 7, 8, 39] {
            let here = all(n);
            // Those that this processor has.
            for lower in Level::ALL.into_iter().filter(|l| set_level(*l) == *l) {
                set_level(lower);
                assert!(all(n) == here, "{n} {lower}");
            }
            set_level(before);
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_has_no_positive_pivots() {
        let mut a = vec![1.0, 2.0, 2.0, 1.0];
        cholesky(2, &mut a);
        assert!(a[3].is_nan());
        let mut a = vec![0.0];
        cholesky(1, &mut a);
        assert_eq!(a, [0.0]);
    }
}
