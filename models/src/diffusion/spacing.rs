//! Where the noise levels of reverse steps lie: dense where a step costs much, wide where it costs nothing.

use super::Schedule;
use super::denoising_error::between;

/// The part of the levels that stays uniform in t, so that no stretch is left out where the cost is misjudged.
const UNIFORM: f64 = 0.25;

/// The share of all steps that lies below each of some knots, which are uniform in t; linear between them.
///
/// In a step from sigma to sigma' the reverse SDE and noising differ by the Kullback-Leibler divergence
/// (n / 2) log(1 - h (1 - r)) + const, h = 1 - sigma'^2 / sigma^2, where the denoiser's error r is that of
/// [`DenoisingError`](super::DenoisingError) and n the number of coordinates (the terms of a path's evidence bound, among
/// which Watson et al. 2021, arXiv 2106.03802, choose levels by dynamic programming). In u = log sigma^2 a step of the
/// length delta costs, to second order and beside what infinitely short steps cost,
///
/// (n / 4) c(u) delta^2, c = r (1 - r) + dr/du.
///
/// c is zero for a Gaussian, for which r = s^2 / (s^2 + sigma^2), and the variance over coordinates of s^2 / (s^2 +
/// sigma^2) for one whose s differ: what a step of one variance for all of them misses. Of all ways to place a number of
/// steps the least sum of costs has the density sqrt(c).
#[derive(Clone, Debug, PartialEq)]
pub struct Spacing {
    below: Vec<f64>,
}

impl Spacing {
    /// Levels uniform in t.
    pub(super) fn uniform(knots: usize) -> Self {
        Self { below: (0..knots).map(|k| k as f64 / (knots - 1) as f64).collect() }
    }

    /// The best one for denoising errors `r`, which has `kinds` numbers for each knot.
    pub(super) fn of(r: &[f64], kinds: usize, schedule: Schedule) -> Self {
        let costs = costs(r, kinds, schedule);
        let knots = costs.len();
        // Differences of measured errors are noisy.
        let smooth = |k: usize| {
            let of = |k: usize| costs[k.min(knots - 1)];
            0.25 * of(k.saturating_sub(1)) + 0.5 * of(k) + 0.25 * of(k + 1)
        };
        Self::dense((0..knots).map(|k| smooth(k).max(0.0).sqrt()).collect())
    }

    fn dense(mut density: Vec<f64>) -> Self {
        let knots = density.len();
        // Of the lines between knots.
        let ends = 0.5 * (density[0] + density[knots - 1]);
        let mean = (density.iter().sum::<f64>() - ends) / (knots - 1) as f64;
        if !(mean.is_finite() && mean > 0.0) {
            return Self::uniform(knots);
        }
        density.iter_mut().for_each(|d| *d = UNIFORM + (1.0 - UNIFORM) * *d / mean);
        let mut below = vec![0.0];
        for pair in density.windows(2) {
            below.push(below[below.len() - 1] + 0.5 * (pair[0] + pair[1]));
        }
        let all = below[knots - 1];
        below.iter_mut().for_each(|b| *b /= all);
        Self { below }
    }

    /// The shares, for a checkpoint.
    pub fn shares(&self) -> &[f64] {
        &self.below
    }

    /// Takes other shares; false if they are not as many that rise from 0 to 1.
    pub(super) fn restore(&mut self, shares: &[f64]) -> bool {
        let rise = shares.windows(2).all(|p| p[0] < p[1]);
        let fits =
            rise && shares.len() == self.below.len() && shares[0] == 0.0 && shares[shares.len() - 1] == 1.0;
        if fits {
            self.below.copy_from_slice(shares);
        }
        fits
    }

    /// The t below which the share `s` of the steps lies.
    pub(super) fn time(&self, s: f64) -> f64 {
        let knots = self.below.len();
        let above = self.below.partition_point(|b| *b < s).clamp(1, knots - 1);
        let (low, high) = (self.below[above - 1], self.below[above]);
        (above as f64 - 1.0 + (s - low) / (high - low)) / (knots - 1) as f64
    }

    /// The share of the steps below t.
    pub fn share(&self, t: f64) -> f64 {
        let (knot, part) = between(t, self.below.len());
        (1.0 - part) * self.below[knot] + part * self.below[knot + 1]
    }
}

