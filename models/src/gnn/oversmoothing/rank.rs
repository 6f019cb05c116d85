//! In how many directions states still differ.

use engine::Real;

/// The numerical rank |X|_F^2 / |X|_2^2 of a state x (channels x nodes), at least 1; 0 for a state of zeros. It is 1
/// where the states of all nodes are multiples of one. The largest singular value is found by the power method on
/// X X^T from a fixed start.
pub fn numerical_rank<T: Real>(x: &[T], nodes: usize) -> f64 {
    let rows = x.len() / nodes.max(1);
    let largest = x.iter().fold(0.0_f64, |m, v| m.max(v.f64().abs()));
    if rows == 0 || largest == 0.0 {
        return 0.0;
    }
    let mut gram = vec![0.0; rows * rows];
    for column in x.chunks_exact(rows) {
        for (a, row) in column.iter().zip(gram.chunks_exact_mut(rows)) {
            // Without the scale the square of a state that has shrunk below 1e-154 is 0.
            let a = a.f64() / largest;
            row.iter_mut().zip(column).for_each(|(g, b)| *g += a * (b.f64() / largest));
        }
    }
    let trace: f64 = (0..rows).map(|a| gram[a * rows + a]).sum();
    let mut v: Vec<f64> = (0..rows).map(|a| 1.0 + 0.1 * ((a + 1) as f64).sin()).collect();
    let mut top = 0.0;
    for _ in 0..300 {
        let length = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        v.iter_mut().for_each(|v| *v /= length);
        let next: Vec<f64> =
            gram.chunks_exact(rows).map(|row| row.iter().zip(&v).map(|(g, v)| g * v).sum()).collect();
        top = next.iter().zip(&v).map(|(n, v)| n * v).sum();
        v = next;
    }
    (trace / top).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::numerical_rank;

    #[test]
    fn rank_of_known_states() {
        // Multiples of (1, -2).
        assert!((numerical_rank(&[1.0, -2.0, 3.0, -6.0, -0.5, 1.0], 3) - 1.0).abs() < 1e-12);
        // Singular values 2 and 1: 5 / 4.
        assert!((numerical_rank(&[2.0, 0.0, 0.0, 1.0], 2) - 1.25).abs() < 1e-12);
        assert!((numerical_rank(&[2e-200, 0.0, 0.0, 1e-200], 2) - 1.25).abs() < 1e-12);
        assert!((numerical_rank(&[1.0, 0.0, 0.0, 1.0], 2) - 2.0).abs() < 1e-12);
        assert_eq!(numerical_rank(&[0.0; 4], 2), 0.0);
    }
}
