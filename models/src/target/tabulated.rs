//! Densities on a line by a table: their integral, and samples by the inverse of the distribution function.

use engine::rng::Stream;

/// Cells of the table.
const CELLS: usize = 1 << 14;

/// A density on an interval outside of which it is as good as 0.
///
/// With h the width of a cell and f_i the density at the cells' borders, Z = h sum_i f_i. For a smooth density that
/// vanishes at both ends, with all of its derivatives, this trapezoidal rule converges faster than any power of h
/// (Trefethen and Weideman 2014). Inside a cell samples follow the straight line between its borders.
#[derive(Clone, Debug)]
pub(super) struct Tabulated {
    low: f64,
    width: f64,
    /// log of the integral of the density.
    log_z: f64,
    /// The density at the borders, in units of the largest.
    density: Vec<f64>,
    /// The share of the samples below each border.
    below: Vec<f64>,
}

impl Tabulated {
    /// The density exp(`log_p`) on the interval from `low` to `high`.
    pub fn new([low, high]: [f64; 2], log_p: impl Fn(f64) -> f64) -> Self {
        let width = (high - low) / CELLS as f64;
        let logs: Vec<f64> = (0..=CELLS).map(|i| log_p(low + width * i as f64)).collect();
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let density: Vec<f64> = logs.iter().map(|l| (l - most).exp()).collect();
        let mut below = vec![0.0; CELLS + 1];
        for i in 0..CELLS {
            below[i + 1] = below[i] + 0.5 * (density[i] + density[i + 1]);
        }
        let total = below[CELLS];
        below.iter_mut().for_each(|b| *b /= total);
        Self { low, width, log_z: most + (width * total).ln(), density, below }
    }

    /// log of the integral.
    pub fn log_z(&self) -> f64 {
        self.log_z
    }

    /// The share of samples below `x`.
    pub fn share_below(&self, x: f64) -> f64 {
        let place = ((x - self.low) / self.width).clamp(0.0, CELLS as f64);
        let i = (place as usize).min(CELLS - 1);
        let t = place - i as f64;
        let (left, right) = (self.density[i], self.density[i + 1]);
        let part = t * (left + 0.5 * t * (right - left));
        let whole = 0.5 * (left + right);
        let inside = if whole > 0.0 { part / whole } else { 0.0 };
        self.below[i] + inside * (self.below[i + 1] - self.below[i])
    }

    /// A sample.
    pub fn draw(&self, stream: &mut Stream) -> f64 {
        let u = stream.uniform();
        let i = (self.below.partition_point(|b| *b < u).max(1) - 1).min(CELLS - 1);
        let share = (u - self.below[i]) / (self.below[i + 1] - self.below[i]);
        let (left, right) = (self.density[i], self.density[i + 1]);
        // share (l + r) / 2 = l t + (r - l) t^2 / 2, solved for t without cancellation.
        let area = share * (left + right);
        let root = (left * left + (right - left) * area).max(0.0).sqrt();
        let t = if left + root > 0.0 { area / (left + root) } else { 0.5 };
        self.low + self.width * (i as f64 + t.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gaussian_has_its_integral_quantiles_and_moments() {
        let table = Tabulated::new([-12.0, 12.0], |x| -0.5 * x * x);
        assert!((table.log_z() - 0.5 * std::f64::consts::TAU.ln()).abs() < 1e-12);
        for (x, share) in [(0.0, 0.5), (1.0, 0.841_344_746_068_543), (-1.959_963_984_540_054, 0.025)] {
            assert!((table.share_below(x) - share).abs() < 1e-6, "{x}: {}", table.share_below(x));
        }
        let mut stream = Stream::new(1, "table", 0, 0);
        let x: Vec<f64> = (0..40_000).map(|_| table.draw(&mut stream)).collect();
        let moment = |k: i32| x.iter().map(|x| x.powi(k)).sum::<f64>() / x.len() as f64;
        // Five standard errors: variances of x, x^2 and x^4 are 1, 2 and 96.
        for (k, want, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (4, 3.0, 96.0_f64)] {
            let error = (variance / x.len() as f64).sqrt();
            assert!((moment(k) - want).abs() < 5.0 * error, "{k}: {}", moment(k));
        }
    }
}
