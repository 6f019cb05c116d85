//! The plane in which states differ most.

use engine::Real;

/// Coordinates of each column of `x` (rows x n) along the first two principal components: n pairs.
/// Orthogonal iteration from fixed directions; the sign of an axis makes its largest entry positive.
pub fn principal_plane<T: Real>(x: &[T], rows: usize) -> Vec<[f64; 2]> {
    if rows == 0 {
        return Vec::new();
    }
    let n = x.len() / rows;
    let mut mean = vec![0.0; rows];
    for column in x.chunks_exact(rows) {
        mean.iter_mut().zip(column).for_each(|(m, v)| *m += v.f64() / n as f64);
    }
    let along = |axis: &[f64], column: &[T]| -> f64 {
        axis.iter().zip(column).zip(&mean).map(|((a, v), m)| a * (v.f64() - m)).sum()
    };
    let mut axes = [0, 1].map(|k| (0..rows).map(|i| ((i * (k + 2) + 1) as f64).sin()).collect::<Vec<f64>>());
    for _ in 0..100 {
        for k in 0..2 {
            let mut next = vec![0.0; rows];
            for column in x.chunks_exact(rows) {
                let t = along(&axes[k], column);
                next.iter_mut().zip(column).zip(&mean).for_each(|((a, v), m)| *a += t * (v.f64() - m));
            }
            if k == 1 {
                let overlap: f64 = next.iter().zip(&axes[0]).map(|(a, b)| a * b).sum();
                next.iter_mut().zip(&axes[0]).for_each(|(a, b)| *a -= overlap * b);
            }
            let norm = next.iter().map(|a| a * a).sum::<f64>().sqrt().max(1e-300);
            next.iter_mut().for_each(|a| *a /= norm);
            axes[k] = next;
        }
    }
    for axis in &mut axes {
        let largest = axis.iter().copied().fold(0.0, |m: f64, v| if v.abs() > m.abs() { v } else { m });
        axis.iter_mut().for_each(|a| *a *= largest.signum());
    }
    x.chunks_exact(rows).map(|c| [along(&axes[0], c), along(&axes[1], c)]).collect()
}

#[cfg(test)]
mod tests {
    use super::principal_plane;

    #[test]
    fn a_stretched_cross_lies_along_its_axes() {
        // Points at +-3 on the second axis and +-1 on the third, shifted.
        let x = [5.0, 3.0, 0.0, 5.0, -3.0, 0.0, 5.0, 0.0, 1.0, 5.0, 0.0, -1.0];
        let p = principal_plane(&x, 3);
        let want = [[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]];
        for (p, w) in p.iter().zip(want) {
            assert!((p[0] - w[0]).abs() < 1e-9 && (p[1] - w[1]).abs() < 1e-9, "{p:?}");
        }
    }
}
