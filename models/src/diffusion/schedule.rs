//! The variance-exploding noise schedule.

/// The variance-exploding noise schedule (Song et al. 2021): x_t = x_0 + sigma(t) eps, t in \[0, 1\],
///
/// sigma(t) = sigma_min (sigma_max / sigma_min)^t.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// sigma(0), well below the width of a mode.
    pub sigma_min: f64,
    /// sigma(1), well above the width of the target.
    pub sigma_max: f64,
}

impl Schedule {
    /// sigma(t).
    pub fn sigma(&self, t: f64) -> f64 {
        self.sigma_min * (self.sigma_max / self.sigma_min).powf(t)
    }

    /// t(sigma), the inverse of [`Schedule::sigma`].
    pub fn time(&self, sigma: f64) -> f64 {
        (sigma / self.sigma_min).ln() / (self.sigma_max / self.sigma_min).ln()
    }
}
