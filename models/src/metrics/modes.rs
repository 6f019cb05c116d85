//! Mode coverage and mode weights of samples of a Gaussian mixture.

use super::{MetricError, count, finite};

/// A mixture of isotropic Gaussians in R^d.
#[derive(Clone, Copy, Debug)]
pub struct Modes<'a> {
    /// The dimension d.
    pub d: usize,
    /// The means of all modes, d numbers each, concatenated.
    pub means: &'a [f64],
    /// Standard deviation of each mode, positive.
    pub scales: &'a [f64],
    /// Weight of each mode, non-negative; need not sum to 1.
    pub weights: &'a [f64],
}

/// The result of [`mode_report`].
#[derive(Clone, Debug, PartialEq)]
pub struct ModeReport {
    /// Modes with a sample within the radius.
    pub found: usize,
    /// Share of samples within the radius of some mode.
    pub in_mode: f64,
    /// f_k; they sum to 1.
    pub frequencies: Vec<f64>,
    /// KL(f || w), non-negative.
    pub kl: f64,
    /// Pearson's statistic of f against w; about m - 1 for an exact sampler with separate modes.
    pub chi2: f64,
}

/// The radius, in scales, of a ball that contains the share 1 - e^-4.5 = 0.989 of a Gaussian in R^d.
///
/// 3 for d = 1 and d = 2. For d > 2 the quantile of chi^2 by the approximation of Wilson and Hilferty
/// (1931), accurate to 0.1 %: distances grow like sqrt(d), so that in R^50 hardly any sample of a mode
/// is within 3 scales of its mean.
pub fn covering_radius(d: usize) -> f64 {
    /// The normal quantile of 1 - e^-4.5.
    const Z: f64 = 2.286_620_338_178_61;
    if d <= 2 {
        return 3.0;
    }
    let (d, a) = (d as f64, 2.0 / (9.0 * d as f64));
    (d * (1.0 - a + Z * a.sqrt()).powi(3)).sqrt()
}

/// Modes found within `radius` scales ([`covering_radius`]; 3 in the plane), and mode frequencies against
/// the weights.
///
/// The frequency of mode k (mean m_k, scale s_k, weight w_k) among samples x_1..x_n is its mean posterior
/// responsibility,
///
/// f_k = (1/n) sum_i r_k(x_i), r_k(x) = w_k N(x; m_k, s_k^2 I) / sum_l w_l N(x; m_l, s_l^2 I).
///
/// Under the mixture E f_k = w_k, also where modes overlap. Counting each sample for its nearest or most
/// likely mode is biased there: of two coincident modes with weights 0.7 and 0.3, one would get all
/// samples.
///
/// KL = sum_k f_k log(f_k / w_k), and Pearson's chi2 = n sum_k (f_k - w_k)^2 / w_k. An exact sampler of m
/// separate modes has E KL = (m - 1) / 2n to first order and E chi2 = m - 1; less if modes overlap.
///
/// # Errors
/// If samples or modes are empty or not finite, their sizes differ, a scale is not positive, the weights
/// are not non-negative with a positive sum, `radius` is not positive, or a sample has density 0 in every
/// mode.
pub fn mode_report(x: &[f64], modes: &Modes, radius: f64) -> Result<ModeReport, MetricError> {
    let weights = modes.check()?;
    let n = count(x, modes.d)?;
    if radius.is_nan() || radius <= 0.0 {
        return Err(MetricError::Parameter("the radius must be positive"));
    }
    // log w_k - d log s_k; the constant (2 pi)^(-d/2) cancels.
    let log_norms: Vec<f64> =
        weights.iter().zip(modes.scales).map(|(w, s)| w.ln() - modes.d as f64 * s.ln()).collect();
    let mut found = vec![false; weights.len()];
    let mut frequencies = vec![0.0; weights.len()];
    let mut density = vec![0.0; weights.len()];
    let mut inside = 0;
    for x in x.chunks_exact(modes.d) {
        let mut in_some = false;
        for (k, distance) in modes.distances(x).enumerate() {
            let near = distance <= radius;
            found[k] |= near;
            in_some |= near;
            density[k] = log_norms[k] - 0.5 * distance * distance;
        }
        inside += usize::from(in_some);
        let top = density.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if top == f64::NEG_INFINITY {
            return Err(MetricError::Parameter(
                "a sample is so far away that its density is 0 in every mode",
            ));
        }
        density.iter_mut().for_each(|l| *l = (*l - top).exp());
        let total: f64 = density.iter().sum();
        frequencies.iter_mut().zip(&density).for_each(|(f, p)| *f += p / total / n as f64);
    }
    // Modes of weight 0 have frequency 0 and contribute nothing.
    let present = || frequencies.iter().zip(&weights).filter(|(_, w)| **w > 0.0);
    let divergence = |(f, w): (&f64, &f64)| if *f > 0.0 { f * (f / w).ln() } else { 0.0 };
    Ok(ModeReport {
        found: found.iter().filter(|f| **f).count(),
        in_mode: inside as f64 / n as f64,
        kl: present().map(divergence).sum::<f64>().max(0.0),
        chi2: n as f64 * present().map(|(f, w)| (f - w).powi(2) / w).sum::<f64>(),
        frequencies,
    })
}

