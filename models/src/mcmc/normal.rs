//! Quantiles of the normal distribution.

/// The x at which the standard normal distribution function is `p` in (0, 1): a rational approximation
/// of relative error 1.2e-9 (P. J. Acklam, 2003).
pub(super) fn quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 5] = [
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 4] = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416];
    let polynomial = |c: &[f64], x: f64| c.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let q = (-2.0 * p.ln()).sqrt();
        polynomial(&C, q) / (polynomial(&D, q) * q + 1.0)
    };
    if p < 0.02425 {
        tail(p)
    } else if p > 1.0 - 0.02425 {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        let r = q * q;
        q * polynomial(&A, r) / (polynomial(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_from_tables() {
        let table = [
            (0.5, 0.0),
            (0.75, 0.674489750196082),
            (0.975, 1.959963984540054),
            (0.99, 2.326347874040841),
            (0.999, 3.090232306167813),
            (1e-6, -4.753424308822899),
        ];
        for (p, x) in table {
            assert!((quantile(p) - x).abs() < 1e-8, "{p}: {}", quantile(p));
            assert!((quantile(1.0 - p) + x).abs() < 1e-8);
        }
    }
}
