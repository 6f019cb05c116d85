//! Ratios of normalising constants along the ladder.
//!
//! For neighbours a and b with energies E_a, E_b and equally many draws of each, Bennett's acceptance
//! ratio (Journal of Computational Physics 22, 1976) is the C with
//!
//! sum over x ~ a of f(D(x) - C) = sum over y ~ b of f(C - D(y)),  D = E_b - E_a,  f(t) = 1 / (1 + e^t),
//!
//! and log Z_b - log Z_a = -C, the estimate of least variance from the two sets. The
//! walkers are independent, which gives the error without assumptions on autocorrelation: walker m moves the root C
//! by -g_m / g'(C), g_m its part of the difference of both sides. Summed over the edges, these are its influence
//! on log Z.

/// The draws on two neighbouring rungs, for each walker.
#[derive(Clone, Copy)]
pub struct Edge<'a> {
    /// D = gap U: the factor.
    pub gap: f64,
    /// U at each walker's draws of a.
    pub a: &'a [Vec<f64>],
    /// U at each walker's draws of b.
    pub b: &'a [Vec<f64>],
}

/// log Z by Bennett's acceptance ratio (Journal of Computational Physics 22, 1976) along the ladder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogZ {
    /// The estimate.
    pub value: f64,
    /// Its standard error; NaN for fewer than two walkers.
    pub error: f64,
}

/// log Z of the last state minus log Z of the first, along a chain of edges, from `walkers` independent
/// walkers with as many draws on either side of each edge.
pub fn log_z<'a>(edges: impl Iterator<Item = Edge<'a>>, walkers: usize) -> LogZ {
    let (mut value, mut influence) = (0.0, vec![0.0; walkers]);
    for edge in edges {
        let scaled = |u: &[Vec<f64>]| -> Vec<Vec<f64>> {
            u.iter().map(|u| u.iter().map(|u| edge.gap * u).collect()).collect()
        };
        let (ratio, parts) = bennett(&scaled(edge.a), &scaled(edge.b));
        value += ratio;
        influence.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
    }
    let m = walkers as f64;
    let mean = influence.iter().sum::<f64>() / m;
    let error = (m / (m - 1.0) * influence.iter().map(|v| (v - mean).powi(2)).sum::<f64>()).sqrt();
    LogZ { value, error: if walkers < 2 { f64::NAN } else { error } }
}

/// log Z_b - log Z_a from D at each walker's draws of a and of b, and each walker's influence on it.
pub fn bennett(forward: &[Vec<f64>], backward: &[Vec<f64>]) -> (f64, Vec<f64>) {
    let f = |t: f64| 1.0 / (1.0 + t.exp());
    let part = |m: usize, c: f64| {
        let a: f64 = forward[m].iter().map(|d| f(d - c)).sum();
        let b: f64 = backward[m].iter().map(|d| f(c - d)).sum();
        a - b
    };
    // Increasing in c.
    let g = |c: f64| (0..forward.len()).map(|m| part(m, c)).sum::<f64>();
    let (mut low, mut high) = (-1.0, 1.0);
    while g(low) > 0.0 && low > -1e300 {
        low *= 2.0;
    }
    while g(high) < 0.0 && high < 1e300 {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high || high - low < 1e-12 * high.abs().max(1.0) {
            break;
        }
        if g(middle) < 0.0 { low = middle } else { high = middle }
    }
    let c = 0.5 * (low + high);
    // f' = -f (1 - f).
    let bell = |d: &f64| f(d - c) * (1.0 - f(d - c));
    let slope: f64 = forward.iter().chain(backward).flatten().map(bell).sum();
    // C moves by -g_m / g', and log Z_b - log Z_a = -C by as much the other way.
    (-c, (0..forward.len()).map(|m| part(m, c) / slope).collect())
}

#[cfg(test)]
mod tests {
    use engine::rng::Stream;

    use super::*;

    /// Walkers' draws of N(0, s^2).
    fn normals(s: f64, walkers: usize, n: usize, seed: u64) -> Vec<Vec<f64>> {
        let draw = |m: usize| {
            let mut x = vec![0.0; n];
            Stream::new(seed, "bennett", 0, m as u64).fill_normal(&mut x);
            x.iter().map(|v| s * v).collect()
        };
        (0..walkers).map(draw).collect()
    }

    /// Between x^2 / 2 and x^2 / 8: Z_b / Z_a = 2.
    fn one_edge(seed: u64) -> LogZ {
        let squares = |s: f64, seed: u64| {
            let x = normals(s, 20, 500, seed);
            x.iter().map(|x| x.iter().map(|x| x * x).collect()).collect::<Vec<Vec<f64>>>()
        };
        let (a, b) = (squares(1.0, seed), squares(2.0, seed + 1000));
        log_z(std::iter::once(Edge { gap: 0.125 - 0.5, a: &a, b: &b }), 20)
    }

    #[test]
    fn a_ratio_of_gaussians_and_its_error() {
        let runs: Vec<LogZ> = (0..200).map(one_edge).collect();
        let errors: Vec<f64> = runs.iter().map(|r| r.value - 2f64.ln()).collect();
        let spread = (errors.iter().map(|e| e * e).sum::<f64>() / 200.0).sqrt();
        let mean = errors.iter().sum::<f64>() / 200.0;
        let claimed = runs.iter().map(|r| r.error).sum::<f64>() / 200.0;
        assert!(mean.abs() < 4.0 * spread / 200f64.sqrt(), "{mean} {spread}");
        assert!((claimed / spread - 1.0).abs() < 0.2, "{claimed} against {spread}");
    }

    #[test]
    fn extreme_differences_do_not_break_the_root() {
        let (value, parts) = bennett(&[vec![1e300, 5.0]], &[vec![5.0, -1e300]]);
        assert!(value.is_finite() && parts[0].is_finite(), "{value}");
        let (value, _) = bennett(&[vec![3.0; 4]], &[vec![3.0; 4]]);
        assert!((value + 3.0).abs() < 1e-9);
    }
}