impl Modes<'_> {
    /// Checks the mixture; returns its weights, normalised.
    fn check(&self) -> Result<Vec<f64>, MetricError> {
        let modes = count(self.means, self.d)?;
        for other in [self.scales, self.weights] {
            if other.len() != modes {
                return Err(MetricError::Sizes { left: modes, right: other.len() });
            }
            finite(other)?;
        }
        if self.scales.iter().any(|s| *s <= 0.0) {
            return Err(MetricError::Parameter("scales of modes must be positive"));
        }
        let total: f64 = self.weights.iter().sum();
        if self.weights.iter().any(|w| *w < 0.0) || total <= 0.0 || total.is_infinite() {
            return Err(MetricError::Parameter("weights of modes must be 0 or more, some positive"));
        }
        Ok(self.weights.iter().map(|w| w / total).collect())
    }

    /// |x - m_k| / s_k for each mode.
    fn distances(&self, x: &[f64]) -> impl Iterator<Item = f64> {
        self.means.chunks_exact(self.d).zip(self.scales).map(move |(mean, scale)| {
            x.iter().zip(mean).map(|(x, m)| ((x - m) / scale).powi(2)).sum::<f64>().sqrt()
        })
    }
}

#[cfg(test)]
mod tests {
    use engine::rng::Stream;

    use super::*;

    const TWO: Modes = Modes { d: 1, means: &[0.0, 100.0], scales: &[1.0, 2.0], weights: &[0.25, 0.75] };

    #[test]
    fn a_report_worked_out_by_hand() {
        // f = (1/2, 1/2): KL = 1/2 log 2 + 1/2 log 2/3; chi2 = 4 (1/4 + 1/12).
        let report = mode_report(&[0.0, -2.9, 100.0, 94.5], &TWO, 3.0).unwrap();
        assert_eq!((report.found, report.in_mode), (2, 1.0));
        assert_eq!(report.frequencies, [0.5, 0.5]);
        assert!((report.kl - 0.5 * (4.0f64 / 3.0).ln()).abs() < 1e-15);
        assert!((report.chi2 - 4.0 / 3.0).abs() < 1e-14);
    }

    #[test]
    fn a_missing_mode_is_missed() {
        // All in mode 0: KL = log 4, chi2 = 2 (9/4 + 3/4).
        let report = mode_report(&[0.0, 3.5], &TWO, 3.0).unwrap();
        assert_eq!((report.found, report.in_mode), (1, 0.5));
        assert!((report.kl - 4f64.ln()).abs() < 1e-15);
        assert!((report.chi2 - 6.0).abs() < 1e-14);
    }

    #[test]
    fn distances_count_in_scales() {
        // 40 is 40 scales from mode 0 and 30 from mode 1.
        assert_eq!(TWO.distances(&[40.0]).collect::<Vec<f64>>(), [40.0, 30.0]);
    }

