//! The noise levels of a batch.

use crate::diffusion::{Schedule, Spacing};

/// Width of the focus, in units of log sigma.
const WIDTH: f64 = 0.5;

/// The distribution of t(sigma) in a batch: uniform, but for a share around the levels that are hardest to learn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels<'a> {
    schedule: Schedule,
    share: f64,
    focus: Focus<'a>,
}

/// Where the levels of the share lie.
#[derive(Clone, Copy, Debug)]
enum Focus<'a> {
    /// Logistic around a level with scale 1/2 in log sigma; the distribution function at t = 0, and the mass between
    /// t = 0 and t = 1.
    Around { centre: f64, width: f64, ends: (f64, f64) },
    /// As dense as the levels of reverse steps.
    Measured(&'a Spacing),
}

impl<'a> Levels<'a> {
    /// A share around `sigma`; where that is 0, as dense as reverse steps.
    pub fn new(schedule: Schedule, share: f64, sigma: f64, spacing: &'a Spacing) -> Self {
        let range = (schedule.sigma_max / schedule.sigma_min).ln();
        let focus = if sigma > 0.0 {
            let (centre, width) = (schedule.time(sigma), WIDTH / range);
            let below = logistic((0.0 - centre) / width);
            let ends = (below, logistic((1.0 - centre) / width) - below);
            Focus::Around { centre, width, ends }
        } else {
            Focus::Measured(spacing)
        };
        Self { schedule, share, focus }
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
        let focused = match self.focus {
            Focus::Around { centre, width, ends: (below, inside) } => {
                (logistic((t - centre) / width) - below) / inside
            }
            Focus::Measured(spacing) => spacing.share(t),
        };
        (1.0 - self.share) * t + self.share * focused
    }
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::DenoisingError;
    use crate::target::Geometry;

    const SCHEDULE: Schedule = Schedule { sigma_min: 0.01, sigma_max: 10.0 };

    /// Its levels are uniform.
    fn unmeasured() -> DenoisingError {
        DenoisingError::gaussian(Geometry::Euclidean(1), SCHEDULE, 1.0)
    }

    #[test]
    fn without_a_share_levels_are_uniform_in_t() {
        let error = unmeasured();
        let levels = Levels::new(SCHEDULE, 0.0, 0.5, error.spacing());
        assert_eq!(levels.quantile(0.3), SCHEDULE.sigma(0.3));
    }

    #[test]
    fn a_measured_share_is_as_dense_as_the_levels_of_steps() {
        let mut error = unmeasured();
        let count = error.spacing().shares().len() as f64;
        let squares: Vec<f64> = (0..count as usize).map(|k| (k as f64 / (count - 1.0)).powi(2)).collect();
        assert!(error.restore_spacing(&squares));
        let levels = Levels::new(SCHEDULE, 0.5, 0.0, error.spacing());
        // (t + t^2) / 2 of them lie below t.
        let t = SCHEDULE.time(levels.quantile(0.375));
        assert!((t - 0.5).abs() < 1e-3, "{t}");
    }

    #[test]
    fn a_share_is_near_the_focus_and_the_rest_everywhere() {
        let error = unmeasured();
        let levels = Levels::new(SCHEDULE, 0.6, 0.5, error.spacing());
        let sigma: Vec<f64> = (0..1000).map(|i| levels.quantile((i as f64 + 0.5) / 1000.0)).collect();
        assert!(sigma.is_sorted() && sigma[0] < 0.011 && sigma[999] > 9.5);
        // A logistic law has 1 - 2 / (1 + e^2) = 0.762 of its mass within two scales, here |log sigma / 0.5| < 1;
        // of the uniform rest 2 / log(1000) = 0.290 lie there.
        let near = sigma.iter().filter(|s| (*s / 0.5).ln().abs() < 1.0).count() as f64 / 1000.0;
        assert!((near - (0.6 * 0.762 + 0.4 * 0.290)).abs() < 0.005, "{near}");
    }
}
