//! The noise levels of a batch.

use crate::diffusion::Schedule;

/// Width of the focus, in units of log sigma.
const WIDTH: f64 = 0.5;

/// The distribution of t(sigma) in a batch: uniform, but for a share `focus_share` that is logistic around
/// t(focus_sigma) with scale 1/2 in log sigma.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels {
    schedule: Schedule,
    share: f64,
    centre: f64,
    width: f64,
    /// The logistic distribution function at t = 0, and the mass between t = 0 and t = 1.
    ends: (f64, f64),
}

impl Levels {
    pub fn new(schedule: Schedule, share: f64, sigma: f64) -> Self {
        let range = (schedule.sigma_max / schedule.sigma_min).ln();
        let (centre, width) = (schedule.time(sigma), WIDTH / range);
        let below = logistic((0.0 - centre) / width);
        let ends = (below, logistic((1.0 - centre) / width) - below);
        Self { schedule, share, centre, width, ends }
    }

    /// The `u`-quantile of the noise level.
    pub fn quantile(&self, u: f64) -> f64 {
        if self.share == 0.0 {
            return self.schedule.sigma(u);
        }
        let (mut low, mut high) = (0.0, 1.0);
        // Each step halves the interval: 40 leave 1e-12.
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            if self.share_below(middle) < u { low = middle } else { high = middle }
        }
        self.schedule.sigma(0.5 * (low + high))
    }

    /// Share of the states below `t`.
    fn share_below(&self, t: f64) -> f64 {
        let (below, inside) = self.ends;
        let focused = (logistic((t - self.centre) / self.width) - below) / inside;
        (1.0 - self.share) * t + self.share * focused
    }
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule { sigma_min: 0.01, sigma_max: 10.0 };

    #[test]
    fn without_a_share_levels_are_uniform_in_t() {
        let levels = Levels::new(SCHEDULE, 0.0, 0.5);
        assert_eq!(levels.quantile(0.3), SCHEDULE.sigma(0.3));
    }

    #[test]
    fn a_share_is_near_the_focus_and_the_rest_everywhere() {
        let levels = Levels::new(SCHEDULE, 0.6, 0.5);
        let sigma: Vec<f64> = (0..1000).map(|i| levels.quantile((i as f64 + 0.5) / 1000.0)).collect();
        assert!(sigma.is_sorted() && sigma[0] < 0.011 && sigma[999] > 9.5);
        // A logistic law has 1 - 2 / (1 + e^2) = 0.762 of its mass within two scales, here |log sigma / 0.5| < 1;
        // of the uniform rest 2 / log(1000) = 0.290 lie there.
        let near = sigma.iter().filter(|s| (*s / 0.5).ln().abs() < 1.0).count() as f64 / 1000.0;
        assert!((near - (0.6 * 0.762 + 0.4 * 0.290)).abs() < 0.005, "{near}");
    }
}