    #[test]
    fn coincident_modes_share_their_samples() {
        let modes = Modes { d: 2, means: &[1.0; 4], scales: &[1.0; 2], weights: &[7.0, 3.0] };
        let report = mode_report(&[0.0, 0.5, 2.0, 1.0], &modes, 3.0).unwrap();
        assert!((report.frequencies[0] - 0.7).abs() < 1e-15 && report.kl < 1e-15);
        assert_eq!(report.found, 2);
    }

    #[test]
    fn a_wide_mode_is_thin() {
        // In the plane, at the common mean, densities are as 1 / 1^2 to 1 / 2^2.
        let modes = Modes { d: 2, means: &[0.0; 4], scales: &[1.0, 2.0], weights: &[0.5; 2] };
        let report = mode_report(&[0.0, 0.0], &modes, 3.0).unwrap();
        assert!((report.frequencies[0] - 0.8).abs() < 1e-15, "{:?}", report.frequencies);
    }

    #[test]
    fn frequencies_of_overlapping_modes_are_unbiased() {
        // Means 1 scale apart with weights 0.8 and 0.2: the most likely mode would be 0 for 94 %.
        const N: usize = 40_000;
        let modes = Modes { d: 1, means: &[0.0, 1.0], scales: &[1.0; 2], weights: &[0.8, 0.2] };
        let mut stream = Stream::new(1, "modes", 0, 0);
        let mut x = vec![0.0; N];
        stream.fill_normal(&mut x);
        x.iter_mut().for_each(|x| *x += f64::from(stream.uniform() < 0.2));
        let report = mode_report(&x, &modes, 3.0).unwrap();
        // r_1 has standard deviation below 0.2, so four standard errors are 0.004.
        assert!((report.frequencies[1] - 0.2).abs() < 0.004, "{:?}", report.frequencies);
        assert!(report.chi2 < 11.0, "chi2 {} with at most 1 degree of freedom", report.chi2);
    }

    #[test]
    fn the_covering_ball_holds_the_same_share_in_any_dimension() {
        assert_eq!(covering_radius(2), 3.0);
        for (d, seed) in [(3, 1), (10, 2), (50, 3)] {
            const N: usize = 20_000;
            let mut x = vec![0.0; N * d];
            Stream::new(seed, "ball", 0, 0).fill_normal(&mut x);
            let radius = covering_radius(d);
            let norm = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>().sqrt();
            let share = x.chunks(d).filter(|x| norm(x) <= radius).count() as f64 / N as f64;
            // The standard error is 0.00074.
            assert!((share - 0.98889).abs() < 0.003, "d {d}: {share}");
        }
    }

    #[test]
    fn modes_of_weight_zero_are_no_trouble() {
        let report = mode_report(&[0.0, 100.0], &Modes { weights: &[0.0, 1.0], ..TWO }, 3.0).unwrap();
        assert_eq!((report.kl, report.chi2, report.found), (0.0, 0.0, 2));
    }

    #[test]
    fn malformed_inputs_are_errors() {
        let parameter = |r: Result<ModeReport, MetricError>| matches!(r, Err(MetricError::Parameter(_)));
        assert_eq!(mode_report(&[], &TWO, 3.0), Err(MetricError::Empty));
        assert_eq!(mode_report(&[f64::NAN], &TWO, 3.0), Err(MetricError::NotFinite(0)));
        assert!(parameter(mode_report(&[1e200], &TWO, 3.0)));
        assert!(parameter(mode_report(&[0.0], &TWO, f64::NAN)));
        assert!(parameter(mode_report(&[0.0], &Modes { scales: &[1.0, 0.0], ..TWO }, 3.0)));
        assert!(parameter(mode_report(&[0.0], &Modes { weights: &[2.0, -1.0], ..TWO }, 3.0)));
        let short = Modes { weights: &[1.0], ..TWO };
        assert_eq!(mode_report(&[0.0], &short, 3.0), Err(MetricError::Sizes { left: 2, right: 1 }));
    }
}