/// c at each knot, the mean over kinds.
fn costs(r: &[f64], kinds: usize, schedule: Schedule) -> Vec<f64> {
    let knots = r.len() / kinds;
    let du = 2.0 * (schedule.sigma_max / schedule.sigma_min).ln() / (knots - 1) as f64;
    let mean = |knot: usize, f: &dyn Fn(f64) -> f64| {
        r[knot * kinds..(knot + 1) * kinds].iter().map(|r| f(*r)).sum::<f64>() / kinds as f64
    };
    let cost = |k: usize| {
        let (low, high) = (k.saturating_sub(1), (k + 1).min(knots - 1));
        let rise = (mean(high, &|r| r) - mean(low, &|r| r)) / (du * (high - low) as f64);
        mean(k, &|r| r * (1.0 - r)) + rise
    };
    (0..knots).map(cost).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule { sigma_min: 0.01, sigma_max: 10.0 };
    const KNOTS: usize = 33;

    /// r of a Gaussian whose coordinates have the deviations `s`, one kind.
    fn of_gaussian(s: &[f64]) -> impl Fn(f64) -> f64 {
        move |sigma| s.iter().map(|s| s * s / (s * s + sigma * sigma)).sum::<f64>() / s.len() as f64
    }

    fn table(r: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..KNOTS).map(|k| r(SCHEDULE.sigma(k as f64 / (KNOTS - 1) as f64))).collect()
    }

    /// sum of log(1 - h (1 - r)) over steps, in units of n / 2.
    fn cost(r: impl Fn(f64) -> f64, spacing: &Spacing, steps: usize) -> f64 {
        let level = |k: usize| SCHEDULE.sigma(spacing.time(k as f64 / steps as f64));
        let of = |k: usize| {
            let h = 1.0 - (level(k - 1) / level(k)).powi(2);
            (1.0 - h * (1.0 - r(level(k)))).ln()
        };
        (1..=steps).map(of).sum()
    }

    #[test]
    fn levels_of_a_stiff_gaussian_cost_less_than_uniform_ones_and_as_foretold() {
        let s = [0.1, 1.0];
        let (r, uniform) = (of_gaussian(&s), Spacing::uniform(KNOTS));
        let spacing = Spacing::of(&table(&r), 1, SCHEDULE);
        let least = cost(&r, &uniform, 200_000);
        let [even, chosen] = [&uniform, &spacing].map(|s| cost(&r, s, 60) - least);
        // (1/2) sum c delta^2 with c the variance of s^2 / (s^2 + sigma^2).
        let delta = 2.0 * 1000f64.ln() / 60.0;
        let foretold: f64 = (0..6000)
            .map(|k| {
                let sigma = SCHEDULE.sigma((k as f64 + 0.5) / 6000.0);
                let [a, b] = s.map(|s| s * s / (s * s + sigma * sigma));
                0.5 * (0.5 * (a - b)).powi(2) * delta * delta * 60.0 / 6000.0
            })
            .sum();
        assert!((even / foretold - 1.0).abs() < 0.1, "{even} {foretold}");
        assert!(chosen < 0.65 * even && chosen > 0.0, "{chosen} {even}");
    }

    #[test]
    fn steps_of_an_isotropic_gaussian_cost_the_same_wherever_they_lie() {
        let r = of_gaussian(&[1.5]);
        let (even, other) =
            (Spacing::uniform(KNOTS), Spacing::of(&table(of_gaussian(&[0.1, 9.0])), 1, SCHEDULE));
        let least = ((1e-4f64 + 2.25) / (100.0 + 2.25)).ln();
        for spacing in [even, other] {
            assert!((cost(&r, &spacing, 20) - least).abs() < 1e-12);
        }
        // No error, no cost: uniform.
        assert_eq!(Spacing::of(&[0.0; KNOTS], 1, SCHEDULE), Spacing::uniform(KNOTS));
    }

    #[test]
    fn kinds_of_coordinates_with_variances_of_their_own_are_no_cost() {
        // Two Gaussians, each with its kind: every step is exact, and what is left is the coarseness of the knots.
        let [a, b] = [0.1, 1.0].map(|s| table(of_gaussian(&[s])));
        let both: Vec<f64> = a.iter().zip(&b).flat_map(|(a, b)| [*a, *b]).collect();
        let costs =
            |r: &[f64], kinds| costs(r, kinds, SCHEDULE).into_iter().fold(0.0, |a: f64, c| a.max(c.abs()));
        let one: Vec<f64> = a.iter().zip(&b).map(|(a, b)| 0.5 * (a + b)).collect();
        assert!(costs(&both, 2) < 0.005 && costs(&one, 1) > 0.1, "{} {}", costs(&both, 2), costs(&one, 1));
    }

    #[test]
    fn share_and_time_are_inverses_and_what_is_not_monotone_is_refused() {
        let spacing = Spacing::of(&table(of_gaussian(&[0.1, 2.0])), 1, SCHEDULE);
        for k in 0..=100 {
            let t = k as f64 / 100.0;
            assert!((spacing.time(spacing.share(t)) - t).abs() < 1e-12);
            assert!((spacing.share(spacing.time(t)) - t).abs() < 1e-12);
        }
        assert_eq!((spacing.time(0.0), spacing.time(1.0)), (0.0, 1.0));
        let mut other = Spacing::uniform(KNOTS);
        assert!(other.restore(spacing.shares()) && other == spacing);
        let mut wrong = spacing.shares().to_vec();
        wrong.swap(3, 4);
        assert!(!other.restore(&wrong) && !other.restore(&wrong[1..]) && !other.restore(&[]));
        wrong[3] = f64::NAN;
        assert!(!other.restore(&wrong) && other == spacing);
    }
}
