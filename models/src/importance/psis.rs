//! Pareto-smoothed importance sampling (Vehtari, Simpson, Gelman, Yao and Gabry, JMLR 25, 2024).

use super::weights::largest;

/// The shortest tail that is fitted.
const SHORTEST_TAIL: usize = 5;
/// Lower bound of exceedances relative to the largest weight; their reciprocals stay finite.
const LEAST: f64 = 1e-300;

/// k-hat, the estimated tail shape of the weights exp(log_w), which may be 0.
///
/// The M = min(n / 5, 3 sqrt(n)) largest of n weights (rounded down) exceed the next largest one, u, by
/// amounts that follow nearly a generalised Pareto distribution,
///
/// P(w - u > y) = (1 + k y / s)^(-1/k).
///
/// Moments of the weights exist up to order 1/k. Estimates are reliable for k-hat < 0.7 (for n > 2000; in
/// general for k-hat < 1 - 1 / log10(n)) and useless above 1 (Vehtari et al., JMLR 25, 2024).
///
/// The fit is that of Zhang and Stephens (Technometrics 51, 2009). With b = -k / s the profile likelihood
/// is
///
/// l(b) = M (log(-b / k(b)) - k(b) - 1), k(b) = (1/M) sum_i log(1 - b y_i),
///
/// and b-hat is the posterior mean on a grid of m = 30 + sqrt(M) values,
///
/// b_j = 1 / y_max + (1 - sqrt(m / (j - 1/2))) / (3 y_q), y_q the first quartile.
///
/// k-hat = (M k(b-hat) + 5) / (M + 10): shrunk towards 1/2 by the weight of ten exceedances (Vehtari et
/// al., appendix C).
///
/// The result is -inf if the largest weights are all equal (no tail), and NaN if the tail cannot be
/// judged: fewer than 25 samples, fewer than 5 weights above u, or a log-weight that is NaN or +inf. A
/// test like `k < 0.7` fails for NaN.
pub fn pareto_k_hat(log_w: &[f64]) -> f64 {
    Tail::of(log_w).map_or_else(|k| k, |tail| tail.fit().k)
}

/// Pareto smoothing: the log-weights with the tail replaced by the expected order statistics of the fitted
/// distribution ([`pareto_k_hat`]),
///
/// w_(z) = u + (s / k) ((1 - (z - 1/2) / M)^-k - 1), z = 1..M, but at most the largest raw weight,
///
/// and k-hat. The order of samples is kept; ties are ordered by position. If k-hat is infinite or NaN the
/// log-weights are returned unchanged.
pub fn pareto_smooth(log_w: &[f64]) -> (Vec<f64>, f64) {
    let mut smoothed = log_w.to_vec();
    let tail = match Tail::of(log_w) {
        Ok(tail) => tail,
        Err(k) => return (smoothed, k),
    };
    let law = tail.fit();
    let above = tail.exceedances.len() as f64;
    for (z, &i) in tail.order.iter().enumerate() {
        let y = law.quantile((z as f64 + 0.5) / above);
        smoothed[i] = tail.top + (tail.cutoff + y).ln().min(0.0);
    }
    (smoothed, law.k)
}

/// The largest weights, in units of the largest.
struct Tail {
    /// Its logarithm.
    top: f64,
    /// u.
    cutoff: f64,
    /// The samples above u, from the least to the largest.
    order: Vec<usize>,
    /// Their w - u, ascending.
    exceedances: Vec<f64>,
}

impl Tail {
    /// The tail, or the k-hat to report if there is none to fit.
    fn of(log_w: &[f64]) -> Result<Self, f64> {
        let n = log_w.len();
        let length = (n as f64 / 5.0).min(3.0 * (n as f64).sqrt()) as usize;
        let top = largest(log_w);
        if !top.is_finite() || length < SHORTEST_TAIL {
            return Err(f64::NAN);
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| log_w[a].total_cmp(&log_w[b]));
        let cutoff = log_w[order[n - length - 1]];
        if cutoff == top {
            return Err(f64::NEG_INFINITY);
        }
        // Weights equal to u are not in the tail.
        order.drain(..n - length);
        order.retain(|&i| log_w[i] > cutoff);
        if order.len() < SHORTEST_TAIL {
            return Err(f64::NAN);
        }
        // w - u = w (1 - u / w), without cancellation.
        let exceed = |l: f64| -(l - top).exp() * (cutoff - l).exp_m1();
        let exceedances = order.iter().map(|&i| exceed(log_w[i]).max(LEAST)).collect();
        Ok(Self { top, cutoff: (cutoff - top).exp(), order, exceedances })
    }

    /// The estimator of Zhang and Stephens, with the weak prior on k.
    fn fit(&self) -> GeneralisedPareto {
        let y = &self.exceedances;
        let n = y.len() as f64;
        let m = 30 + n.sqrt() as usize;
        let quartile = y[(n / 4.0 + 0.5) as usize - 1];
        let grid: Vec<f64> = (1..=m)
            .map(|j| 1.0 / y[y.len() - 1] + (1.0 - (m as f64 / (j as f64 - 0.5)).sqrt()) / (3.0 * quartile))
            .collect();
        let profile: Vec<f64> = grid.iter().map(|&b| n * (rate(b, y).ln() - shape(b, y) - 1.0)).collect();
        let best = largest(&profile);
        let weights = || profile.iter().map(|l| (l - best).exp());
        let b = grid.iter().zip(weights()).map(|(b, w)| b * w).sum::<f64>() / weights().sum::<f64>();
        let k = (n * shape(b, y) + 5.0) / (n + 10.0);
        GeneralisedPareto { k, s: 1.0 / rate(b, y) }
    }
}

/// k(b) = (1/M) sum_i log(1 - b y_i).
fn shape(b: f64, y: &[f64]) -> f64 {
    y.iter().map(|y| (-b * y).ln_1p()).sum::<f64>() / y.len() as f64
}

/// 1 / s = -b / k(b); at b = 0, where the distribution is exponential, one over the mean.
fn rate(b: f64, y: &[f64]) -> f64 {
    let k = shape(b, y);
    if k == 0.0 { y.len() as f64 / y.iter().sum::<f64>() } else { -b / k }
}

/// Shape k and scale s.
struct GeneralisedPareto {
    k: f64,
    s: f64,
}

impl GeneralisedPareto {
    /// The `p`-quantile of the exceedance: s ((1 - p)^-k - 1) / k.
    fn quantile(&self, p: f64) -> f64 {
        let tail = -(-p).ln_1p();
        if self.k == 0.0 { self.s * tail } else { self.s * (self.k * tail).exp_m1() / self.k }
    }
}

#[cfg(test)]
mod tests;
