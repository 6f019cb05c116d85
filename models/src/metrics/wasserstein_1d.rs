//! The 2-Wasserstein distance on the line.

use super::{MetricError, count};

/// W2 between uniform measures on the numbers `x` and `y`, of any two sizes, exactly:
///
/// W2(x, y)^2 = integral over u in (0, 1) of (F_x^-1(u) - F_y^-1(u))^2,
///
/// F^-1 the quantile function, because the optimal plan on the line is monotone (Villani, "Topics in
/// Optimal Transportation", 2003, Theorem 2.18). O(n log n).
///
/// # Errors
/// If an input is empty or not finite.
pub fn w2_1d(x: &[f64], y: &[f64]) -> Result<f64, MetricError> {
    let (n, m) = (count(x, 1)?, count(y, 1)?);
    let sorted = |x: &[f64]| {
        let mut x = x.to_vec();
        x.sort_unstable_by(f64::total_cmp);
        x
    };
    let (x, y) = (sorted(x), sorted(y));
    // Quantile functions are steps. Positions in (0, 1) are integers in units of 1 / lcm(n, m): a step of x
    // spans m / gcd of them.
    let gcd = greatest_common_divisor(n, m);
    let (step_x, step_y) = (m / gcd, n / gcd);
    let (mut i, mut j, mut at, mut sum) = (0, 0, 0, 0.0);
    while i < n && j < m {
        let (end_x, end_y) = ((i + 1) * step_x, (j + 1) * step_y);
        let end = end_x.min(end_y);
        sum += (end - at) as f64 * (x[i] - y[j]).powi(2);
        i += usize::from(end_x == end);
        j += usize::from(end_y == end);
        at = end;
    }
    Ok((sum / at as f64).sqrt())
}

/// Euclid's algorithm; both numbers are positive.
fn greatest_common_divisor(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sizes_pair_the_sorted_numbers() {
        // 1-2, 3-5: sqrt((1 + 4) / 2).
        assert_eq!(w2_1d(&[3.0, 1.0], &[2.0, 5.0]), Ok(2.5f64.sqrt()));
    }

    #[test]
    fn unequal_sizes_integrate_the_quantile_functions() {
        // On thirds 0, 3, 6 and halves 0, 6, in sixths: 0-0, 0-0, 3-0, 3-6, 6-6, 6-6: 18 / 6.
        assert_eq!(w2_1d(&[6.0, 0.0, 3.0], &[0.0, 6.0]), Ok(3f64.sqrt()));
        assert_eq!(w2_1d(&[0.0, 6.0], &[6.0, 0.0, 3.0]), Ok(3f64.sqrt()));
        // Against a point mass: the root mean square.
        assert_eq!(w2_1d(&[3.0, -4.0], &[0.0]), Ok(12.5f64.sqrt()));
    }

    #[test]
    fn repeating_every_point_changes_nothing() {
        let (x, y) = ([0.5, -1.0, 2.0], [0.0, 1.0, 4.0]);
        let twice = [x, x].concat();
        assert_eq!(w2_1d(&twice, &y), w2_1d(&x, &y));
    }

    #[test]
    fn logistic_quantiles_approach_the_closed_form() {
        // W2 of logistic laws at 0 and 1 with scales 1 and 2: sqrt(1 + pi^2 / 3).
        let quantiles = |shift: f64, scale: f64| -> Vec<f64> {
            const N: usize = 100_000;
            let u = (0..N).map(|i| (i as f64 + 0.5) / N as f64);
            u.map(|u| shift + scale * (u / (1.0 - u)).ln()).collect()
        };
        let w = w2_1d(&quantiles(0.0, 1.0), &quantiles(1.0, 2.0)).unwrap();
        let exact = (1.0 + std::f64::consts::PI.powi(2) / 3.0).sqrt();
        assert!((w - exact).abs() < 1e-3, "{w} against {exact}");
    }

    #[test]
    fn malformed_inputs_are_errors() {
        assert_eq!(w2_1d(&[], &[1.0]), Err(MetricError::Empty));
        assert_eq!(w2_1d(&[1.0], &[0.0, f64::NAN]), Err(MetricError::NotFinite(1)));
    }
}
